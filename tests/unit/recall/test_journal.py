"""The journal: what is stored is read back by number, kind and run; old facts go; damage is told."""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import duckdb
import msgspec
import pytest

from runtime.core.bus import Bus
from runtime.core.errors import StoreUnavailable
from runtime.core.events import Envelope, Event, RunFailed, RunQueued, SeqDelta, ServerStarted
from runtime.core.ids import RunId
from runtime.core.ports import EventQuery
from runtime.core.settings import JournalSettings
from runtime.recall.database import Database, Migration, open_database
from runtime.recall.journal import MIGRATIONS, DuckJournal
from tests.kit.clock import FakeClock

RUN = RunId("run_1")
DAY_S = 86400.0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "lar.duckdb", MIGRATIONS) as opened:
        yield opened


@pytest.fixture
def journal(database: Database) -> DuckJournal:
    return DuckJournal(database)


def facts(*events: Event, run_id: RunId | None = None, first: int = 1, at: float = 10.0) -> list[Envelope]:
    return [
        Envelope(seq=seq, at=at, event=event, run_id=run_id) for seq, event in enumerate(events, start=first)
    ]


async def test_facts_come_back_as_they_were(journal: DuckJournal) -> None:
    stored = facts(
        ServerStarted(version="1", address="http://127.0.0.1:1"),
        RunFailed(code="worker_died", message='quote " and snow ☃'),
        run_id=RUN,
    )

    await journal.append(stored)

    assert await journal.read(EventQuery()) == stored
    assert await journal.last_seq() == 2


async def test_reading_narrows_by_number_kind_group_and_run(journal: DuckJournal) -> None:
    await journal.append(facts(RunQueued(position=1), SeqDelta(index=0, text="a", tokens=1), run_id=RUN))
    await journal.append(facts(RunQueued(position=2), ServerStarted(version="1", address="a"), first=3))

    async def seqs(query: EventQuery) -> list[int]:
        return [each.seq for each in await journal.read(query)]

    assert await seqs(EventQuery(after=2)) == [3, 4]
    assert await seqs(EventQuery(run_id=RUN)) == [1, 2]
    assert await seqs(EventQuery(kinds=frozenset({"run.*"}))) == [1, 3]
    assert await seqs(EventQuery(kinds=frozenset({"run.*", "seq.delta"}), run_id=RUN)) == [1, 2]
    assert await seqs(EventQuery(limit=1)) == [1]


async def test_a_failing_write_does_not_take_its_neighbours_along(
    journal: DuckJournal, database: Database
) -> None:
    await journal.append(facts(RunQueued(position=1)))
    caught: list[duckdb.Error] = []

    async def again() -> None:
        try:
            await journal.append(facts(RunQueued(position=1)))
        except duckdb.ConstraintException as problem:
            caught.append(problem)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(again)
        for seq in range(2, 12):
            tasks.start_soon(journal.append, facts(RunQueued(position=seq), first=seq))

    assert len(caught) == 1
    assert [each.seq for each in await journal.read(EventQuery())] == list(range(1, 12))


async def test_old_facts_and_too_many_facts_are_removed_oldest_first(journal: DuckJournal) -> None:
    now = 100 * DAY_S
    await journal.append(facts(RunQueued(position=1), at=now - 31 * DAY_S))
    await journal.append(facts(*[SeqDelta(index=0, text="x" * 100, tokens=1)] * 10, first=2, at=now))

    await journal.retain(JournalSettings(keep_days=30, keep_bytes=10_000), now)
    after_age = [each.seq for each in await journal.read(EventQuery())]
    await journal.retain(JournalSettings(keep_days=30, keep_bytes=400), now)
    after_size = [each.seq for each in await journal.read(EventQuery())]

    assert after_age == list(range(2, 12))
    assert after_size == [10, 11]


