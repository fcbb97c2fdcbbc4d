from collections.abc import Iterable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.events import (
    BackendInstalling,
    BusLagged,
    Envelope,
    Event,
    ModelFailed,
    ModelInstalled,
    ModelInstalling,
    ModelLoaded,
    ModelLoading,
    Progress,
    RunFinished,
    RunQueued,
    RunRequested,
    RunStarted,
    SeqDelta,
    ServerStarted,
    WorkerExited,
)
from runtime.core.ids import ModelId, PrincipalId, RunId, WorkerId
from runtime.core.messages import Usage
from runtime.core.states import ServerState
from tests.kit.fake_source import OTHER, SMALL, model_state, server_state
from tests.tui.facts import facts, histories, struct
from tui.ports import ChatDone, ChatFailed, ChatReasoning, ChatStarted, ChatText
from tui.state import Chat, ViewState, conversation, due, find_model, last_answer, live_rate, wanted_install
from tui.view import (
    ROWS,
    ActionFailed,
    Arrived,
    Asked,
    Came,
    Cleared,
    InstallAnswered,
    InstallAsked,
    LinkDropped,
    Message,
    ModelChosen,
    Sent,
    Snapshot,
    Stopped,
    Withdrawn,
    reduce,
)

RUN = RunId("run_a")
WORKER = WorkerId("wrk_1")


def after(view: ViewState, *messages: Message) -> ViewState:
    for message in messages:
        view = reduce(view, message)
    return view


def empty() -> ViewState:
    return ViewState(chat=Chat(model=SMALL))


def live(*models: object, seq: int = 0) -> ViewState:
    state = server_state(*models, seq=seq)  # type: ignore[arg-type]  # ModelStates
    return reduce(empty(), Snapshot(state=state, at=1.0))


def fact(seq: int, event: Event, run_id: RunId | None = None, at: float = 0.0) -> Arrived:
    return Arrived(envelope=Envelope(seq=seq, at=at, event=event, run_id=run_id))


def requested(model: ModelId = SMALL) -> RunRequested:
    principal = PrincipalId("owner")
    return RunRequested(model=model, route="/v1/x", principal=principal, choices=1, is_stream=True)


def replayed(view: ViewState, history: Iterable[Envelope]) -> ViewState:
    return after(view, *(Arrived(envelope=each) for each in history))


# ---- laws


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_kind_of_fact_gives_a_row_and_moves_on_what_was_seen(kind: type) -> None:
    @given(struct(kind))
    def law(event: Event) -> None:
        view = reduce(live(), fact(7, event, RUN))
        assert view.seen == 7
        assert view.rows[-1].kind == event.__struct_config__.tag
        assert "\x1b" not in view.rows[-1].text + view.rows[-1].subject
        assert "\n" not in view.rows[-1].text

    law()


@given(histories())
def test_replaying_the_same_facts_gives_the_same_view(history: list[Envelope]) -> None:
    assert replayed(live(), history) == replayed(live(), history)


@given(histories(), st.data())
def test_facts_that_come_again_change_nothing(history: list[Envelope], data: st.DataObject) -> None:
    view = replayed(live(), history)
    again = data.draw(st.lists(st.sampled_from(history), max_size=10)) if history else []
    assert replayed(view, again) == view


@given(histories(), st.integers(0, 30))
def test_a_reconnect_that_repeats_facts_gives_the_view_of_one_long_connection(
    history: list[Envelope], cut: int
) -> None:
    whole = replayed(live(), history)
    repeated = replayed(replayed(live(), history[:cut]), history)
    assert repeated == whole


@given(histories())
def test_rows_are_ordered_and_only_runs_that_were_asked_for_are_live(history: list[Envelope]) -> None:
    view = replayed(live(), history)
    assert [row.seq for row in view.rows] == sorted({row.seq for row in view.rows})
    assert len({run.id for run in view.runs}) == len(view.runs)
    assert sum(row.count for row in view.rows) == len(history)


@given(st.lists(facts, max_size=20))
def test_facts_older_than_the_snapshot_say_nothing_about_models(events: list[Event]) -> None:
    view = live(model_state(), seq=1000)
    older = after(view, *(fact(seq, event) for seq, event in enumerate(events, 1)))
    assert older.models == view.models
    assert older.toasts == view.toasts


