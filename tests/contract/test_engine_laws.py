"""The ledger itself: an engine that breaks a law is caught. So the contract suite can fail."""

from collections.abc import Callable, Set

import msgspec
import pytest

from runtime.backends.engines.contract import StepFrame
from runtime.backends.engines.scripted.engine import ScriptedEngine
from runtime.backends.protocol import Delta, Failed, Fault, Finished, Generate, Sampling, Started, Tuning
from tests.kit.engine_laws import Ledger
from tests.kit.surroundings import QuietSurroundings

Twist = Callable[[list[StepFrame]], list[StepFrame]]


class TwistedEngine(ScriptedEngine):
    """Plays by the rules, then has its frames twisted."""

    def __init__(self, twist: Twist) -> None:
        super().__init__(QuietSurroundings())
        self._twist = twist
        self.load(None, Tuning(), lambda _: None)

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        return self._twist(super().step(blocked))


def without(kind: type[StepFrame]) -> Twist:
    return lambda frames: [frame for frame in frames if not isinstance(frame, kind)]


def twice(kind: type[StepFrame]) -> Twist:
    return lambda frames: [again for frame in frames for again in [frame] * (1 + isinstance(frame, kind))]


def followed_by(kind: type[StepFrame], more: StepFrame) -> Twist:
    return lambda frames: [
        each for frame in frames for each in ([frame, more] if isinstance(frame, kind) else [frame])
    ]


def altered(kind: type[StepFrame], **fields: object) -> Twist:
    return lambda frames: [
        msgspec.structs.replace(frame, **fields) if isinstance(frame, kind) else frame for frame in frames
    ]


FAULT = Fault(code="engine_failed", message="Too late.")


@pytest.mark.parametrize(
    "twist",
    [
        without(Started),
        without(Finished),
        twice(Started),
        twice(Delta),
        twice(Finished),
        followed_by(Finished, Delta(seq=1, text="more")),
        followed_by(Finished, Failed(seq=1, fault=FAULT)),
        followed_by(Started, Delta(seq=99, text="nobody asked")),
        altered(Finished, completion_tokens=3),
        altered(Finished, prompt_tokens=1),
        altered(Finished, reason="cancelled"),
        altered(Finished, reason="tool_calls"),
        altered(Finished, reasoning_tokens=50),
        altered(Delta, tokens=0),
        altered(Delta, text="a hidden STOP"),
        altered(Delta, logprobs=[]),
    ],
)
def test_an_engine_that_breaks_a_law_is_caught(twist: Twist) -> None:
    with pytest.raises(AssertionError):
        play(twist)


def test_an_engine_that_keeps_the_laws_is_not_accused() -> None:
    play(lambda frames: frames)


def play(twist: Twist) -> None:
    ledger = Ledger(TwistedEngine(twist))
    for seq, stop in ((1, ()), (2, ("STOP",))):
        sampling = Sampling(logprobs=1, stop=stop)
        messages = [{"role": "user", "content": "Hello, house!"}]
        ledger.play(Generate(seq=seq, messages=messages, sampling=sampling))


def test_an_engine_that_advances_a_blocked_seq_is_caught() -> None:
    class Pushy(ScriptedEngine):
        def step(self, blocked: Set[int]) -> list[StepFrame]:
            return super().step(frozenset())

    engine = Pushy(QuietSurroundings())
    ledger = Ledger(engine)
    ledger.submit(Generate(seq=1, messages=[]))

    with pytest.raises(AssertionError, match="blocked"):
        ledger.step({1})


def test_an_engine_that_overhears_a_cancel_is_caught() -> None:
    class Deaf(ScriptedEngine):
        def cancel(self, seq: int) -> None:
            """Do nothing."""

    ledger = Ledger(Deaf(QuietSurroundings()))
    ledger.submit(Generate(seq=1, messages=[]))
    ledger.cancel(1)

    with pytest.raises(AssertionError):
        ledger.step()
