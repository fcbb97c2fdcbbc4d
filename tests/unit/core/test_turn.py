"""The run machine: each way through it, and its laws under any order of inputs."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.commands import CancelSeq, Close, Emit, Enter, Place, Publish, Submit, Todo
from runtime.core.errors import Fault
from runtime.core.events import (
    RUN_TERMINAL,
    Event,
    RunAdmitted,
    RunCancelled,
    RunFailed,
    RunFinished,
    RunQueued,
    RunRejected,
    RunRequested,
    RunStarted,
    SeqDelta,
    SeqFailed,
    SeqFinished,
    SeqStarted,
    SeqSubmitted,
    TurnFinished,
    TurnStarted,
)
from runtime.core.ids import ModelId, PrincipalId, WorkerId
from runtime.core.messages import Began, Broke, Delta, Ended, Output, Usage
from runtime.core.turn import (
    MERGE_S,
    Admitted,
    Begin,
    CancelAsked,
    GraceOver,
    Queued,
    Refused,
    Resident,
    Told,
    Turn,
    Yielded,
)

REQUESTED = RunRequested(
    model=ModelId("m"), route="chat", principal=PrincipalId("local"), choices=1, is_stream=True
)
WORKER = WorkerId("wrk_1")
FAULT = Fault(code="worker_died", message="gone")


def running(choices: int = 1) -> Turn:
    turn = Turn(choices)
    for told in (Begin(requested=REQUESTED), Admitted(), Resident(worker=WORKER)):
        turn.handle(told, 0.0)
    return turn


def yielded(output: Output, index: int = 0) -> Yielded:
    return Yielded(index=index, output=output)


def test_a_run_that_waits_and_answers_tells_each_step_once() -> None:
    turn = Turn(1)
    usage = Usage(prompt_tokens=3, completion_tokens=1)
    began, delta, ended = Began(prompt_tokens=3), Delta(text="hi"), Ended(reason="stop", usage=usage)

    assert turn.handle(Begin(requested=REQUESTED), 0.0) == [Publish(event=REQUESTED), Enter()]
    assert turn.handle(Queued(position=2), 0.0) == [Publish(event=RunQueued(position=2))]
    assert turn.handle(Admitted(), 1.5) == [Publish(event=RunAdmitted(waited_s=1.5)), Place()]
    assert turn.handle(Resident(worker=WORKER), 2.0) == [
        Publish(event=RunStarted(worker=WORKER)),
        Publish(event=TurnStarted(turn=0)),
        Publish(event=SeqSubmitted(index=0)),
        Submit(index=0),
    ]
    assert turn.handle(yielded(began), 2.0) == [
        Publish(event=SeqStarted(index=0, prompt_tokens=3)),
        Emit(index=0, output=began),
    ]
    assert turn.handle(yielded(delta), 2.1) == [Emit(index=0, output=delta)]
    finished = SeqFinished(
        index=0,
        reason="stop",
        usage=usage,
        text="hi",
        tool_calls=(),
        first_token_s=0.10000000000000009,
        duration_s=1.0,
    )
    assert turn.handle(yielded(ended), 3.0) == [
        Publish(event=SeqDelta(index=0, text="hi", tokens=1)),
        Publish(event=finished),
        Emit(index=0, output=ended),
        Publish(event=TurnFinished(turn=0)),
        Publish(event=RunFinished(usage=usage)),
        Close(),
    ]


def test_deltas_are_merged_on_the_bus_but_whole_on_the_stream() -> None:
    turn = running()

    first = turn.handle(yielded(Delta(text="a")), 0.0)
    second = turn.handle(yielded(Delta(text="b")), MERGE_S)

    assert first == [Emit(index=0, output=Delta(text="a"))]
    assert second == [
        Emit(index=0, output=Delta(text="b")),
        Publish(event=SeqDelta(index=0, text="ab", tokens=2)),
    ]


def test_a_refused_run_ends_rejected_and_says_why() -> None:
    turn = Turn(1)
    turn.handle(Begin(requested=REQUESTED), 0.0)

    assert turn.handle(Refused(fault=FAULT), 0.0) == [
        Publish(event=RunRejected(code="worker_died", message="gone")),
        Close(fault=FAULT),
    ]


def test_a_broken_choice_stops_its_siblings_and_fails_the_run() -> None:
    turn = running(choices=2)

    todo = turn.handle(yielded(Broke(fault=FAULT), index=1), 1.0)
    after = turn.handle(yielded(Ended(reason="cancelled", usage=Usage()), index=0), 1.0)

    assert todo == [Publish(event=SeqFailed(index=1, code="worker_died", message="gone")), CancelSeq(index=0)]
    assert after[-2:] == [Publish(event=RunFailed(code="worker_died", message="gone")), Close(fault=FAULT)]


def test_a_cancelled_run_waits_for_the_true_counts_and_emits_nothing_more() -> None:
    turn = running()

    asked = turn.handle(CancelAsked(reason="the client left"), 1.0)
    late = turn.handle(yielded(Delta(text="late")), 1.0)
    ended = turn.handle(yielded(Ended(reason="cancelled", usage=Usage(completion_tokens=1))), 1.0)

    assert asked == [CancelSeq(index=0)]
    assert not any(isinstance(todo, Emit) for todo in late)
    assert ended[-2:] == [Publish(event=RunCancelled(reason="the client left")), Close()]


def test_a_worker_that_never_confirms_a_stop_does_not_hold_the_run() -> None:
    turn = running()
    turn.handle(CancelAsked(reason="x"), 1.0)

    todo = turn.handle(GraceOver(), 6.0)

    assert todo[-2:] == [Publish(event=RunCancelled(reason="x")), Close()]


def test_choices_share_the_prompt_in_the_total() -> None:
    turn = running(choices=2)
    usage = Usage(prompt_tokens=10, completion_tokens=5)

    turn.handle(yielded(Ended(reason="stop", usage=usage), index=0), 1.0)
    todo = turn.handle(yielded(Ended(reason="stop", usage=usage), index=1), 1.0)

    assert Publish(event=RunFinished(usage=Usage(prompt_tokens=10, completion_tokens=10))) in todo


outputs = st.sampled_from(
    [
        Began(prompt_tokens=2),
        Delta(text="a"),
        Delta(text="b", tokens=2),
        Ended(reason="stop", usage=Usage(completion_tokens=1)),
        Ended(reason="cancelled", usage=Usage()),
        Broke(fault=FAULT),
    ]
)
inputs: st.SearchStrategy[Told] = st.one_of(
    st.just(Begin(requested=REQUESTED)),
    st.just(Queued(position=1)),
    st.just(Admitted()),
    st.just(Refused(fault=FAULT)),
    st.just(Resident(worker=WORKER)),
    st.builds(Yielded, index=st.integers(0, 3), output=outputs),
    st.just(CancelAsked(reason="x")),
    st.just(GraceOver()),
)
# Mostly runs that get somewhere, then anything.
journeys = st.tuples(
    st.lists(inputs, max_size=2),
    st.just([Begin(requested=REQUESTED), Admitted(), Resident(worker=WORKER)]),
    st.lists(inputs, max_size=30),
).map(lambda parts: [told for part in parts for told in part])


def published(todos: list[Todo]) -> list[Event]:
    return [todo.event for todo in todos if isinstance(todo, Publish)]


@given(choices=st.integers(1, 3), journey=journeys)
def test_laws_of_a_run_hold_under_any_order_of_inputs(choices: int, journey: list[Told]) -> None:
    turn = Turn(choices)
    todos: list[Todo] = []
    for told in [*journey, CancelAsked(reason="end"), GraceOver()]:
        todos += turn.handle(told, 0.0)
        turn.check_integrity()

    facts = published(todos)
    terminals = [fact for fact in facts if isinstance(fact, RUN_TERMINAL)]
    assert len(terminals) == 1
    assert facts[-1] is terminals[0]
    assert sum(isinstance(todo, Close) for todo in todos) == 1
    assert isinstance(todos[-1], Close)
    for index in range(choices):
        submitted = sum(fact == SeqSubmitted(index=index) for fact in facts)
        ended = [fact for fact in facts if isinstance(fact, SeqFinished | SeqFailed) and fact.index == index]
        assert len(ended) == submitted <= 1
        if ended:
            after = facts[facts.index(ended[0]) + 1 :]
            assert not any(isinstance(fact, SeqDelta | SeqStarted) and fact.index == index for fact in after)


@given(
    texts=st.lists(st.text(max_size=5), max_size=20),
    steps=st.lists(st.floats(0, 0.3), min_size=20, max_size=20),
)
def test_merged_facts_carry_the_whole_text_in_order(texts: list[str], steps: list[float]) -> None:
    turn = running()
    now, todos = 0.0, []
    for text, step in zip(texts, steps, strict=False):
        now += step
        todos += turn.handle(yielded(Delta(text=text)), now)
    todos += turn.handle(yielded(Ended(reason="stop", usage=Usage(completion_tokens=len(texts)))), now)

    facts = published(todos)
    finished = next(fact for fact in facts if isinstance(fact, SeqFinished))
    assert "".join(fact.text for fact in facts if isinstance(fact, SeqDelta)) == "".join(texts)
    assert finished.text == "".join(texts)
    assert sum(fact.tokens for fact in facts if isinstance(fact, SeqDelta)) == len(texts)
