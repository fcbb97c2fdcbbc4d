"""The server over HTTP: its state, the event stream with its reconnects, and streamed answers.

The only module of the console that knows aiohttp. Closing a stream closes its request, which is how the
server learns to cancel.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import anyio
import msgspec

from runtime.core.events import Envelope
from runtime.core.ids import ModelId, RunId
from runtime.core.messages import Message, Usage
from runtime.core.states import ModelState, ServerState
from tui.agents import RunHappening
from tui.calls import Call
from tui.ports import (
    ChatDone,
    ChatFailed,
    ChatPiece,
    ChatReasoning,
    ChatStarted,
    ChatText,
    FeedItem,
    LinkLost,
    Refused,
)
from tui.sse import EventTooLong, Sse, SseReader

logger = logging.getLogger(__name__)

BACKLOG = 500
"""Facts from before the console opened that its events screen begins with."""
CONNECT_S = 5.0
"""The server is on this machine or near it: one that has not taken a connection by then will not."""
SILENCE_S = 50.0
"""The event stream says something every 15 s: after three misses it is dead."""
CHAT_SILENCE_S = 900.0
"""A question may wait in the queue and for a model to load; longer than this nobody waits."""
_DELAYS_S = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0)
_LOST = (aiohttp.ClientError, TimeoutError, OSError, EventTooLong)
_BROKEN_OFF = (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError)
_RUN_HEADER = "x-lar-run-id"

T = TypeVar("T")


class _Details(msgspec.Struct):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Error(msgspec.Struct):
    message: str = "the server did not say why"
    type: str | None = None
    code: str | None = None


class _Chunk(msgspec.Struct):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: _Error | None = None


class _Problem(msgspec.Struct):
    error: _Error


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_happening = msgspec.json.Decoder(RunHappening).decode


def retry_delay_s(attempt: int) -> float:
    """Return how long to wait before the attempt of that number, which counts from 1."""
    return _DELAYS_S[min(attempt, len(_DELAYS_S)) - 1]


class HttpSource:
    """A server at a base URL. Opens its connections when first used, in the loop that uses it."""

    def __init__(self, base_url: str, key: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._opened: aiohttp.ClientSession | None = None

    async def state(self) -> ServerState:
        """Return the server's state now. Raises Refused."""
        return await self.ask(Call("GET", "/api/state", ServerState))

    async def install(self, model: ModelId) -> ModelState:
        """Begin to install a model. Raises Refused."""
        return await self.ask(Call("POST", f"/api/models/{quote(model, safe='')}/install", ModelState))

    async def unload(self, model: ModelId) -> None:
        """Free a resident model. Raises Refused."""
        await self.ask(Call("POST", f"/api/models/{quote(model, safe='')}/unload", msgspec.Raw))

    async def aclose(self) -> None:
        """Close every connection."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def events(self, after: int | None) -> AsyncGenerator[FeedItem, None]:
        """Follow the server for ever; see `tui.ports.Source`."""
        attempt = 0
        while True:
            try:
                state = await self.state()
                is_known = after is not None and after <= state.seq
                start = {"after": str(after)} if is_known else {"last": str(BACKLOG)}
                async with self._session().get(
                    f"{self._base_url}/api/events",
                    params=start,
                    timeout=_silent_for(SILENCE_S),
                ) as response:
                    await _check(response)
                    attempt = 0
                    yield state
                    async for message in _messages(response):
                        envelope = _envelope(message)
                        if envelope is not None:
                            after = envelope.seq
                            yield envelope
                reason = "the server closed the connection"
            except (Refused, msgspec.DecodeError, *_LOST) as problem:
                reason = _words(problem)

            attempt += 1
            delay_s = retry_delay_s(attempt)
            yield LinkLost(reason=reason, attempt=attempt, retry_s=delay_s)
            await anyio.sleep(delay_s)

    async def chat(self, messages: Sequence[Message], model: ModelId) -> AsyncGenerator[ChatPiece, None]:
        """Ask for an answer; see `tui.ports.Source`."""
        began = monotonic()
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        try:
            async with self._session().post(
                f"{self._base_url}/v1/chat/completions",
                data=msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
                timeout=_silent_for(CHAT_SILENCE_S),
            ) as response:
                await _check(response)
                run_id = response.headers.get(_RUN_HEADER)
                yield ChatStarted(run_id=RunId(run_id) if run_id else None)
                answer = _Answer()
                async for message in _messages(response):
                    for piece in answer.take(message, monotonic() - began):
                        yield piece
                        if isinstance(piece, ChatDone | ChatFailed):
                            return
            yield ChatFailed(
                code="connection_lost",
                message="The server closed the connection in mid-answer. Send the question again.",
            )
        except Refused as problem:
            yield ChatFailed(code=problem.code, message=problem.message)
        except (msgspec.DecodeError, *_LOST) as problem:
            text = f"The answer was lost: {_words(problem)}. Send the question again."
            yield ChatFailed(code="connection_lost", message=text)

    async def follow(self, run: str) -> AsyncGenerator[tuple[int, RunHappening] | LinkLost, None]:
        """Follow a run to its end; see `tui.ports.Source`."""
        url = f"{self._base_url}/api/runs/{quote(run, safe='')}/stream"
        heard, attempt = -1, 0
        while True:
            try:
                start = {"after": str(heard)} if heard >= 0 else {}
                async with self._session().get(url, params=start, timeout=_silent_for(SILENCE_S)) as response:
                    await _check(response)
                    attempt = 0
                    async for message in _messages(response):
                        told = _decode_happening(message.data)
                        heard = int(message.id) if message.id.isdecimal() else heard + 1
                        yield heard, told
                        if told.happening == "over":
                            return
                reason = "the server closed the connection"
            except (msgspec.DecodeError, *_LOST) as problem:
                reason = _words(problem)

            attempt += 1
            delay_s = retry_delay_s(attempt)
            yield LinkLost(reason=reason, attempt=attempt, retry_s=delay_s)
            await anyio.sleep(delay_s)

    async def ask(self, call: Call[T]) -> T:
        """Make one plain request. Raises Refused."""
        url = f"{self._base_url}{call.path}"
        timeout = aiohttp.ClientTimeout(total=call.limit_s, sock_connect=CONNECT_S)
        body = None if call.body is None else msgspec.json.encode(call.body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with self._session().request(
                call.method, url, data=body, headers=headers, timeout=timeout
            ) as response:
                await _check(response)
                said = await response.read()
                return msgspec.json.decode(said or b"null", type=call.answer)
        except msgspec.DecodeError as problem:
            raise Refused(
                "bad_answer", f"{url} answered something else than Lar does: {problem}"
            ) from problem
        except _LOST as problem:
            raise Refused("unreachable", _words(problem)) from problem

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(headers=self._headers)
        return self._opened


class _Answer:
    """Turns the chunks of one answer into pieces."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._finish_reason = ""

    def take(self, message: Sse, seconds: float) -> list[ChatPiece]:
        """Return the pieces of one message of the stream. Raises DecodeError."""
        if message.data == "[DONE]":
            done = ChatDone(usage=self._usage, finish_reason=self._finish_reason, seconds=seconds)
            return [done]

        chunk = _decode_chunk(message.data)
        if chunk.error is not None:
            return [ChatFailed(code=_code(chunk.error), message=chunk.error.message)]

        pieces: list[ChatPiece] = []
        for choice in chunk.choices:
            if choice.delta.reasoning_content:
                pieces.append(ChatReasoning(text=choice.delta.reasoning_content))
            if choice.delta.content:
                pieces.append(ChatText(text=choice.delta.content))
            self._finish_reason = choice.finish_reason or self._finish_reason
        if chunk.usage is not None:
            self._usage = _usage(chunk.usage)
        return pieces


