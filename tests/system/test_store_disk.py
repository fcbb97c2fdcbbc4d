"""A full disk refuses and loses nothing; a flipped byte is told or without effect, never believed."""

import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from anyio.to_thread import run_sync as in_thread

from runtime.core.errors import StoreDamaged, StoreFull, StoreUnavailable
from runtime.recall import connection
from runtime.recall.check import check_store
from runtime.recall.connection import MIB, Limits
from runtime.recall.copying import Print, prints, prints_of
from runtime.recall.restoring import restore
from runtime.recall.snapshots import list_snapshots
from tests.kit.store import ADA, Store, open_store, stream

FLIPS = 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB, unmounted afterwards."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root on Linux only")

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")

    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def no_file_beyond(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow further, as a quota does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def fill(store: Store, prefix: str) -> list[str]:
    """Store documents until the disk is full; return the names of those that were acknowledged."""
    mark = store.marks.all_marks()[0]
    chance = random.Random(prefix)
    stored: list[str] = []
    refused: StoreFull | None = None
    for number in range(400):
        try:
            await store.document(mark, f"{prefix}{number}", chance.randbytes(100_000).hex())
        except StoreFull as problem:
            refused = problem
            break
        stored.append(f"{prefix}{number}")
    assert refused is not None
    assert refused.fault.code == "store_full"
    return stored


async def names(store: Store) -> set[str]:
    mark = store.marks.all_marks()[0]
    return {each.name for each in await store.rows.list_all(ADA, mark.collection, limit=10_000)}


@pytest.mark.parametrize("reserve_bytes", [0, 4 * MIB])
async def test_a_full_disk_refuses_and_the_store_goes_on_where_there_is_room_again(
    small_disk: Path, reserve_bytes: int
) -> None:
    home, limits = small_disk / "recall", Limits(reserve_bytes=reserve_bytes)
    filler = small_disk / "filler"
    await in_thread(filler.write_bytes, bytes(6 * MIB))

    async with open_store(home, limits=limits) as store:
        await store.collection()
        stored = await fill(store, "a")
        with pytest.raises(StoreFull):
            await store.files.add(ADA, "x", "p", stream(*[b"x" * MIB] * 30))
        assert await names(store) == set(stored)
        with pytest.raises(StoreFull):
            await store.snapshots.take(1.0)

        await in_thread(filler.unlink)
        more = await store.document(store.marks.all_marks()[0], "b", "there is room")
        stored.append(more.name)
        assert await names(store) == set(stored)

    async with open_store(home, limits=limits) as store:
        assert len(stored) > 20
        assert await names(store) == set(stored)
        assert await check_store(store.truth, store.blobs) == []


async def test_a_store_closed_and_opened_on_a_full_disk_is_whole(small_disk: Path) -> None:
    limits = Limits(reserve_bytes=0)
    async with open_store(small_disk / "recall", limits=limits) as store:
        await store.collection()
        stored = await fill(store, "a")

    async with open_store(small_disk / "recall", limits=limits) as store:
        assert await names(store) == set(stored)
        mark = store.marks.all_marks()[0]
        for name in stored[:4]:
            found = await store.rows.find_by_name(ADA, mark.collection, name)
            assert found is not None
            with pytest.raises(StoreFull):
                await store.document(mark, "more", "x" * 3_000_000)


async def test_a_checkpoint_that_finds_no_room_loses_nothing_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CHECKPOINT_BYTES", MIB)
    async with open_store(tmp_path) as store:
        await store.collection()
        with no_file_beyond(4 * MIB):
            stored = await fill(store, "a")
            assert await names(store) == set(stored)
        stored.append((await store.document(store.marks.all_marks()[0], "b", "again")).name)
        assert await names(store) == set(stored)

    async with open_store(tmp_path) as store:
        assert await names(store) == set(stored)
        assert await check_store(store.truth, store.blobs) == []


async def make_store(home: Path) -> dict[str, Print]:
    """Make a store with a snapshot, contents, and a log that is not written into the file yet."""
    async with open_store(home) as store:
        mark = await store.collection()
        for number in range(30):
            await store.document(mark, f"{number}", *(f"text {number} {each} " * 40 for each in range(5)))
        await store.files.add(ADA, "file", "p", stream(b"content" * 100))
        await store.snapshots.take(1_700_000_000.0)
        await store.truth.write(lambda pen: pen.execute("INSERT INTO note VALUES ('after', 'snapshot')"))
        store.truth.database._connection.raw.execute("CHECKPOINT")
        for number in range(30, 40):
            await store.document(mark, f"{number}", f"text {number} " * 40)
        expected = await store.truth.database.use_cursor(prints)
        store.truth.database._connection.raw.execute("PRAGMA disable_checkpoint_on_shutdown")
    return expected


def flip(path: Path, position: int) -> None:
    """Turn a byte of a file around."""
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 0xFF]))