# ---- models, backends, runs


def test_an_install_goes_from_progress_to_installed_to_loaded() -> None:
    progress = Progress(phase="fetching", done=1, total=4, unit="bytes")
    installing = reduce(
        live(model_state(stage="available")), fact(1, ModelInstalling(model=SMALL, progress=progress))
    )
    assert installing.models[0].stage == "installing"
    assert installing.models[0].progress == progress

    installed = reduce(installing, fact(2, ModelInstalled(model=SMALL, duration_s=9)))
    assert (installed.models[0].stage, installed.models[0].progress) == ("installed", None)
    assert installed.toasts[-1].level == "good"

    loading = reduce(installed, fact(3, ModelLoading(model=SMALL, worker=WORKER, fraction=0.5)))
    assert loading.models[0].stage == "loading"

    loaded = reduce(
        loading, fact(4, ModelLoaded(model=SMALL, worker=WORKER, context_tokens=99, duration_s=1))
    )
    assert (loaded.models[0].stage, loaded.models[0].context_tokens) == ("loaded", 99)


def test_a_failed_load_leaves_its_words_with_the_model() -> None:
    failed = ModelFailed(model=SMALL, stage="load", code="insufficient_memory", message="Needs 9 GB.")
    view = reduce(live(), fact(1, failed))
    assert view.models[0].stage == "broken"
    assert view.models[0].fault is not None
    assert view.models[0].fault.message == "Needs 9 GB."
    assert view.toasts[-1].level == "bad"


def test_an_unexpected_end_of_a_worker_is_told_and_takes_the_model_out_of_memory() -> None:
    gone = WorkerExited(worker=WORKER, model=SMALL, returncode=-9, is_expected=False, last_words="killed")
    view = reduce(live(), fact(1, gone))
    assert view.models[0].stage == "installed"
    assert "died" in view.toasts[-1].text


def test_a_run_lives_from_its_request_to_its_end_and_tells_its_speed() -> None:
    view = after(
        live(),
        fact(1, requested(), RUN, at=10),
        fact(2, RunQueued(position=2), RUN, at=10),
        fact(3, RunStarted(worker=WORKER), RUN, at=11),
        fact(4, SeqDelta(index=0, text="a", tokens=5), RUN, at=12),
        fact(5, SeqDelta(index=0, text="b", tokens=20), RUN, at=14),
    )
    assert [(run.id, run.phase, run.tokens, run.rate) for run in view.runs] == [(RUN, "answering", 25, 10.0)]
    assert reduce(view, fact(6, RunFinished(usage=Usage()), RUN)).runs == ()


def test_a_server_that_starts_again_has_no_runs_of_before() -> None:
    view = after(live(), fact(1, requested(), RUN), fact(2, ServerStarted(version="2", address="x")))
    assert view.runs == ()


def test_a_snapshot_ends_runs_whose_end_was_missed() -> None:
    view = after(live(), fact(1, requested(), RUN), fact(5, requested(), RunId("run_b")))
    known = reduce(view, Snapshot(state=server_state(seq=5), at=2.0))
    assert known.runs == ()
    busy = server_state(model_state(running=1), seq=5)
    assert len(reduce(view, Snapshot(state=busy, at=2.0)).runs) == 2


def test_a_snapshot_with_smaller_numbers_begins_another_history() -> None:
    view = reduce(live(), fact(100, requested(), RUN))
    other = reduce(view, Snapshot(state=server_state(seq=3), at=2.0))
    assert (other.seen, other.rows, other.runs) == (0, (), ())
    assert reduce(other, fact(4, requested(), RUN)).seen == 4


def test_lost_facts_make_the_view_stale_until_the_next_snapshot() -> None:
    lagged = BusLagged(subscriber="sse", first_seq=1, last_seq=3, dropped=3)
    view = reduce(live(), fact(3, lagged))
    assert view.is_stale
    assert not reduce(view, Snapshot(state=server_state(seq=3), at=2.0)).is_stale


