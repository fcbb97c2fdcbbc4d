"""What the server holds of a worker: its generations, and the frames to and from them.

When the worker ends, for whatever reason, every open generation gets one Broke that says so.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import msgspec

from runtime.backends.child import Child
from runtime.backends.convert import to_output, to_work
from runtime.backends.estimate import Estimate
from runtime.backends.protocol import (
    Cancel,
    Credit,
    Delta,
    Embedded,
    Failed,
    Finished,
    FromWorker,
    Hello,
    LoadFailed,
    Loading,
    ModelFacts,
    Ping,
    Pong,
    Ready,
    Scored,
    Started,
    Tokenized,
    Tuning,
)
from runtime.core.errors import Fault, WorkerFailed
from runtime.core.ids import ModelId, WorkerId
from runtime.core.messages import Broke, Ended, Output, Request

logger = logging.getLogger(__name__)

CREDITS = 64
"""Deltas of one seq that may be on their way."""
_CREDIT_LOT = CREDITS // 2
"""Credits are given back in lots, so that they cost a frame only now and then."""


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started with."""

    model: ModelId
    engine: str
    python: str
    """The interpreter of the engine's environment."""
    path: str | None
    """The weights, where the engine has any."""
    tuning: Tuning
    load_deadline_s: float
    """Longest silence while loading; progress starts it anew."""
    estimate: Estimate | None = None
    """The memory that it will take; None where nobody can tell."""


class WorkerGeneration:
    """One generation on a worker, as `core.ports.Generation`. To be iterated once."""

    def __init__(self, worker: "Worker", seq: int) -> None:
        self._worker = worker
        self._seq = seq
        self._outputs: deque[Output] = deque()
        """Not read yet; deltas are bounded by credits."""
        self._arrived = anyio.Event()
        self._taken = 0
        self._is_let_go = False
        self.is_open = True

    def __aiter__(self) -> AsyncIterator[Output]:
        return self

    async def __anext__(self) -> Output:
        # A memory object stream would cost every token one more round of the loop than this.
        while not self._outputs:
            if not self.is_open or self._is_let_go:
                raise StopAsyncIteration

            self._arrived = anyio.Event()
            await self._arrived.wait()
        output = self._outputs.popleft()
        self._taken += 1
        if self._taken >= _CREDIT_LOT and self.is_open:
            self._worker.tell(Credit(seq=self._seq, count=self._taken))
            self._taken = 0
        return output

    def cancel(self) -> None:
        """Ask the worker to stop this seq."""
        if self.is_open:
            self._worker.tell(Cancel(seq=self._seq))

    def put(self, output: Output) -> None:
        """Take an output from the worker; after the end nothing is taken any more."""
        if not self.is_open:
            return

        self.is_open = not isinstance(output, Ended | Broke)
        if not self._is_let_go:
            self._outputs.append(output)
        self._arrived.set()

    def close(self) -> None:
        """Stop the seq if it lives, and let go of what was not read."""
        self.cancel()
        self._is_let_go = True
        self._outputs.clear()
        self._arrived.set()


class Worker:
    """A loaded model in a child process; made by `supervisor.open_worker`."""

    def __init__(self, worker_id: WorkerId, spec: WorkerSpec, child: Child) -> None:
        self.worker = worker_id
        self.spec = spec
        self.facts = ModelFacts(context_tokens=0, sequences=1)
        self.gauges: dict[str, float] = {}
        """What the engine last said of itself; a heartbeat old."""
        self.ended = anyio.Event()
        """Set when the worker serves no more; `fault` says why."""
        self.fault: Fault | None = None
        self._child = child
        self._generations: dict[int, WorkerGeneration] = {}
        self._next_seq = 1

    @property
    def pid(self) -> int:
        """The process."""
        return self._child.pid

    @asynccontextmanager
    async def generate(self, request: Request, index: int) -> AsyncIterator[WorkerGeneration]:
        """Submit one choice; leaving the context cancels what still lives. Raises WorkerFailed."""
        if self.fault is not None:
            raise WorkerFailed(self.fault)

        seq = self._next_seq
        self._next_seq += 1
        generation = WorkerGeneration(self, seq)
        self._generations[seq] = generation
        try:
            self._child.send(to_work(request, index, seq, CREDITS))
            yield generation
        finally:
            generation.close()

    def tell(self, frame: Credit | Cancel | Ping) -> None:
        """Send a small frame; a child that takes none is killed, and its end breaks what is open."""
        try:
            self._child.send(frame)
        except WorkerFailed as failure:
            self.fault = self.fault or failure.fault
            self._child.kill()

    def route(self, frame: FromWorker) -> None:
        """Hand a frame to the generation that it belongs to."""
        match frame:
            case Started() | Delta() | Embedded() | Scored() | Tokenized() | Finished() | Failed():
                generation = self._generations.get(frame.seq)
                if generation is not None:
                    generation.put(to_output(frame))
                    if not generation.is_open:
                        del self._generations[frame.seq]
            case Hello() | Loading() | Ready() | LoadFailed() | Pong():
                logger.debug("a frame outside its place", extra={"worker": self.worker})

    def end(self, fault: Fault) -> None:
        """Mark the worker as gone and break every open generation. The first fault stays."""
        self.fault = self.fault or fault
        for generation in list(self._generations.values()):
            generation.put(Broke(fault=self.fault))
        self._generations.clear()
        self.ended.set()
