"""Placement: idle models make room, the least recently used first, in places and in memory."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.ids import ModelId
from runtime.core.placement import Load, Needs, Occupant, Refuse, Room, Wait, decide_idle, decide_placement


def occupant(
    name: str, leases: int = 0, last_used: float = 0.0, gives: int = 0, *, is_leaving: bool = False
) -> Occupant:
    return Occupant(
        model=ModelId(name),
        leases=leases,
        last_used=last_used,
        gives=Needs(main_bytes=gives),
        is_leaving=is_leaving,
    )


def needs(count: int) -> Needs:
    return Needs(main_bytes=count)


def room(count: int) -> Room:
    return Room(main_bytes=count)


def evict(*names: str) -> Load:
    return Load(evict=tuple(ModelId(name) for name in names))


def test_the_least_recently_used_idle_model_makes_room() -> None:
    there = [occupant("busy", leases=1), occupant("old", last_used=1.0), occupant("new", last_used=2.0)]

    assert decide_placement(there, max_loaded=4) == Load()
    assert decide_placement(there, max_loaded=3) == evict("old")
    assert decide_placement(there, max_loaded=2) == evict("old", "new")
    assert decide_placement(there, max_loaded=1) == Wait()


def test_models_leave_until_the_memory_is_enough() -> None:
    there = [occupant("old", last_used=1.0, gives=3), occupant("new", last_used=2.0, gives=5)]

    assert decide_placement(there, 9, needs(2), room(2)) == Load()
    assert decide_placement(there, 9, needs(5), room(2)) == evict("old")
    assert decide_placement(there, 9, needs(9), room(2)) == evict("old", "new")


def test_a_model_whose_leaving_would_not_help_stays() -> None:
    there = [occupant("small", last_used=1.0, gives=1), occupant("large", last_used=2.0, gives=8)]

    assert decide_placement(there, 9, needs(8), room(0)) == evict("large")


def test_what_fits_only_without_busy_models_waits_for_them() -> None:
    there = [occupant("busy", leases=1, gives=6), occupant("idle", gives=1)]

    assert decide_placement(there, 9, needs(6), room(0)) == Wait()


def test_what_would_not_fit_alone_is_refused_with_the_room_there_would_be() -> None:
    there = [occupant("busy", leases=1, gives=6), occupant("idle", gives=1)]

    assert decide_placement(there, 9, needs(9), room(1)) == Refuse(at_best=room(8))


def test_nothing_leaves_for_memory_that_is_coming_back_anyway() -> None:
    there = [occupant("leaving", gives=6, is_leaving=True), occupant("idle", gives=6)]

    assert decide_placement(there, 9, needs(5), room(0)) == Wait()
    assert decide_placement(there, 2, needs(0), room(0)) == Wait()
    assert decide_placement(there, 9, needs(12), room(0)) == evict("idle")


def test_memory_that_nobody_can_measure_refuses_nothing() -> None:
    assert decide_placement([], 1, needs(1 << 50), Room()) == Load()
    assert decide_placement([], 1, Needs(device_bytes=1 << 50), room(0)) == Load()


def test_the_memory_of_an_accelerator_counts_by_itself() -> None:
    there = [Occupant(model=ModelId("m"), leases=0, last_used=0.0, gives=Needs(device_bytes=4))]
    wanted = Needs(main_bytes=1, device_bytes=5)

    assert decide_placement(there, 9, wanted, Room(main_bytes=9, device_bytes=1)) == evict("m")
    assert decide_placement(there, 9, wanted, Room(main_bytes=9, device_bytes=5)) == Load()
    assert isinstance(decide_placement(there, 9, wanted, Room(main_bytes=9, device_bytes=0)), Refuse)


@given(
    there=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9), st.booleans()), max_size=5),
    max_loaded=st.integers(1, 5),
    wanted=st.integers(0, 20),
    free=st.integers(-5, 20),
)
def test_what_is_loaded_fits_and_only_idle_models_leave_for_it(
    there: list[tuple[int, int, bool]], max_loaded: int, wanted: int, free: int
) -> None:
    occupants = [
        occupant(str(number), leases, float(number), gives, is_leaving=is_leaving)
        for number, (leases, gives, is_leaving) in enumerate(there)
    ]
    all_of_it = free + sum(each.gives.main_bytes for each in occupants)

    match decide_placement(occupants, max_loaded, needs(wanted), room(free)):
        case Refuse(at_best=at_best):
            assert at_best == room(all_of_it)
            assert wanted > all_of_it
        case Wait():
            assert wanted <= all_of_it
        case Load(evict=()):
            assert wanted <= free
            assert len(occupants) < max_loaded
        case Load(evict=names):
            gone = [each for each in occupants if each.model in names]
            assert all(each.is_idle for each in gone)
            coming = sum(each.gives.main_bytes for each in occupants if each.is_leaving)
            assert wanted <= free + coming + sum(each.gives.main_bytes for each in gone)
            assert sum(not each.is_leaving for each in occupants) - len(gone) < max_loaded


def test_only_models_that_nobody_holds_fall_idle() -> None:
    there = [
        occupant("busy", leases=1),
        occupant("leaving", is_leaving=True),
        occupant("old", last_used=0.0),
        occupant("new", last_used=90.0),
    ]

    assert decide_idle(there, now=100.0, idle_unload_s=60.0) == (ModelId("old"),)