async def opens_as(home: Path, expected: dict[str, Print]) -> bool:
    """Open a store that may be damaged: False where the damage was told, True where nothing is wrong."""
    try:
        async with open_store(home) as store:
            findings = await check_store(store.truth, store.blobs)
            stored = {} if findings else await store.truth.database.use_cursor(prints)
    except (StoreUnavailable, StoreDamaged) as problem:
        told = str(problem)
    else:
        assert all(each.severity == "damage" for each in findings)
        assert findings or stored == expected
        return not findings

    assert any(way_out in told for way_out in ("backup", "newer Lar"))
    return False


@pytest.mark.parametrize("name", ["recall.duckdb", "recall.duckdb.wal"])
async def test_a_flipped_byte_of_the_database_is_told_or_without_effect(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    expected = await make_store(tmp_path / "whole")
    size = (tmp_path / "whole" / name).stat().st_size
    results: list[bool] = []
    for number in range(FLIPS):
        home = tmp_path / f"{number}"
        await in_thread(shutil.copytree, tmp_path / "whole", home)
        flip(home / name, number if number < 8 else chance.randrange(size))
        results.append(await opens_as(home, expected))
        await in_thread(shutil.rmtree, home)

    assert results.count(False) > FLIPS // 4


async def test_a_flipped_byte_of_a_content_or_a_snapshot_is_told(tmp_path: Path) -> None:
    expected = await make_store(tmp_path)
    (content,) = [each for each in (tmp_path / "files").rglob("*") if each.is_file()]
    flip(content, 11)

    assert not await opens_as(tmp_path, expected)

    (snapshot,) = await in_thread(list_snapshots, tmp_path / "snapshots")
    whole = await in_thread(prints_of, snapshot.path)
    told = 0
    for position in range(0, snapshot.size_bytes, snapshot.size_bytes // FLIPS):
        flip(snapshot.path, position)
        try:
            assert await in_thread(prints_of, snapshot.path) == whole
        except duckdb.Error:
            told += 1
        flip(snapshot.path, position)
    assert told > FLIPS // 4


@pytest.mark.parametrize("name", ["recall.duckdb", "recall.duckdb.wal"])
async def test_a_damaged_store_is_put_back_from_its_snapshot_and_the_damaged_file_is_kept(
    tmp_path: Path, name: str
) -> None:
    await make_store(tmp_path)
    damaged = tmp_path / name
    for position in range(20, damaged.stat().st_size, 997):
        flip(damaged, position)
    bytes_before = damaged.read_bytes()
    with pytest.raises(StoreUnavailable):
        async with open_store(tmp_path):
            pass

    (snapshot,) = await in_thread(list_snapshots, tmp_path / "snapshots")
    aside = await in_thread(restore, tmp_path / "recall.duckdb", snapshot.path)

    assert aside is not None
    kept = aside.with_name(aside.name + name.removeprefix("recall.duckdb"))
    assert kept.read_bytes() == bytes_before
    async with open_store(tmp_path) as store:
        assert await names(store) == {f"{number}" for number in range(30)}
        stored = await store.truth.database.use_cursor(prints)
        assert stored == await in_thread(prints_of, snapshot.path)
        assert await check_store(store.truth, store.blobs) == []
