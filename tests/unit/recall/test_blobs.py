"""Contents on disk: each once, whole or not at all, and gone when nothing names them."""

import hashlib
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from runtime.core.errors import NotFound, StoreDamaged, StoreFull
from runtime.core.ids import FileId
from runtime.recall.blobs import Blob, BlobStore
from runtime.recall.files import named_hashes
from tests.kit.store import ADA, Store, all_files, new_document, open_store, stream, write_document


@pytest.fixture
async def blobs(tmp_path: Path) -> BlobStore:
    opened = BlobStore(tmp_path / "files", reserve_bytes=0)
    await opened.open()
    return opened


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


async def put(blobs: BlobStore, content: bytes) -> Blob:
    async with blobs.taking_bytes(content) as blob:
        return blob


async def nothing() -> set[str]:
    return set()


async def test_a_content_lies_once_under_its_hash(blobs: BlobStore) -> None:
    content = os.urandom(3_000_000)

    first, second = await put(blobs, content), await put(blobs, content)

    assert first == second == Blob(hashlib.sha256(content).hexdigest(), len(content))
    assert all_files(blobs.folder) == [blobs.path(first.sha256)]
    assert await blobs.read(first.sha256) == content
    assert await blobs.verify(first.sha256) is True


async def test_of_a_torn_stream_nothing_is_left(blobs: BlobStore) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise ConnectionError

    with pytest.raises(ConnectionError):
        async with blobs.taking(torn()):
            pass
    async with anyio.create_task_group() as tasks:

        async def cancelled() -> AsyncIterator[bytes]:
            yield b"y"
            tasks.cancel_scope.cancel()
            await anyio.sleep_forever()

        async with blobs.taking(cancelled()):
            pass

    assert all_files(blobs.folder) == []


async def test_what_a_dead_process_was_writing_is_removed_at_the_start(blobs: BlobStore) -> None:
    (blobs.folder / "incoming" / "half").write_bytes(b"half")

    await blobs.open()

    assert all_files(blobs.folder) == []


async def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(blobs: BlobStore) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(StoreFull, match="no room"):
            await put(blobs, os.urandom(2_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert all_files(blobs.folder) == []
    assert (await put(blobs, b"small")).size_bytes == 5


async def test_room_is_left_for_the_database(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "files", reserve_bytes=2**62)
    await blobs.open()

    with pytest.raises(StoreFull):
        await put(blobs, b"x")

    assert all_files(tmp_path) == []


async def test_what_no_row_names_is_swept_but_not_what_somebody_holds(blobs: BlobStore) -> None:
    named, unnamed = await put(blobs, b"named"), await put(blobs, b"unnamed")

    async def names() -> set[str]:
        return {named.sha256}

    async with blobs.taking(stream(b"held")) as held:
        freed = await blobs.sweep(names)

        assert freed == len(b"unnamed")
        assert await blobs.hashes() == {named.sha256, held.sha256}
    assert not await blobs.has(unnamed.sha256)
    await blobs.sweep(names)
    assert await blobs.hashes() == {named.sha256}


async def test_what_is_stored_while_the_rows_are_read_is_not_swept(blobs: BlobStore) -> None:
    content = await put(blobs, b"again")

    async def names() -> set[str]:
        await put(blobs, b"again")
        return set()

    assert await blobs.sweep(names) == 0
    assert await blobs.has(content.sha256)
    assert await blobs.sweep(nothing) == 5


async def test_a_content_that_was_damaged_is_told_and_whole_again_when_it_comes_again(
    blobs: BlobStore,
) -> None:
    content = await put(blobs, b"content")
    blobs.path(content.sha256).write_bytes(b"c0ntent")
    assert await blobs.verify(content.sha256) is False

    await put(blobs, b"content")

    assert await blobs.verify(content.sha256) is True
    blobs.path(content.sha256).unlink()
    assert await blobs.verify(content.sha256) is None


async def test_bytes_go_with_the_last_that_is_made_of_them(store: Store) -> None:
    mark = await store.collection()
    first = await store.files.add(ADA, "a", "p", stream(b"same"))
    second = await store.files.add(ADA, "b", "p", stream(b"same"))
    document = new_document(
        mark.collection, "d", 1.0, file=FileId(first.id), content_hash=first.sha256, size_bytes=4
    )
    await store.truth.write(lambda pen: write_document(pen, mark, document, ["same"], "name", 1.0))

    await store.files.remove(ADA, first.id)
    await store.files.remove(ADA, second.id)
    assert await store.blobs.has(first.sha256)

    await store.rows.remove(ADA, document.id)
    await store.blobs.sweep(lambda: named_hashes(store.truth))
    assert all_files(store.blobs.folder) == []


async def test_expired_files_go_with_their_bytes(store: Store) -> None:
    await store.files.add(ADA, "a", "p", stream(b"brief"), expires_after_s=10)
    kept = await store.files.add(ADA, "b", "p", stream(b"kept"), expires_after_s=100)
    store.clock.advance(10)

    assert await store.files.remove_expired() == 1
    assert await store.blobs.hashes() == {kept.sha256}


async def test_a_file_that_has_expired_is_not_found_although_it_still_lies_there(store: Store) -> None:
    brief = await store.files.add(ADA, "c", "p", stream(b"brief"), expires_after_s=60)
    assert brief.expires_at == store.clock.now() + 60

    store.clock.advance(60)

    for asked in (store.files.find, store.files.path):
        with pytest.raises(NotFound):
            await asked(ADA, brief.id)
    assert await store.files.list_all(ADA) == []
    assert await store.blobs.has(brief.sha256)


async def test_a_file_whose_bytes_are_gone_is_told(store: Store) -> None:
    file = await store.files.add(ADA, "a", "p", stream(b"x"))
    store.blobs.path(file.sha256).unlink()

    with pytest.raises(StoreDamaged, match="Upload it again"):
        await store.files.path(ADA, file.id)


async def test_types_are_told_by_the_name_where_nothing_else_is(store: Store) -> None:
    names = {"a.md": "text/markdown", "a.pdf": "application/pdf", "a": "application/octet-stream"}

    for name, media_type in names.items():
        assert (await store.files.add(ADA, name, "p", stream(b"x"))).media_type == media_type
