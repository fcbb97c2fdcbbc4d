"""POST /v1/chat/completions: a run is started and its outputs are told, as a stream or as a whole.

The run does not live here. This side reads its bounded stream and asks it to stop when the client is
gone. No header is sent before the run yields its first output, so a refusal is a plain HTTP error. A request
with `store` has its answer kept once it is whole; `stored_chats` shows it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from aiohttp import web
from msgspec import UNSET

from runtime.api.bodies import read_body
from runtime.api.chosen import choose_model
from runtime.api.deps import ApiDeps
from runtime.api.openai.body import ChatBody
from runtime.api.openai.chunks import Answer, Chunks, Heading
from runtime.api.openai.request import chat_request_of
from runtime.api.openai.sampling import service_tier_of, wants_usage
from runtime.api.openai.stored_chats import Shelf, shelf_of
from runtime.api.openai.streaming import answer_stream
from runtime.api.openai.usage import Tally
from runtime.api.runs import Asker, OpenRun, asker_of, open_run
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
    shelf: Shelf | None
    """Where the answer is kept; None: it is not."""

    def answer(self) -> Answer:
        """Return what gathers the run."""
        return Answer(self.heading, self.choices, has_logprobs=bool(self.body.logprobs))


async def post_chat(request: web.Request) -> web.StreamResponse:
    """Serve one chat completion."""
    body = await read_body(request, ChatBody)
    asker = asker_of(request)
    if not body.stream:
        return web.Response(body=await complete_chat(asker, body), content_type="application/json")

    async with _open(asker, body) as job:
        return await _stream(request, job)


async def complete_chat(asker: Asker, body: ChatBody) -> bytes:
    """Return the whole answer to a request. Raises Refused, LarError."""
    async with _open(asker, body) as job:
        return await _whole(job)


@asynccontextmanager
async def _open(asker: Asker, body: ChatBody) -> AsyncIterator[_Job]:
    """Start the run of a request. Raises Refused, LarError."""
    shelf = shelf_of(asker.deps, asker.principal) if body.store else None
    chat, model = await choose_model(asker.deps, chat_request_of(body), asker.principal)
    async with open_run(asker, chat, is_stream=bool(body.stream)) as run:
        heading = _heading(asker.deps, body, model, run.run_id)
        if shelf is not None:
            heading = msgspec.structs.replace(heading, id=shelf.mint())
        yield _Job(body=body, choices=chat.choices, heading=heading, run=run, shelf=shelf)


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
        answer = None if job.shelf is None else job.answer()
        await _tell_piece(stream, chunks, tally, first)
        _gather(answer, first)
        async for piece in job.run.pieces_beside(stream):
            await _tell_piece(stream, chunks, tally, piece)
            _gather(answer, piece)
        if job.shelf is not None and answer is not None:
            await job.shelf.keep(job.body, answer.encode(tally.total()))
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


def _gather(answer: Answer | None, piece: Piece) -> None:
    """Add a piece to the answer that is kept, where one is."""
    if answer is None:
        return
    match piece.output:
        case Delta() as delta:
            answer.add(piece.index, delta)
        case Ended() as ended:
            answer.end(piece.index, ended.reason)
        case Began() | Broke() | Vectors() | Scores() | Tokens():
            return


async def _whole(job: _Job) -> bytes:
    """Gather the run into one answer. Raises RunOver."""
    answer = job.answer()
    tally = Tally()
    async for piece in job.run.pieces():
        _gather(answer, piece)
        if isinstance(piece.output, Ended):
            tally.add(piece.output.usage)
    content = answer.encode(tally.total())
    if job.shelf is not None:
        await job.shelf.keep(job.body, content)
    return content
