"""POST /v1/chat/completions: a run is started and its outputs are told, as a stream or as a whole.

The run does not live here. This side reads its bounded stream and asks it to stop when the client is
gone. No header is sent before the run yields its first output, so a refusal is a plain HTTP error.
"""

from dataclasses import dataclass

import anyio
from aiohttp import web
from msgspec import UNSET

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS, PRINCIPAL, RUN_ID, ApiDeps
from runtime.api.errors import Refusal, Refused, envelope, refusal_of, run_cancelled
from runtime.api.openai.body import ChatBody
from runtime.api.openai.chunks import Answer, Chunks, Heading, Tally
from runtime.api.openai.readiness import decide_readiness, installing, not_installed, unknown_model
from runtime.api.openai.request import chat_request_of, check_features, service_tier_of
from runtime.api.sse import ReaderGone, SseStream
from runtime.core.driver import Piece, RunHandle
from runtime.core.errors import ModelUnavailable
from runtime.core.gate import Principal, decide_access
from runtime.core.ids import ModelId
from runtime.core.messages import Began, Broke, Delta, Ended
from runtime.core.states import ModelState

ROUTE = "/v1/chat/completions"
_DONE = b"[DONE]"


class _RunOver(Exception):
    """The run's stream ended before every choice was complete; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One request on its way out."""

    body: ChatBody
    choices: int
    heading: Heading
    handle: RunHandle


async def post_chat(request: web.Request) -> web.StreamResponse:
    """Serve one chat completion."""
    deps = request.app[DEPS]
    principal = request[PRINCIPAL]
    body = await read_body(request, ChatBody)
    chat = chat_request_of(body)
    model = find_ready_model(deps, chat.model, principal)
    check_features(body, model)
    handle = await deps.runs.start(chat, principal, route=ROUTE, is_stream=bool(body.stream))
    request[RUN_ID] = handle.run_id
    job = _Job(body=body, choices=chat.choices, heading=_heading(deps, body, model, handle), handle=handle)
    try:
        return await _stream(request, job) if body.stream else await _whole(job)
    except _RunOver as over:
        raise Refused(over.refusal) from over
    finally:
        # Every way out ends the run, a cancelled handler (the client left) included; after its end this
        # does nothing. First the wish, then the stream: a closed stream alone would tell no reason.
        handle.cancel("client left")
        handle.outputs.close()


def find_ready_model(deps: ApiDeps, model_id: ModelId, principal: Principal) -> ModelState:
    """Return the model if it can take a run; starts its install where it is merely known.

    Raises ModelUnavailable.
    """
    model = deps.models.find_model(model_id)
    if model is None:
        raise ModelUnavailable(unknown_model(model_id))

    if model.stage == "available":
        if decide_access(principal, "operate") is not None:
            raise ModelUnavailable(not_installed(model))
        raise ModelUnavailable(installing(deps.models.start_install(model_id)))

    fault = decide_readiness(model)
    if fault is not None:
        raise ModelUnavailable(fault)
    return model


def _heading(deps: ApiDeps, body: ChatBody, model: ModelState, handle: RunHandle) -> Heading:
    return Heading(
        id=f"chatcmpl-{handle.run_id.removeprefix('run_')}",
        created=int(deps.clock.now()),
        model=model.id,
        system_fingerprint=f"lar-{deps.version}-{model.engine}",
        service_tier=service_tier_of(body) or UNSET,
    )


async def _stream(request: web.Request, job: _Job) -> web.StreamResponse:
    """Tell the run as server-sent events, up to [DONE] or an error event."""
    first = await _next_piece(job.handle)
    stream = SseStream(request)
    try:
        await stream.open()
        await _tell(stream, job, first)
    except _RunOver as over:
        await _tell_error(stream, job, over.refusal, has_detail=request[PRINCIPAL].role == "operator")
    except ReaderGone:
        stream.end_connection()
    return stream.response


async def _tell(stream: SseStream, job: _Job, piece: Piece) -> None:
    """Send a chunk per output. Raises _RunOver when the run ends too early, ReaderGone."""
    options = job.body.stream_options
    has_usage = options is not None and bool(options.include_usage)
    chunks = Chunks(job.heading, has_usage=has_usage)
    tally = Tally()
    while True:
        await _tell_piece(stream, chunks, tally, piece)
        if tally.is_complete(job.choices):
            break
        piece = await stream.next_or_comment(lambda: _next_piece(job.handle))

    if has_usage:
        await stream.send(chunks.usage(tally.total()))
    await stream.send(_DONE)


async def _tell_piece(stream: SseStream, chunks: Chunks, tally: Tally, piece: Piece) -> None:
    match piece.output:
        case Began():
            await stream.send(chunks.opening(piece.index))
        case Delta() as delta:
            chunk = chunks.delta(piece.index, delta)
            if chunk is not None:
                await stream.send(chunk)
        case Ended(reason="cancelled"):
            raise _RunOver(run_cancelled())
        case Ended() as ended:
            tally.add(piece.index, ended.usage)
            await stream.send(chunks.closing(piece.index, ended.reason))
        case Broke(fault=fault):
            raise _RunOver(refusal_of(fault))


async def _tell_error(stream: SseStream, job: _Job, refusal: Refusal, *, has_detail: bool) -> None:
    """End a stream that has begun with an error event, without [DONE], and close the connection."""
    stream.end_connection()
    try:
        await stream.send(envelope(refusal, run_id=job.handle.run_id, has_detail=has_detail))
    except ReaderGone:
        return


async def _whole(job: _Job) -> web.Response:
    """Gather the run and answer once. Raises _RunOver."""
    answer = Answer(job.heading, job.choices, has_logprobs=bool(job.body.logprobs))
    tally = Tally()
    while not tally.is_complete(job.choices):
        piece = await _next_piece(job.handle)
        match piece.output:
            case Began():
                continue
            case Delta() as delta:
                answer.add(piece.index, delta)
            case Ended(reason="cancelled"):
                raise _RunOver(run_cancelled())
            case Ended() as ended:
                answer.end(piece.index, ended.reason)
                tally.add(piece.index, ended.usage)
            case Broke(fault=fault):
                raise _RunOver(refusal_of(fault))
    return web.Response(body=answer.encode(tally.total()), content_type="application/json")


async def _next_piece(handle: RunHandle) -> Piece:
    """Return the run's next output; the run itself bounds the wait. Raises _RunOver at its end."""
    try:
        return await handle.outputs.receive()
    except anyio.EndOfStream:
        fault = handle.fault
    raise _RunOver(run_cancelled() if fault is None else refusal_of(fault))
