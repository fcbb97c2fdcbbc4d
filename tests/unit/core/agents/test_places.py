"""Places: never more than there are, nobody forgotten, principals by turns."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.agents.places import Places
from runtime.core.ids import RunId


def run(number: int) -> RunId:
    return RunId(f"run_{number}")


def test_principals_take_turns() -> None:
    places = Places(1)
    assert places.enter(run(0), "ann", "agent")
    for number in range(1, 4):
        assert not places.enter(run(number), "ann", "agent")
    assert not places.enter(run(4), "ben", "agent")
    order = []
    last = run(0)
    while followed := places.leave(last):
        order += followed
        last = followed[0]
    assert order == [run(1), run(4), run(2), run(3)]


def test_those_of_waiting_persons_go_first_and_batches_last() -> None:
    places = Places(1)
    places.enter(run(0), "a", "agent")
    places.enter(run(1), "a", "batch")
    places.enter(run(2), "a", "agent")
    places.enter(run(3), "a", "interactive")
    assert places.leave(run(0)) == [run(3)]
    assert places.leave(run(3)) == [run(2)]
    assert places.leave(run(2)) == [run(1)]


def test_who_is_forced_in_waits_no_more_and_the_limit_holds_again_later() -> None:
    places = Places(1)
    places.enter(run(0), "a", "agent")
    places.enter(run(1), "a", "agent")
    places.enter(run(2), "a", "agent")
    places.force(run(1))
    assert (places.taken, places.waiting) == (2, 1)
    assert places.leave(run(0)) == []
    assert places.leave(run(1)) == [run(2)]


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), max_size=40))
def test_everybody_gets_a_place_once_and_there_are_never_too_many(
    limit: int, moves: list[tuple[int, str]]
) -> None:
    places, live, waiting, done = Places(limit), set[RunId](), set[RunId](), list[RunId]()
    for number, (kind, who) in enumerate(moves):
        if kind % 3 or not live:
            here = live if places.enter(run(number), who, "agent") else waiting
            here.add(run(number))
        else:
            leaver = min(live)
            live.discard(leaver)
            done.append(leaver)
            followed = places.leave(leaver)
            waiting -= set(followed)
            live |= set(followed)
        assert len(live) == places.taken <= limit
        assert places.waiting == len(waiting)
        assert not waiting or len(live) == limit
    while live:
        leaver = live.pop()
        done.append(leaver)
        live |= set(places.leave(leaver))
    assert len(done) == len(set(done)) == sum(1 for _ in set(done))
    assert (places.taken, places.waiting) == (0, 0)
