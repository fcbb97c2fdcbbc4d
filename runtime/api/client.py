"""A small client for Lar's own routes, for the command line. It knows the address, the key and the errors."""

from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from runtime.core.events import Envelope
from runtime.core.ids import ModelId
from runtime.core.messages import Message
from runtime.core.states import ModelState, ServerState

CONNECT_S = 5.0
"""A server on this machine or near it takes a connection by then or never."""
ANSWER_S = 15.0
"""The bound of a plain request."""
SILENCE_S = 50.0
"""Event streams say something every 15 s: after three misses they are dead."""
CHAT_SILENCE_S = 900.0
"""A question may wait in the queue and for a model to load."""
_EVENT_LIMIT_BYTES = 16 * 1024 * 1024

_T = TypeVar("_T")


class ServerUnreachable(Exception):
    """Nothing answers at the address, or it fell silent; the message says where and how to start one."""


class ServerRefused(Exception):
    """The server answered no; the message is its own, `code` the one of its error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ChatPiece(msgspec.Struct, frozen=True, kw_only=True):
    """What one chunk of an answer adds."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    completion_tokens: int | None = None
    """Set in the last piece."""


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int


class _Error(msgspec.Struct):
    message: str
    code: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | None = None


class _Problem(msgspec.Struct):
    error: _Error