async def _messages(response: aiohttp.ClientResponse) -> AsyncGenerator[Sse, None]:
    reader = SseReader()
    async for data in response.content.iter_any():
        for message in reader.feed(data):
            yield message


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raise Refused with the server's own words where it refused."""
    if response.status < 400:
        return

    body = await response.read()
    try:
        error = msgspec.json.decode(body, type=_Problem).error
    except msgspec.DecodeError:
        text = body[:200].decode("utf-8", errors="replace").strip()
        error = _Error(message=f"HTTP {response.status} {text}", code=f"http_{response.status}")
    raise Refused(_code(error), error.message)


def _envelope(message: Sse) -> Envelope | None:
    """Read a fact; None for one that only a newer server knows. Raises DecodeError."""
    try:
        return _decode_envelope(message.data)
    except msgspec.ValidationError as problem:
        logger.warning("skipped a fact", extra={"kind": message.kind, "problem": str(problem)})
        return None


def _code(error: _Error) -> str:
    return error.code or error.type or "unknown"


def _usage(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=prompt.cached_tokens if prompt else 0,
        reasoning_tokens=completion.reasoning_tokens if completion else 0,
    )


def _silent_for(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=seconds)


def _words(problem: Any) -> str:
    """Return what went wrong in words for people."""
    if isinstance(problem, aiohttp.ClientConnectorError):
        return f"nothing answers at {problem.host}:{problem.port}"
    if isinstance(problem, _BROKEN_OFF):
        return "the connection broke off"
    if isinstance(problem, TimeoutError):
        return "the server is silent"
    return str(problem) or type(problem).__name__
