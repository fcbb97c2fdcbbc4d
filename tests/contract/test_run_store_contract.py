"""What every `core.agents.ports.RunStore` promises: the one in DuckDB and the fake of the agents' tests."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from runtime.core.agents.items import Said, Text
from runtime.core.agents.ports import RunQuery, RunStore
from runtime.core.agents.steps import RunRecord, RunStatus
from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import RunId, TenantId
from runtime.core.minting import new_id
from tests.kit.agent_rows import (
    ADA,
    BOB,
    ended,
    fake_agent_stores,
    open_agent_stores,
    opened,
    run_record,
    told,
    turn,
)

RUN = RunId("run_1")


@pytest.fixture(params=["fake", "disk"])
async def runs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunStore]:
    if request.param == "fake":
        yield fake_agent_stores().runs
    else:
        async with open_agent_stores(tmp_path) as stores:
            yield stores.runs


async def live(runs: RunStore, run: str = RUN, tenant: TenantId = ADA, **more: object) -> RunRecord:
    """Store a run of one step."""
    record = msgspec.structs.replace(run_record(run, tenant, steps=1), **more)
    await runs.open(record, [opened()])
    return record


async def over(
    runs: RunStore, run: str, at: float = 9.0, tenant: TenantId = ADA, **more: object
) -> RunRecord:
    """Store a run that has ended."""
    record = await live(runs, run, tenant, **more)
    record = msgspec.structs.replace(record, status="completed", ended_at=at, steps=2)
    await runs.append(record, 1, [ended()])
    return record


async def ids(runs: RunStore, tenant: TenantId = ADA, **wanted: object) -> list[str]:
    """Return the ids of a list, the oldest first unless it is said otherwise."""
    query = RunQuery(**{"is_newest_first": False, **wanted})  # type: ignore[arg-type]  # the tests give what fits
    return [each.id for each in await runs.list_runs(tenant, query)]


async def test_a_run_is_found_as_it_was_opened(runs: RunStore) -> None:
    record = run_record(RUN, agent="a", session="conv_1", labels={"k": "v\n"}, title="what ☃ \x00")

    await runs.open(record, [opened("what ☃ \x00"), *turn(1)])

    assert await runs.find(ADA, RUN) == record
    assert await runs.steps(ADA, RUN) == [opened("what ☃ \x00"), *turn(1)]
    assert await runs.list_runs(ADA, RunQuery()) == [record]
    assert await runs.unfinished() == [record]


async def test_a_run_without_steps_can_be_opened(runs: RunStore) -> None:
    await runs.open(run_record(RUN), [])

    await runs.append(run_record(RUN, steps=1), 0, [opened()])

    assert await runs.steps(ADA, RUN) == [opened()]


async def test_an_id_is_taken_once_by_whomever_and_even_after_the_end(runs: RunStore) -> None:
    first = await live(runs)
    last = await over(runs, "run_2")

    for taken in (RUN, "run_2"):
        for tenant in (ADA, BOB):
            with pytest.raises(Conflict):
                await runs.open(run_record(taken, tenant), [opened("other")])

    assert await runs.list_runs(ADA, RunQuery()) == [last, first]
    assert await runs.steps(ADA, RUN) == [opened()]


async def test_what_is_appended_follows_and_the_record_is_as_told(runs: RunStore) -> None:
    record = await live(runs)

    for number in range(3):
        record = msgspec.structs.replace(record, steps=record.steps + 4, turns=number + 1, status="waiting")
        await runs.append(record, 1 + 4 * number, turn(number))

    assert await runs.find(ADA, RUN) == record
    assert await runs.steps(ADA, RUN) == [opened(), *turn(0), *turn(1), *turn(2)]
    assert await runs.list_runs(ADA, RunQuery(statuses=("waiting",))) == [record]


async def test_the_record_alone_can_be_changed(runs: RunStore) -> None:
    record = msgspec.structs.replace(await live(runs), status="waiting")

    await runs.append(record, 1, [])

    assert await runs.find(ADA, RUN) == record
    assert await runs.steps(ADA, RUN) == [opened()]


@pytest.mark.parametrize("first", [0, 4, 6, 99])
async def test_a_number_that_does_not_follow_is_a_conflict_and_changes_nothing(
    runs: RunStore, first: int
) -> None:
    record = msgspec.structs.replace(await live(runs), steps=5)
    await runs.append(record, 1, turn(0))

    for status in ("waiting", "completed"):
        with pytest.raises(Conflict):
            await runs.append(msgspec.structs.replace(record, status=status), first, turn(1))

    assert await runs.find(ADA, RUN) == record
    assert await runs.steps(ADA, RUN) == [opened(), *turn(0)]
    assert await runs.unfinished() == [record]


async def test_nothing_follows_the_end(runs: RunStore) -> None:
    record = await over(runs, RUN)

    for status in ("in_progress", "completed"):
        with pytest.raises(Conflict):
            await runs.append(msgspec.structs.replace(record, status=status), 2, turn(1))
        with pytest.raises(Conflict):
            await runs.append(msgspec.structs.replace(record, status=status), 2, [])

    assert await runs.find(ADA, RUN) == record
    assert await runs.steps(ADA, RUN) == [opened(), ended()]
    assert await runs.unfinished() == []


async def test_a_run_that_is_over_can_be_stored_at_once(runs: RunStore) -> None:
    record = run_record(RUN, status="failed", steps=2, ended_at=9.0)

    await runs.open(record, [opened(), ended()])

    assert await runs.find(ADA, RUN) == record
    assert await runs.unfinished() == []


async def test_what_is_unknown_or_anothers_is_not_found(runs: RunStore) -> None:
    await live(runs)
    await over(runs, "run_2")

    for tenant, run in ((BOB, RUN), (BOB, RunId("run_2")), (ADA, RunId("run_no"))):
        for asked in (runs.find, runs.steps, runs.remove):
            with pytest.raises(NotFound):
                await asked(tenant, run)
        with pytest.raises(NotFound):
            await runs.append(run_record(run, tenant), 1, turn(0))
    assert await runs.list_runs(BOB, RunQuery()) == []
    assert [each.id for each in await runs.unfinished()] == [RUN]


async def test_runs_are_listed_by_what_is_asked(runs: RunStore) -> None:
    await live(runs, "run_1", agent="a", labels={"x": "1", "y": "2"})
    await live(runs, "run_2", session="conv_1", status="waiting", labels={"x": "1"})
    await over(runs, "run_3", parent=RunId("run_1"), labels={"x": '1"]\n["z","'})
    await live(runs, "run_4", tenant=BOB, agent="a")

    assert await ids(runs) == ["run_1", "run_2", "run_3"]
    assert await ids(runs, is_newest_first=True) == ["run_3", "run_2", "run_1"]
    assert await ids(runs, agent="a") == ["run_1"]
    assert await ids(runs, session="conv_1") == ["run_2"]
    assert await ids(runs, parent="run_1") == ["run_3"]
    assert await ids(runs, statuses=("waiting", "completed")) == ["run_2", "run_3"]
    assert await ids(runs, labels={"x": "1"}) == ["run_1", "run_2"]
    assert await ids(runs, labels={"y": "2", "x": "1"}) == ["run_1"]
    assert await ids(runs, labels={"x": "2"}) == await ids(runs, labels={"z": ""}) == []
    assert await ids(runs, tenant=BOB) == ["run_4"]
    assert await ids(runs, agent="a", statuses=("completed",)) == []


async def test_pages_go_on_even_where_their_last_run_was_removed(runs: RunStore) -> None:
    for number in range(6):
        await (over if number % 2 else live)(runs, f"run_{number}")
    await runs.remove(ADA, RunId("run_3"))

    assert await ids(runs, after="run_3") == ["run_4", "run_5"]
    assert await ids(runs, after="run_3", is_newest_first=True, limit=2) == ["run_2", "run_1"]
    assert await ids(runs, limit=0) == []


async def test_only_an_ended_run_can_be_removed_and_nothing_of_it_stays(runs: RunStore) -> None:
    await live(runs)
    await over(runs, "run_2")
    await runs.note_happenings(RunId("run_2"), told(0, 3))

    with pytest.raises(Conflict):
        await runs.remove(ADA, RUN)
    await runs.remove(ADA, RunId("run_2"))

    with pytest.raises(NotFound):
        await runs.find(ADA, RunId("run_2"))
    assert await runs.happenings(RunId("run_2")) == []
    assert await ids(runs) == [RUN]
    await live(runs, "run_2")
    assert await runs.steps(ADA, RunId("run_2")) == [opened()]
    assert await runs.happenings(RunId("run_2")) == []


async def test_happenings_come_back_from_any_number_on(runs: RunStore) -> None:
    await live(runs)
    for first, count in ((0, 3), (3, 1), (4, 5)):
        await runs.note_happenings(RUN, told(first, count))
    await runs.note_happenings(RUN, [])

    assert [await runs.happenings(RUN, first) for first in range(11)] == [
        told(first, max(0, 9 - first)) for first in range(11)
    ]
    assert await runs.happenings(RunId("run_no")) == []


async def test_a_noted_happening_stays_as_readers_saw_it(runs: RunStore) -> None:
    await live(runs)
    await runs.note_happenings(RUN, told(0, 4))

    await runs.note_happenings(
        RUN, [each._replace(happening=told(99, 1)[0].happening) for each in told(0, 2)]
    )
    await runs.note_happenings(RUN, told(2, 4))
    await runs.note_happenings(RUN, told(6, 1))

    assert await runs.happenings(RUN) == told(0, 7)


async def test_happenings_may_follow_the_end_but_need_a_run(runs: RunStore) -> None:
    await live(runs)
    await runs.note_happenings(RUN, told(0, 2))
    await runs.append(run_record(RUN, status="completed", steps=2, ended_at=3.0), 1, [ended()])

    await runs.note_happenings(RUN, told(2, 1))
    await runs.note_happenings(RUN, told(1, 3))
    with pytest.raises(NotFound):
        await runs.note_happenings(RunId("run_no"), told(0, 1))

    assert await runs.happenings(RUN) == told(0, 4)


async def test_old_ended_runs_are_forgotten_with_their_children(runs: RunStore) -> None:
    await over(runs, "run_1", at=5.0)
    await over(runs, "run_2", at=99.0, parent=RunId("run_1"))
    await over(runs, "run_3", at=99.0, parent=RunId("run_2"), tenant=BOB)
    await over(runs, "run_4", at=10.0)
    await live(runs, "run_5")
    await over(runs, "run_6", at=5.0, parent=RunId("run_5"))
    await over(runs, "run_7", at=5.0, parent=RunId("run_gone"))
    await runs.note_happenings(RunId("run_1"), told(0, 2))

    assert await runs.forget_before(10.0) == 4

    assert await ids(runs) == ["run_4", "run_5", "run_6"]
    assert await ids(runs, tenant=BOB) == []
    assert await runs.happenings(RunId("run_1")) == []
    assert await runs.steps(ADA, RunId("run_6")) == [opened(), ended()]
    assert await runs.forget_before(10.0) == 0


async def test_a_child_that_still_goes_outlives_its_parent(runs: RunStore) -> None:
    await over(runs, "run_1", at=5.0)
    child = await live(runs, "run_2", parent=RunId("run_1"))

    assert await runs.forget_before(10.0) == 1

    assert await runs.unfinished() == [child]


@pytest.mark.parametrize(
    "status", ["queued", "in_progress", "waiting", "completed", "incomplete", "failed", "cancelled"]
)
async def test_what_has_an_end_is_not_unfinished(runs: RunStore, status: RunStatus) -> None:
    record = run_record(RUN, status=status, steps=1)
    await runs.open(record, [opened()])

    is_live = status in ("queued", "in_progress", "waiting")

    assert await runs.unfinished() == ([record] if is_live else [])


async def test_the_runs_that_name_an_item_are_found_by_its_id(runs: RunStore) -> None:
    minted = new_id("msg_")
    now = time.time()
    asked = Said(id=minted, role="user", parts=(Text(text="hi"),))
    for number, (tenant, items) in enumerate([(ADA, [asked]), (BOB, [asked]), (ADA, [])]):
        record = msgspec.structs.replace(run_record(RunId(f"run_{number}"), tenant, steps=1), created_at=now)
        await runs.open(record, [msgspec.structs.replace(opened(), input=tuple(items))])

    assert await runs.runs_naming(ADA, minted) == ["run_0"]
    assert await runs.runs_naming(BOB, minted) == ["run_1"]
    assert await runs.runs_naming(ADA, new_id("msg_")) == []


async def test_an_item_is_found_in_a_run_that_ended_long_ago_and_by_an_id_of_a_clients_own(
    runs: RunStore,
) -> None:
    minted, own = new_id("msg_"), 'mine "quoted"'
    items = tuple(Said(id=each, role="user", parts=()) for each in (minted, own))
    start = msgspec.structs.replace(run_record(RUN, ADA, steps=1), created_at=time.time())
    await runs.open(start, [msgspec.structs.replace(opened(), input=items)])
    over_now = msgspec.structs.replace(start, status="completed", ended_at=time.time() + 1, steps=2)
    await runs.append(over_now, 1, [ended()])
    for number in range(300):
        await over(runs, f"run_later_{number:03}", created_at=time.time() + 7200, at=time.time() + 7300)

    assert await runs.runs_naming(ADA, minted) == [RUN]
    assert await runs.runs_naming(ADA, own) == [RUN]