class LarClient:
    """Speaks to one server. Use it as an async context manager."""

    def __init__(self, address: str, key: str | None = None) -> None:
        self._address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def health(self) -> bool:
        """Return whether a Lar answers there. Raises ServerUnreachable."""
        answer = await self._ask("GET", "/healthz", dict[str, str])
        return answer.get("status") == "ok"

    async def state(self) -> ServerState:
        """Return the server's state. Raises ServerUnreachable, ServerRefused."""
        return await self._ask("GET", "/api/state", ServerState)

    async def install(self, model: ModelId) -> ModelState:
        """Begin to install a model. Raises ServerUnreachable, ServerRefused."""
        return await self._ask("POST", f"/api/models/{quote(model, safe='')}/install", ModelState)

    async def unload(self, model: ModelId) -> ModelState:
        """Free a model's memory. Raises ServerUnreachable, ServerRefused."""
        return await self._ask("POST", f"/api/models/{quote(model, safe='')}/unload", ModelState)

    async def events(
        self, after: int | None = None, kinds: Sequence[str] = (), *, follow: bool = True
    ) -> AsyncGenerator[Envelope, None]:
        """Yield facts; ends when the server does. Raises ServerUnreachable, ServerRefused.

        A fact that only a newer server knows is passed over.
        """
        params = {"follow": "true" if follow else "false"}
        if after is not None:
            params["after"] = str(after)
        if kinds:
            params["kinds"] = ",".join(kinds)
        async for data in self._stream("GET", "/api/events", SILENCE_S, params=params):
            try:
                yield msgspec.json.decode(data, type=Envelope)
            except msgspec.ValidationError:
                continue

    async def chat(
        self, model: ModelId, messages: Sequence[Message], **more: object
    ) -> AsyncGenerator[ChatPiece, None]:
        """Yield the pieces of an answer. Raises ServerUnreachable, ServerRefused (in mid-answer too)."""
        body = {
            "model": model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **more,
        }
        stream = self._stream(
            "POST",
            "/v1/chat/completions",
            CHAT_SILENCE_S,
            data=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
        )
        async for data in stream:
            if data == b"[DONE]":
                return

            chunk = msgspec.json.decode(data, type=_Chunk)
            if chunk.error is not None:
                raise ServerRefused(200, chunk.error.code or "failed", chunk.error.message)
            yield _piece_of(chunk)
        raise ServerUnreachable(f"{self._address} closed the connection in mid-answer. Ask again.")

    async def ask(
        self, method: str, path: str, answer: type[_T], *, limit_s: float = ANSWER_S, **more: Any
    ) -> _T:
        """Send any request and decode its answer; `more` goes to aiohttp. None stands for an empty answer.

        Raises ServerUnreachable, ServerRefused.
        """
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=CONNECT_S)
        return await self._ask(method, path, answer, timeout=timeout, **more)

    async def happenings(
        self, method: str, path: str, body: bytes | None = None, silence_s: float = SILENCE_S
    ) -> AsyncGenerator[bytes, None]:
        """Yield the data of each event of a stream. Raises ServerUnreachable, ServerRefused."""
        more: dict[str, Any] = {}
        if body is not None:
            more = {"data": body, "headers": {"Content-Type": "application/json"}}
        async for data in self._stream(method, path, silence_s, **more):
            yield data

    async def pieces(self, path: str, silence_s: float = SILENCE_S) -> AsyncGenerator[bytes, None]:
        """Yield a long answer as it comes. Raises ServerUnreachable, ServerRefused."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        try:
            async with self._opened().get(f"{self._address}{path}", timeout=timeout) as response:
                if response.status >= 400:
                    _check(response.status, await response.read())
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise self._unreachable(problem) from problem

    async def _ask(self, method: str, path: str, answer: type[_T], **more: Any) -> _T:
        try:
            async with self._opened().request(method, f"{self._address}{path}", **more) as response:
                content = await response.read()
                _check(response.status, content)
                return msgspec.json.decode(content or b"null", type=answer)
        except msgspec.MsgspecError as problem:
            message = (
                f"{self._address}{path} does not answer like Lar ({problem}). Another program may be there."
            )
            raise ServerUnreachable(message) from problem
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise self._unreachable(problem) from problem

    async def _stream(
        self, method: str, path: str, silence_s: float, **more: Any
    ) -> AsyncGenerator[bytes, None]:
        """Yield the data of each server-sent event."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        try:
            async with self._opened().request(
                method, f"{self._address}{path}", timeout=timeout, **more
            ) as response:
                if response.status >= 400:
                    _check(response.status, await response.read())
                buffer = bytearray()
                async for part in response.content.iter_any():
                    buffer += part
                    *events, rest = bytes(buffer).split(b"\n\n")
                    buffer = bytearray(rest)
                    if len(buffer) > _EVENT_LIMIT_BYTES:
                        raise ServerUnreachable(f"{self._address}{path} sent an event without end.")
                    for event in events:
                        for line in event.split(b"\n"):
                            if line.startswith(b"data: "):
                                yield line.removeprefix(b"data: ")
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise self._unreachable(problem) from problem

    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use the client as an async context manager"
        return self._session

    def _unreachable(self, problem: BaseException) -> ServerUnreachable:
        if isinstance(problem, aiohttp.ClientConnectorError | ConnectionRefusedError):
            return ServerUnreachable(f"No server answers at {self._address}. Start one with 'lar serve'.")

        if isinstance(problem, TimeoutError):
            return ServerUnreachable(f"The server at {self._address} does not answer in time.")
        return ServerUnreachable(f"The connection to {self._address} broke: {problem}.")


def _piece_of(chunk: _Chunk) -> ChatPiece:
    first = chunk.choices[0] if chunk.choices else _Choice(delta=_Delta())
    return ChatPiece(
        text=first.delta.content or "",
        reasoning=first.delta.reasoning_content or "",
        finish_reason=first.finish_reason,
        completion_tokens=None if chunk.usage is None else chunk.usage.completion_tokens,
    )


def _check(status: int, content: bytes) -> None:
    """Raise ServerRefused with the server's own words where it refused."""
    if status < 400:
        return

    try:
        error = msgspec.json.decode(content, type=_Problem).error
    except msgspec.MsgspecError:
        error = _Error(message=content[:200].decode(errors="replace").strip() or "no reason given")
    raise ServerRefused(status, error.code or f"http_{status}", f"HTTP {status}: {error.message}")
