from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runtime.core.agent_facts import AgentFact, AgentFailed, AgentFinished, AgentStarted, AgentWaiting
from runtime.core.events import Envelope
from runtime.core.ids import ModelId, PrincipalId, RunId
from tests.tui import laboured
from tests.tui.laboured import RUN
from tui.agency import AgentBusy, AgentDone, AgentsCame, AgentsRefused, AgentsWanted, hear_agents, tell_agents
from tui.agents import Agents, OpenRun, RunHappening, RunInfo, RunStep
from tui.following import Happened, RunChosen, RunWanted, StepsCame, tell_run
from tui.state import Trouble
from tui.timeline import entries_of, names_of
from tui.widgets.timeline import wrapped

STEPS = msgspec.convert([*laboured.steps(), *laboured.answer("word " * 30)], tuple[RunStep, ...])
OVER = msgspec.convert(laboured.run(status="completed"), RunInfo)
LIVE = msgspec.convert(laboured.run(), RunInfo)


def came(run: OpenRun, first: int, last: int, info: RunInfo = LIVE) -> StepsCame:
    return StepsCame(info=info, steps=STEPS[first:last], first=first, asked=run.want.asked)


def moved(number: int, kind: str, **more: Any) -> Happened:
    told = msgspec.convert({"happening": kind, **more}, RunHappening)
    return Happened(id=RUN, number=number, happening=told)


def opened() -> OpenRun:
    return tell_run(OpenRun(), RunChosen(id=RUN))


def known(*runs: RunInfo) -> Agents:
    wanted = tell_agents(Agents(), AgentsWanted())
    return tell_agents(wanted, AgentsCame(agents=(), runs=runs, asked=wanted.want.asked))


def hear(agents: Agents, fact: AgentFact, run: str = RUN) -> Agents:
    return hear_agents(agents, Envelope(seq=1, at=9.0, event=fact, run_id=RunId(run)))  # type: ignore[arg-type]  # facts are Events


@given(st.lists(st.tuples(st.integers(0, len(STEPS)), st.integers(0, len(STEPS))), max_size=12))
def test_whatever_pieces_come_the_steps_are_the_first_of_the_run(pieces: list[tuple[int, int]]) -> None:
    run = opened()
    for first, last in pieces:
        run = tell_run(run, came(run, first, last))
        assert run.steps == STEPS[: len(run.steps)]


@given(st.lists(st.integers(0, 8), max_size=30))
def test_a_happening_counts_once_and_in_order(numbers: list[int]) -> None:
    run = tell_run(opened(), moved(0, "item.began", item=laboured.said("") | {"parts": []}))
    for number in numbers:
        run = tell_run(run, moved(number, "text", item_id="msg_1", delta=f"{number},"))
    heard = [int(each) for each in run.growing[0].text.split(",") if each]
    assert heard == sorted(set(heard))


@given(st.permutations(["finish", "fail", "wait", "start"]))
def test_a_run_that_is_over_stays_as_it_ended(order: list[str]) -> None:
    facts: dict[str, AgentFact] = {
        "finish": AgentFinished(turns=1),
        "fail": AgentFailed(code="x", message="y"),
        "wait": AgentWaiting(),
        "start": AgentStarted(model=ModelId("m"), principal=PrincipalId("owner")),
    }
    agents = known(LIVE)
    for each in order:
        agents = hear(agents, facts[each])
    first = next(each for each in order if each in ("finish", "fail"))
    assert agents.runs[0].status == ("completed" if first == "finish" else "failed")
    later = tell_agents(agents, AgentsCame(agents=(), runs=(LIVE,), asked=agents.want.asked))
    assert later.runs == agents.runs


def test_a_message_about_another_run_changes_nothing() -> None:
    run = tell_run(opened(), RunChosen(id="run_other"))
    assert run.steps == ()
    assert tell_run(run, moved(3, "text", item_id="msg_1", delta="x")) == run
    assert tell_run(run, came(run, 0, 3)) == run


def test_steps_from_a_place_that_is_not_known_are_asked_for_again() -> None:
    run = opened()
    assert tell_run(tell_run(run, came(run, 0, 0)), came(run, 4, 6)).want.is_open


def test_what_came_about_gives_way_to_its_step_and_a_new_turn_begins_anew() -> None:
    run = tell_run(opened(), moved(0, "item.began", item=laboured.said("", identity="msg_1") | {"parts": []}))
    assert tell_run(run, moved(1, "turn")).growing == ()
    assert tell_run(run, came(run, 0, 9)).growing == ()
    done = tell_run(run, came(run, 0, 9))
    again = moved(1, "item.began", item=laboured.said("", identity="msg_1") | {"parts": []})
    assert tell_run(done, again).growing == ()


def test_an_older_record_does_not_bring_a_run_back_to_life() -> None:
    run = tell_run(opened(), came(opened(), 0, 9, OVER))
    later = tell_run(run, RunWanted())
    assert tell_run(later, came(later, 9, 9, LIVE)).info == OVER


def test_facts_before_somebody_looked_change_nothing() -> None:
    assert hear(Agents(), AgentFinished()) == Agents()
    assert hear(known(), AgentFinished(), "run_new").want.is_open


def test_a_refusal_closes_the_want_and_what_is_done_opens_it() -> None:
    agents = tell_agents(Agents(), AgentsWanted())
    refused = tell_agents(agents, AgentsRefused(trouble=Trouble(code="x", message="no")))
    assert not refused.want.is_open
    assert refused.trouble == "no"
    busy = tell_agents(refused, AgentBusy(name="clerk"))
    assert busy.busy == {"clerk"}
    assert tell_agents(busy, AgentDone(name="clerk")).want.is_open


def test_a_step_of_a_newer_server_is_shown_by_its_name() -> None:
    step = msgspec.convert({"step": "moon.seen", "at": 1.0, "phase": "full"}, RunStep)
    assert [each.head for each in entries_of(step, 0, {}, frozenset())] == ["moon.seen"]


@given(st.text(max_size=60), st.booleans())
def test_nothing_hidden_reaches_the_terminal(text: str, is_error: bool) -> None:
    for told in (laboured.opened(text), *laboured.answer(text, is_error=is_error)):
        step = msgspec.convert(told, RunStep)
        for entry in entries_of(step, 0, names_of(step), frozenset()):
            shown = entry.head + entry.lead + entry.body.replace("\n", "").replace("\t", "")
            assert "\u200b" not in shown
            assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in shown)


@given(st.text(alphabet=st.sampled_from("ab ü漢\t\n"), max_size=80), st.integers(10, 40))
def test_lines_are_never_wider_than_asked(text: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in wrapped(text, width))
