"""Server-sent events: one write per event, a comment in silence, a bound on readers that do not read."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from runtime.api.stream import BoundedStream, next_or_idle

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


class SseStream:
    """One open event stream to one client."""

    def __init__(self, request: web.Request) -> None:
        self._stream = BoundedStream(request, _HEADERS)

    @property
    def response(self) -> web.StreamResponse:
        """What the route returns in the end."""
        return self._stream.response

    async def open(self) -> None:
        """Send the headers; from here on errors can only be events."""
        await self._stream.open(WRITE_STALL_S)

    async def send(self, data: bytes, *, event: str | None = None, seq: int | None = None) -> None:
        """Send one event; `data` holds no line break. Raises ReaderGone."""
        head = b""
        if seq is not None:
            head += b"id: %d\n" % seq
        if event is not None:
            head += b"event: %s\n" % event.encode()
        await self._stream.write(b"%sdata: %s\n\n" % (head, data), WRITE_STALL_S)

    async def send_comment(self) -> None:
        """Show that the stream lives. Raises ReaderGone."""
        await self._stream.write(_KEEP_ALIVE, WRITE_STALL_S)

    def end_connection(self) -> None:
        """Let the connection close after this stream: it did not end as it should."""
        self._stream.end_connection()

    async def next_or_comment(self, receive: Callable[[], Awaitable[_T]]) -> _T:
        """Wait for the next thing to send, and send comments meanwhile. Raises ReaderGone."""
        return await next_or_idle(receive, self.send_comment, KEEP_ALIVE_S)