@pytest.mark.parametrize("keep", [0, 1, 99, 100, 5_000, 11_999, 12_000, 30_000])
async def test_what_is_kept_by_size_is_the_newest_that_fits_whatever_the_holes(
    journal: DuckJournal, keep: int
) -> None:
    numbers = [*range(1, 60), *range(4090, 4130), *range(20_000, 20_050)]
    stored = [Envelope(seq=seq, at=1.0, event=RunQueued(position=seq)) for seq in numbers]
    await journal.append(stored)
    fitting: list[int] = []
    size = 0
    for envelope in reversed(stored):
        size += len(msgspec.json.encode(envelope.event))
        if size <= keep:
            fitting.insert(0, envelope.seq)

    await journal.retain(JournalSettings(keep_days=1e6, keep_bytes=max(1, keep)), 1.0)

    assert [each.seq for each in await journal.read(EventQuery())] == fitting


async def test_the_bus_is_kept_until_it_closes(journal: DuckJournal) -> None:
    bus = Bus(FakeClock())
    with bus.subscribe("journal", 100) as subscription, anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.keep_forever, subscription)
            published = [bus.publish(RunQueued(position=each), run_id=RUN) for each in range(50)]
            bus.close()

    assert await journal.read(EventQuery()) == published


async def test_who_settles_waits_until_the_fact_is_stored_and_no_longer(
    journal: DuckJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.recall.journal._GATHER_S", 3600.0)
    bus = Bus(FakeClock())
    with bus.subscribe("journal", 100) as subscription, anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(journal.keep_forever, subscription)
            for each in range(5):
                published = bus.publish(RunQueued(position=each))
                await anyio.wait_all_tasks_blocked()
                await journal.settle(published.seq)
                assert await journal.last_seq() == published.seq
            bus.close()
    await journal.settle(10**6)


async def test_facts_that_cannot_be_stored_are_kept_until_they_can(
    journal: DuckJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.recall.journal._RETRY_S", 0.0)
    store, health = journal.append, [journal.is_healthy]
    refusals = [duckdb.IOException("no space left"), duckdb.IOException("no space left")]

    async def append(envelopes: Sequence[Envelope]) -> None:
        health.append(journal.is_healthy)
        if refusals:
            raise refusals.pop()
        await store(envelopes)

    monkeypatch.setattr(journal, "append", append)
    bus = Bus(FakeClock())
    with bus.subscribe("journal", 100) as subscription, anyio.fail_after(5):
        published = [bus.publish(RunQueued(position=each)) for each in range(5)]
        bus.close()
        await journal.keep_forever(subscription)

    assert await journal.read(EventQuery()) == published
    assert health == [True, True, False, False]
    assert journal.is_healthy


async def test_a_second_opener_is_told_who_holds_the_file(tmp_path: Path, database: Database) -> None:
    script = (
        "import anyio, sys, pathlib\n"
        "from runtime.core.errors import StoreUnavailable\n"
        "from runtime.recall.database import open_database\n"
        "async def main():\n"
        "    try:\n"
        "        async with open_database(pathlib.Path(sys.argv[1]), ()): print('opened')\n"
        "    except StoreUnavailable as problem: print(problem)\n"
        "anyio.run(main)\n"
    )
    second = await anyio.run_process([sys.executable, "-c", script, str(tmp_path / "lar.duckdb")])

    assert b"in use by another process" in second.stdout
    assert b"lar stop" in second.stdout


async def test_a_damaged_log_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "lar.duckdb"
    connection = duckdb.connect(str(path))
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    connection.execute("CREATE TABLE t AS SELECT range AS i FROM range(1000)")
    connection.close()
    wal = path.with_name("lar.duckdb.wal")
    damaged = bytearray(wal.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    wal.write_bytes(bytes(damaged))

    with pytest.raises(StoreUnavailable, match=r"write-ahead log .* is damaged"):
        async with open_database(path, MIGRATIONS):
            pass


async def test_a_file_of_a_newer_lar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lar.duckdb"
    async with open_database(path, [*MIGRATIONS, Migration(99, "CREATE TABLE later (i INTEGER)")]):
        pass

    with pytest.raises(StoreUnavailable, match="newer Lar"):
        async with open_database(path, MIGRATIONS):
            pass
