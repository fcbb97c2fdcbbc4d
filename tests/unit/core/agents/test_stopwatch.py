"""The time of a run: what persons take is not counted."""

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
from runtime.core.agents.stopwatch import Stopwatch, worked_s
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId
from runtime.core.messages import Usage


def test_a_held_stopwatch_counts_nothing() -> None:
    watch = Stopwatch(10.0, 2.0)
    assert watch.spent_s(13.0) == 5.0
    watch.hold(13.0)
    assert watch.is_held
    assert watch.spent_s(99.0) == 5.0
    watch.go_on(100.0)
    watch.go_on(200.0)
    assert watch.spent_s(101.0) == 6.0


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
