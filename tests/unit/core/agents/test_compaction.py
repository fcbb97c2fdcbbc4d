"""Prompts that get too long: summarised, trimmed, or refused, and nothing that belongs together is split."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.happenings import ItemEnded
from runtime.core.agents.items import Answered, AnyItem, Called, Compacted, Said, Text
from runtime.core.agents.moves import Summarise, Summarised, TurnRefused
from runtime.core.agents.steps import ContextCompacted
from runtime.core.agents.trimming import find_cuts
from runtime.core.errors import Fault
from runtime.core.messages import Ended, Usage
from tests.kit.agent_stage import Stage, asked, call_piece, hub_tool, plan_of

TOO_LONG = Fault(code="context_length_exceeded", message="too long")


def history(turns: int, words: int = 40) -> list[AnyItem]:
    items: list[AnyItem] = []
    for number in range(turns):
        text = " ".join([f"word{number}"] * words)
        items += [
            Said(id=f"u{number}", role="user", parts=(Text(text=text),)),
            Called(id=f"fc{number}", call_id=f"c{number}", name="look", arguments="{}", by_client=False),
            Answered(id=f"res{number}", call_id=f"c{number}", parts=(Text(text=text),)),
            Said(id=f"a{number}", role="assistant", parts=(Text(text=text),)),
        ]
    return items


def stage_of(turns: int = 8, **changes: Any) -> Stage:
    return Stage(plan_of(hub_tool(), **changes), context=history(turns), given=[asked("the last question")])


def summaries(stage: Stage) -> list[Summarise]:
    return [each for each in stage.commands if isinstance(each, Summarise)]


def told_of(stage: Stage) -> str:
    return "\n".join(str(each.content) for each in stage.requests[-1].messages)


def test_a_prompt_near_the_limit_is_summarised_before_the_turn() -> None:
    stage = stage_of()

    stage.begin(context_tokens=1500)
    [wanted] = summaries(stage)
    assert stage.requests == []
    stage.tell(Summarised(text="They spoke of words."))

    [step] = [each for each in stage.steps if isinstance(each, ContextCompacted)]
    assert step.dropped == len(wanted.items)
    assert "They spoke of words." in told_of(stage)
    assert "word0" not in told_of(stage)
    assert "word7" in told_of(stage)
    assert "the last question" in told_of(stage)


def test_a_short_prompt_is_left_alone() -> None:
    stage = stage_of()

    stage.begin(context_tokens=100_000)

    assert summaries(stage) == []


def test_the_length_of_the_last_prompt_counts() -> None:
    stage = stage_of(turns=1)

    stage.begin(context_tokens=1000)
    stage.give(call_piece("look"), Ended(reason="tool_calls", usage=Usage(prompt_tokens=900)))
    stage.result()

    assert len(stage.requests) == 1
    assert len(summaries(stage)) == 1


def test_nothing_is_summarised_where_only_the_question_could_go() -> None:
    stage = Stage(plan_of(hub_tool()))

    stage.begin(context_tokens=1000)
    stage.give(call_piece("look"), Ended(reason="tool_calls", usage=Usage(prompt_tokens=900)))
    stage.result()

    assert summaries(stage) == []
    assert len(stage.requests) == 2


def test_an_earlier_summary_is_part_of_the_next_one() -> None:
    stage = stage_of()

    stage.begin(context_tokens=1500)
    stage.tell(Summarised(text="first"))
    for number in range(4):
        text = " ".join([f"late{number}"] * 120)
        usage = Usage(prompt_tokens=600 + number * 300)
        piece = call_piece("look", f'{{"n": {number}}}', f"call_{number}")
        stage.give(piece, Ended(reason="tool_calls", usage=usage))
        stage.result(f"call_{number}", text=text)
        if len(summaries(stage)) == 2:
            break

    summary = summaries(stage)[1].items[0]
    assert isinstance(summary, Compacted)
    assert summary.summary == "first"


def test_a_run_whose_summary_failed_leaves_the_oldest_out() -> None:
    stage = stage_of()

    stage.begin(context_tokens=1500)
    stage.tell(Summarised(fault=TOO_LONG))

    assert "word0" not in told_of(stage)
    assert "the last question" in told_of(stage)
    stage.answer()
    assert stage.machine.record.status == "completed"


def test_a_response_is_compacted_only_where_the_asker_wants_it_and_sees_it() -> None:
    plain = stage_of(door="responses")
    plain.begin(context_tokens=1500)
    compacted = stage_of(door="responses", compact_at_tokens=500)
    compacted.begin(context_tokens=100_000)
    compacted.tell(Summarised(text="much"))

    assert summaries(plain) == []
    assert isinstance(compacted.machine.state.output[0], Compacted)
    assert isinstance(compacted.told[-1], ItemEnded)
    assert "the last question" in told_of(compacted)
    assert "word7" not in told_of(compacted)


def test_a_response_that_may_be_truncated_loses_its_oldest_items() -> None:
    stage = stage_of(door="responses", is_truncated=True)

    stage.begin(context_tokens=1500)

    roles = [each.role for each in stage.requests[0].messages]
    assert "word0" not in told_of(stage)
    assert roles.count("tool") == sum(len(each.tool_calls) for each in stage.requests[0].messages)


def test_a_model_that_says_too_long_is_asked_again_with_less() -> None:
    stage = stage_of(door="responses", is_truncated=True)

    stage.begin()
    lengths = [len(stage.requests[0].messages)]
    while not stage.machine.is_over and len(lengths) < 20:
        turn = stage.machine.state.turn
        assert turn is not None
        stage.tell(TurnRefused(turn=turn.turn, fault=TOO_LONG))
        lengths.append(len(stage.requests[-1].messages))

    assert lengths[:-1] == sorted(set(lengths), reverse=True)
    assert stage.machine.record.fault == TOO_LONG
    assert stage.requests[-1].messages[-1].content == "the last question"


def test_a_response_that_may_not_be_truncated_fails() -> None:
    stage = stage_of(door="responses")

    stage.begin()
    stage.tell(TurnRefused(turn=0, fault=TOO_LONG))

    assert stage.machine.record.fault == TOO_LONG


def test_an_agent_whose_prompt_is_too_long_is_compacted_and_asked_again() -> None:
    stage = stage_of()

    stage.begin()
    stage.tell(TurnRefused(turn=0, fault=TOO_LONG))
    stage.tell(Summarised(text="much"))

    assert len(stage.requests) == 2
    assert "Summary" in told_of(stage)


ITEMS = st.lists(
    st.one_of(
        st.just(asked()),
        st.builds(lambda at: Called(id="c", call_id=at, name="n", arguments=""), st.sampled_from("abcd")),
        st.builds(lambda at: Answered(id="r", call_id=at), st.sampled_from("abcd")),
    ),
    max_size=20,
)


@given(ITEMS, st.integers(0, 5))
def test_no_cut_splits_a_call_from_its_result(items: list[AnyItem], first: int) -> None:
    for cut in find_cuts(items, first):
        before = {each.call_id for each in items[:cut] if isinstance(each, Called | Answered)}
        after = {each.call_id for each in items[cut:] if isinstance(each, Called | Answered)}
        assert not before & after
        assert cut > first
