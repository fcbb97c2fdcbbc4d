"""POST /api/pull: the install of a known model, told as Ollama tells a download.

The install is the server's own and goes on when the client leaves; whoever pulls again sees the same one.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import anyio
import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from runtime.api.deps import DEPS, PRINCIPAL, ApiDeps, gate_of
from runtime.api.errors import refusal_of
from runtime.api.ollama.answer import send_error
from runtime.api.ollama.body import PullBody
from runtime.api.ollama.models import digest_of
from runtime.api.ollama.names import find, given_name
from runtime.api.ollama.ndjson import NdjsonStream
from runtime.api.ollama.reading import read_wire
from runtime.api.stream import ReaderGone
from runtime.core.errors import Fault, LarError, ModelUnavailable
from runtime.core.ids import ModelId
from runtime.core.readiness import decide_readiness, describe_progress, unknown_model
from runtime.core.readying import pass_install
from runtime.core.states import ModelState

LOOK_S = 0.5
"""How often the install is looked at."""
REPEAT_S = 15.0
"""Silence after which the last line is said again, so that no proxy takes the connection for dead."""

_encode = msgspec.json.Encoder().encode


class WireProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is; numbers only where bytes are counted."""

    status: str
    digest: str | UnsetType = UNSET
    total: int | UnsetType = UNSET
    completed: int | UnsetType = UNSET


_SUCCESS = _encode(WireProgress(status="success"))


async def post_pull(request: web.Request) -> web.StreamResponse:
    """Install a model of the catalogue. Raises LarError where it is unknown or cannot be installed."""
    body = await read_wire(request, PullBody)
    deps = request.app[DEPS]
    model = find(deps, given_name({"model": body.model, "name": body.name}))
    is_stream = body.stream is not False
    await pass_install(gate_of(deps), model.id, request[PRINCIPAL])
    async with aclosing(_follow(deps, model.id)) as lines:
        if is_stream:
            return await _stream(request, lines)

        async for _ in lines:
            pass
    return web.Response(body=_SUCCESS, content_type="application/json")


async def _stream(request: web.Request, lines: AsyncIterator[bytes]) -> web.StreamResponse:
    """Tell the install line by line, up to success or an error."""
    first = await anext(lines, None)
    stream = NdjsonStream(request)
    try:
        await stream.open()
        if first is not None:
            await stream.send(first)
        async for line in lines:
            await stream.send(line)
        await stream.send(_SUCCESS)
    except LarError as problem:
        await send_error(request, stream, refusal_of(problem.fault))
    except ReaderGone:
        stream.end_connection()
    return stream.response


async def _follow(deps: ApiDeps, model_id: ModelId) -> AsyncGenerator[bytes, None]:
    """Begin the install where one is needed; yield a line when it is further. Raises LarError."""
    state = _known(deps, model_id)
    if decide_readiness(state) is None:
        return

    state = deps.models.start_install(model_id)
    last, silent_s = b"", 0.0
    while decide_readiness(state) is not None:
        _check_goes_on(deps, state)
        line = _line(state)
        if line != last or silent_s >= REPEAT_S:
            yield line
            last, silent_s = line, 0.0
        await anyio.sleep(LOOK_S)
        silent_s += LOOK_S
        state = _known(deps, model_id)


def _known(deps: ApiDeps, model_id: ModelId) -> ModelState:
    state = deps.models.find_model(model_id)
    if state is None:
        raise ModelUnavailable(unknown_model(model_id))

    return state


def _check_goes_on(deps: ApiDeps, state: ModelState) -> None:
    if not deps.runs.is_accepting:
        raise LarError(Fault(code="shutting_down", message="The server is stopping.", retry_after_s=5.0))

    if state.stage == "installing":
        return

    ended = Fault(code="install_failed", message=f"The install of '{state.id}' ended without a result.")
    raise ModelUnavailable(state.fault or ended)


def _line(state: ModelState) -> bytes:
    progress = state.progress
    if progress is None:
        return _encode(WireProgress(status="installing"))

    if progress.unit != "bytes" or progress.done is None or progress.total is None:
        return _encode(WireProgress(status=describe_progress(progress)))

    return _encode(
        WireProgress(
            status=progress.phase,
            digest=f"sha256:{digest_of(state)}",
            total=round(progress.total),
            completed=round(progress.done),
        )
    )
