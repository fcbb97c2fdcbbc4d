"""Upkeep, snapshots and the doctor: what is due is done, what is wrong is told and put right."""

import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import duckdb
import pytest
from anyio.to_thread import run_sync as in_thread

from runtime.core.errors import StoreUnavailable
from runtime.core.ids import LOCAL_TENANT, ChunkId
from runtime.core.recall_facts import RecallForgotten
from runtime.recall import restoring
from runtime.recall.check import TextIndex, check_store
from runtime.recall.copying import prints, prints_of
from runtime.recall.database import Migration, open_database
from runtime.recall.files import named_hashes
from runtime.recall.snapshots import is_snapshot_due, list_snapshots
from runtime.recall.truth import Pen
from runtime.recall.upkeep import Upkeep
from tests.kit.ingest_stage import text
from tests.kit.sources_stage import SITE, open_sources
from tests.kit.store import ADA, Store, open_store, stream

DAY_S = 86400.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


def upkeep_of(store: Store, told: list[RecallForgotten], followed: int = 0) -> Upkeep:
    return Upkeep(
        truth=store.truth,
        marks=store.marks,
        collections=store.collections,
        files=store.files,
        blobs=store.blobs,
        snapshots=store.snapshots,
        clock=store.clock,
        followed=lambda: followed,
        publish=lambda tenant, fact: told.append(fact),
        before_removal=lambda pen, documents: None,
    )


async def test_a_round_removes_what_has_expired_and_takes_a_snapshot(store: Store) -> None:
    mark = await store.collection()
    await store.document(mark, "brief", "text", expires_at=store.clock.now() + 10)
    await store.document(mark, "kept", "text", expires_at=store.clock.now() + 1000)
    memory = await store.collections.memory_of(ADA)
    await store.document(memory, "item", "text", expires_at=store.clock.now() + 10)
    await store.files.add(ADA, "a", "p", stream(b"x"), expires_after_s=10)
    store.clock.advance(10)
    told: list[RecallForgotten] = []

    await upkeep_of(store, told).run_once()

    assert told == [RecallForgotten(collection=mark.collection, documents=1)]
    assert [each.name for each in await store.rows.list_all(ADA, mark.collection)] == ["kept"]
    assert await store.truth.read("SELECT count(*) FROM document") == [(2,)]
    assert await store.blobs.hashes() == set()
    assert len(await store.snapshots.list_all()) == 1


async def test_one_task_that_fails_does_not_keep_the_others_from_theirs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> int:
        raise OSError("the disk is gone")

    monkeypatch.setattr(store.files, "remove_expired", fail)

    await upkeep_of(store, []).run_once()

    assert len(await store.snapshots.list_all()) == 1


async def test_the_log_is_trimmed_behind_what_every_index_has_followed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.recall.upkeep._KEPT_CHANGES", 2)
    mark = await store.collection()
    await store.document(mark, "a", *["text"] * 10)
    newest = store.truth.newest

    await upkeep_of(store, [], followed=newest - 3).trim()
    kept = [each.seq for each in await store.truth.changes(0, 100)]
    await store.truth.trim(newest + 5)

    assert kept == list(range(newest - 4, newest + 1))
    assert [each.seq for each in await store.truth.changes(0, 100)] == [newest]


@pytest.mark.parametrize(
    ("age_s", "hour", "is_due"),
    [
        (None, 15, True),
        (0.4 * DAY_S, 3, False),
        (0.6 * DAY_S, 3, True),
        (0.6 * DAY_S, 15, False),
        (1.4 * DAY_S, 15, False),
        (1.5 * DAY_S, 15, True),
    ],
)
def test_a_snapshot_is_taken_at_night_or_by_day_where_nights_were_missed(
    age_s: float | None, hour: int, is_due: bool
) -> None:
    now = 1_700_000_000.0

    assert is_snapshot_due(now, None if age_s is None else now - age_s, hour) is is_due


async def test_snapshots_are_whole_while_others_write_and_the_oldest_go(store: Store) -> None:
    mark = await store.collection()
    is_over = anyio.Event()

    async def write() -> None:
        for number in range(30):
            await store.document(mark, f"{number}", "one", "two")
        is_over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        for number in range(5):
            await store.snapshots.take(1_700_000_000.0 + number)
    last = await store.snapshots.take(1_700_000_100.0)

    kept = await store.snapshots.list_all()
    assert [each.at for each in kept] == [1_700_000_100.0, 1_700_000_004.0, 1_700_000_003.0]
    assert kept[0] == last
    for snapshot in kept:
        found = await in_thread(prints_of, snapshot.path)
        assert found["chunk"].rows == 2 * found["document"].rows == found["vector"].rows
    assert await in_thread(prints_of, last.path) == await store.truth.database.use_cursor(prints)
    assert sorted(
        each.name for each in await in_thread(lambda: [*store.snapshots.folder.iterdir()])
    ) == sorted(each.path.name for each in kept)


