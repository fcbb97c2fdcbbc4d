"""Calls that Lar carries out: side by side, with a person's yes, under limits, ended once."""

from runtime.core.agents.builtins import LIST_TOOL
from runtime.core.agents.happenings import ItemBegan, ItemEnded, StatusChanged
from runtime.core.agents.items import Answered, Called, Decided, Said, Text, Wanted
from runtime.core.agents.moves import (
    AskPerson,
    CancelAsked,
    HandedOver,
    MakeCall,
    PersonAsked,
    PersonDecided,
    Returned,
    Steered,
    StopCall,
    StopGenerating,
    TimeOver,
)
from runtime.core.agents.plans import Limits, PlannedTool
from runtime.core.agents.steps import CallAsked, CallBegun, CallEnded, PlanChanged, RunEnded
from runtime.core.ids import ApprovalId
from runtime.core.messages import Delta, Sampling
from tests.kit.agent_stage import Stage, asked, call_piece, hub_tool, plan_of

APPROVAL = ApprovalId("app_1")


def results(stage: Stage) -> dict[str, Answered]:
    return {each.result.call_id: each.result for each in stage.steps if isinstance(each, CallEnded)}


def test_calls_of_one_turn_run_side_by_side_up_to_the_limit() -> None:
    stage = Stage(plan_of(hub_tool(), limits=Limits(parallel_calls=2)))

    stage.begin()
    stage.call(*(call_piece("look", call_id=f"call_{number}", index=number) for number in range(3)))
    assert stage.made == ["call_0", "call_1"]
    stage.result("call_1")
    assert stage.made == ["call_0", "call_1", "call_2"]
    stage.result("call_2", text="two")
    stage.result("call_0", text="nought")

    told = [each.tool_call_id for each in stage.requests[1].messages if each.role == "tool"]
    assert told == ["call_0", "call_1", "call_2"]


def test_a_run_waits_for_a_person_and_goes_on_with_the_yes() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    stage.tell(Returned(call_id="call_a", result=result_that_asks(), approval=APPROVAL))
    waiting = stage.machine.record
    assert (waiting.status, waiting.waits_for) == ("waiting", (APPROVAL,))
    commands = stage.tell(PersonDecided(call_id="call_a", is_approved=True))

    [made] = [each for each in commands if isinstance(each, MakeCall)]
    assert made.call.approval == APPROVAL
    stage.result()
    assert stage.machine.record.status == "in_progress"
    assert [each.status for each in stage.told if isinstance(each, StatusChanged)] == [
        "in_progress",
        "waiting",
        "in_progress",
    ]


def test_a_no_is_a_result_that_the_model_reads() -> None:
    stage = Stage(plan_of(hub_tool(approval="always")))

    stage.begin()
    commands = stage.call(call_piece("look"))
    assert any(isinstance(each, AskPerson) for each in commands)
    stage.tell(PersonAsked(call_id="call_a", approval=APPROVAL))
    assert stage.machine.record.waits_for == (APPROVAL,)
    stage.tell(PersonDecided(call_id="call_a", is_approved=False, reason="not today"))

    assert stage.made == []
    assert results(stage)["call_a"].code == "denied"
    assert "not today" in str(stage.requests[1].messages[-1].content)


def test_a_response_asks_the_asker_by_an_item_and_completes() -> None:
    stage = Stage(plan_of(hub_tool(approval="always", server="shelf"), door="responses"))

    stage.begin()
    stage.call(call_piece("look", '{"at": 1}'))

    [wanted] = stage.machine.state.output
    assert isinstance(wanted, Wanted)
    assert (wanted.name, wanted.server, wanted.arguments) == ("look", "shelf", '{"at": 1}')
    assert stage.machine.record.status == "completed"
    assert [type(each) for each in stage.told if hasattr(each, "place")] == [ItemBegan, ItemEnded]


def test_an_allowed_call_is_made_before_the_first_turn() -> None:
    wanted = Wanted(
        id="mcpr_1", call_id="call_w", name="look", server="s", tool="look", arguments='{"at": 1}'
    )
    decided = Decided(id="d", wanted="mcpr_1", is_approved=True)
    plan = plan_of(hub_tool(approval="always"), door="responses")
    stage = Stage(plan, given=[decided], context=[asked(), wanted])

    commands = stage.begin()
    [made] = [each for each in commands if isinstance(each, MakeCall)]
    assert (made.call.call_id, made.call.approval) == ("call_w", "mcpr_1")
    assert stage.requests == []
    stage.result("call_w", text="a book")
    stage.answer("There is a book.")

    [called, result, said] = stage.machine.state.output
    assert isinstance(called, Called)
    assert isinstance(result, Answered)
    assert isinstance(said, Said)
    assert [each.role for each in stage.requests[0].messages] == ["user", "assistant", "tool"]


