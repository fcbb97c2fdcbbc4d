"""POST /v1/chat/completions: a run is started and its outputs are told, as a stream or as a whole.

The run does not live here. This side reads its bounded stream and asks it to stop when the client is
gone. No header is sent before the run yields its first output, so a refusal is a plain HTTP error.
"""

from dataclasses import dataclass

from aiohttp import web
from msgspec import UNSET

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS, PRINCIPAL, ApiDeps
from runtime.api.errors import Refusal, envelope
from runtime.api.openai.body import ChatBody
from runtime.api.openai.chunks import Answer, Chunks, Heading, Tally
from runtime.api.openai.request import chat_request_of, check_features, service_tier_of
from runtime.api.runs import OpenRun, RunOver, open_run, ready_model, send_last
from runtime.api.sse import ReaderGone, SseStream
from runtime.core.driver import Piece
from runtime.core.ids import RunId
from runtime.core.messages import Began, Broke, Delta, Ended, Scores, Tokens, Vectors
from runtime.core.states import ModelState

ROUTE = "/v1/chat/completions"
_DONE = b"[DONE]"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One request on its way out."""

    body: ChatBody
    choices: int
    heading: Heading
    run: OpenRun


async def post_chat(request: web.Request) -> web.StreamResponse:
    """Serve one chat completion."""
    deps = request.app[DEPS]
    body = await read_body(request, ChatBody)
    chat = chat_request_of(body)
    model = ready_model(deps, chat.model, request[PRINCIPAL])
    check_features(body, model)
    async with open_run(request, chat, is_stream=bool(body.stream)) as run:
        heading = _heading(deps, body, model, run.run_id)
        job = _Job(body=body, choices=chat.choices, heading=heading, run=run)
        return await _stream(request, job) if body.stream else await _whole(job)


def _heading(deps: ApiDeps, body: ChatBody, model: ModelState, run_id: RunId) -> Heading:
    return Heading(
        id=f"chatcmpl-{run_id.removeprefix('run_')}",
        created=int(deps.clock.now()),
        model=model.id,
        system_fingerprint=f"lar-{deps.version}-{model.engine}",
        service_tier=service_tier_of(body) or UNSET,
    )


async def _stream(request: web.Request, job: _Job) -> web.StreamResponse:
    """Tell the run as server-sent events, up to [DONE] or an error event."""
    first = await job.run.next()
    stream = SseStream(request)
    try:
        await stream.open()
        await _tell(stream, job, first)
    except RunOver as over:
        await _tell_error(stream, job, over.refusal, has_detail=request[PRINCIPAL].role == "operator")
    except ReaderGone:
        stream.end_connection()
    return stream.response


async def _tell(stream: SseStream, job: _Job, first: Piece) -> None:
    """Send a chunk per output. Raises RunOver when the run ends too early, ReaderGone."""
    options = job.body.stream_options
    has_usage = options is not None and bool(options.include_usage)
    chunks = Chunks(job.heading, has_usage=has_usage)
    tally = Tally()
    await _tell_piece(stream, chunks, tally, first)
    async for piece in job.run.pieces_beside(stream):
        await _tell_piece(stream, chunks, tally, piece)

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
        case Ended() as ended:
            tally.add(piece.index, ended.usage)
            await stream.send(chunks.closing(piece.index, ended.reason))
        case Broke() | Vectors() | Scores() | Tokens():
            return  # the first ends the run before it comes here; a chat yields no others


async def _tell_error(stream: SseStream, job: _Job, refusal: Refusal, *, has_detail: bool) -> None:
    """End a stream that has begun with an error event, without [DONE], and close the connection."""
    await send_last(stream, envelope(refusal, run_id=job.run.run_id, has_detail=has_detail))


async def _whole(job: _Job) -> web.Response:
    """Gather the run and answer once. Raises RunOver."""
    answer = Answer(job.heading, job.choices, has_logprobs=bool(job.body.logprobs))
    tally = Tally()
    async for piece in job.run.pieces():
        match piece.output:
            case Delta() as delta:
                answer.add(piece.index, delta)
            case Ended() as ended:
                answer.end(piece.index, ended.reason)
                tally.add(piece.index, ended.usage)
            case Began() | Broke() | Vectors() | Scores() | Tokens():
                continue
    return web.Response(body=answer.encode(tally.total()), content_type="application/json")
