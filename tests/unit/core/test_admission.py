"""Admission: places are never oversold, priorities come first, and nobody is held up by a crowd."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.admission import Admission, Granted, Waiting
from runtime.core.errors import Fault
from runtime.core.ids import RunId
from runtime.core.messages import Priority

RANKS = {name: rank for rank, name in enumerate(get_args(Priority))}
priorities: st.SearchStrategy[Priority] = st.sampled_from(get_args(Priority))
principals = st.sampled_from(("ann", "bob", "cid"))
waiters = st.lists(st.tuples(priorities, principals), max_size=24)


def fill(admission: Admission, asks: list[tuple[Priority, str]]) -> dict[RunId, tuple[Priority, str]]:
    """Let these wait behind a run that holds the only place; return them in order of arrival."""
    assert admission.ask(RunId("first"), 0.0) == Granted()
    runs = {RunId(str(number)): asked for number, asked in enumerate(asks)}
    for run, (priority, principal) in runs.items():
        assert isinstance(admission.ask(run, 0.0, priority, principal), Waiting)
    return runs


def drain(admission: Admission) -> list[RunId]:
    """Let one run after the other end; return the order in which the queue was served."""
    order: list[RunId] = []
    holder = RunId("first")
    while granted := admission.leave(holder, 1.0):
        (holder,) = granted
        order.append(holder)
    return order


@given(
    capacity=st.integers(1, 3),
    queue_limit=st.integers(0, 3),
    moves=st.lists(st.tuples(st.booleans(), st.integers(0, 5), priorities, principals), max_size=60),
)
def test_places_are_never_oversold_and_come_back_when_nobody_lives(
    capacity: int, queue_limit: int, moves: list[tuple[bool, int, Priority, str]]
) -> None:
    admission = Admission(capacity, queue_limit)
    running: set[RunId] = set()
    queue: set[RunId] = set()
    for is_asking, number, priority, principal in moves:
        run = RunId(str(number))
        if is_asking and run not in running and run not in queue:
            match admission.ask(run, 0.0, priority, principal):
                case Granted():
                    running.add(run)
                case Waiting(position=position):
                    queue.add(run)
                    assert 1 <= position <= len(queue)
                case Fault(code=code):
                    assert code == "queue_full"
                    assert len(queue) == queue_limit
        elif not is_asking:
            running.discard(run)
            queue.discard(run)
            for granted in admission.leave(run, 1.0):
                queue.remove(granted)
                running.add(granted)
        assert len(running) == admission.running <= capacity
        assert len(queue) == admission.waiting <= queue_limit
        assert not queue or len(running) == capacity, "nobody waits beside a free place"

    for run in [*running, *queue]:
        admission.leave(run, 2.0)
    assert (admission.running, admission.waiting) == (0, 0)


@given(waiters)
def test_whoever_waits_is_served_in_the_order_of_priorities(asks: list[tuple[Priority, str]]) -> None:
    admission = Admission(1, 100)
    runs = fill(admission, asks)

    order = drain(admission)

    assert sorted(order) == sorted(runs)
    assert [RANKS[runs[run][0]] for run in order] == sorted(RANKS[priority] for priority, _ in asks)


@given(waiters)
def test_a_principals_own_runs_keep_their_order_within_a_priority(asks: list[tuple[Priority, str]]) -> None:
    admission = Admission(1, 100)
    runs = fill(admission, asks)

    order = drain(admission)

    for whose in set(runs.values()):
        assert [run for run in order if runs[run] == whose] == [run for run in runs if runs[run] == whose]


@given(waiters)
def test_between_two_turns_of_one_principal_all_others_that_wait_get_theirs(
    asks: list[tuple[Priority, str]],
) -> None:
    admission = Admission(1, 100)
    runs = fill(admission, asks)

    order = [runs[run] for run in drain(admission)]

    for at, (priority, principal) in enumerate(order):
        rest = order[at + 1 :]
        if (priority, principal) not in rest:
            continue
        between = rest[: rest.index((priority, principal))]
        still_waiting = {each for each in rest if each[0] == priority and each[1] != principal}
        assert still_waiting <= set(between)


@given(waiters, st.tuples(priorities, principals))
def test_a_position_is_the_turn_that_comes_if_nobody_else_does(
    asks: list[tuple[Priority, str]], last: tuple[Priority, str]
) -> None:
    admission = Admission(1, 100)
    fill(admission, asks)

    told = admission.ask(RunId("last"), 0.0, *last)

    assert isinstance(told, Waiting)
    assert drain(admission)[told.position - 1] == RunId("last")


def test_a_person_passes_a_nights_work_and_the_night_goes_on_afterwards() -> None:
    admission = Admission(1, 10)
    fill(admission, [("batch", "night"), ("batch", "night"), ("agent", "bot")])

    assert admission.ask(RunId("person"), 0.0, "interactive", "ann") == Waiting(position=1)
    assert drain(admission) == ["person", "2", "0", "1"]


def test_what_was_served_before_is_forgotten_when_the_model_falls_idle() -> None:
    admission = Admission(1, 10)
    admission.ask(RunId("a"), 0.0, "interactive", "ann")
    admission.leave(RunId("a"), 1.0)
    fill(admission, [("interactive", "ann"), ("interactive", "bob")])

    assert drain(admission) == ["0", "1"]
