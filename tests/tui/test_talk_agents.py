"""Laws of a conversation with an agent: nothing that the person says is lost, whatever comes when."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.ids import ModelId
from tests.tui import laboured
from tui.agents import RunHappening, RunInfo, RunStep
from tui.following import FollowLost, Happened, RunRefused, StepsCame
from tui.state import OPEN, Chat, Trouble, ViewState, due
from tui.talk_agents import (
    AgentChosen,
    AsideRefused,
    AsideSent,
    AsideTaken,
    RunBegun,
    SessionTold,
    StopAsked,
    StopSent,
    agent_at_work,
    due_aside,
    due_stop,
)
from tui.view import Asked, Cleared, Sent, reduce

STATUSES = ("queued", "in_progress", "waiting", "completed", "incomplete", "failed", "cancelled")


def info(status: str) -> RunInfo:
    return msgspec.convert(laboured.run(status=status), RunInfo)


def step(told: dict[str, Any]) -> RunStep:
    return msgspec.convert(told, RunStep)


def heard(text: str) -> RunStep:
    said = laboured.said(text, "user", f"msg_{text}")
    return step({"step": "items.added", "at": 1.0, "items": [said]})


def at_work() -> ViewState:
    """Return a conversation whose agent is at work on its first question."""
    view = ViewState(chat=Chat(model=ModelId("m")))
    for message in (
        AgentChosen(name="clerk"),
        Asked(text="first"),
        Sent(id=1, at=1.0),
        RunBegun(exchange=1, info=info("in_progress")),
    ):
        view = reduce(view, message)
    return view


def said_in(view: ViewState) -> list[str]:
    """Return everything that the person has said, wherever it stands."""
    found: list[str] = []
    for each in view.chat.exchanges:
        found.append(each.question)
        found += [aside.text for aside in each.asides]
        for told in each.run.steps:
            found += [item.words for item in told.items if item.role == "user"]
    return found


moves = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 99)),
    st.tuples(st.just("sent"), st.integers(2, 8)),
    st.tuples(st.just("taken"), st.integers(2, 8)),
    st.tuples(st.just("refused"), st.integers(2, 8)),
    st.tuples(st.just("heard"), st.integers(2, 8)),
    st.tuples(st.just("status"), st.integers(0, len(STATUSES) - 1)),
    st.tuples(st.just("stop"), st.just(0)),
    st.tuples(st.just("lost"), st.just(0)),
    st.tuples(st.just("away"), st.just(0)),
)


def follow(view: ViewState, move: tuple[str, int]) -> ViewState:
    kind, value = move
    run = view.chat.exchanges[0].run
    match kind:
        case "ask":
            return reduce(view, Asked(text=f"word {view.chat.next_id} {value}"))
        case "sent":
            return reduce(view, AsideSent(exchange=1, aside=value))
        case "taken":
            return reduce(view, AsideTaken(exchange=1, aside=value))
        case "refused":
            return reduce(view, AsideRefused(exchange=1, aside=value))
        case "heard":
            aside = next((each for each in view.chat.exchanges[0].asides if each.id == value), None)
            steps = (heard(aside.text),) if aside is not None else ()
            current = run.info or info("in_progress")
            return reduce(
                view, StepsCame(info=current, steps=steps, first=len(run.steps), asked=run.want.asked)
            )
        case "status":
            came = StepsCame(info=info(STATUSES[value]), steps=(), first=len(run.steps), asked=run.want.asked)
            return reduce(view, came)
        case "stop":
            return reduce(view, StopAsked(exchange=1))
        case "lost":
            return reduce(view, FollowLost(id=laboured.RUN, reason="reset"))
        case _:
            trouble = Trouble(code="unreachable", message="nothing answers")
            return reduce(view, RunRefused(id=laboured.RUN, trouble=trouble))


@given(st.lists(moves, max_size=30))
def test_nothing_that_the_person_says_is_lost(path: list[tuple[str, int]]) -> None:
    view, written = at_work(), ["first"]
    for move in path:
        count = view.chat.next_id
        view = follow(view, move)
        if move[0] == "ask":
            written.append(f"word {count} {move[1]}")
        assert sorted(said_in(view)) == sorted(written)


@given(st.lists(moves, max_size=30))
def test_at_most_one_exchange_is_open_and_only_an_open_one_is_talked_to(path: list[tuple[str, int]]) -> None:
    view = at_work()
    for move in path:
        view = follow(view, move)
        assert sum(each.status in OPEN for each in view.chat.exchanges) <= 1
        first = view.chat.exchanges[0]
        if first.status not in OPEN:
            assert agent_at_work(view.chat) is None
            assert due_aside(view.chat) is None
            assert due_stop(view.chat) is None
            assert first.asides == ()


@given(st.lists(moves, max_size=30))
def test_the_exchanges_stand_in_the_order_in_which_they_were_said(path: list[tuple[str, int]]) -> None:
    view = at_work()
    for move in path:
        view = follow(view, move)
        ids = [each.id for each in view.chat.exchanges]
        assert ids == sorted(set(ids))


def test_words_in_between_are_said_one_after_the_other() -> None:
    view = reduce(reduce(at_work(), Asked(text="a")), Asked(text="b"))
    exchange, aside = due_aside(view.chat) or (None, None)
    assert exchange is not None
    assert aside is not None
    assert aside.text == "a"
    view = reduce(view, AsideSent(exchange=1, aside=aside.id))
    assert due_aside(view.chat) is None
    view = reduce(view, AsideTaken(exchange=1, aside=aside.id))
    following = due_aside(view.chat)
    assert following is not None
    assert following[1].text == "b"


def test_a_stop_that_is_asked_before_the_run_is_known_is_sent_once_it_is() -> None:
    view = ViewState(chat=Chat(model=ModelId("m")))
    for message in (
        AgentChosen(name="clerk"),
        Asked(text="first"),
        Sent(id=1, at=1.0),
        StopAsked(exchange=1),
    ):
        view = reduce(view, message)
    assert due_stop(view.chat) is None
    view = reduce(view, RunBegun(exchange=1, info=info("in_progress")))
    stop = due_stop(view.chat)
    assert stop is not None
    assert stop.run.id == laboured.RUN
    assert due_stop(reduce(view, StopSent(exchange=1)).chat) is None


def test_a_message_to_a_model_waits_for_the_agent_at_work() -> None:
    view = reduce(at_work(), AgentChosen(name="other"))
    view = reduce(view, Asked(text="for the other"))
    assert [each.agent for each in view.chat.queued] == ["other"]
    assert due(view) is None


def test_happenings_of_other_runs_change_nothing() -> None:
    view = at_work()
    told = msgspec.convert({"happening": "turn"}, RunHappening)
    assert reduce(view, Happened(id="run_other", number=0, happening=told)).chat is view.chat


def test_a_conversation_that_comes_after_a_new_chat_has_begun_is_not_its_own() -> None:
    view = ViewState(chat=Chat(model=ModelId("m")))
    for message in (AgentChosen(name="clerk"), Asked(text="first"), Sent(id=1, at=1.0)):
        view = reduce(view, message)
    assert reduce(view, SessionTold(id="conv_1", told=1)).chat.session == "conv_1"
    cleared = reduce(view, Cleared())
    assert reduce(cleared, SessionTold(id="conv_1", told=1)).chat.session == ""
    assert reduce(cleared, RunBegun(exchange=1, info=info("in_progress"))).chat.exchanges == ()
