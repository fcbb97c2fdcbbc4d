"""A pool of models whose answers are written down beforehand; fulfils `core.ports.ModelPool`."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from runtime.core.errors import Fault, ModelUnavailable
from runtime.core.ids import ModelId, WorkerId
from runtime.core.messages import Began, ChatRequest, Delta, Ended, FinishReason, Output, Request, Usage


class Hold:
    """A place in a script where the generation waits until it is released or cancelled."""

    def __init__(self) -> None:
        self.is_reached = anyio.Event()
        self._go_on = anyio.Event()

    def release(self) -> None:
        self._go_on.set()

    async def wait(self) -> None:
        self.is_reached.set()
        await self._go_on.wait()


Step = Output | Hold
Script = Callable[[Any, int], Iterable[Step]]


def saying(*texts: str, reason: FinishReason = "stop", prompt_tokens: int = 5) -> list[Step]:
    """Return a script that says these texts, one delta each."""
    usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(texts))
    deltas = [Delta(text=each) for each in texts]
    return [Began(prompt_tokens=prompt_tokens), *deltas, Ended(reason=reason, usage=usage)]


class FakeGeneration:
    """Plays one script."""

    def __init__(self, script: Iterable[Step]) -> None:
        self.yielded = 0
        self.is_cancelled = False
        self._script = script
        self._hold: Hold | None = None

    async def __aiter__(self) -> AsyncIterator[Output]:
        for step in self._script:
            if isinstance(step, Hold):
                self._hold = step
                if not self.is_cancelled:
                    await step.wait()
            if self.is_cancelled:
                yield Ended(reason="cancelled", usage=Usage(completion_tokens=self.yielded))
                return

            if not isinstance(step, Hold):
                self.yielded += 1
                yield step

    def cancel(self) -> None:
        self.is_cancelled = True
        if self._hold is not None:
            self._hold.release()


class FakeLease:
    """Fulfils `core.ports.Lease`."""

    worker = WorkerId("wrk_fake")

    def __init__(self, pool: "FakePool") -> None:
        self._pool = pool

    @asynccontextmanager
    async def generate(self, request: Request, index: int) -> AsyncIterator[FakeGeneration]:
        generation = FakeGeneration(self._pool.script(request, index))
        self._pool.requests.append(request)
        self._pool.generations.append(generation)
        try:
            yield generation
        finally:
            generation.cancel()
            self._pool.ended += 1


class FakePool:
    """Every model is resident at once, unless `fault` says why not."""

    def __init__(self, script: Script | Sequence[Step] = ()) -> None:
        self.requests: list[Request] = []
        self.generations: list[FakeGeneration] = []
        self.ended = 0
        self.fault: Fault | None = None
        self.play(script or saying("Hello", " there"))

    @property
    def chats(self) -> list[ChatRequest]:
        """The requests that came, all of them generations."""
        chats = [each for each in self.requests if isinstance(each, ChatRequest)]
        assert len(chats) == len(self.requests)
        return chats

    def play(self, script: Script | Sequence[Step]) -> None:
        """Use this script for what comes."""
        self.script: Script = script if callable(script) else lambda request, index: script

    @asynccontextmanager
    async def lease(self, model: ModelId) -> AsyncIterator[FakeLease]:
        if self.fault is not None:
            raise ModelUnavailable(self.fault)

        yield FakeLease(self)
