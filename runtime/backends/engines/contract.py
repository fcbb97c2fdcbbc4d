"""What an engine is: a thing that loads one model and advances its sequences a step at a time.

Single-threaded: the worker calls every method but `interrupt` from one thread. An engine never writes frames
itself; it returns them. Whatever it raises ends the worker's trust in it, so expected faults are returned as
`Failed` frames, or raised as `LoadRefused` from `load`.
"""

from collections.abc import Callable, Set
from typing import Protocol

from runtime.backends.protocol import Fault, ModelFacts, OfSeq, Tuning, Work

StepFrame = OfSeq


class LoadRefused(Exception):
    """The model cannot be loaded; `fault` tells the person why and what to do."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Engine(Protocol):
    """One loaded model."""

    name: str
    version: str

    def load(self, path: str | None, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        """Load the model; `report` takes the fraction read. Called once. Raises LoadRefused."""

    def submit(self, request: Work) -> None:
        """Take a piece of work; its first frame (Started or Failed) comes from a later step. Never raises.

        What the engine or the model cannot do is answered with Failed (unsupported_parameter).
        """

    def cancel(self, seq: int) -> None:
        """Mark a seq to end at the next step with Finished(reason="cancelled"); unknown seqs are ignored."""

    def interrupt(self, seq: int) -> None:
        """Cut the running step short if it works for this seq, which is about to be cancelled.

        The one method that may be called from another thread while `step` runs. It may do nothing.
        """

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Advance every live seq that is not blocked (out of credits) by about one token each.

        A blocked seq is still ended when it was cancelled. Each seq yields Started, then content (Deltas, or
        what else was asked for), then exactly one Finished; or exactly one Failed at any point. Must return
        within a second or two, so that cancellations are seen: long prompts are computed in slices, one per
        step. Returns an empty list when nothing can be advanced.
        """

    def is_busy(self) -> bool:
        """Whether any seq is live, blocked ones included."""

    def gauges(self) -> dict[str, float]:
        """Return what the engine counts of itself, by name; cheap, since it is asked after each step."""

    def close(self) -> None:
        """Free the model."""
