"""POST /v1/chat/completions: a run is started and its outputs are told, as a stream or as a whole.

The run does not live here. This side reads its bounded stream and asks it to stop when the client is
gone. No header is sent before the run yields its first output, so a refusal is a plain HTTP error.
"""

from dataclasses import dataclass

from aiohttp import web
from msgspec import UNSET

from runtime.api.bodies import read_body
from runtime.api.chosen import choose_model
from runtime.api.deps import DEPS, PRINCIPAL, ApiDeps
from runtime.api.errors import not_found
from runtime.api.openai.body import ChatBody
from runtime.api.openai.chunks import Answer, Chunks, Heading
from runtime.api.openai.request import chat_request_of
from runtime.api.openai.sampling import service_tier_of, wants_usage
from runtime.api.openai.streaming import answer_stream
from runtime.api.openai.usage import Tally
from runtime.api.runs import OpenRun, open_run
from runtime.api.sse import SseStream
from runtime.core.driver import Piece
from runtime.core.ids import RunId
from runtime.core.messages import Began, Broke, Delta, Ended, Scores, Tokens, Vectors
from runtime.core.states import ModelState

ROUTE = "/v1/chat/completions"


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
    chat, model = choose_model(deps, chat_request_of(body), request[PRINCIPAL])
    async with open_run(request, chat, is_stream=bool(body.stream)) as run:
        heading = _heading(deps, body, model, run.run_id)
        job = _Job(body=body, choices=chat.choices, heading=heading, run=run)
        return await _stream(request, job) if body.stream else await _whole(job)


async def refuse_stored(request: web.Request) -> web.StreamResponse:
    """Answer whoever looks for stored completions. Raises Refused, always."""
    raise not_found(
        f"There is nothing at {request.path[:200]}: this server does not store chat completions.",
        "not_found",
    )


def _heading(deps: ApiDeps, body: ChatBody, model: ModelState, run_id: RunId) -> Heading:
    return Heading(
        id=f"chatcmpl-{run_id.removeprefix('run_')}",
        created=int(deps.clock.now()),
        model=body.model,
        system_fingerprint=f"lar-{deps.version}-{model.engine}",
        service_tier=service_tier_of(body) or UNSET,
    )


async def _stream(request: web.Request, job: _Job) -> web.StreamResponse:
    """Send a chunk per output."""
    first = await job.run.next()

    async def tell(stream: SseStream) -> None:
        chunks = Chunks(job.heading, has_usage=wants_usage(job.body))
        tally = Tally()
        await _tell_piece(stream, chunks, tally, first)
        async for piece in job.run.pieces_beside(stream):
            await _tell_piece(stream, chunks, tally, piece)
        if wants_usage(job.body):
            await stream.send(chunks.usage(tally.total()))

    return await answer_stream(request, tell)


async def _tell_piece(stream: SseStream, chunks: Chunks, tally: Tally, piece: Piece) -> None:
    match piece.output:
        case Began():
            await stream.send(chunks.opening(piece.index))
        case Delta() as delta:
            chunk = chunks.delta(piece.index, delta)
            if chunk is not None:
                await stream.send(chunk)
        case Ended() as ended:
            tally.add(ended.usage)
            await stream.send(chunks.closing(piece.index, ended.reason))
        case Broke() | Vectors() | Scores() | Tokens():
            return  # the first ends the run before it comes here; a chat yields no others


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
                tally.add(ended.usage)
            case Began() | Broke() | Vectors() | Scores() | Tokens():
                continue
    return web.Response(body=answer.encode(tally.total()), content_type="application/json")
