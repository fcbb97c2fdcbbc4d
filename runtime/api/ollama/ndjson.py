"""A stream of JSON objects, one per line: one write per line, a bound on readers that do not read."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from runtime.api.stream import BoundedStream, next_or_idle

IDLE_S = 15.0
"""Silence after which a line that adds nothing is sent: below the idle limits of common proxies."""
WRITE_STALL_S = 60.0
"""How long one write may wait for the reader to make room."""

_HEADERS = {
    "Content-Type": "application/x-ndjson",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would gather lines otherwise
}

_T = TypeVar("_T")


class NdjsonStream:
    """One open stream of lines to one client."""

    def __init__(self, request: web.Request) -> None:
        self._stream = BoundedStream(request, _HEADERS)

    @property
    def response(self) -> web.StreamResponse:
        """What the route returns in the end."""
        return self._stream.response

    async def open(self) -> None:
        """Send the headers; from here on errors can only be lines. Raises ReaderGone."""
        await self._stream.open(WRITE_STALL_S)

    async def send(self, line: bytes) -> None:
        """Send one line; `line` holds no line break. Raises ReaderGone."""
        await self._stream.write(line + b"\n", WRITE_STALL_S)

    async def next_or_idle(self, receive: Callable[[], Awaitable[_T]], idle: Callable[[], bytes]) -> _T:
        """Wait for the next thing to send; send what `idle` gives after each silence. Raises ReaderGone."""

        async def show_life() -> None:
            await self.send(idle())

        return await next_or_idle(receive, show_life, IDLE_S)

    def end_connection(self) -> None:
        """Let the connection close after this stream: it did not end as it should."""
        self._stream.end_connection()
