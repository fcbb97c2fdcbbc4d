"""GET / and /api/version, and what Ollama does to its store: that is refused, with the way out."""

from aiohttp import web

from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused


async def get_root(_request: web.Request) -> web.Response:
    """Say that the server is there; Ollama's clients ask for it before anything else."""
    return web.Response(text="Lar is running")


async def get_version(request: web.Request) -> web.Response:
    """Say which Lar this is; it is no version of Ollama's."""
    return web.json_response({"version": request.app[DEPS].version})


async def refuse_change(request: web.Request) -> web.StreamResponse:
    """Refuse to push, create, copy or delete a model. Raises Refused always."""
    raise Refused(
        Refusal(
            status=501,
            type="invalid_request_error",
            code="not_implemented",
            message=f"{request.method} {request.path[:80]} is not served. Models come from the catalogue "
            "('lar models') and from lar.toml, where [model.<id>] with a path adds one of your own.",
            should_retry=False,
        )
    )
