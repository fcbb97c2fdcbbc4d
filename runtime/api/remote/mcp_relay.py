"""MCP over stdio for clients that start a program: passes messages to the running server and back.

It speaks no MCP itself, so that it starts at once and stays small: lines in become requests to `/mcp`, what
comes back becomes lines out. A session that a restarted server does not know any more is opened anew.
"""

import logging
import os
import select
import sys
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import aiohttp
import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from runtime.api.remote.mcp_frames import (
    PARSE_ERROR,
    UNAUTHORIZED,
    UNREACHABLE,
    Events,
    Incoming,
    cancelled_by,
    error,
    headers_of,
    refusal,
)

logger = logging.getLogger(__name__)

_LINE_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 64 * 1024
_ATOMIC_BYTES = select.PIPE_BUF
"""So much a pipe that is ready takes without a wait."""
_CONNECT_S = 5.0
_SILENCE_S = 120.0
"""An open stream says something every 15 s."""
_GOODBYE_S = 2.0
_AGAIN_S = 1.0
"""Between attempts to open the stream on which a server speaks first."""
_ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_INITIALIZED = msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/initialized"})


class Target(NamedTuple):
    """The server."""

    address: str
    key: str


Find = Callable[[], Target | None]
"""Looks up the running server; blocking."""


class Relay:
    """One client and the server. `write` gets whole messages, one at a time."""

    def __init__(
        self, http: aiohttp.ClientSession, find: Find, write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._http = http
        self._find = find
        self._known: Target | None = None
        self._write_line = write
        self._writing = anyio.Lock()
        self._scopes: dict[int | float | str, anyio.CancelScope] = {}
        self._opening: bytes | None = None
        self._session: str | None = None
        self._version = ""
        self._renewing = anyio.Lock()

    async def take(self, line: bytes, tasks: TaskGroup) -> None:
        """Pass a message on; what it needs goes on in a task."""
        try:
            message = msgspec.json.decode(line, type=Incoming)
        except msgspec.DecodeError as problem:
            await self._write(error(None, PARSE_ERROR, f"Parse error: {problem}"))
            return

        if message.method == "initialize":
            self._opening = line
            await self._exchange(message, line)  # what follows needs its session
        elif self._session is None and (scope := self._scopes.get(cancelled_by(message) or "")):
            scope.cancel()  # without a session, to close a request is to cancel it
        else:
            tasks.start_soon(self._exchange, message, line)
            if message.method == "notifications/initialized":
                tasks.start_soon(self._listen)

    async def refuse_long(self, most_bytes: int) -> None:
        """Answer a message that is too long to be looked at."""
        told = f"The message is longer than {most_bytes} bytes and was dropped. Send less at once."
        await self._write(error(None, PARSE_ERROR, told))

    async def leave(self) -> None:
        """Give a session back. Bounded."""
        if self._session is None:
            return
        with anyio.move_on_after(_GOODBYE_S):
            try:
                target = await self._target()
                async with self._http.delete(f"{target.address}/mcp", headers=self._headers(target)):
                    self._session = None
            except (aiohttp.ClientError, _Unreachable) as problem:
                logger.debug("the session could not be given back", extra={"reason": str(problem)})

    async def _exchange(self, message: Incoming, line: bytes) -> None:
        """Send a message and write what comes back; a request is answered whatever happens."""
        scope = anyio.CancelScope()
        if message.is_request:
            assert message.id is not None
            self._scopes[message.id] = scope
        try:
            with scope:
                problem = await self._send(message, line)
                if problem and message.is_request:
                    await self._write(error(message.id, UNREACHABLE, problem))
        finally:
            if message.is_request:
                self._scopes.pop(message.id or "", None)

    async def _send(self, message: Incoming, line: bytes) -> str:
        """Return why there is no answer; empty where there was one."""
        is_second = is_opened_anew = False
        while True:
            session = self._session
            try:
                target = await self._target()
                headers = self._headers(target) | ({} if message.version is None else headers_of(message))
                async with self._http.post(f"{target.address}/mcp", data=line, headers=headers) as response:
                    if response.status == UNAUTHORIZED and not is_second and await self._has_moved(target):
                        is_second = True
                        continue
                    if response.status == 404 and session is not None and not is_opened_anew:
                        is_opened_anew = True
                    elif message.is_request:
                        return await self._answer(message, response)
                    else:
                        return ""
                await self._renew(session)
            except (aiohttp.ClientError, TimeoutError, _Unreachable) as problem:
                self._known = None
                if isinstance(problem, aiohttp.ClientConnectorError) and not is_second:
                    is_second = True  # it may have been started anew elsewhere
                    continue
                return f"Lar's server does not answer ({problem}). 'lar serve' starts it."

    async def _answer(self, message: Incoming, response: aiohttp.ClientResponse) -> str:
        if message.method == "initialize":
            self._session = response.headers.get("mcp-session-id")
        if response.content_type == "text/event-stream":
            count = await self._pass_events(response, message)
            return "" if count else "The server ended before it answered."

        content = await response.read()
        if response.content_type != "application/json" or b'"jsonrpc"' not in content:
            return refusal(response.status, content)
        self._note(message, content)
        await self._write(content)
        return ""

    async def _pass_events(self, response: aiohttp.ClientResponse, message: Incoming | None) -> int:
        events, count = Events(), 0
        async for part in response.content.iter_any():
            for data in events.feed(part):
                if message is not None:
                    self._note(message, data)
                await self._write(data)
                count += 1
        return count

    def _note(self, message: Incoming, content: bytes) -> None:
        """Take from the answer to `initialize` which version is spoken from now on."""
        if message.method == "initialize":
            answer = msgspec.json.decode(content)
            if isinstance(answer, dict) and "result" in answer:
                self._version = str(answer["result"].get("protocolVersion", ""))

    async def _listen(self) -> None:
        """Pass on what the server says first, until the session ends."""
        while self._session is not None:
            try:
                target = await self._target()
                async with self._http.get(f"{target.address}/mcp", headers=self._headers(target)) as response:
                    if response.status == 405:
                        return  # this server never speaks first
                    if response.status == UNAUTHORIZED and not await self._has_moved(target):
                        return  # what this client asks is told why
                    if response.status == 200:
                        await self._pass_events(response, None)
            except (aiohttp.ClientError, TimeoutError, _Unreachable) as problem:
                self._known = None
                logger.debug("the server's own stream broke", extra={"reason": str(problem)})
            await anyio.sleep(_AGAIN_S)

    async def _renew(self, lost: str | None) -> None:
        """Open a session in place of one that the server does not know; once for all who wait."""
        async with self._renewing:
            if self._session != lost or self._opening is None:
                return
            target = await self._target()
            headers = {**_ACCEPT, "Authorization": f"Bearer {target.key}"}
            async with self._http.post(
                f"{target.address}/mcp", data=self._opening, headers=headers
            ) as response:
                await response.read()
                self._session = response.headers.get("mcp-session-id")
            async with self._http.post(
                f"{target.address}/mcp", data=_INITIALIZED, headers=self._headers(target)
            ) as response:
                await response.read()

    async def _target(self) -> Target:
        if self._known is None:
            self._known = await anyio.to_thread.run_sync(self._find)
        if self._known is None:
            raise _Unreachable("no server runs")
        return self._known

    async def _has_moved(self, target: Target) -> bool:
        """Look again where the server is: one that was started anew has another key of the owner's."""
        self._known = None
        return await self._target() != target

    def _headers(self, target: Target) -> dict[str, str]:
        headers = {**_ACCEPT, "Authorization": f"Bearer {target.key}"}
        if self._session is not None:
            headers |= {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": self._version}
        return headers

    async def _write(self, content: bytes) -> None:
        async with self._writing:
            await self._write_line(content)


class _Unreachable(Exception):
    """No server runs."""


async def relay_stdio(find: Find) -> None:
    """Relay between stdin and stdout and the server, until the client closes either of them."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    lines, written = anyio.create_memory_object_stream[bytes](0)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        relay = Relay(http, find, lines.send)
        with written:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_write_lines, written, tasks.cancel_scope)
                with lines:
                    async with anyio.create_task_group() as requests:
                        await _take_lines(relay, requests)
                        requests.cancel_scope.cancel()
                # A line that has begun is ended, if the client still reads.
                tasks.cancel_scope.deadline = anyio.current_time() + _GOODBYE_S
        with anyio.CancelScope(shield=True):  # bounded within
            await relay.leave()


async def _write_lines(lines: MemoryObjectReceiveStream[bytes], everything: anyio.CancelScope) -> None:
    """Write as fast as the client reads. A task of its own, so that giving a request up cuts no line."""
    try:
        async for content in lines:
            await _put(content)
    except BrokenPipeError:
        everything.cancel()  # the client reads no more: nobody is left to serve


async def _take_lines(relay: Relay, tasks: TaskGroup) -> None:
    while line := await anyio.to_thread.run_sync(_next_line, abandon_on_cancel=True):
        if len(line) > _LINE_BYTES:
            await relay.refuse_long(_LINE_BYTES)
        elif line.strip():
            await relay.take(line.strip(), tasks)


def _next_line() -> bytes:
    """Return the next line; of one that is too long the beginning, and the rest of it is dropped."""
    line = piece = sys.stdin.buffer.readline(_LINE_BYTES + 1)
    while len(line) > _LINE_BYTES and piece and not piece.endswith(b"\n"):
        piece = sys.stdin.buffer.readline(_PIECE_BYTES)
    return line


async def _put(content: bytes) -> None:
    """Write a line piece by piece; a thread that waits in a write could not be called off."""
    left = memoryview(content.replace(b"\n", b" ") + b"\n")
    out = sys.stdout.fileno()
    while left:
        try:
            await anyio.wait_writable(out)
        except PermissionError:  # a file, which is always ready
            await anyio.lowlevel.checkpoint()
        left = left[os.write(out, left[:_ATOMIC_BYTES]) :]
