"""POST /v1/messages and /v1/messages/count_tokens: a run is started, its outputs told in Anthropic's words.

No header is sent before the run yields its first output, so a refusal is a plain HTTP error.
"""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from aiohttp import web

from runtime.api.anthropic.blocks import Answer, Blocks, Heading
from runtime.api.anthropic.body import MessagesBody, PromptBody
from runtime.api.anthropic.events import StreamEvent, name_of
from runtime.api.anthropic.request import chat_request_of, is_thinking_shown, names_of
from runtime.api.bodies import read_body
from runtime.api.chosen import Chosen, choose_model
from runtime.api.deps import DEPS, PRINCIPAL, REQUEST_ID
from runtime.api.dialects import Told, error_body
from runtime.api.errors import Refusal, Refused
from runtime.api.openai.ability import ready_model_for
from runtime.api.runs import OpenRun, RunOver, open_run, send_last
from runtime.api.sse import SseStream
from runtime.api.stream import ReaderGone
from runtime.api.tokens import tokens_of
from runtime.core.driver import Piece
from runtime.core.messages import Began, Broke, Delta, Ended, Scores, TokenizeRequest, Tokens, Vectors

ROUTE = "/v1/messages"
COUNT_ROUTE = f"{ROUTE}/count_tokens"

_encode = msgspec.json.Encoder().encode

_RENAMED = (
    (re.compile(r"^tools\[(\d+)\]\.function\.parameters"), r"tools[\1].input_schema"),
    (re.compile(r"^tools\[(\d+)\]\.function"), r"tools[\1]"),
    (re.compile(r"^response_format(\.json_schema\.schema)?"), "output_config.format.schema"),
    # The core's messages are counted differently: the system prompt and each tool result are some too.
    (re.compile(r"^messages\[.*$"), "messages"),
)
"""From the fields that an engine names to those that the client sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """One request on its way out."""

    heading: Heading
    blocks: Blocks
    run: OpenRun


async def post_messages(request: web.Request) -> web.StreamResponse:
    """Serve one message."""
    body = await read_body(request, MessagesBody)
    chosen = await _choose(request, body)
    async with _our_words(), open_run(request, chosen.request, is_stream=bool(body.stream)) as run:
        job = _Job(
            heading=Heading(id=f"msg_{run.run_id.removeprefix('run_')}", model=chosen.model.id),
            blocks=Blocks(shows_thinking=is_thinking_shown(body)),
            run=run,
        )
        return await _stream(request, job) if body.stream else await _whole(job)


async def post_count_tokens(request: web.Request) -> web.Response:
    """Say how many tokens the prompt of a message has. Nothing is generated."""
    body = await read_body(request, PromptBody)
    chosen = await _choose(request, body)
    await ready_model_for(request, chosen.model.id, "tokenize", "count tokens")
    async with _our_words():
        found = await tokens_of(request, TokenizeRequest(model=chosen.model.id, chat=chosen.request))
    return web.Response(body=_encode({"input_tokens": len(found.tokens)}), content_type="application/json")


async def _choose(request: web.Request, body: PromptBody) -> Chosen:
    asked = chat_request_of(body)
    return await choose_model(request.app[DEPS], asked, request[PRINCIPAL], names_of(body, asked))


async def _stream(request: web.Request, job: _Job) -> web.StreamResponse:
    """Tell the run as server-sent events, up to message_stop or an error event."""
    first = await job.run.next()
    stream = SseStream(request)
    try:
        await stream.open()
        await _send(stream, _events_of(job, first))
        async for piece in job.run.pieces_beside(stream):
            await _send(stream, _events_of(job, piece))
    except RunOver as over:
        is_operator = request[PRINCIPAL].role == "operator"
        told = Told(request[REQUEST_ID], job.run.run_id, has_detail=is_operator)
        await send_last(stream, error_body(request.path, _renamed(over.refusal), told), event="error")
    except ReaderGone:
        stream.end_connection()
    return stream.response


async def _send(stream: SseStream, events: Iterable[StreamEvent]) -> None:
    for event in events:
        await stream.send(_encode(event), event=name_of(event))


async def _whole(job: _Job) -> web.Response:
    """Gather the run and answer once. Raises RunOver, WorkerFailed."""
    answer = Answer()
    async for piece in job.run.pieces():
        for event in _events_of(job, piece):
            answer.take(event)
    return web.Response(body=_encode(answer.message()), content_type="application/json")


def _events_of(job: _Job, piece: Piece) -> Iterable[StreamEvent]:
    match piece.output:
        case Began(prompt_tokens=tokens):
            return job.blocks.begin(job.heading, tokens)
        case Delta() as delta:
            return job.blocks.add(delta)
        case Ended() as ended:
            return job.blocks.end(ended)
        case Broke() | Vectors() | Scores() | Tokens():
            return ()  # the first ends the run before it comes here; a chat yields no others


@asynccontextmanager
async def _our_words() -> AsyncIterator[None]:
    """Let a run's refusal name the fields as the client knows them."""
    try:
        yield
    except Refused as refused:
        raise Refused(_renamed(refused.refusal)) from refused


def _renamed(refusal: Refusal) -> Refusal:
    if refusal.param is None:
        return refusal

    for pattern, ours in _RENAMED:
        param, count = pattern.subn(ours, refusal.param)
        if count:
            message = refusal.message.replace(refusal.param, param)
            return msgspec.structs.replace(refusal, param=param, message=message)

    return refusal
