"""How a handler starts a run and follows it: one way for every dialect.

The run does not live here. A handler reads its bounded stream, and leaving `open_run` asks it to stop, so
a client that is gone ends its run. What a dialect adds is its words: body to request, outputs to events.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import anyio
from aiohttp import web

from runtime.api.deps import DEPS, PRINCIPAL, RUN_ID, ApiDeps
from runtime.api.errors import Refusal, Refused, refusal_of, run_cancelled
from runtime.api.sse import SseStream
from runtime.api.stream import ReaderGone
from runtime.core.driver import Piece, RunHandle
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId
from runtime.core.messages import Broke, Ended, Request

OVER_WAIT_S = 5.0
"""How long a run whose choices have all ended may take to give back what it holds: a few loop steps do."""


class Asker(NamedTuple):
    """Who wants runs and by which route, where that is not simply a request's sender."""

    deps: ApiDeps
    principal: Principal
    route: str
    note: Callable[[RunId], None]
    """Hears of the run that stands for what was asked."""


class RunOver(Exception):
    """The run's stream ended before every choice was complete; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class OpenRun:
    """A run that is being followed. Its outputs can be read once."""

    def __init__(self, handle: RunHandle, choices: int) -> None:
        self._handle = handle
        self._open = choices

    @property
    def run_id(self) -> RunId:
        """The run."""
        return self._handle.run_id

    @property
    def is_complete(self) -> bool:
        """Whether every choice has ended."""
        return self._open == 0

    async def next(self) -> Piece:
        """Return the next output; the run itself bounds the wait. Call it while `is_complete` is false.

        A choice that broke or was cancelled is no output: it raises RunOver, as an early end does.
        """
        try:
            piece = await self._receive()
        except anyio.EndOfStream:
            fault = self._handle.fault
            raise RunOver(run_cancelled() if fault is None else refusal_of(fault)) from None

        match piece.output:
            case Broke(fault=fault):
                raise RunOver(refusal_of(fault))
            case Ended(reason="cancelled"):
                raise RunOver(run_cancelled())
            case Ended():
                self._open -= 1
            case _:
                pass
        return piece

    async def _receive(self) -> Piece:
        try:
            return self._handle.outputs.receive_nowait()
        except anyio.WouldBlock:
            return await self._handle.outputs.receive()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield every output up to the last choice's end. Raises RunOver."""
        while not self.is_complete:
            yield await self.next()

    async def until_over(self) -> None:
        """Wait until a complete run holds nothing any more: its place and its model are given back."""
        assert self.is_complete
        with anyio.move_on_after(OVER_WAIT_S), suppress(anyio.EndOfStream):
            await self._handle.outputs.receive()

    async def pieces_beside(self, stream: SseStream) -> AsyncIterator[Piece]:
        """Yield every output and keep the connection alive meanwhile. Raises RunOver, ReaderGone."""
        while not self.is_complete:
            yield await stream.next_or_comment(self.next)


def asker_of(request: web.Request) -> Asker:
    """Return the sender of a request as who wants runs."""
    route = request.match_info.route.resource

    def note(run: RunId) -> None:
        request[RUN_ID] = run

    path = request.path if route is None else route.canonical
    return Asker(request.app[DEPS], request[PRINCIPAL], path, note)


@asynccontextmanager
async def open_run(
    source: web.Request | Asker, asked: Request, *, is_stream: bool = False
) -> AsyncIterator[OpenRun]:
    """Start a run and follow it; leaving the context stops what still lives.

    Raises LarError kinds (shutting_down), and Refused in place of a RunOver that nobody caught.
    """
    asker = source if isinstance(source, Asker) else asker_of(source)
    handle = await asker.deps.runs.start(asked, asker.principal, route=asker.route, is_stream=is_stream)
    asker.note(handle.run_id)
    try:
        yield OpenRun(handle, asked.choices)
    except RunOver as over:
        raise Refused(over.refusal) from over
    finally:
        # Every way out ends the run, a cancelled handler (the client left) included; after its end this
        # does nothing. First the wish, then the stream: a closed stream alone would tell no reason.
        handle.cancel("client left")
        handle.outputs.close()


async def send_last(stream: SseStream, data: bytes, event: str | None = None) -> None:
    """End a stream that has begun with this frame and close the connection; a reader that left is fine."""
    stream.end_connection()
    try:
        await stream.send(data, event=event)
    except ReaderGone:
        return
