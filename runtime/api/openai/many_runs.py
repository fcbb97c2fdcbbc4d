"""Several runs for one request, side by side, read as one stream of outputs.

Only so many live at once as the model has sequences: a request with a hundred prompts takes its turns in the
queue like everybody else. Whoever is ready first is heard first, and waits until it was heard. The end of one
before its time is the end of all.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import anyio

from runtime.api.errors import Refusal, Refused, refusal_of
from runtime.api.runs import Asker, RunOver, open_run
from runtime.api.sse import SseStream
from runtime.core.driver import Piece
from runtime.core.errors import LarError
from runtime.core.ids import RunId
from runtime.core.messages import Ended, Request


class Numbered(NamedTuple):
    """An output of one of the runs."""

    run: int
    piece: Piece


class _Stopped(NamedTuple):
    """A run that ended before it was complete."""

    run: int
    refusal: Refusal


class ManyRuns:
    """Runs that are being followed. Their outputs can be read once. `open_runs` makes and starts it."""

    def __init__(self, asker: Asker, asked: Sequence[Request], side_by_side: int) -> None:
        self.ids: dict[int, RunId] = {}
        """The runs that have started, by their number."""
        self.sender, self.receiver = anyio.create_memory_object_stream[Numbered | _Stopped](0)
        self._asker = asker
        self._asked = asked
        self._open = sum(each.choices for each in asked)
        self._limiter = anyio.CapacityLimiter(max(1, side_by_side))

    @property
    def is_complete(self) -> bool:
        """Whether every choice of every run has ended."""
        return self._open == 0

    async def next(self) -> Numbered:
        """Return the next output. Call it while `is_complete` is false. Raises RunOver."""
        told = await self.receiver.receive()
        if isinstance(told, _Stopped):
            self.name_run(told.run)
            raise RunOver(told.refusal)

        if isinstance(told.piece.output, Ended):
            self._open -= 1
        return told

    async def numbered(self) -> AsyncIterator[Numbered]:
        """Yield every output up to the last end. Raises RunOver."""
        while not self.is_complete:
            yield await self.next()

    async def numbered_beside(self, stream: SseStream) -> AsyncIterator[Numbered]:
        """Yield every output and keep the connection alive meanwhile. Raises RunOver, ReaderGone."""
        while not self.is_complete:
            yield await stream.next_or_comment(self.next)

    def name_run(self, number: int) -> RunId | None:
        """Let one of the runs stand for the request in its headers and its errors; return it."""
        if number in self.ids:
            self._asker.note(self.ids[number])
        return self.ids.get(number)

    async def follow(self, number: int, *, is_stream: bool) -> None:
        """Start one of the runs when it is its turn, and carry its outputs to the common stream."""
        async with self._limiter:
            try:
                async with open_run(self._asker, self._asked[number], is_stream=is_stream) as run:
                    self.ids[number] = run.run_id
                    async for piece in run.pieces():
                        await self.sender.send(Numbered(number, piece))
            except Refused as refused:
                await self.sender.send(_Stopped(number, refused.refusal))
            except LarError as problem:
                await self.sender.send(_Stopped(number, refusal_of(problem.fault)))


@asynccontextmanager
async def open_runs(
    asker: Asker, asked: Sequence[Request], *, side_by_side: int, is_stream: bool = False
) -> AsyncIterator[ManyRuns]:
    """Start a run for each and follow them; leaving the context stops what still lives.

    Raises Refused in place of a RunOver that nobody caught.
    """
    runs = ManyRuns(asker, asked, side_by_side)
    refusal: Refusal | None = None
    with runs.sender, runs.receiver:
        async with anyio.create_task_group() as tasks:
            for number in range(len(asked)):
                tasks.start_soon(partial(runs.follow, number, is_stream=is_stream))
            try:
                yield runs
            except RunOver as over:  # caught here: the group would wrap it
                refusal = over.refusal
            finally:
                tasks.cancel_scope.cancel()
    if refusal is not None:
        raise Refused(refusal)
