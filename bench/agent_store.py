"""Measures the stores of agents: appends, reading, lists among many runs, happenings, forgetting.

    python -m bench.agent_store [FOLDER]

The folder should be on the disk that Lar would use; the numbers are those of its fsync.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import duckdb
import msgspec

from runtime.core.agents.ports import RunQuery
from runtime.core.agents.steps import RunRecord
from runtime.core.ids import RunId
from runtime.recall.agents.common import encode
from runtime.recall.agents.run_rows import COLUMNS, row_of
from runtime.recall.agents.run_store import DuckRunStore
from runtime.recall.database import Database, open_database
from runtime.recall.journal import MIGRATIONS
from tests.kit.agent_rows import ADA, MODEL, opened, run_record, told, turn

_ENDED = 100_000
_STEPS = 10
"""Of each ended run."""
_APPENDS = 400


async def measure(folder: Path) -> None:
    """Print the numbers of an empty store, then those of one with many ended runs."""
    async with open_database(folder / "lar.duckdb", MIGRATIONS) as database:
        store = DuckRunStore(database)
        await _appends(database, store, "empty")
        begun = time.perf_counter()
        await database.write(_fill)
        _say(f"filled with {_ENDED} ended runs of {_STEPS} steps", time.perf_counter() - begun)
        await _appends(database, store, "full")
        await _reads(store)
        await _notes(store)
        await _forgets(store)
    begun = time.perf_counter()
    async with open_database(folder / "lar.duckdb", MIGRATIONS) as database:
        _say("opened again", time.perf_counter() - begun)


async def _appends(database: Database, store: DuckRunStore, state: str) -> None:
    for writers in (1, 32):
        took: list[float] = []

        async def _write(number: int, took: list[float] = took, writers: int = writers) -> None:
            record = run_record(f"run_9{state}{writers:02}_{number:03}", steps=1)
            await store.open(record, [opened("x" * 500)])
            for count in range(_APPENDS // writers if writers == 1 else 40):
                record = msgspec.structs.replace(record, steps=2 + count)
                begun = time.perf_counter()
                await store.append(record, 1 + count, turn(count)[1:2])
                took.append(time.perf_counter() - begun)

        before, begun = database.commits, time.perf_counter()
        async with anyio.create_task_group() as group:
            for number in range(writers):
                group.start_soon(_write, number)
        whole = time.perf_counter() - begun
        sys.stdout.write(
            f"{state}, {writers} writers: {len(took) / whole:.0f} appends/s in "
            f"{(database.commits - before) / whole:.0f} commits/s, p50 {_p(took, 50):.1f} ms, "
            f"p99 {_p(took, 99):.1f} ms\n"
        )


async def _reads(store: DuckRunStore) -> None:
    long = run_record("run_9long", steps=200)
    steps = [opened("x" * 500), *(each for number in range(50) for each in turn(number))][:200]
    await store.open(long, steps)
    for name, read in {
        "200 steps": lambda: store.steps(ADA, RunId("run_9long")),
        "find": lambda: store.find(ADA, RunId("run_0050000")),
        "10 steps of an old run": lambda: store.steps(ADA, RunId("run_0050000")),
        "list of 50": lambda: store.list_runs(ADA, RunQuery()),
        "list of 50, in the middle": lambda: store.list_runs(ADA, RunQuery(after=RunId("run_0050000"))),
        "list of 50 of an agent": lambda: store.list_runs(ADA, RunQuery(agent="a7")),
        "list of 50 by label": lambda: store.list_runs(ADA, RunQuery(labels={"k": "3"})),
        "unfinished": store.unfinished,
    }.items():
        await _time(name, read)


async def _time(name: str, read: Callable[[], Awaitable[object]]) -> None:
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        await read()
        took.append(time.perf_counter() - begun)
    sys.stdout.write(f"{name}: p50 {_p(took, 50):.1f} ms, worst {max(took) * 1e3:.1f} ms\n")


async def _notes(store: DuckRunStore) -> None:
    record = run_record("run_9noted", steps=1)
    await store.open(record, [opened()])
    took = []
    for number in range(200):
        begun = time.perf_counter()
        await store.note_happenings(record.id, told(number * 32, 32))
        took.append(time.perf_counter() - begun)
    _say("200 batches of 32 happenings", sum(took))
    sys.stdout.write(f"  a batch: p50 {_p(took, 50):.1f} ms\n")
    await _time("6400 happenings read", lambda: store.happenings(record.id))
    await _time("the last 32 read", lambda: store.happenings(record.id, 6368))


async def _forgets(store: DuckRunStore) -> None:
    took: list[float] = []
    record = run_record("run_9beside", steps=1)
    await store.open(record, [opened()])
    async with anyio.create_task_group() as group:

        async def _beside() -> None:
            count = 1
            while True:
                begun = time.perf_counter()
                await store.append(msgspec.structs.replace(record, steps=count + 1), count, turn(0)[:1])
                took.append(time.perf_counter() - begun)
                count += 1

        group.start_soon(_beside)
        begun = time.perf_counter()
        forgotten = await store.forget_before(float(_ENDED // 5))
        _say(f"{forgotten} runs forgotten", time.perf_counter() - begun)
        group.cancel_scope.cancel()
    sys.stdout.write(
        f"  appends beside it: p50 {_p(took, 50):.1f} ms, p99 {_p(took, 99):.1f} ms, "
        f"worst {max(took) * 1e3:.1f} ms of {len(took)}\n"
    )


def _fill(connection: duckdb.DuckDBPyConnection) -> None:
    """Store many ended runs, with texts as long as real ones."""
    record = run_record("run_x", status="completed", steps=_STEPS, title="t" * 80)
    body = encode(msgspec.structs.replace(record, answer="a" * 300))
    row = row_of(_record(record), 0, _STEPS)
    connection.execute(
        f"INSERT INTO run ({COLUMNS}) SELECT printf('run_%07d', i), i + 1000000, ?, ?, 'a' || i % 50, ?, "
        "NULL, NULL, chr(10) || '[\"k\",\"' || i % 10 || '\"]' || chr(10), i, 'completed', i, ?, "
        "replace(?, 'run_x', printf('run_%07d', i)) FROM range(?) t(i)",
        [row[2], row[3], MODEL, _STEPS, body, _ENDED],
    )
    steps = [encode(each) for each in (opened("x" * 500), *turn(1), *turn(2), turn(3)[0])]
    connection.execute(
        "INSERT INTO run_step SELECT 1000000 + i, n, list_extract(?::VARCHAR[], 1 + n::INTEGER) "
        "FROM range(?) t(i), range(?) u(n)",
        [steps, _ENDED, _STEPS],
    )


def _record(record: RunRecord) -> RunRecord:
    return msgspec.structs.replace(record, labels={"k": "1"})


def _p(took: list[float], percent: int) -> float:
    """Return a percentile in milliseconds."""
    return statistics.quantiles(took, n=100)[percent - 1] * 1e3 if len(took) > 1 else took[0] * 1e3


def _say(what: str, took_s: float) -> None:
    sys.stdout.write(f"{what}: {took_s * 1e3:.0f} ms\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        anyio.run(measure, Path(name))
