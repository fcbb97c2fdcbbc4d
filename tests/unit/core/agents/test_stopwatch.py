"""The time of a run: what persons take is not counted."""

from math import inf

from runtime.core.agents.items import Answered
from runtime.core.agents.plans import Plan
from runtime.core.agents.steps import (
    AnyStep,
    CallAsked,
    CallBegun,
    CallEnded,
    RunOpened,
    TurnBegun,
    TurnEnded,
)
from runtime.core.agents.stopwatch import Stopwatch, waits, worked_s
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId
from runtime.core.messages import Usage
from tests.kit.clock import FakeClock


def test_a_held_stopwatch_counts_nothing() -> None:
    clock = FakeClock()
    watch = Stopwatch(clock, 2.0)
    clock.advance(3.0)
    assert watch.spent_s == 5.0
    watch.hold()
    assert watch.is_held
    clock.advance(86.0)
    assert watch.spent_s == 5.0
    watch.go_on()
    watch.go_on()
    clock.advance(1.0)
    assert watch.spent_s == 6.0


def test_steps_tell_how_long_a_run_was_at_work() -> None:
    plan = Plan(principal=OWNER, models=(ModelId("m"),))
    steps: list[AnyStep] = [
        RunOpened(at=0.0, plan=plan, input=()),  # it waited for its place until 100
        TurnBegun(at=100.0, turn=0, model=ModelId("m"), prompt_items=1),
        TurnEnded(at=110.0, turn=0, items=(), usage=Usage(), reason="tool_calls"),
        CallAsked(at=111.0, call_id="a"),  # somebody slept over it
        CallBegun(at=5000.0, call_id="a"),
        CallEnded(at=5002.0, result=Answered(id="res_1", call_id="a")),
    ]
    assert worked_s(steps) == 13.0


def test_waits_of_runs_below_are_not_counted_twice_nor_beyond_what_is_told() -> None:
    plan = Plan(principal=OWNER, models=(ModelId("m"),))
    steps: list[AnyStep] = [
        RunOpened(at=0.0, plan=plan, input=()),
        TurnBegun(at=10.0, turn=0, model=ModelId("m"), prompt_items=1),
        CallBegun(at=20.0, call_id="child"),
        CallAsked(at=30.0, call_id="own"),
        CallBegun(at=50.0, call_id="own"),
        CallEnded(at=100.0, result=Answered(id="res_1", call_id="child")),
    ]
    assert waits(steps) == [(30.0, 50.0)]
    assert worked_s(steps, [(40.0, 70.0), (25.0, 35.0)]) == 90.0 - 45.0
    assert worked_s(steps, [(90.0, inf)]) == 90.0 - 20.0 - 10.0


def test_a_wait_that_is_not_over_has_no_end() -> None:
    asked: list[AnyStep] = [CallAsked(at=3.0, call_id="a"), CallBegun(at=4.0, call_id="b")]
    assert waits(asked) == [(3.0, inf)]
    assert worked_s(asked) == 0.0
