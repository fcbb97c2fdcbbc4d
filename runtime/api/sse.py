"""Server-sent events: one write per event, a comment in silence, a bound on readers that do not read.

A slow reader holds back whoever writes to it and nobody else. One that reads nothing for
`WRITE_STALL_S` is taken for gone.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from aiohttp import web

KEEP_ALIVE_S = 15.0
"""Silence after which a comment is sent: below the idle limits of common proxies (30 to 60 s)."""
WRITE_STALL_S = 60.0
"""How long one write may wait for the reader to make room."""

_KEEP_ALIVE = b": keep-alive\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would gather events otherwise
}

_T = TypeVar("_T")


class ReaderGone(Exception):
    """Whoever read the stream left, or stopped reading for too long."""


class SseStream:
    """One open event stream to one client."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response = web.StreamResponse(headers=_HEADERS)

    @property
    def response(self) -> web.StreamResponse:
        """What the route returns in the end."""
        return self._response

    async def open(self) -> None:
        """Send the headers; from here on errors can only be events."""
        await self._bounded(self._response.prepare(self._request))

    async def send(self, data: bytes, *, event: str | None = None, seq: int | None = None) -> None:
        """Send one event; `data` holds no line break. Raises ReaderGone."""
        head = b""
        if seq is not None:
            head += b"id: %d\n" % seq
        if event is not None:
            head += b"event: %s\n" % event.encode()
        await self._bounded(self._response.write(b"%sdata: %s\n\n" % (head, data)))

    async def send_comment(self) -> None:
        """Show that the stream lives. Raises ReaderGone."""
        await self._bounded(self._response.write(_KEEP_ALIVE))

    def end_connection(self) -> None:
        """Let the connection close after this stream: it did not end as it should."""
        self._response.force_close()

    async def next_or_comment(self, receive: Callable[[], Awaitable[_T]]) -> _T:
        """Wait for the next thing to send, and send comments meanwhile. Raises ReaderGone."""
        while True:
            with anyio.move_on_after(KEEP_ALIVE_S):
                return await receive()
            await self.send_comment()

    async def _bounded(self, write: Awaitable[object]) -> None:
        try:
            with anyio.fail_after(WRITE_STALL_S):
                await write
        except TimeoutError as problem:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ReaderGone from problem
        except ConnectionError as problem:
            raise ReaderGone from problem
