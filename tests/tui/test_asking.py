from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.events import Envelope, Event, ServerStarted
from runtime.core.ids import ApprovalId, QuestionId
from runtime.core.tool_facts import (
    ApprovalAnswered,
    ApprovalAsked,
    LinkChanged,
    LinkOpened,
    QuestionAnswered,
    QuestionAsked,
)
from tests.kit.fake_source import SMALL, server_state
from tests.tui import asked
from tui.asking import (
    AnswerRefused,
    AnswerSent,
    ApprovalsCame,
    ApprovalSettled,
    AsksRefused,
    AsksWanted,
    QuestionsCame,
    QuestionSettled,
)
from tui.reach import HISTORY, Approval, Asks, OpenQuestion, Tools, Want
from tui.state import Chat, Trouble, ViewState, is_moving
from tui.tooling import ServerBusy, ServerDone, ToolsCame, ToolsRefused, ToolsWanted
from tui.view import Arrived, Message, Snapshot, reduce

IDS = ("apr_1", "apr_2", "apr_3")
NO = Trouble(code="conflict", message="It was denied already.")


def approvals(*told: dict[str, Any]) -> tuple[Approval, ...]:
    return msgspec.convert(told, tuple[Approval, ...])


def questions(*told: dict[str, Any]) -> tuple[OpenQuestion, ...]:
    return msgspec.convert(told, tuple[OpenQuestion, ...])


def live() -> ViewState:
    return reduce(ViewState(chat=Chat(model=SMALL)), Snapshot(state=server_state(seq=0), at=1.0))


def after(view: ViewState, *messages: Message) -> ViewState:
    for message in messages:
        view = reduce(view, message)
    return view


def fact(view: ViewState, event: Event, at: float = asked.NOW) -> ViewState:
    return reduce(view, Arrived(envelope=Envelope(seq=view.seen + 1, at=at, event=event)))


def ask(identity: str) -> ApprovalAsked:
    return ApprovalAsked(approval=ApprovalId(identity), action="call_tool", resource="x", expires_at=1.0)


def end(identity: str, status: str = "approved") -> ApprovalAnswered:
    return ApprovalAnswered(approval=ApprovalId(identity), status=status, by="owner", scope="call")


def came(view: ViewState, *told: dict[str, Any]) -> ApprovalsCame:
    return ApprovalsCame(approvals=approvals(*told), asked=view.asks.approvals_want.asked)


def waiting(view: ViewState) -> list[str]:
    return [each.id for each in view.asks.approvals]


# ---- laws

_steps = st.lists(
    st.tuples(st.sampled_from(["ask", "end", "listen", "come"]), st.sampled_from(IDS)), max_size=30
)


@given(_steps)
def test_after_the_last_listing_exactly_that_waits_which_was_asked_and_not_answered(
    steps: Sequence[tuple[str, str]],
) -> None:
    """A server asks and answers; listings are taken at one moment and come at a later one."""
    view, open_ids, over, on_the_way = live(), set[str](), set[str](), list[ApprovalsCame]()
    for step, identity in steps:
        match step:
            case "ask" if identity not in open_ids | over:
                open_ids.add(identity)
                view = fact(view, ask(identity))
            case "end" if identity in open_ids:
                open_ids.discard(identity)
                over.add(identity)
                view = fact(view, end(identity))
            case "listen":
                on_the_way.append(came(view, *(asked.approval(each) for each in sorted(open_ids))))
            case "come" if on_the_way:
                view = reduce(view, on_the_way.pop(0))
        assert not set(waiting(view)) & over
        assert not {each.id for each in view.asks.history} & set(waiting(view))
        if not view.asks.approvals_want.is_open:
            assert set(waiting(view)) >= open_ids

    whole = reduce(view, came(view, *(asked.approval(each) for each in sorted(open_ids))))
    assert set(waiting(whole)) == open_ids
    assert not whole.asks.approvals_want.is_open


@given(st.integers(0, 120))
def test_the_history_is_bounded_and_the_newest_is_first(count: int) -> None:
    view = live()
    listed = [asked.approval(f"apr_{number}") for number in range(count)]
    view = reduce(view, came(view, *listed))
    for number in range(count):
        view = fact(view, end(f"apr_{number}"), at=asked.NOW + number)
    assert len(view.asks.history) == min(count, HISTORY)
    assert [each.at for each in view.asks.history] == sorted(
        (each.at for each in view.asks.history), reverse=True
    )


@given(st.lists(st.booleans(), max_size=20))
def test_a_want_is_met_only_by_what_was_asked_for_after_the_last_happening(happens: list[bool]) -> None:
    want, pending = Want(), 0
    for happened in happens:
        if happened:
            want = want.more()
        else:
            want, pending = want.met(pending), want.asked
    assert want.met(want.asked).is_open is False
    assert want.more().met(want.asked).is_open


# ---- approvals


def test_a_connection_wants_to_know_what_waits_and_what_is_over() -> None:
    view = live()
    assert view.asks.approvals_want.is_open
    assert not view.asks.questions_want.is_open
    view = reduce(view, came(view, asked.approval(), asked.answered()))
    assert waiting(view) == ["apr_1"]
    assert [(each.id, each.status, each.by) for each in view.asks.history] == [("apr_0", "approved", "owner")]
    assert is_moving(view)


