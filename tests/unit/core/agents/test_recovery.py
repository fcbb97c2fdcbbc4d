"""A run after a crash, and after faults of its model: what is done again, and what never is."""

from runtime.core.agents.happenings import AnyHappening, ItemEnded, RunOver, TextGrew
from runtime.core.agents.items import Said
from runtime.core.agents.moves import AskPerson, MakeCall, PersonDecided, Tell, TurnRefused
from runtime.core.agents.steps import AnyStep, CallAsked, CallBegun, CallEnded, PlanChanged, TurnEnded
from runtime.core.errors import Fault, FaultCode
from runtime.core.ids import ModelId
from runtime.core.messages import Delta
from tests.kit.agent_stage import Stage, call_piece, hub_tool, plan_of

TWO = (ModelId("m"), ModelId("spare"))


def refuse(stage: Stage, code: FaultCode) -> None:
    turn = stage.machine.state.turn
    assert turn is not None
    stage.tell(TurnRefused(turn=turn.turn, fault=Fault(code=code, message="no")))


def go_on(stage: Stage, told: list[AnyHappening]) -> list[AnyHappening]:
    stage.restart()
    return [each.happening for each in stage.begin(seen=tuple(told)) if isinstance(each, Tell)]


def test_a_turn_that_was_cut_off_is_generated_anew() -> None:
    stage = Stage(plan_of())

    stage.begin()
    stage.give(Delta(text="half"))
    told = go_on(stage, list(stage.told))
    stage.answer("whole")

    ended = next(each for each in told if isinstance(each, ItemEnded))
    assert isinstance(ended.item, Said)
    assert (ended.item.text, ended.item.status) == ("half", "incomplete")
    assert stage.requests[1].messages == stage.requests[0].messages
    assert [each.text for each in stage.machine.state.output if isinstance(each, Said)] == ["half", "whole"]
    cut = next(each for each in stage.steps if isinstance(each, TurnEnded))
    assert cut.reason == "cancelled"


def test_readers_are_told_what_the_steps_hold_and_they_have_missed() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.give(Delta(text="I shall "))
    seen = list(stage.told)
    stage.give(Delta(text="look."))
    stage.call(call_piece("look"))
    stage.result()
    told = go_on(stage, seen)

    grown = [each.delta for each in told if isinstance(each, TextGrew)]
    assert grown == ["look."]
    assert [each.place for each in told if isinstance(each, ItemEnded)] == [0, 1]


def test_a_run_that_had_ended_tells_its_end_once() -> None:
    stage = Stage(plan_of())

    stage.begin()
    stage.answer()
    whole = list(stage.told)

    assert [type(each) for each in go_on(stage, whole[:-1])] == [RunOver]
    assert go_on(stage, whole) == []


def test_an_idempotent_call_is_made_again() -> None:
    stage = Stage(plan_of(hub_tool(is_idempotent=True)))

    stage.begin()
    stage.call(call_piece("look"))
    stage.restart()
    commands = stage.begin()

    assert sum(isinstance(each, MakeCall) for each in commands) == 1
    assert [each.attempt for each in stage.steps if isinstance(each, CallBegun)] == [1, 2]


def test_a_call_with_effects_is_made_again_only_with_a_yes() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    stage.restart()
    commands = stage.begin()
    assert stage.made == ["call_a"]
    assert any(isinstance(each, AskPerson) for each in commands)
    [asked] = [each for each in stage.steps if isinstance(each, CallAsked)]
    assert asked.is_repeat
    assert stage.machine.record.status == "waiting"

    stage.restart()
    assert any(isinstance(each, AskPerson) for each in stage.begin())
    stage.tell(PersonDecided(call_id="call_a", is_approved=True))
    assert stage.made == ["call_a", "call_a"]


def test_a_call_that_nobody_wants_repeated_has_a_result_that_says_so() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    stage.restart()
    stage.begin()
    stage.tell(PersonDecided(call_id="call_a", is_approved=False))

    [ended] = [each for each in stage.steps if isinstance(each, CallEnded)]
    assert ended.result.code == "unknown_outcome"
    assert len(stage.requests) == 2


def test_a_call_that_was_not_begun_is_made_after_the_restart() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    stage.steps = [each for each in stage.steps if not isinstance(each, CallBegun)]
    stage.restart()
    stage.begin()

    assert stage.made == ["call_a", "call_a"]


def test_another_model_goes_on_where_the_first_cannot_be_had() -> None:
    stage = Stage(plan_of(models=TWO))

    stage.begin()
    refuse(stage, "model_not_found")
    stage.answer()

    changes: list[AnyStep] = [each for each in stage.steps if isinstance(each, PlanChanged)]
    assert len(changes) == 1
    assert [each.model for each in stage.requests] == list(TWO)
    assert stage.machine.record.model == "spare"
    assert stage.machine.record.status == "completed"


def test_a_run_fails_with_the_fault_of_its_last_model() -> None:
    stage = Stage(plan_of(models=TWO))

    stage.begin()
    refuse(stage, "model_not_found")
    refuse(stage, "insufficient_memory")

    fault = stage.machine.record.fault
    assert fault is not None
    assert fault.code == "insufficient_memory"


def test_a_turn_whose_worker_died_is_tried_once_more() -> None:
    stage = Stage(plan_of())

    stage.begin()
    refuse(stage, "worker_died")
    assert len(stage.requests) == 2
    refuse(stage, "worker_died")

    assert stage.machine.record.status == "failed"


def test_a_response_that_broke_in_sight_of_its_reader_fails() -> None:
    stage = Stage(plan_of(door="responses"))

    stage.begin()
    stage.give(Delta(text="half"))
    refuse(stage, "worker_died")

    assert stage.machine.record.status == "failed"
    assert len(stage.requests) == 1


def test_a_wrong_request_is_not_tried_again() -> None:
    stage = Stage(plan_of(models=TWO))

    stage.begin()
    refuse(stage, "invalid_request")

    assert stage.machine.record.status == "failed"
