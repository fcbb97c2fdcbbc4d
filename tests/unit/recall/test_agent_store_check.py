"""The doctor of the server's database: what does not fit together is told, what is derived is mended."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio.to_thread
import duckdb
import pytest

from runtime.core.agents.ports import Session
from runtime.core.errors import StoreUnavailable
from runtime.core.recall import Finding
from runtime.recall.agents.care import AgentStoreCare
from runtime.recall.agents.check import check_file
from runtime.recall.agents.run_store import DuckRunStore
from runtime.recall.agents.session_store import DuckSessions
from runtime.recall.connection import Limits
from runtime.recall.database import Database, Migration, open_database
from runtime.recall.journal import MIGRATIONS
from runtime.recall.restoring import restore, set_aside
from runtime.recall.snapshots import list_snapshots
from tests.kit.agent_rows import ADA, ended, items, opened, run_record, told, turn
from tests.kit.clock import FakeClock

FILE = "lar.duckdb"


@pytest.fixture(autouse=True)
def _private() -> Iterator[None]:
    """Be as the server is: what it makes is its owner's alone."""
    former = os.umask(0o077)
    yield
    os.umask(former)


def opening(
    folder: Path, migrations: Sequence[Migration] = MIGRATIONS
) -> AbstractAsyncContextManager[Database]:
    return open_database(
        folder / FILE, migrations, Limits(reserve_bytes=0), way_out="Ask.", snapshots=folder / "snapshots"
    )


async def fill(database: Database) -> None:
    """Store a run that goes on, one that has ended, and a conversation."""
    runs, sessions = DuckRunStore(database), DuckSessions(database)
    await runs.open(run_record("run_1"), [opened(), *turn(1)])
    await runs.note_happenings(run_record("run_1").id, told(0, 3))
    await runs.open(run_record("run_2"), [opened()])
    await runs.append(run_record("run_2", status="completed", ended_at=9.0), 1, [ended()])
    await sessions.create(Session(id="conv_1", tenant=ADA, created_at=1.0), items("a", "b"))


async def execute(database: Database, *statements: str) -> None:
    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for each in statements:
            connection.execute(each)

    await database.write(work)


async def checked(folder: Path) -> list[Finding]:
    return await anyio.to_thread.run_sync(check_file, folder / FILE, folder / "snapshots")


async def test_what_the_stores_have_written_is_well_open_and_closed(tmp_path: Path) -> None:
    async with opening(tmp_path) as database:
        await fill(database)
        assert await AgentStoreCare(database, FakeClock(), 2).check(is_repairing=False) == []

    assert await checked(tmp_path) == []


@pytest.mark.parametrize(
    ("statement", "where", "is_mended"),
    [
        ("DELETE FROM run_step WHERE run = 1 AND number = 2", "runs", False),
        ("DELETE FROM run_step WHERE run = 2", "runs", False),
        ("INSERT INTO run_step VALUES (77, 0, '{}')", "steps", True),
        ("INSERT INTO run_happening VALUES (77, 0, 0, '[]')", "happenings", True),
        ("UPDATE run_live SET noted = 1", "happenings", True),
        ("INSERT INTO run_live SELECT *, 0 FROM run", "runs", True),
        ("UPDATE run SET status = 'in_progress'", "runs", False),
        ("UPDATE run SET key = 1", "runs", False),
        ("INSERT INTO session_item VALUES (77, 0, 'x', '{}')", "conversations", True),
        ("UPDATE session SET items = 7", "conversations", True),
        ("UPDATE session SET next_place = 1", "conversations", True),
        ("UPDATE run_step SET body = '{' WHERE run = 1 AND number = 0", "table run_step", False),
        ("UPDATE session_item SET body = '[]' WHERE place = 0", "table session_item", False),
        ("DROP TABLE record", "table record", False),
    ],
)
async def test_rows_that_do_not_fit_are_told_and_mended_where_that_can_be(
    tmp_path: Path, statement: str, where: str, is_mended: bool
) -> None:
    async with opening(tmp_path) as database:
        await fill(database)
        care = AgentStoreCare(database, FakeClock(), 2)
        await execute(database, statement)

        findings = await care.check(is_repairing=False)

        assert where in {each.where for each in findings}
        assert all(each.message and each.fix and not each.is_repaired for each in findings)
        mended = await care.check(is_repairing=True)
        assert {each.where for each in mended} <= {each.where for each in findings}
        assert next(each for each in mended if each.where == where).is_repaired is is_mended
        left = await care.check(is_repairing=False)
        assert [each.where for each in left] == [each.where for each in mended if not each.is_repaired]


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
async def test_a_file_that_others_may_read_is_told_and_closed_to_them(tmp_path: Path) -> None:
    async with opening(tmp_path) as database:
        care = AgentStoreCare(database, FakeClock(), 2)
        (tmp_path / FILE).chmod(0o644)

        (finding,) = await care.check(is_repairing=False)
        (mended,) = await care.check(is_repairing=True)

        assert (finding.where, finding.is_repaired, mended.is_repaired) == (FILE, False, True)
        assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


