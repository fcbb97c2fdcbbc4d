"""The small rules: admission, placement, restarts, access."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.restarts import DEATHS_ALLOWED, WINDOW_S, Abandon, Restart, decide_restart
from runtime.core.admission import Admission, Granted, Waiting
from runtime.core.errors import Fault
from runtime.core.gate import OWNER, Permission, Principal, decide_access
from runtime.core.ids import ModelId, PrincipalId, RunId
from runtime.core.placement import Load, Occupant, Wait, decide_idle, decide_placement

USER = Principal(id=PrincipalId("key_1"), role="user")


@given(
    capacity=st.integers(1, 3),
    queue_limit=st.integers(0, 3),
    moves=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60),
)
def test_places_are_never_oversold_and_come_back_when_nobody_lives(
    capacity: int, queue_limit: int, moves: list[tuple[bool, int]]
) -> None:
    admission = Admission(capacity, queue_limit)
    running: set[RunId] = set()
    queue: list[RunId] = []
    for is_asking, number in moves:
        run = RunId(str(number))
        if is_asking and run not in running and run not in queue:
            match admission.ask(run, 0.0):
                case Granted():
                    running.add(run)
                case Waiting(position=position):
                    queue.append(run)
                    assert position == len(queue)
                case Fault(code=code):
                    assert code == "queue_full"
                    assert len(queue) == queue_limit
        elif not is_asking:
            running.discard(run)
            if run in queue:
                queue.remove(run)
            for granted in admission.leave(run, 1.0):
                assert granted == queue.pop(0), "first come, first served"
                running.add(granted)
        assert len(running) == admission.running <= capacity
        assert len(queue) == admission.waiting <= queue_limit
        assert not queue or len(running) == capacity, "nobody waits beside a free place"

    for run in [*running, *queue]:
        admission.leave(run, 2.0)
    assert (admission.running, admission.waiting) == (0, 0)


def occupant(name: str, leases: int = 0, last_used: float = 0.0) -> Occupant:
    return Occupant(model=ModelId(name), leases=leases, last_used=last_used)


def test_the_least_recently_used_idle_model_makes_room() -> None:
    there = [occupant("busy", leases=1), occupant("old", last_used=1.0), occupant("new", last_used=2.0)]

    assert decide_placement(there, max_loaded=4) == Load()
    assert decide_placement(there, max_loaded=3) == Load(evict=(ModelId("old"),))
    assert decide_placement(there, max_loaded=2) == Load(evict=(ModelId("old"), ModelId("new")))
    assert decide_placement(there, max_loaded=1) == Wait()


def test_only_models_that_nobody_holds_fall_idle() -> None:
    there = [occupant("busy", leases=1), occupant("old", last_used=0.0), occupant("new", last_used=90.0)]

    assert decide_idle(there, now=100.0, idle_unload_s=60.0) == (ModelId("old"),)


def test_a_worker_that_dies_now_and_then_starts_again_later_and_later_then_not_at_all() -> None:
    now = 1000.0
    verdicts = [decide_restart(tuple([now] * deaths), now) for deaths in range(DEATHS_ALLOWED + 1)]

    assert verdicts[0] is None
    assert [each.delay_s for each in verdicts if isinstance(each, Restart)] == [0.0, 0.5, 1.0, 2.0]
    assert verdicts[-1] == Abandon(attempts=DEATHS_ALLOWED)
    assert decide_restart(tuple([now] * 9), now + WINDOW_S) is None


@pytest.mark.parametrize(
    ("principal", "permission", "rule"),
    [
        (None, "public", None),
        (None, "infer", "key-missing"),
        (USER, "infer", None),
        (USER, "observe", "role"),
        (USER, "operate", "role"),
        (OWNER, "operate", None),
    ],
)
def test_access_is_what_the_role_grants(
    principal: Principal | None, permission: Permission, rule: str | None
) -> None:
    denied = decide_access(principal, permission)

    assert (denied.rule if denied else None) == rule
