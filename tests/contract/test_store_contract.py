"""What collections and files of Recall do, asked of the real ones and of the fake of the faces' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import CollectionId, FileId
from runtime.core.knowledge import CollectionChange, Expiry, NewCollection
from runtime.core.recall import Collections, Files
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import fake_recall
from tests.kit.store import ADA, BOB, open_store, stream


class Ports:
    """The two ports of one store, and its clock."""

    def __init__(self, collections: Collections, files: Files, clock: FakeClock) -> None:
        self.collections = collections
        self.files = files
        self.clock = clock


@pytest.fixture(params=["fake", "disk"])
async def ports(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ports]:
    clock = FakeClock()
    if request.param == "fake":
        recall, _ = fake_recall(tmp_path, clock)
        yield Ports(recall.collections, recall.files, clock)
    else:
        async with open_store(tmp_path, clock) as store:
            yield Ports(store.collections, store.files, clock)


async def test_a_collection_is_found_as_it_was_made(ports: Ports) -> None:
    new = NewCollection(name="a/../b ☃", description="d", language="pt", metadata={"k": "v"})

    made = await ports.collections.create(ADA, new)

    assert (made.name, made.description, made.language, made.metadata) == ("a/../b ☃", "d", "pt", {"k": "v"})
    assert made.created_at == made.last_active_at == ports.clock.now()
    assert await ports.collections.find(ADA, made.id) == made
    assert await ports.collections.find_by_name(ADA, "a/../b ☃") == made
    assert await ports.collections.find_by_name(ADA, "other") is None
    assert await ports.collections.list_all(ADA) == [made]


async def test_a_name_is_taken_once_in_each_tenant(ports: Ports) -> None:
    await ports.collections.create(ADA, NewCollection(name="n"))
    await ports.collections.create(BOB, NewCollection(name="n"))

    with pytest.raises(Conflict):
        await ports.collections.create(ADA, NewCollection(name="n"))


async def test_only_what_is_told_changes(ports: Ports) -> None:
    made = await ports.collections.create(ADA, NewCollection(name="n", description="d", metadata={"k": "v"}))

    changed = await ports.collections.change(
        ADA, made.id, CollectionChange(name="m", expiry=Expiry(days=3), metadata={})
    )
    cleared = await ports.collections.change(ADA, made.id, CollectionChange(expiry=None))

    assert (changed.name, changed.description, changed.metadata, changed.expiry) == (
        "m",
        "d",
        {},
        Expiry(days=3),
    )
    assert (cleared.name, cleared.expiry) == ("m", None)


async def test_what_is_unknown_or_removed_or_anothers_is_not_found(ports: Ports) -> None:
    made = await ports.collections.create(ADA, NewCollection(name="n"))
    with pytest.raises(NotFound):
        await ports.collections.remove(BOB, made.id)

    await ports.collections.remove(ADA, made.id)

    for collection in (made.id, CollectionId("vs_no")):
        with pytest.raises(NotFound):
            await ports.collections.find(ADA, collection)
        with pytest.raises(NotFound):
            await ports.collections.change(ADA, collection, CollectionChange(name="x"))
        with pytest.raises(NotFound):
            await ports.collections.remove(ADA, collection)


async def test_a_file_is_kept_as_it_came(ports: Ports) -> None:
    file = await ports.files.add(ADA, "../x.md", "assistants", stream(b"one ", b"", b"two"))

    assert (file.name, file.purpose, file.size_bytes) == ("../x.md", "assistants", 7)
    assert file.created_at == ports.clock.now()
    assert await ports.files.find(ADA, file.id) == file
    path = await ports.files.path(ADA, file.id)
    assert await anyio.Path(path).read_bytes() == b"one two"
    told = await ports.files.add(ADA, "y", "p", stream(b""), media_type="text/x-own")
    assert (told.media_type, told.size_bytes) == ("text/x-own", 0)


async def test_files_are_listed_in_pages_by_purpose(ports: Ports) -> None:
    files = []
    for number in range(5):
        ports.clock.advance(1)
        purpose = "batch" if number == 2 else "assistants"
        files.append(await ports.files.add(ADA, f"{number}", purpose, stream(b"x")))

    assert await ports.files.list_all(ADA) == files[::-1]
    assert await ports.files.list_all(ADA, is_newest_first=False, limit=2) == files[:2]
    assert await ports.files.list_all(ADA, is_newest_first=False, after=files[1].id) == files[2:]
    assert await ports.files.list_all(ADA, after=files[3].id, limit=1) == [files[2]]
    assert await ports.files.list_all(ADA, purpose="batch") == [files[2]]
    assert await ports.files.list_all(BOB) == []


async def test_a_removed_and_anothers_file_are_not_found(ports: Ports) -> None:
    gone = await ports.files.add(ADA, "a", "p", stream(b"same"))
    kept = await ports.files.add(ADA, "b", "p", stream(b"same"))

    await ports.files.remove(ADA, gone.id)

    for file in (gone.id, FileId("file-no")):
        with pytest.raises(NotFound):
            await ports.files.find(ADA, file)
        with pytest.raises(NotFound):
            await ports.files.path(ADA, file)
    for asked in (ports.files.find, ports.files.path, ports.files.remove):
        with pytest.raises(NotFound):
            await asked(BOB, kept.id)
    with pytest.raises(NotFound):
        await ports.files.remove(ADA, gone.id)
    assert await anyio.Path(await ports.files.path(ADA, kept.id)).read_bytes() == b"same"


async def test_what_a_stream_raises_is_raised_and_nothing_is_kept(ports: Ports) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield b"begin"
        raise ConnectionError("the client left")

    with pytest.raises(ConnectionError):
        await ports.files.add(ADA, "a", "p", torn())

    assert await ports.files.list_all(ADA) == []
