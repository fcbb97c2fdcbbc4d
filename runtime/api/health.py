"""Probes: is the process alive, can it take runs, which version is it, and its metrics.

Ready means: the journal answers and new runs are accepted. A model that is still being installed does not
make a server unready, since it tells each asker so itself.
"""

import logging

import anyio
import msgspec
from aiohttp import web

from runtime.api.deps import DEPS, ApiDeps
from runtime.api.metrics import CONTENT_TYPE

logger = logging.getLogger(__name__)

JOURNAL_DEADLINE_S = 2.0
"""A journal that takes longer to say its last number cannot keep up with runs."""


async def get_health(_request: web.Request) -> web.Response:
    """Say that the process answers."""
    return _json(200, {"status": "ok"})


async def get_ready(request: web.Request) -> web.Response:
    """Say whether runs are welcome; 503 with the reason where they are not."""
    reason = await _why_not_ready(request.app[DEPS])
    return (
        _json(200, {"status": "ready"})
        if reason is None
        else _json(503, {"status": "not ready", "reason": reason})
    )


async def get_version(request: web.Request) -> web.Response:
    """Say which Lar this is."""
    return _json(200, {"name": "lar", "version": request.app[DEPS].version})


async def get_metrics(request: web.Request) -> web.Response:
    """Return the metrics in Prometheus' text form."""
    deps = request.app[DEPS]
    body = deps.metrics.expose(deps.models.list_models())
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def _why_not_ready(deps: ApiDeps) -> str | None:
    if not deps.runs.is_accepting:
        return "the server is stopping"

    if not deps.journal.is_healthy:
        return "facts cannot be stored; is the disk full?"

    try:
        with anyio.fail_after(JOURNAL_DEADLINE_S):
            await deps.journal.last_seq()
    except TimeoutError:
        return f"the journal does not answer within {JOURNAL_DEADLINE_S:g} s"
    except Exception:
        logger.exception("the journal cannot be asked")
        return "the journal cannot be read"
    return None


def _json(status: int, body: dict[str, str]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
