"""The machine of a durable run: each way through it."""

from runtime.core.agents.happenings import (
    ArgumentsGrew,
    CallMoved,
    ItemBegan,
    ItemEnded,
    RunOver,
    StatusChanged,
    TextGrew,
    TurnClosed,
    TurnOpened,
)
from runtime.core.agents.items import Answered, Called, Said, Text
from runtime.core.agents.moves import Finish, MakeCall, Store
from runtime.core.agents.plans import Limits, PlannedTool
from runtime.core.agents.steps import CallBegun, CallEnded, RunEnded, RunOpened, TurnBegun, TurnEnded
from runtime.core.messages import Began, Delta, Ended, Message
from tests.kit.agent_stage import MODEL, SPENT, Stage, call_piece, hub_tool, plan_of


def test_a_question_is_answered_in_one_turn() -> None:
    stage = Stage(plan_of(instructions="Be brief."))

    stage.begin()
    stage.give(Began(prompt_tokens=10))
    stage.answer("hi")

    began = Said(id="msg_1", role="assistant", parts=(Text(text=""),), status="in_progress")
    ended = Said(id="msg_1", role="assistant", parts=(Text(text="hi"),), phase="final_answer")
    assert [type(each) for each in stage.steps] == [RunOpened, TurnBegun, TurnEnded, RunEnded]
    assert stage.told == [
        StatusChanged(status="in_progress", model=MODEL),
        TurnOpened(turn=0, model=MODEL, prompt_tokens=10),
        ItemBegan(place=0, item=began),
        TextGrew(place=0, item_id="msg_1", part=0, delta="hi"),
        ItemEnded(place=0, item=ended),
        TurnClosed(turn=0, usage=SPENT),
        RunOver(record=stage.machine.record),
    ]
    assert stage.commands[-1] == Finish(record=stage.machine.record)
    assert stage.machine.record.status == "completed"
    assert stage.machine.record.answer == "hi"
    assert stage.requests[0].messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="hello"),
    )


def test_a_call_of_the_hub_is_made_and_its_result_is_read_in_the_next_turn() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    made = stage.call(call_piece("look", '{"at": 1}'))
    stage.result(text="a book")
    stage.answer("There is a book.")

    assert [type(each) for each in stage.steps] == [
        RunOpened,
        TurnBegun,
        TurnEnded,
        CallBegun,
        CallEnded,
        TurnBegun,
        TurnEnded,
        RunEnded,
    ]
    call = next(each for each in made if isinstance(each, MakeCall))
    begun = next(
        at for at, each in enumerate(made) if isinstance(each, Store) and CallBegun in map(type, each.steps)
    )
    assert made.index(call) > begun
    assert (call.call.name, call.call.arguments, call.call.form) == ("look", '{"at": 1}', "mcp")
    roles = [each.role for each in stage.requests[1].messages]
    assert roles == ["user", "assistant", "tool"]
    assert stage.requests[1].messages[2].content == "a book"
    assert stage.requests[1].messages[: len(stage.requests[0].messages)] == stage.requests[0].messages


def test_a_call_and_its_result_are_one_place_of_the_output() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.call(call_piece("look"))
    stage.result()
    stage.answer()

    of_call = [each for each in stage.told if getattr(each, "place", None) == 0]
    assert [type(each) for each in of_call] == [ItemBegan, ArgumentsGrew, CallMoved, CallMoved, ItemEnded]
    ended = of_call[-1]
    assert isinstance(ended, ItemEnded)
    assert isinstance(ended.item, Called)
    assert isinstance(ended.result, Answered)
    assert [each.place for each in stage.told if isinstance(each, ItemBegan)] == [0, 1]
    assert len(stage.machine.state.output) == 3


def test_a_run_completes_with_the_calls_that_the_client_must_answer() -> None:
    stage = Stage(plan_of(PlannedTool(name="weather"), hub_tool()))

    stage.begin()
    stage.call(call_piece("weather"), call_piece("look", call_id="call_b", index=1))
    assert stage.made == ["call_b"]
    stage.result("call_b")

    assert stage.machine.record.status == "completed"
    assert [each.call.call_id for each in stage.machine.state.client_calls] == ["call_a"]
    assert len(stage.requests) == 1


def test_a_message_cut_by_the_limit_of_tokens_is_incomplete() -> None:
    stage = Stage(plan_of())

    stage.begin()
    stage.answer("half a", reason="length")

    assert stage.machine.record.status == "incomplete"
    assert stage.machine.record.reason == "max_output_tokens"
    [said] = stage.machine.state.output
    assert isinstance(said, Said)
    assert said.status == "incomplete"


def test_half_a_call_is_never_made() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.give(call_piece("look", '{"at": '), Ended(reason="length", usage=SPENT))

    assert stage.made == []
    [called] = stage.machine.state.output
    assert isinstance(called, Called)
    assert called.status == "incomplete"


def test_blanks_before_a_call_make_no_message() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin()
    stage.give(Delta(text="\n\n"))
    stage.call(call_piece("look"))

    assert [type(each) for each in stage.machine.state.output] == [Called]


def test_a_turn_is_asked_for_no_more_than_it_may_give() -> None:
    stage = Stage(plan_of(turn_tokens=99, limits=Limits(tokens=1000)))
    stage.begin()
    assert stage.requests[0].sampling.max_tokens == 99

    little = Stage(plan_of(turn_tokens=99, limits=Limits(tokens=50)))
    little.begin()
    assert little.requests[0].sampling.max_tokens == 50
