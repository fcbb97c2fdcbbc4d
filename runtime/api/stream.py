"""A response written piece by piece: each write within a bound, and something to send in silence.

A slow reader holds back whoever writes to it and nobody else. One that makes no room for so long as the
bound says is taken for gone. What the pieces look like is the business of `sse` and `ollama.ndjson`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import anyio
from aiohttp import web

_T = TypeVar("_T")

_SMALL_BYTES = 16 * 1024
"""A quarter of what a transport takes before it makes its writer wait."""


class ReaderGone(Exception):
    """Whoever read the stream left, or stopped reading for too long."""


class BoundedStream:
    """One open response to one client."""

    def __init__(self, request: web.Request, headers: Mapping[str, str]) -> None:
        self._request = request
        self._response = web.StreamResponse(headers=headers)

    @property
    def response(self) -> web.StreamResponse:
        """What the route returns in the end."""
        return self._response

    async def open(self, stall_s: float) -> None:
        """Send the headers; from here on errors can only be pieces of the stream. Raises ReaderGone."""
        await self._bounded(self._response.prepare(self._request), stall_s)

    async def write(self, data: bytes, stall_s: float) -> None:
        """Send one piece; wait at most `stall_s` for the reader to make room. Raises ReaderGone."""
        transport = self._request.transport
        is_empty = transport is not None and not transport.get_write_buffer_size()
        if is_empty and len(data) <= _SMALL_BYTES:
            # Nothing waits to be sent and this fits into the buffer: no wait, so no clock.
            await self._unbounded(self._response.write(data))
        else:
            await self._bounded(self._response.write(data), stall_s)

    def end_connection(self) -> None:
        """Let the connection close after this stream: it did not end as it should."""
        self._response.force_close()

    async def _unbounded(self, write: Awaitable[object]) -> None:
        try:
            await write
        except ConnectionError as problem:
            raise ReaderGone from problem

    async def _bounded(self, write: Awaitable[object], stall_s: float) -> None:
        try:
            with anyio.fail_after(stall_s):
                await write
        except TimeoutError as problem:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ReaderGone from problem
        except ConnectionError as problem:
            raise ReaderGone from problem


async def next_or_idle(
    receive: Callable[[], Awaitable[_T]], idle: Callable[[], Awaitable[None]], silence_s: float
) -> _T:
    """Wait for the next thing to send, and after each silence of `silence_s` do what keeps it alive."""
    while True:
        with anyio.move_on_after(silence_s):
            return await receive()
        await idle()
