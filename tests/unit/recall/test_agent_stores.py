"""What only the stores in DuckDB do: damaged rows, appends that meet in one commit, private files."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import duckdb
import msgspec
import pytest

from runtime.core.agents.ports import RunQuery, Session
from runtime.core.agents.steps import RunStatus
from runtime.core.errors import Conflict, NotFound, StoreDamaged, StoreUnavailable
from runtime.core.ids import RunId
from runtime.recall.database import Database
from tests.kit.agent_rows import (
    ADA,
    BOB,
    AgentStores,
    ended,
    items,
    open_agent_stores,
    opened,
    run_record,
    told,
    turn,
)

RUN = RunId("run_1")


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[AgentStores]:
    async with open_agent_stores(tmp_path) as opened_stores:
        yield opened_stores


def database_of(stores: AgentStores) -> Database:
    assert stores.database is not None
    return stores.database


async def spoil(stores: AgentStores, sql: str) -> None:
    """Change rows behind the store's back."""

    def _execute(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(sql)

    await database_of(stores).write(_execute)


@pytest.mark.parametrize(("table", "status"), [("run_live", "in_progress"), ("run", "failed")])
async def test_a_run_whose_record_is_damaged_is_named_and_the_others_stay(
    stores: AgentStores, table: str, status: RunStatus
) -> None:
    for run in (RUN, RunId("run_2")):
        await stores.runs.open(run_record(run, status=status, steps=1, agent="a"), [opened()])
    await spoil(stores, f"UPDATE {table} SET body = '{{\"id\": 7' WHERE id = '{RUN}'")

    with pytest.raises(StoreDamaged, match=RUN):
        await stores.runs.find(ADA, RUN)
    whole, damaged = await stores.runs.list_runs(ADA, RunQuery(agent="a"))
    assert whole == await stores.runs.find(ADA, RunId("run_2"))
    assert (damaged.id, damaged.status, damaged.steps) == (RUN, status, 1)
    assert damaged.fault is not None
    assert damaged.fault.code == "store_damaged"
    assert await stores.runs.unfinished() == ([damaged, whole] if table == "run_live" else [])
    assert await stores.runs.steps(ADA, RUN) == [opened()]


async def test_a_live_run_with_a_damaged_record_can_be_ended_and_removed(stores: AgentStores) -> None:
    await stores.runs.open(run_record(RUN, steps=1), [opened()])
    await spoil(stores, "UPDATE run_live SET body = ''")

    await stores.runs.append(run_record(RUN, status="failed", steps=2), 1, [ended()])
    assert (await stores.runs.find(ADA, RUN)).status == "failed"
    await stores.runs.remove(ADA, RUN)

    assert await stores.runs.list_runs(ADA, RunQuery()) == []


@pytest.mark.parametrize(
    ("sql", "told_of"),
    [
        ('UPDATE run_step SET body = \'{"step": "unheard", "at": 1}\' WHERE number = 2', "step 2"),
        ("UPDATE run_step SET body = '[' WHERE number = 4", "step 4"),
        ("DELETE FROM run_step WHERE number = 2", "4 steps where 5"),
    ],
)
async def test_a_damaged_or_lost_step_is_named_and_the_run_can_still_be_ended(
    stores: AgentStores, sql: str, told_of: str
) -> None:
    record = run_record(RUN, steps=5)
    await stores.runs.open(record, [opened(), *turn(0)])
    await stores.runs.open(run_record("run_2", BOB, steps=1), [opened()])
    await spoil(stores, sql)

    with pytest.raises(StoreDamaged, match=told_of):
        await stores.runs.steps(ADA, RUN)

    assert await stores.runs.find(ADA, RUN) == record
    assert await stores.runs.steps(BOB, RunId("run_2")) == [opened()]
    await stores.runs.append(msgspec.structs.replace(record, status="failed", steps=6), 5, [ended()])
    assert [each.id for each in await stores.runs.unfinished()] == ["run_2"]


async def test_damaged_happenings_are_named(stores: AgentStores) -> None:
    await stores.runs.open(run_record(RUN, steps=1), [opened()])
    await stores.runs.note_happenings(RUN, told(0, 3))
    await stores.runs.note_happenings(RUN, told(3, 3))
    await spoil(stores, "UPDATE run_happening SET body = '[[3' WHERE first = 3")

    with pytest.raises(StoreDamaged, match="happening 3"):
        await stores.runs.happenings(RUN)


async def test_a_damaged_item_is_named_and_its_neighbours_stay(stores: AgentStores) -> None:
    made = Session(id="conv_1", tenant=ADA, created_at=1.0)
    await stores.sessions.create(made, items("msg_1", "msg_2"))
    await spoil(stores, "UPDATE session_item SET body = 'x' WHERE id = 'msg_1'")

    for asked in (stores.sessions.items(ADA, "conv_1"), stores.sessions.item(ADA, "conv_1", "msg_1")):
        with pytest.raises(StoreDamaged, match="msg_1"):
            await asked
    assert await stores.sessions.item(ADA, "conv_1", "msg_2") == items("msg_2")[0]
    await stores.sessions.remove_item(ADA, "conv_1", "msg_1")
    assert [each.item for each in await stores.sessions.items(ADA, "conv_1")] == items("msg_2")


async def test_appends_that_meet_are_stored_together_and_the_wrong_ones_refused_alone(
    stores: AgentStores,
) -> None:
    for number in range(20):
        await stores.runs.open(run_record(f"run_{number}", steps=1), [opened()])
    before = database_of(stores).commits
    refused: list[str] = []

    async def append(run: str, first: int, status: str = "waiting") -> None:
        record = msgspec.structs.replace(run_record(run, steps=first + 4), status=status)
        try:
            await stores.runs.append(record, first, turn(first))
        except (Conflict, NotFound) as problem:
            refused.append(f"{type(problem).__name__} {run} {first}")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(append, f"run_{number}", 1)
                group.start_soon(append, f"run_{number}", 5, "completed" if number % 2 else "in_progress")
            for run, first in (("run_0", 5), ("run_1", 9), ("run_no", 0), ("run_2", 0)):
                group.start_soon(append, run, first)

    assert sorted(refused) == [
        "Conflict run_0 5",
        "Conflict run_1 9",
        "Conflict run_2 0",
        "NotFound run_no 0",
    ]
    assert database_of(stores).commits - before < 10
    for number in range(20):
        run = RunId(f"run_{number}")
        assert await stores.runs.steps(ADA, run) == [opened(), *turn(1), *turn(5)]
        record = await stores.runs.find(ADA, run)
        assert (record.status, record.steps) == ("completed" if number % 2 else "in_progress", 9)
    assert len(await stores.runs.unfinished()) == 10


async def test_who_leaves_takes_nothing_away_from_those_who_append_beside(stores: AgentStores) -> None:
    for number in range(8):
        await stores.runs.open(run_record(f"run_{number}", steps=1), [opened()])

    async def append(number: int) -> None:
        await stores.runs.append(run_record(f"run_{number}", steps=5), 1, turn(0))

    async def leave() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await append(0)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(leave)
            for number in range(1, 8):
                group.start_soon(append, number)

    for number in range(1, 8):
        assert len(await stores.runs.steps(ADA, RunId(f"run_{number}"))) == 5


async def test_an_append_after_the_close_is_told(tmp_path: Path) -> None:
    async with open_agent_stores(tmp_path) as stores:
        await stores.runs.open(run_record(RUN, steps=1), [opened()])

    with anyio.fail_after(5), pytest.raises(StoreUnavailable):
        await stores.runs.append(run_record(RUN, steps=5), 1, turn(0))


async def test_everything_is_there_after_a_restart_and_new_runs_stay_apart(tmp_path: Path) -> None:
    async with open_agent_stores(tmp_path) as stores:
        await stores.runs.open(run_record(RUN, steps=1), [opened()])
        await stores.runs.open(run_record("run_2", status="failed", steps=1), [opened()])

    async with open_agent_stores(tmp_path) as stores:
        await stores.runs.remove(ADA, RunId("run_2"))
        await stores.runs.open(run_record("run_3", steps=5), [opened(), *turn(1)])
        assert await stores.runs.steps(ADA, RUN) == [opened()]
        assert await stores.runs.steps(ADA, RunId("run_3")) == [opened(), *turn(1)]


async def test_many_runs_are_forgotten_in_several_commits(stores: AgentStores) -> None:
    for number in range(250):
        record = run_record(f"run_{number:03}", status="completed", steps=1, ended_at=float(number))
        await stores.runs.open(record, [opened()])
    before = database_of(stores).commits

    assert await stores.runs.forget_before(240.0) == 240

    assert database_of(stores).commits - before > 2
    assert len(await stores.runs.list_runs(ADA, RunQuery())) == 10
    rows = await database_of(stores).read("SELECT count(*) FROM run_step")
    assert rows == [(10,)]


async def test_a_page_is_whole_where_its_runs_were_stored_in_another_order(stores: AgentStores) -> None:
    names = [f"run_{number * 37 % 60:02}" for number in range(60)]
    for name in names:
        await stores.runs.open(run_record(name, status="completed", steps=0), [])

    seen: list[str] = []
    after = None
    while page := await stores.runs.list_runs(ADA, RunQuery(after=after, limit=7)):
        seen += [each.id for each in page]
        after = page[-1].id

    assert seen == sorted(names, reverse=True)


async def test_only_the_owner_reads_the_file(stores: AgentStores) -> None:
    mode = stat.S_IMODE((await anyio.Path(database_of(stores).path).stat()).st_mode)

    assert mode == 0o600