async def test_a_snapshot_has_its_primary_keys(store: Store) -> None:
    await store.collection()
    snapshot = await store.snapshots.take(1.0)

    def insert_twice() -> None:
        with duckdb.connect(str(snapshot.path)) as copy:
            copy.execute("INSERT INTO collection SELECT * FROM collection")

    with pytest.raises(duckdb.ConstraintException):
        await in_thread(insert_twice)


def insert_one(raw: duckdb.DuckDBPyConnection) -> None:
    raw.execute("INSERT INTO t VALUES (1)")


async def test_what_is_there_is_copied_before_a_migration_and_a_failed_one_changes_nothing(
    tmp_path: Path,
) -> None:
    path, folder = tmp_path / "x.duckdb", tmp_path / "snapshots"
    first = Migration(1, "CREATE TABLE t (i INTEGER)")
    async with open_database(path, [first], snapshots=folder) as database:
        await database.write(insert_one)
    assert await in_thread(list_snapshots, folder) == []

    with pytest.raises(StoreUnavailable):
        async with open_database(path, [first, Migration(2, "DROP TABLE t; SELEKT 1")], snapshots=folder):
            pass
    async with open_database(path, [first], snapshots=folder) as database:
        assert await database.read("SELECT i FROM t") == [(1,)]
    async with open_database(path, [first, Migration(2, "DROP TABLE t")], snapshots=folder):
        pass

    copies = await in_thread(list_snapshots, folder)
    assert {each.schema for each in copies} == {1}
    assert (await in_thread(prints_of, copies[0].path))["t"].rows == 1


async def test_a_file_of_freed_blocks_is_made_smaller_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_WASTED_BYTES", 1024)
    path = tmp_path / "recall.duckdb"
    async with open_store(tmp_path) as store:
        mark = await store.collection()
        await store.document(mark, "a", "text")
        for sql in (
            "CREATE TABLE junk AS SELECT md5(range::VARCHAR) AS x FROM range(600000)",
            "CHECKPOINT",
            "DROP TABLE junk",
            "CHECKPOINT",
        ):
            store.truth.database._connection.raw.execute(sql)
        expected = await store.truth.database.use_cursor(prints)
    before = (await in_thread(path.stat)).st_size

    async with open_store(tmp_path) as store:
        assert await store.truth.database.use_cursor(prints) == expected
        await store.document(mark, "after", "text")

    assert (await in_thread(path.stat)).st_size < before / 2


async def test_a_restore_that_was_cut_off_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recall.duckdb"
    async with open_store(tmp_path) as store:
        mark = await store.collection("before")
        snapshot = await store.snapshots.take(1.0)
        await store.collection("after")
        store.truth.database._connection.raw.execute("PRAGMA disable_checkpoint_on_shutdown")
    with monkeypatch.context() as cut:
        cut.setattr(restoring, "finish_restore", lambda path: None)
        await in_thread(restoring.restore, path, snapshot.path)

    async with open_store(tmp_path) as store:
        assert [each.id for each in await store.collections.list_all(ADA)] == [mark.collection]
    aside = await in_thread(lambda: [each for each in tmp_path.iterdir() if "damaged" in each.name])
    assert len(aside) == 2