def test_a_refused_call_is_told_to_the_model_and_not_made() -> None:
    wanted = Wanted(id="mcpr_1", call_id="call_w", name="look", server="s", tool="look", arguments="{}")
    decided = Decided(id="d", wanted="mcpr_1", is_approved=False, reason="no")
    stage = Stage(plan_of(hub_tool(), door="responses"), given=[decided], context=[asked(), wanted])

    stage.begin()

    assert stage.made == []
    assert [each.role for each in stage.requests[0].messages] == ["user", "assistant", "tool"]


def test_a_response_whose_policy_asks_completes_with_the_question() -> None:
    stage = Stage(plan_of(hub_tool(), door="responses"))

    stage.begin()
    stage.call(call_piece("look"))
    stage.tell(Returned(call_id="call_a", result=result_that_asks(), approval=APPROVAL))

    [called, result, wanted] = stage.machine.state.output
    assert isinstance(called, Called)
    assert isinstance(result, Answered)
    assert isinstance(wanted, Wanted)
    assert wanted.call_id != called.call_id
    assert stage.machine.record.status == "completed"


def test_a_call_without_a_tool_is_answered_with_an_error() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("nonsense"))

    assert results(stage)["call_a"].code == "unknown_tool"
    assert len(stage.requests) == 2


def test_the_limit_of_calls_ends_the_run_once_those_on_their_way_have_ended() -> None:
    stage = Stage(plan_of(hub_tool(), limits=Limits(calls=1)))

    stage.begin()
    stage.call(call_piece("look"), call_piece("look", '{"at": 2}', "call_b", 1))
    assert not stage.machine.is_over
    stage.result()

    assert (stage.machine.record.status, stage.machine.record.reason) == ("incomplete", "calls")
    assert results(stage)["call_a"].text == "found"
    assert results(stage)["call_b"].code == "cancelled"


def test_the_limit_of_turns_ends_the_run() -> None:
    stage = Stage(plan_of(hub_tool(), limits=Limits(turns=1)))

    stage.begin()
    stage.call(call_piece("look"))
    stage.result()

    assert stage.machine.record.reason == "turns"


def test_the_limit_of_tokens_ends_the_run_but_not_an_answer() -> None:
    calling = Stage(plan_of(hub_tool(), limits=Limits(tokens=10)))
    calling.begin()
    calling.call(call_piece("look"))
    calling.result()
    answering = Stage(plan_of(limits=Limits(tokens=10)))
    answering.begin()
    answering.answer()

    assert calling.machine.record.reason == "tokens"
    assert answering.machine.record.status == "completed"


def test_the_time_is_over_while_a_call_is_on_its_way() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    commands = stage.tell(TimeOver())

    assert StopCall(call_id="call_a") in commands
    assert stage.machine.record.reason == "seconds"


def test_max_output_tokens_of_a_response_are_for_all_its_turns() -> None:
    stage = Stage(plan_of(hub_tool(), door="responses", sampling=Sampling(max_tokens=8)))

    stage.begin()
    stage.call(call_piece("look"))
    stage.result()

    assert [each.sampling.max_tokens for each in stage.requests] == [8, 3]


def test_max_tool_calls_withholds_the_tools_that_lar_carries_out() -> None:
    stage = Stage(plan_of(hub_tool(), PlannedTool(name="weather"), hosted_calls=1))

    stage.begin()
    stage.call(call_piece("look"), call_piece("look", '{"at": 2}', "call_b", 1))
    stage.result()

    assert stage.made == ["call_a"]
    assert results(stage)["call_b"].code == "limit"
    assert stage.requests[1].tool_choice.names == ("weather",)
    assert stage.requests[1].tools == stage.requests[0].tools


def test_a_loop_is_told_once_and_then_ends_the_run() -> None:
    stage = Stage(plan_of(hub_tool(), limits=Limits(repeats=2)))

    stage.begin()
    for number in range(3):
        stage.call(
            call_piece("look", '{"a": 1, "b": 2}' if number % 2 else '{"b":2,"a":1}', f"call_{number}")
        )
        stage.result(f"call_{number}", text="nothing")

    told = [each for each in stage.requests[2].messages if "Do not make it again" in str(each.content)]
    assert len(told) == 1
    assert (stage.machine.record.status, stage.machine.record.reason) == ("incomplete", "loop")