def test_progress_of_one_job_shares_a_row() -> None:
    steps = [
        BackendInstalling(backend="llama.cpp", progress=Progress(phase="p", done=n, total=9))
        for n in range(5)
    ]
    view = after(live(), *(fact(seq, step) for seq, step in enumerate(steps, 1)))
    assert [(row.count, row.text) for row in view.rows] == [(5, "p 44 % · 4/9")]


def test_rows_are_bounded() -> None:
    view = after(live(), *(fact(seq, requested(), RUN) for seq in range(1, ROWS + 50)))
    assert len(view.rows) == ROWS
    assert view.rows[-1].seq == ROWS + 49


# ---- the link


def test_a_lost_link_keeps_its_age_over_several_attempts() -> None:
    view = after(
        live(),
        LinkDropped(reason="gone", at=5.0, retry_at=6.0),
        LinkDropped(reason="gone", at=6.0, retry_at=8.0),
    )
    assert (view.link.phase, view.link.since, view.link.retry_at) == ("lost", 5.0, 8.0)
    assert reduce(view, Snapshot(state=server_state(), at=9.0)).link.phase == "live"


def test_the_first_snapshot_picks_the_default_model_where_none_was_named() -> None:
    view = ViewState(chat=Chat(model=ModelId("")))
    asked = reduce(view, Asked(text="hi"))
    state = server_state(model_state(OTHER), model_state(SMALL))
    known = reduce(asked, Snapshot(state=state, at=1.0))
    assert known.chat.model == SMALL
    assert known.chat.exchanges[0].model == SMALL


# ---- the chat


def test_a_question_is_queued_sent_answered_and_done() -> None:
    view = reduce(live(), Asked(text="  why?  "))
    question = due(view)
    assert question is not None
    assert (question.question, question.status) == ("why?", "queued")

    view = reduce(view, Sent(id=question.id, at=10.0))
    assert due(view) is None

    view = after(
        view,
        Came(id=1, piece=ChatStarted(run_id=RUN), at=10.1),
        Came(id=1, piece=ChatReasoning(text="hm"), at=10.5),
        Came(id=1, piece=ChatText(text="be"), at=12.5),
        Came(id=1, piece=ChatText(text="cause"), at=14.5),
    )
    exchange = view.chat.exchanges[0]
    assert (exchange.answer, exchange.reasoning, exchange.status) == ("because", "hm", "streaming")
    assert (exchange.first_token_s, exchange.thought_s, exchange.rate) == (0.5, 2.0, 0.5)

    usage = Usage(prompt_tokens=3, completion_tokens=9)
    done = reduce(view, Came(id=1, piece=ChatDone(usage=usage, finish_reason="stop", seconds=4.6), at=14.6))
    assert (done.chat.exchanges[0].status, done.chat.exchanges[0].rate) == ("done", 2.0)
    assert reduce(done, Came(id=1, piece=ChatText(text="late"), at=15.0)) == done


def test_the_speed_of_an_answer_is_the_servers_count_while_its_run_lives() -> None:
    view = after(
        live(),
        Asked(text="q"),
        Sent(id=1, at=0.0),
        Came(id=1, piece=ChatStarted(run_id=RUN), at=0.0),
        fact(1, requested(), RUN, at=0),
        fact(2, SeqDelta(index=0, text="", tokens=1), RUN, at=1),
        fact(3, SeqDelta(index=0, text="", tokens=50), RUN, at=2),
    )
    assert live_rate(view, view.chat.exchanges[0]) == 50.0


def test_questions_wait_for_the_one_that_is_being_answered() -> None:
    view = after(live(), Asked(text="one"), Asked(text="two"), Sent(id=1, at=0.0))
    assert due(view) is None
    done = reduce(view, Came(id=1, piece=ChatDone(usage=None, finish_reason="stop", seconds=1), at=1.0))
    following = due(done)
    assert following is not None
    assert following.question == "two"


def test_questions_wait_for_the_model_and_for_the_server() -> None:
    waiting = reduce(live(model_state(stage="installing")), Asked(text="q"))
    assert due(waiting) is None
    assert due(reduce(waiting, fact(1, ModelInstalled(model=SMALL, duration_s=1)))) is not None
    assert due(reduce(empty(), Asked(text="q"))) is None


