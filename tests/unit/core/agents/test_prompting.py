"""What a model is asked: messages from items, tools and choices from the plan."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.fold import fold
from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    Compacted,
    Document,
    Foreign,
    Listed,
    Picture,
    Said,
    Text,
    Thought,
)
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.prompting import messages_of, request_of
from runtime.core.agents.steps import RunOpened, TurnEnded
from runtime.core.messages import ImagePart, Message, ResponseFormat, TextPart, ToolChoice, Usage
from tests.kit.agent_stage import asked, hub_tool, plan_of

SCHEMA = ResponseFormat(type="json_schema", name="out", schema={"type": "object"})


def said(text: str, **changes: Any) -> Said:
    return Said(**{"id": f"msg_{text}", "role": "assistant", "parts": (Text(text=text),), **changes})


def called(call_id: str, **changes: Any) -> Called:
    return Called(**{"id": f"fc_{call_id}", "call_id": call_id, "name": "look", "arguments": "{}", **changes})


def answered(call_id: str, text: str = "found", **changes: Any) -> Answered:
    return Answered(**{"id": f"res_{call_id}", "call_id": call_id, "parts": (Text(text=text),), **changes})


def request(plan: Plan, *items: AnyItem) -> Any:
    return request_of(fold([RunOpened(at=0.0, plan=plan, input=items or (asked(),))]))


def test_calls_of_one_turn_stand_together_with_what_was_thought_before() -> None:
    items: list[AnyItem] = [
        asked(),
        Thought(id="rs_1", text="hm"),
        said("Let me look."),
        called("a"),
        called("b"),
        answered("b", "two"),
        answered("a", "one"),
        said("Both."),
    ]

    _, assistant, first, second, last = messages_of(items)

    assert (assistant.reasoning_content, assistant.content) == ("hm", "Let me look.")
    assert [each.id for each in assistant.tool_calls] == ["a", "b"]
    assert [(each.tool_call_id, each.content) for each in (first, second)] == [("a", "one"), ("b", "two")]
    assert last == Message(role="assistant", content="Both.")


def test_a_call_without_a_result_and_a_result_without_a_call_are_not_shown() -> None:
    assert messages_of([asked(), called("a"), answered("b"), asked("go on")]) == [
        Message(role="user", content="hello"),
        Message(role="user", content="go on"),
    ]


def test_a_message_that_broke_off_is_shown_unless_it_was_written_anew() -> None:
    half = said("half", status="incomplete")

    cut_by_length = messages_of([asked(), half, asked("go on")])
    written_anew = messages_of([asked(), half, said("whole"), asked("go on")])

    assert [each.content for each in cut_by_length] == ["hello", "half", "go on"]
    assert [each.content for each in written_anew] == ["hello", "whole", "go on"]


def test_pictures_are_parts_and_documents_are_text() -> None:
    parts = (
        Text(text="see"),
        Picture(data=b"png"),
        Picture(file_id="file_1"),
        Document(filename="a.txt", text="inside"),
    )

    [message] = messages_of([said("x", role="user", parts=parts)], pictures={"file_1": b"jpg"})

    assert message.content == (
        TextPart(text="see"),
        ImagePart(data=b"png"),
        ImagePart(data=b"jpg"),
        TextPart(text="[File: a.txt]\ninside"),
    )


def test_a_summary_stands_for_what_was_before_and_the_question_stays() -> None:
    items: list[AnyItem] = [
        asked("the question"),
        said("old"),
        Compacted(id="cmp_1", summary="much"),
        said("new"),
    ]

    system, question, new = messages_of(items, instructions="Be brief.")

    assert system.content == "Be brief.\n\nSummary of the conversation so far:\nmuch"
    assert (question.content, new.content) == ("the question", "new")


def test_lists_are_told_to_nobody_and_foreign_items_by_their_text() -> None:
    items: list[AnyItem] = [
        Listed(id="mcpl_1", server="s"),
        Foreign(id="x", body={}, text="a note"),
        Foreign(id="y", body={}),
    ]

    assert messages_of(items) == [Message(role="user", content="a note")]


def test_an_error_is_said_to_be_one() -> None:
    message = messages_of([asked(), called("a"), answered("a", "gone", is_error=True)])[-1]

    assert message.content == "Error:\ngone"


def test_a_result_without_text_shows_its_structure_or_says_that_it_is_empty() -> None:
    with_structure = answered("a", parts=(), structured={"n": 1})

    assert messages_of([called("a"), with_structure])[-1].content == '{"n": 1}'
    assert messages_of([called("a"), answered("a", parts=())])[-1].content == "(no output)"


def test_the_first_choice_of_tools_is_the_plans_and_later_ones_are_free() -> None:
    choice = ToolChoice(mode="required", names=("look",))
    opened = RunOpened(
        at=0.0, plan=plan_of(hub_tool(), hub_tool("read"), tool_choice=choice), input=(asked(),)
    )
    ended = TurnEnded(
        at=1.0, turn=0, items=(called("a", by_client=False),), usage=Usage(), reason="tool_calls"
    )

    assert request_of(fold([opened])).tool_choice == choice
    assert request_of(fold([opened, ended])).tool_choice == ToolChoice(mode="auto")


def test_allowed_tools_hold_in_every_turn_though_all_are_shown() -> None:
    asked_for = request(plan_of(hub_tool(), hub_tool("read"), allowed_tools=("read",)))

    assert [each.name for each in asked_for.tools] == ["look", "read"]
    assert asked_for.tool_choice == ToolChoice(mode="auto", names=("read",))


def test_deferred_tools_are_shown_once_they_are_found() -> None:
    plan = plan_of(hub_tool(), hub_tool("read", is_deferred=True), hub_tool("send", is_deferred=True))

    before = request(plan)
    after = request(plan, asked(), called("a"), answered("a", extra={"found": ["send"]}))

    assert [each.name for each in before.tools] == ["look"]
    assert [each.name for each in after.tools] == ["look", "send"]


def test_the_shape_of_the_answer_goes_with_tools_but_not_with_a_call_that_must_be_made() -> None:
    free = request(plan_of(hub_tool(), response_format=SCHEMA))
    forced = request(plan_of(hub_tool(), response_format=SCHEMA, tool_choice=ToolChoice(mode="required")))

    assert free.response_format == SCHEMA
    assert forced.response_format == ResponseFormat()


def test_a_custom_tool_is_told_with_its_grammar() -> None:
    [tool] = request(
        plan_of(PlannedTool(name="sum", form="custom", syntax="lark", definition="start: /x/"))
    ).tools

    assert (tool.syntax, tool.definition) == ("lark", "start: /x/")


ITEMS = st.lists(
    st.one_of(
        st.builds(asked, st.text(max_size=3)),
        st.builds(said, st.text(max_size=3)),
        st.builds(called, st.sampled_from("abc")),
        st.builds(answered, st.sampled_from("abc")),
        st.builds(lambda text: Thought(id="rs", text=text), st.text(max_size=3)),
    ),
    max_size=20,
)


@given(ITEMS)
def test_calls_and_results_always_come_in_pairs(items: list[AnyItem]) -> None:
    messages = messages_of(items)

    for at, message in enumerate(messages):
        calls = [each.id for each in message.tool_calls]
        following = messages[at + 1 : at + 1 + len(calls)]
        assert [each.tool_call_id for each in following] == calls
    results = sum(each.role == "tool" for each in messages)
    assert results == sum(len(each.tool_calls) for each in messages)


@given(ITEMS, ITEMS)
def test_a_later_prompt_begins_with_the_earlier_one(before: list[AnyItem], after: list[AnyItem]) -> None:
    """After a question of the user nothing of what stood before changes, unless its results come later."""
    open_before = {each.call_id for each in before if isinstance(each, Called)}
    after = [each for each in after if not isinstance(each, Answered) or each.call_id not in open_before]
    known = {each.call_id for each in before if isinstance(each, Called | Answered)}
    after = [each for each in after if not isinstance(each, Called) or each.call_id not in known]

    first = messages_of([*before, asked("stop")])
    second = messages_of([*before, asked("stop"), *after])

    assert second[: len(first)] == first