async def test_a_copy_is_made_before_a_migration_and_only_two_of_them_are_kept(tmp_path: Path) -> None:
    async with opening(tmp_path, MIGRATIONS[:1]):
        pass
    for extra in range(4):  # from schema 1 to 2, then to 3, 4 and 5
        steps = [Migration(3 + each, f"CREATE TABLE later_{each} (i INTEGER)") for each in range(extra)]
        async with opening(tmp_path, [*MIGRATIONS, *steps]) as database:
            if not extra:
                await fill(database)

    copies = await anyio.to_thread.run_sync(list_snapshots, tmp_path / "snapshots")

    assert sorted(each.schema or 0 for each in copies) == [3, 4]
    assert all(stat.S_IMODE(each.path.stat().st_mode) == 0o600 for each in copies)


async def test_copies_are_made_by_night_and_two_of_them_are_kept(tmp_path: Path) -> None:
    async with opening(tmp_path) as database:
        await fill(database)
        clock = FakeClock()
        care = AgentStoreCare(database, clock, 2)
        names = []
        for _ in range(4):
            clock.advance(86_400.0)
            names.append((await care.take_snapshot()).name)

        assert [each.name for each in await care.snapshots()] == [names[3], names[2]]
        by_hand = AgentStoreCare(database, clock, 0)
        clock.advance(60.0)
        await by_hand.take_snapshot()
        assert len(await by_hand.snapshots()) == 3


async def test_a_newer_store_is_refused_and_the_copy_from_before_leads_back(tmp_path: Path) -> None:
    async with opening(tmp_path) as database:
        await fill(database)
    async with opening(tmp_path, [*MIGRATIONS, Migration(99, "DROP TABLE run_step")]):
        pass
    (copy,) = await anyio.to_thread.run_sync(list_snapshots, tmp_path / "snapshots")

    with pytest.raises(StoreUnavailable, match=f"newer Lar .*{copy.path.name}"):
        async with opening(tmp_path):
            pass
    (finding,) = await checked(tmp_path)
    aside = await anyio.to_thread.run_sync(restore, tmp_path / FILE, copy.path)

    assert "newer Lar" in finding.message
    assert "lar doctor --restore" in finding.fix
    assert aside is not None
    assert aside.exists()
    async with opening(tmp_path) as database:
        assert len(await DuckRunStore(database).steps(ADA, run_record("run_1").id)) == 5


async def test_an_older_store_is_checked_as_it_is_and_then_brought_up_to_date(tmp_path: Path) -> None:
    async with opening(tmp_path, MIGRATIONS[:1]):
        pass

    assert await checked(tmp_path) == []
    async with opening(tmp_path) as database:
        await fill(database)
    assert await checked(tmp_path) == []


@pytest.mark.parametrize("length", [0, 100, 4096, 20_000])
async def test_a_truncated_file_is_refused_and_nothing_is_made_in_its_place(
    tmp_path: Path, length: int
) -> None:
    async with opening(tmp_path) as database:
        await fill(database)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:length])
    damaged = path.read_bytes()

    findings = await checked(tmp_path)

    assert [each.severity for each in findings] == ["damage"]
    assert "--restore" in findings[0].fix
    with pytest.raises(StoreUnavailable, match=r"Ask\."):
        async with opening(tmp_path):
            pass
    assert path.read_bytes() == damaged


async def test_a_flipped_byte_anywhere_is_told_or_without_effect(tmp_path: Path) -> None:
    async with opening(tmp_path) as database:
        await fill(database)
        await execute(database, "CHECKPOINT")
    path = tmp_path / FILE
    whole = path.read_bytes()
    told = 0
    for position in range(7, len(whole), len(whole) // 60):
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        path.write_bytes(bytes(flipped))
        path.with_name(f"{FILE}.wal").unlink(missing_ok=True)

        findings = await checked(tmp_path)

        told += bool(findings)
        assert all(each.severity == "damage" for each in findings)
        assert path.read_bytes() == bytes(flipped), "looking changes nothing"
        if not findings:
            with duckdb.connect(str(path), read_only=True) as connection:
                row = connection.execute("SELECT count(*) FROM run_step").fetchone()
                assert row == (7,)
    assert told


async def test_a_log_without_its_file_is_not_taken_for_a_new_store(tmp_path: Path) -> None:
    async with opening(tmp_path) as database:
        await fill(database)
        log = (tmp_path / f"{FILE}.wal").read_bytes()
        assert log
    (tmp_path / FILE).unlink()
    (tmp_path / f"{FILE}.wal").write_bytes(log)

    with pytest.raises(StoreUnavailable, match="is gone, while its write-ahead log is there"):
        async with opening(tmp_path):
            pass
    (finding,) = await checked(tmp_path)
    aside = await anyio.to_thread.run_sync(set_aside, tmp_path / FILE)

    assert finding.severity == "damage"
    assert aside is not None
    assert aside.with_name(f"{aside.name}.wal").read_bytes() == log
    async with opening(tmp_path):
        pass


async def test_what_is_set_aside_keeps_its_bytes_and_an_open_store_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / FILE
    assert await anyio.to_thread.run_sync(set_aside, path) is None
    async with opening(tmp_path) as database:
        await fill(database)
    content = path.read_bytes()

    aside = await anyio.to_thread.run_sync(set_aside, path)

    assert aside is not None
    assert (aside.read_bytes(), path.exists()) == (content, False)