def test_an_answer_from_elsewhere_moves_the_question_to_the_history() -> None:
    view = reduce(live(), came(live(), asked.approval()))
    view = fact(view, end("apr_1", "denied"))
    assert waiting(view) == []
    settled = view.asks.history[0]
    assert (settled.status, settled.by, settled.at) == ("denied", "owner", asked.NOW)
    assert settled.approval is not None
    assert settled.approval.arguments["path"] == "/home/ana/notes/a.md"


def test_ones_own_answer_is_taken_from_the_servers_reply_and_its_fact_changes_nothing() -> None:
    view = after(reduce(live(), came(live(), asked.approval())), AnswerSent(id="apr_1"))
    assert view.asks.sending == {"apr_1"}
    told = approvals(asked.answered("apr_1", note="fine"))[0]
    settled = reduce(view, ApprovalSettled(approval=told))
    assert (waiting(settled), settled.asks.sending) == ([], frozenset())
    assert settled.asks.history[0].approval == told
    assert fact(settled, end("apr_1")).asks.history == settled.asks.history


def test_a_conflict_is_told_and_the_list_is_fetched_anew() -> None:
    view = reduce(live(), came(live(), asked.approval()))
    sent = reduce(view, AnswerSent(id="apr_1"))
    refused = reduce(sent, AnswerRefused(id="apr_1", what="approve x", trouble=NO, at=2.0))
    assert refused.toasts[-1].text == "approve x: It was denied already."
    assert refused.asks.approvals_want.is_open
    assert refused.asks.sending == frozenset()


def test_a_refused_listing_is_told_and_not_tried_for_ever() -> None:
    view = reduce(live(), AsksRefused(trouble=NO))
    assert view.asks.trouble == "It was denied already."
    assert not view.asks.approvals_want.is_open
    again = fact(view, ask("apr_9"))
    assert again.asks.approvals_want.is_open
    assert reduce(again, came(again)).asks.trouble == ""


def test_what_is_asked_is_told_once_for_several_and_names_its_screen() -> None:
    view = fact(fact(live(), ask("apr_1")), ask("apr_2"))
    assert [(each.about, each.text) for each in view.toasts] == [("approvals", "You are asked: call_tool x")]
    later = fact(view, ask("apr_3"), at=asked.NOW + 60)
    assert len(later.toasts) == 2


# ---- questions of servers


def test_questions_are_fetched_only_where_a_server_has_asked_something() -> None:
    view = fact(live(), QuestionAsked(question=QuestionId("qst_1"), server="issues", expires_at=9.0))
    assert view.asks.questions_want.is_open
    view = reduce(view, QuestionsCame(questions=questions(asked.question()), asked=1))
    assert [each.id for each in view.asks.questions] == ["qst_1"]
    assert view.toasts[-1].text == "issues asks you something"

    over = fact(view, QuestionAnswered(question=QuestionId("qst_1"), server="issues", action="expired"))
    assert over.asks.questions == ()
    assert [(each.id, each.status) for each in over.asks.history] == [("qst_1", "expired")]
    late = reduce(over, QuestionsCame(questions=questions(asked.question()), asked=1))
    assert late.asks.questions == ()


def test_questions_end_with_their_answer_and_with_their_server() -> None:
    view = reduce(live(), QuestionsCame(questions=questions(asked.question()), asked=0))
    answered = reduce(view, QuestionSettled(id="qst_1", action="accept", at=3.0))
    assert (answered.asks.questions, answered.asks.history[0].status) == ((), "accept")
    assert fact(view, ServerStarted(version="2", address="x")).asks.questions == ()


def test_the_person_can_want_all_of_it_anew() -> None:
    view = reduce(ViewState(chat=Chat(model=SMALL)), AsksWanted())
    assert view.asks.approvals_want.is_open
    assert view.asks.questions_want.is_open


def test_another_history_begins_with_nothing_that_waits() -> None:
    view = reduce(live(), came(live(), asked.approval()))
    seen = fact(view, LinkOpened(server="files", protocol="x", tools=1))
    other = reduce(msgspec.structs.replace(seen, seen=99), Snapshot(state=server_state(seq=3), at=2.0))
    assert other.asks == Asks(approvals_want=Want(asked=1))


# ---- tools


def test_servers_are_listed_once_somebody_looks_and_again_when_they_change() -> None:
    opened = LinkOpened(server="files", protocol="2025-11-25", tools=3)
    view = fact(live(), opened)
    assert not view.tools.want.is_open
    view = reduce(view, ToolsWanted())
    assert view.tools.want.is_open
    view = reduce(view, ToolsCame(servers=(), changes=(), asked=1))
    assert not view.tools.want.is_open
    assert fact(view, opened).tools.want.is_open


def test_a_server_is_busy_while_something_is_done_with_it() -> None:
    view = reduce(live(), ServerBusy(name="files"))
    assert view.tools.busy == {"files"}
    done = reduce(view, ServerDone(name="files"))
    assert (done.tools.busy, done.tools.want.is_open) == (frozenset(), True)


def test_servers_that_cannot_be_listed_are_told() -> None:
    view = after(live(), ToolsWanted(), ToolsRefused(trouble=NO))
    assert view.tools == Tools(want=Want(asked=1, had=1), trouble=NO.message)


def test_a_tool_that_changed_is_told_with_the_screen_that_shows_it() -> None:
    view = fact(live(), LinkChanged(server="files", changed=("read_file",)))
    assert (view.toasts[-1].about, view.toasts[-1].level) == ("tools", "warn")