async def test_a_running_store_is_not_restored(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.collection()
        snapshot = await store.snapshots.take(1.0)

        script = (
            "import sys, pathlib\n"
            "from runtime.core.errors import StoreUnavailable\n"
            "from runtime.recall.restoring import restore\n"
            "try: restore(*map(pathlib.Path, sys.argv[1:]))\n"
            "except StoreUnavailable as problem: print(problem)\n"
        )
        told = await anyio.run_process(
            [sys.executable, "-c", script, str(tmp_path / "recall.duckdb"), str(snapshot.path)]
        )

        assert b"another process" in told.stdout


async def test_the_doctor_finds_nothing_in_a_whole_store(store: Store) -> None:
    mark = await store.collection()
    await store.document(mark, "a", "one", "two")
    await store.files.add(ADA, "f", "p", stream(b"x"))

    async def two() -> int:
        return 2

    async def rebuild() -> None:
        raise AssertionError

    assert await check_store(store.truth, store.blobs, text=TextIndex(two, rebuild)) == []


async def test_the_doctor_tells_and_repairs_what_is_derived(store: Store) -> None:
    mark = await store.collection()
    await store.truth.write(lambda pen: store.marks.note_dimensions(pen, mark.ns, mark.space, 8))
    document = await store.document(mark, "a", "one", "two")
    await store.document(mark, "b", "three")
    rebuilt: list[bool] = []

    async def count() -> int:
        return 99

    async def rebuild() -> None:
        rebuilt.append(True)

    for sql in (
        f"DELETE FROM document WHERE id = '{document.id}'",
        "UPDATE document SET chunks = 7",
        "INSERT INTO space VALUES (77, 1, 'm', 8, '', '')",
        "INSERT INTO vector VALUES (3, 78, 1, 'x'), (4, 77, 1, 'x')",
        "UPDATE vector SET e = 'short' WHERE chunk = 3 AND space = 1",
    ):
        await store.truth.write(partial(Pen.execute, sql=sql))
    before = store.truth.newest

    told = await check_store(store.truth, store.blobs)
    repaired = await check_store(store.truth, store.blobs, text=TextIndex(count, rebuild), is_repairing=True)
    left = await check_store(store.truth, store.blobs)

    assert [each.where for each in told] == [
        "chunks",
        "texts",
        "documents",
        "spaces",
        "vectors",
        "vectors",
    ]
    assert not any(each.is_repaired for each in told)
    assert rebuilt == [True]
    assert {each.where for each in repaired if each.is_repaired} >= {each.where for each in told}
    assert [each.message.partition(" ")[2] for each in left] == [
        "chunks of completed documents have no vector: they are found by their words alone."
    ]
    assert {each.chunk for each in await store.truth.changes(before, 100)} == {*map(ChunkId, (1, 2, 3, 4))}


async def test_the_doctor_tells_names_that_are_borne_twice_and_contents_of_nothing(store: Store) -> None:
    await store.collection("a")
    await store.collection("b")
    await store.truth.write(lambda pen: pen.execute("UPDATE collection SET name = 'same'"))
    async with store.blobs.taking(stream(b"unnamed")):
        pass

    found = await check_store(store.truth, store.blobs, is_repairing=True)

    assert [(each.where, each.severity, each.is_repaired) for each in found] == [
        ("collections", "inconsistency", False),
        ("files", "waste", True),
    ]
    assert await store.blobs.hashes() == set()


async def test_the_doctor_tells_of_sources_without_a_collection_and_entries_without_a_source(
    tmp_path: Path,
) -> None:
    async with open_sources(tmp_path) as stage:
        truth, blobs = stage.stage.truth, stage.stage.stores.blobs
        stage.origin.pages |= {f"{SITE}one": "Bees fly", f"{SITE}two": "Owls see"}
        await stage.follow()
        one, two = await stage.stage.ingestion.documents.list_all(LOCAL_TENANT, await stage.collection())
        await stage.stage.ingestion.documents.remove(LOCAL_TENANT, one.id)
        await blobs.sweep(lambda: named_hashes(truth))
        assert await check_store(truth, blobs) == []  # what a person has removed is remembered

        other = await stage.stage.collection("other")
        job, (stray,) = await stage.stage.add(text("a.txt", "apples"), collection=other.id)
        await stage.stage.over(job)
        for sql in (
            f"UPDATE source_entry SET document = '{stray.id}' WHERE document = '{two.id}'",
            "INSERT INTO source_entry VALUES ('src_gone', 'k', 'u', '', NULL, NULL, NULL, 0)",
            "INSERT INTO source SELECT 'src_lost', 999, * EXCLUDE (id, ns) FROM source",
            "INSERT INTO source_entry VALUES ('src_lost', 'k', 'u', '', NULL, NULL, NULL, 0)",
        ):
            await truth.write(partial(Pen.execute, sql=sql))
        told = await check_store(truth, blobs)
        repaired = await check_store(truth, blobs, is_repairing=True)

        assert [(each.where, each.message.partition(":")[0]) for each in told] == [
            ("sources", "1 sources belong to no collection."),
            ("sources", "1 entries belong to no source."),
            ("sources", "1 entries name a document of another collection"),
        ]
        assert [each.message for each in repaired if not each.is_repaired] == []
        assert await check_store(truth, blobs) == []
        assert await stage.stage.count("source") == 1
        assert await stage.stage.count("source_entry") == 1
