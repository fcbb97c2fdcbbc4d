"""Hidden turns: a tool is chosen before a small model writes, and an answer is judged before it is given."""

import json

from runtime.core.agents.happenings import ItemBegan, TextGrew, TurnOpened
from runtime.core.agents.items import Said
from runtime.core.agents.steps import ItemsAdded, TurnBegun
from runtime.core.messages import Began, Delta, ToolChoice
from tests.kit.agent_stage import Stage, call_piece, hub_tool, plan_of


def test_a_model_that_decides_first_is_held_to_its_choice() -> None:
    stage = Stage(plan_of(hub_tool(), hub_tool("read"), decides_first=True))

    stage.begin()
    schema = stage.requests[0].response_format.schema
    assert schema is not None
    assert schema["properties"]["tool"]["enum"] == ["look", "read", "none"]
    stage.answer('{"tool": "read"}')
    stage.call(call_piece("read"))
    stage.result()
    stage.answer('{"tool": "none"}')
    stage.answer("Done.")

    choices = [each.tool_choice for each in stage.requests]
    assert choices[1] == ToolChoice(mode="required", names=("read",))
    assert choices[3] == ToolChoice(mode="none")
    assert [each.purpose for each in stage.steps if isinstance(each, TurnBegun)] == ["decision", "answer"] * 2
    assert stage.machine.record.turns == 2


def test_nobody_is_told_of_a_hidden_turn() -> None:
    stage = Stage(plan_of(hub_tool(), decides_first=True))

    stage.begin()
    stage.give(Began(prompt_tokens=3))
    stage.answer('{"tool": "none"}')

    assert not [each for each in stage.told if isinstance(each, ItemBegan | TextGrew | TurnOpened)]
    assert stage.machine.state.output == []
    assert len(stage.machine.state.conversation) == 1


def test_a_decision_that_cannot_be_read_leaves_the_model_free() -> None:
    stage = Stage(plan_of(hub_tool(), decides_first=True))

    stage.begin()
    stage.answer("", reason="length")

    assert stage.requests[1].tool_choice == ToolChoice(mode="auto")


def test_there_is_nothing_to_decide_where_the_asker_has_chosen() -> None:
    stage = Stage(plan_of(hub_tool(), decides_first=True, tool_choice=ToolChoice(mode="none")))

    stage.begin()

    assert [each.purpose for each in stage.steps if isinstance(each, TurnBegun)] == ["answer"]


def test_an_answer_that_is_judged_good_is_given_whole() -> None:
    stage = Stage(plan_of(reflects=True))

    stage.begin()
    stage.answer("Paris.")
    assert not [each for each in stage.told if isinstance(each, ItemBegan)]
    assert "Judge" in str(stage.requests[1].messages[-1].content)
    stage.answer(verdict(is_good=True))

    assert said(stage) == ["Paris."]
    assert [each.delta for each in stage.told if isinstance(each, TextGrew)] == ["Paris."]
    assert any(isinstance(each, ItemsAdded) for each in stage.steps)
    assert stage.machine.record.status == "completed"


def test_an_answer_that_is_judged_bad_is_written_again_and_never_shown() -> None:
    stage = Stage(plan_of(reflects=True))

    stage.begin()
    stage.answer("Rome.")
    stage.answer(verdict(is_good=False, problem="It is Paris."))
    assert [each.content for each in stage.requests[2].messages][1] == "Rome."
    assert "It is Paris." in str(stage.requests[2].messages[-1].content)
    stage.answer("Paris.")

    assert said(stage) == ["Paris."]
    assert len(stage.requests) == 3
    assert len(stage.machine.state.conversation) == 2


def test_calls_are_made_at_once_though_the_answer_will_be_judged() -> None:
    stage = Stage(plan_of(hub_tool(), reflects=True))

    stage.begin()
    stage.call(Delta(text="Let me look."), call_piece("look"))

    assert stage.made == ["call_a"]
    assert [each.delta for each in stage.told if isinstance(each, TextGrew)] == ["Let me look."]


def test_a_draft_survives_a_crash() -> None:
    stage = Stage(plan_of(reflects=True))

    stage.begin()
    stage.answer("Paris.")
    stage.restart()
    stage.begin(seen=tuple(stage.told))
    stage.answer(verdict(is_good=True))

    assert said(stage) == ["Paris."]


def said(stage: Stage) -> list[str]:
    return [each.text for each in stage.machine.state.output if isinstance(each, Said)]


def verdict(*, is_good: bool, problem: str = "") -> str:
    return json.dumps({"problem": problem, "is_good": is_good})
