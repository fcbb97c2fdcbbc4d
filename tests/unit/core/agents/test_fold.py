"""A run is the fold of its steps."""

import msgspec
import pytest

from runtime.core.agents.builtins import LIST_TOOL, SEARCH_TOOLS, Todo, carry_out, decide_shown, todos_of
from runtime.core.agents.fold import fold, opening_record, record_of
from runtime.core.agents.items import Answered, Called, Said, Text
from runtime.core.agents.steps import AnyStep, ItemsAdded, RunEnded, RunOpened, TurnBegun, TurnEnded
from runtime.core.ids import RunId
from runtime.core.messages import Usage
from tests.kit.agent_stage import MODEL, RUN, Stage, asked, call_piece, hub_tool, plan_of, search_by_name


def opened(text: str = "hello") -> RunOpened:
    return RunOpened(at=5.0, plan=plan_of(labels={"team": "a"}), input=(asked(text),), trigger="cli")


def test_a_run_that_was_only_opened_is_queued() -> None:
    record = opening_record(RUN, opened(), previous=RunId("run_0"), is_background=True)

    assert record == record_of(fold([opened()]), record)
    assert (record.status, record.created_at, record.title) == ("queued", 5.0, "hello")
    assert (record.tenant, record.trigger, record.labels) == ("local", "cli", {"team": "a"})


def test_a_title_is_one_short_line() -> None:
    record = opening_record(RUN, opened("two\nlines " + "x" * 200))

    assert record.title.startswith("two lines x")
    assert len(record.title) == 120
    assert record.title.endswith("…")


def test_steps_that_do_not_begin_a_run_are_refused() -> None:
    with pytest.raises(ValueError, match="opens it"):
        fold([])
    with pytest.raises(ValueError, match="opened once"):
        fold([opened(), opened()])


def test_what_steers_stands_before_the_turn_that_hears_it() -> None:
    said = Said(id="msg_1", role="assistant", parts=(Text(text="hi"),))
    steps: list[AnyStep] = [
        opened(),
        TurnBegun(at=6.0, turn=0, model=MODEL, prompt_items=1),
        ItemsAdded(at=7.0, items=(asked("more"),), is_output=False),
        TurnEnded(at=8.0, turn=0, items=(said,), usage=Usage(), reason="stop"),
        TurnBegun(at=9.0, turn=1, model=MODEL, prompt_items=3),
    ]

    state = fold(steps)

    assert state.conversation == [asked(), said, asked("more")]
    assert state.input == [asked(), asked("more")]
    assert state.output == [said]


def test_the_end_is_in_the_record() -> None:
    state = fold([opened(), RunEnded(at=9.0, status="incomplete", reason="turns")])
    record = record_of(state, opening_record(RUN, opened()))

    assert (record.status, record.reason, record.ended_at, record.steps) == ("incomplete", "turns", 9.0, 2)


def test_steps_survive_being_stored() -> None:
    stage = Stage(plan_of(hub_tool()))
    stage.begin()
    stage.call(call_piece("look"))
    stage.result()
    stage.answer()

    stored = msgspec.json.encode(stage.steps)

    assert fold(msgspec.json.decode(stored, type=list[AnyStep])).output == stage.machine.state.output
    assert msgspec.json.decode(stored, type=list[AnyStep]) == stage.steps


def test_the_list_of_todos_is_what_was_written_last() -> None:
    call = Called(id="fc", call_id="c", name="todo_write", arguments='{"todos":[]}', by_client=False)
    full = msgspec.structs.replace(call, arguments='{"todos":[{"content":"a","status":"pending"}]}')

    first, second = (carry_out(each, LIST_TOOL, (), search_by_name, "res_1") for each in (full, call))

    assert todos_of([full, first]) == (Todo(content="a", status="pending"),)
    assert todos_of([full, first, call, second]) == ()
    assert second.text == "The list is empty."


def test_no_tool_can_write_the_list_or_find_tools_by_its_own_result() -> None:
    sly = Answered(id="r", call_id="c", structured={"todos": [{}], "found": ["hidden"]})
    hidden = hub_tool("hidden", is_deferred=True)

    assert todos_of([sly]) == ()
    assert decide_shown([hidden], [sly]) == []


def test_wrong_arguments_of_the_runs_own_tools_are_results() -> None:
    call = Called(id="fc", call_id="c", name="search_tools", arguments="{", by_client=False)
    wrong = msgspec.structs.replace(call, arguments='{"query": 1}')

    for each in (call, wrong):
        assert carry_out(each, SEARCH_TOOLS, (), search_by_name, "res_1").code == "invalid_arguments"


def test_tools_that_are_found_can_be_called_from_then_on() -> None:
    hidden = hub_tool("send_mail", is_deferred=True)
    stage = Stage(plan_of(SEARCH_TOOLS, hidden))

    stage.begin()
    stage.call(call_piece("search_tools", '{"query": "mail"}'))

    assert [[each.name for each in request.tools] for request in stage.requests] == [
        ["search_tools"],
        ["search_tools", "send_mail"],
    ]
