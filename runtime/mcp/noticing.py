"""A stream of messages that tells of its end, so that a broken connection is known before it is used."""

import contextvars
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.shared.message import SessionMessage

Incoming = SessionMessage | Exception


class NoticingStream:
    """Passes on what another stream gives."""

    def __init__(self, below: Any, on_end: Callable[[], None]) -> None:
        self._below = below
        self._on_end = on_end

    @property
    def last_context(self) -> contextvars.Context | None:
        """The context of whoever sent the last message; the SDK looks for it by this name."""
        found: contextvars.Context | None = getattr(self._below, "last_context", None)
        return found

    async def receive(self) -> Incoming:
        """Return the next message. Raises what the stream below raises."""
        try:
            message: Incoming = await self._below.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._on_end()
            raise
        return message

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._below.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