def test_calls_of_one_turn_that_could_not_hear_of_the_loop_do_not_end_the_run() -> None:
    stage = Stage(plan_of(hub_tool(), limits=Limits(repeats=2)))

    stage.begin()
    names = ("call_a", "call_b", "call_c")
    stage.call(*(call_piece("look", "{}", name, place) for place, name in enumerate(names)))
    for name in names:
        stage.result(name, text="nothing")
    told = [each for each in stage.requests[1].messages if "Do not make it again" in str(each.content)]
    assert len(told) == 1
    stage.answer("There is nothing.")

    assert stage.machine.record.status == "completed"


def test_other_results_are_no_loop() -> None:
    stage = Stage(plan_of(hub_tool(), limits=Limits(repeats=2)))

    stage.begin()
    for number in range(4):
        stage.call(call_piece("look", call_id=f"call_{number}"))
        stage.result(f"call_{number}", text=f"line {number}")

    assert not stage.machine.is_over


def test_a_cancelled_run_ends_its_calls_and_then_itself() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    commands = stage.tell(CancelAsked(reason="enough"))
    late = stage.result()

    assert StopCall(call_id="call_a") in commands
    assert [type(each) for each in stage.steps[-2:]] == [CallEnded, RunEnded]
    assert results(stage)["call_a"].code == "cancelled"
    assert (stage.machine.record.status, stage.machine.record.reason) == ("cancelled", "enough")
    assert late == []


def test_a_cancelled_turn_keeps_what_was_said_as_incomplete() -> None:
    stage = Stage(plan_of())

    stage.begin()
    stage.give(Delta(text="half an ans"))
    assert stage.tell(CancelAsked(reason="enough")) == [StopGenerating(turn=0)]
    stage.answer("wer")

    [said] = stage.machine.state.output
    assert isinstance(said, Said)
    assert (said.text, said.status) == ("half an ans", "incomplete")
    assert stage.machine.record.status == "cancelled"


def test_a_second_cancel_does_not_wait_for_the_model() -> None:
    stage = Stage(plan_of())

    stage.begin()
    stage.tell(CancelAsked(reason="enough"))
    stage.tell(CancelAsked(reason="now"))

    assert stage.machine.record.reason == "enough"


def test_a_run_that_has_not_begun_can_be_cancelled() -> None:
    stage = Stage(plan_of())

    stage.tell(CancelAsked(reason="enough"))

    assert stage.machine.record.status == "cancelled"
    assert stage.begin() == []


def test_what_steers_a_run_is_heard_at_its_next_turn() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    stage.tell(Steered(items=(asked("be quick"),)))
    stage.result()
    stage.tell(Steered(items=(asked("and kind"),)))
    stage.answer("Done.")

    assert [each.role for each in stage.requests[1].messages] == ["user", "assistant", "tool", "user"]
    assert [each.content for each in stage.requests[2].messages[-2:]] == ["Done.", "and kind"]
    assert stage.requests[2].messages[: len(stage.requests[1].messages)] == stage.requests[1].messages


def test_another_agent_goes_on_after_a_handover() -> None:
    stage = Stage(plan_of(PlannedTool(name="to_clerk", executor="handover"), instructions="First."))
    clerk = plan_of(hub_tool(), agent="clerk", instructions="Clerk.", limits=Limits(turns=99))

    stage.begin()
    stage.call(call_piece("to_clerk"), call_piece("to_clerk", '{"why": 1}', "call_b", 1))
    stage.tell(HandedOver(call_id="call_a", plan=clerk))
    stage.tell(HandedOver(call_id="call_b", plan=clerk))

    assert sum(isinstance(each, PlanChanged) for each in stage.steps) == 1
    assert results(stage)["call_b"].code == "conflict"
    assert stage.requests[1].messages[0].content == "Clerk."
    assert stage.machine.state.plan.limits.turns == Limits().turns


def test_the_todo_list_is_kept_by_the_run_itself() -> None:
    stage = Stage(plan_of(LIST_TOOL))
    todos = '{"todos": [{"content": "look", "status": "in_progress"}]}'

    stage.begin()
    stage.call(call_piece("todo_write", todos))

    assert stage.made == []
    assert [type(each) for each in stage.steps if isinstance(each, CallBegun | CallEnded)] == [
        CallBegun,
        CallEnded,
    ]
    assert stage.requests[1].messages[-1].content == "[>] look"


def test_an_approval_that_is_named_twice_is_stored_once() -> None:
    stage = Stage(plan_of(hub_tool(approval="always")))

    stage.begin()
    stage.call(call_piece("look"))
    stage.tell(PersonAsked(call_id="call_a", approval=APPROVAL))
    stage.tell(PersonAsked(call_id="call_a", approval=APPROVAL))

    assert sum(isinstance(each, CallAsked) for each in stage.steps) == 2


def result_that_asks() -> Answered:
    return Answered(
        id="res_1",
        call_id="call_a",
        parts=(Text(text="A person must approve."),),
        is_error=True,
        code="asked",
    )