def test_a_refusal_that_means_not_yet_puts_the_question_back_a_few_times() -> None:
    view = reduce(live(), Asked(text="q"))
    installing = ChatFailed(code="model_installing", message="Wait.")
    for _ in range(3):
        view = after(view, Sent(id=1, at=0.0), Came(id=1, piece=installing, at=1.0))
        assert view.chat.exchanges[0].status == "queued"
        assert view.is_stale
        assert due(view) is None
        view = reduce(view, Snapshot(state=server_state(), at=2.0))

    view = after(view, Sent(id=1, at=0.0), Came(id=1, piece=installing, at=1.0))
    assert view.chat.exchanges[0].status == "failed"


def test_a_failed_answer_keeps_the_words_and_leaves_the_history() -> None:
    failed = ChatFailed(code="worker_died", message="It died.\x1b[0m")
    view = after(
        live(),
        Asked(text="one"),
        Sent(id=1, at=0.0),
        Came(id=1, piece=ChatText(text="par"), at=0.5),
        Came(id=1, piece=failed, at=1.0),
        Asked(text="two"),
    )
    broken, following = view.chat.exchanges
    assert broken.trouble is not None
    assert broken.trouble.message == "It died.�[0m"
    assert [each.content for each in conversation(view.chat, following)] == ["two"]


def test_a_stopped_answer_stays_and_is_part_of_the_conversation() -> None:
    view = after(
        live(),
        Asked(text="one"),
        Sent(id=1, at=0.0),
        Came(id=1, piece=ChatText(text="half"), at=0.5),
        Stopped(id=1, at=1.0),
        Asked(text="two"),
    )
    assert view.chat.exchanges[0].status == "stopped"
    assert last_answer(view.chat) == "half"
    sent = conversation(view.chat, view.chat.exchanges[1])
    assert [(each.role, each.content) for each in sent] == [
        ("user", "one"),
        ("assistant", "half"),
        ("user", "two"),
    ]


def test_a_queued_question_can_be_taken_back_and_a_sent_one_cannot() -> None:
    view = after(live(), Asked(text="one"), Asked(text="two"), Sent(id=1, at=0.0))
    assert [each.id for each in reduce(view, Withdrawn(id=2)).chat.exchanges] == [1]
    assert reduce(view, Withdrawn(id=1)).chat == view.chat


def test_a_new_chat_is_empty_and_ids_are_never_used_again() -> None:
    view = after(live(), Asked(text="one"), Cleared(), Asked(text="two"))
    assert [each.id for each in view.chat.exchanges] == [2]


def test_blank_questions_change_nothing() -> None:
    assert reduce(live(), Asked(text=" \n ")) == live()


def test_another_model_takes_over_what_waits() -> None:
    view = after(live(), Asked(text="q"), ModelChosen(model=OTHER))
    assert (view.chat.model, view.chat.exchanges[0].model) == (OTHER, OTHER)


def test_the_chats_own_model_is_installed_once_without_being_asked() -> None:
    view = live(model_state(stage="available"))
    assert wanted_install(view) == SMALL
    assert wanted_install(reduce(view, InstallAsked(model=SMALL))) is None
    assert wanted_install(empty()) is None
    assert wanted_install(live()) is None


def test_the_answer_to_an_install_never_overtakes_a_newer_fact() -> None:
    answered = InstallAnswered(model=model_state(stage="installing"))
    assert reduce(live(model_state(stage="available")), answered).models[0].stage == "installing"
    assert reduce(live(model_state(stage="loaded")), answered).models[0].stage == "loaded"


def test_a_refused_action_is_told() -> None:
    from tui.state import Trouble

    view = reduce(
        live(), ActionFailed(wanted="unload x", trouble=Trouble(code="c", message="No such model."), at=1.0)
    )
    assert view.toasts[-1].text == "unload x: No such model."


def test_a_model_is_found_by_its_id() -> None:
    view = live(model_state(OTHER), model_state(SMALL))
    found = find_model(view, OTHER)
    assert found is not None
    assert found.id == OTHER
    assert find_model(view, ModelId("none")) is None
    assert isinstance(server_state(), ServerState)
