"""Repetition: a model that goes round in circles is stopped, and what is only alike goes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.happenings import RunOver
from runtime.core.agents.items import Said
from runtime.core.agents.moves import StopGenerating
from runtime.core.agents.repetition import RepetitionWatch, is_degenerate
from runtime.core.agents.steps import TurnEnded
from runtime.core.errors import Fault
from runtime.core.ids import LOCAL_TENANT
from runtime.core.messages import Began, Broke, Delta, Ended, Usage
from tests.kit.agent_stage import Stage, plan_of
from tests.kit.agents_live import BACKGROUND, by_turn, live_stage, read_all
from tests.kit.fake_pool import saying

LINE = "The file is in the folder of the files.\n"
ENOUGH = LINE * 100
STORY = "".join(
    f"On day {day} the keeper saw {day * 7 % 31} ships and wrote it down.\n" for day in range(400)
)


def found_in(text: str, size: int = 7) -> bool:
    watch = RepetitionWatch()
    for start in range(0, len(text), size):
        watch.hear(text[start : start + size])
    return watch.is_repeating


def test_the_same_line_over_and_over_is_found_whatever_came_before() -> None:
    assert found_in(ENOUGH)
    assert found_in(STORY[:3000] + ENOUGH)


def test_a_paragraph_over_and_over_is_found() -> None:
    assert found_in(STORY[:600] * 14)


def test_few_lines_in_any_order_are_found() -> None:
    lines = ["The first of the lines.", "The second of the lines."]
    assert found_in("\n".join(lines[number * number % 7 % 2] for number in range(400)))


def test_what_is_only_alike_goes_through() -> None:
    assert not found_in(STORY)
    assert not found_in("\n".join(f'{{"id": {number}, "state": "done"}},' for number in range(500)))


def test_a_row_of_dashes_a_table_and_a_line_said_twenty_times_go_through() -> None:
    assert not is_degenerate("A title\n" + "-" * 400)
    assert not is_degenerate("| 0 | 0 |\n" * 60)
    assert not is_degenerate(LINE * 20)


@given(st.text(alphabet="ab \n", max_size=80), st.integers(1, 200), st.integers(1, 900), st.integers(1, 900))
def test_the_finding_does_not_hang_on_the_pieces(unit: str, times: int, one: int, other: int) -> None:
    text = STORY[:700] + unit * times
    assert found_in(text, one) == found_in(text, other)


def test_an_agents_turn_that_repeats_itself_is_stopped_and_the_run_says_why() -> None:
    stage = Stage(plan_of(agent="clerk"))

    stage.begin()
    stage.give(Began(prompt_tokens=10))
    commands = stage.give(Delta(text=ENOUGH))
    assert [each for each in commands if isinstance(each, StopGenerating)] == [StopGenerating(turn=0)]
    assert stage.give(Delta(text="more")) == []
    stage.give(Ended(reason="cancelled", usage=Usage(completion_tokens=900)))

    assert (stage.machine.record.status, stage.machine.record.reason) == ("incomplete", "repetition")
    assert isinstance(stage.told[-1], RunOver)
    (turn,) = [each for each in stage.steps if isinstance(each, TurnEnded)]
    assert turn.usage.completion_tokens == 900
    (said,) = turn.items
    assert isinstance(said, Said)
    assert (said.text, said.status) == (ENOUGH, "incomplete")


@pytest.mark.parametrize("ending", ["cancelled", "broke"])
def test_a_turn_whose_end_tells_no_usage_counts_what_its_pieces_told(ending: str) -> None:
    stage = Stage(plan_of(agent="clerk"))

    stage.begin()
    stage.give(Began(prompt_tokens=10), Delta(text=ENOUGH, tokens=4), Delta(text="more", tokens=2))
    if ending == "broke":
        stage.give(Broke(fault=Fault(code="engine_failed", message="gone")))
    else:
        stage.give(Ended(reason="cancelled", usage=Usage()))

    assert stage.machine.record.usage == Usage(prompt_tokens=10, completion_tokens=6)


def test_a_model_that_breaks_while_it_is_stopped_ends_the_run_all_the_same() -> None:
    stage = Stage(plan_of(agent="clerk"))

    stage.begin()
    stage.give(Began(prompt_tokens=10), Delta(text=ENOUGH))
    stage.give(Broke(fault=Fault(code="engine_failed", message="gone")))

    assert (stage.machine.record.status, stage.machine.record.reason) == ("incomplete", "repetition")


def test_a_request_to_a_model_gets_what_it_asked_for() -> None:
    stage = Stage(plan_of())

    stage.begin()
    stage.give(Began(prompt_tokens=10))
    stage.answer(ENOUGH)

    assert stage.machine.record.status == "completed"


async def test_a_run_that_repeated_itself_is_lived_again() -> None:
    async with live_stage() as stage:
        stage.pool.play(by_turn(saying(*([LINE] * 200))))
        follower = await stage.start("go", new=BACKGROUND, agent="clerk")
        await read_all(follower)

        assert (await stage.record(follower.run)).reason == "repetition"
        replayed = await stage.service.replay(LOCAL_TENANT, follower.run)
        assert replayed.is_same, replayed.told
