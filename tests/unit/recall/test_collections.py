"""Collections: names, counts, the embedding and its change, expiry, and what memory mirrors of the rows."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.core.errors import Conflict, NotFound, RequestInvalid
from runtime.core.ids import ChunkId, CollectionId
from runtime.core.knowledge import Chunking, CollectionChange, DocumentCounts, Expiry, NewCollection
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.marks import load_marks
from runtime.recall.truth import Pen
from tests.kit.store import ADA, BOB, GREAT, SMALL, Store, open_store

DAY_S = 86400.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


async def test_what_memory_mirrors_is_what_a_new_start_reads(store: Store) -> None:
    first, second = await store.collection("one"), await store.collection("two", BOB)
    await store.collections.memory_of(ADA)
    await store.document(first, "a", "text")
    await store.collections.change(ADA, first.collection, CollectionChange(embedding_model=GREAT, name="new"))
    await store.truth.write(lambda pen: store.marks.note_dimensions(pen, second.ns, second.space, 8))

    fresh = await load_marks(store.truth)

    assert sorted(store.marks.all_marks()) == sorted(fresh.all_marks())
    assert [mark.name for mark in sorted(fresh.all_marks(), key=lambda each: each.ns)] == [
        "new",
        "two",
        "memory",
    ]
    dimensions = store.marks.find_ns(BOB, second.collection).embedding.dimensions
    assert dimensions == 8


async def test_a_write_that_fails_changes_nothing_in_memory(store: Store) -> None:
    mark = await store.collection()

    def work(pen: Pen) -> None:
        store.marks.note_dimensions(pen, mark.ns, mark.space, 8)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.truth.write(work)

    assert store.marks.find_ns(ADA, mark.collection) == mark


async def test_a_commit_that_nobody_waits_for_any_more_is_seen(store: Store) -> None:
    mark = await store.collection()
    is_running, may_end = threading.Event(), threading.Event()

    def work(pen: Pen) -> None:
        is_running.set()
        assert may_end.wait(5)
        pen.log(mark.ns, [ChunkId(1)], "meta")
        pen.execute("UPDATE collection SET name = 'renamed' WHERE ns = ?", [mark.ns])
        store.marks.renew(pen, mark.ns)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.truth.write, work)
        assert await anyio.to_thread.run_sync(is_running.wait, 5)
        tasks.cancel_scope.cancel()
    may_end.set()
    await store.truth.write(lambda pen: None)

    assert store.truth.reached(mark.ns) == 1
    assert store.marks.find_ns(ADA, mark.collection).name == "renamed"


async def test_names_are_free_again_after_a_removal_and_taken_ones_are_told(store: Store) -> None:
    mark = await store.collection("notes")
    with pytest.raises(Conflict, match="'notes' already"):
        await store.collection("notes")

    other = await store.collection("other")
    with pytest.raises(Conflict):
        await store.collections.change(ADA, other.collection, CollectionChange(name="notes"))
    await store.collections.change(ADA, mark.collection, CollectionChange(name="notes"))
    await store.collections.remove(ADA, mark.collection)

    assert (await store.collection("notes")).ns > other.ns


async def test_a_removal_is_told_with_the_number_of_its_documents(store: Store) -> None:
    mark = await store.collection()
    await store.document(mark, "a", "text")
    await store.document(mark, "b", "text")
    await store.collections.remove(ADA, mark.collection)

    assert store.told == [RecallForgotten(collection=mark.collection, documents=2)]


async def test_of_two_creations_at_once_one_wins(store: Store) -> None:
    refused: list[Conflict] = []

    async def create() -> None:
        try:
            await store.collection("same")
        except Conflict as problem:
            refused.append(problem)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(create)

    assert len(refused) == 7
    assert len(await store.collections.list_all(ADA)) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(min_size=1, max_size=256).filter(lambda text: "\0" not in text))
def test_any_text_can_be_a_name(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    async def create() -> None:
        async with open_store(tmp_path_factory.mktemp("store")) as store:
            mark = await store.collection(name)
            found = await store.collections.find_by_name(ADA, name)
            assert found is not None
            assert (found.id, found.name) == (mark.collection, name)

    anyio.run(create)


@pytest.mark.parametrize("name", ["", "x" * 257, "a\0b", "a\ud800"])
async def test_what_is_no_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(RequestInvalid, match="1 to 256 characters"):
        await store.collections.create(ADA, NewCollection(name=name))


async def test_chunks_that_overlap_by_more_than_half_are_refused(store: Store) -> None:
    with pytest.raises(RequestInvalid, match="half"):
        await store.collections.create(
            ADA, NewCollection(name="a", chunking=Chunking(max_tokens=100, overlap_tokens=51))
        )


async def test_prefixes_come_from_the_model_unless_they_are_told(store: Store) -> None:
    known = await store.collections.create(ADA, NewCollection(name="a", embedding_model=GREAT))
    told = await store.collections.create(
        ADA, NewCollection(name="b", embedding_model=GREAT, query_prefix="", document_prefix="d: ")
    )
    default = await store.collections.create(ADA, NewCollection(name="c"))

    assert (known.embedding.query_prefix, known.embedding.document_prefix) == ("query: ", "passage: ")
    assert (told.embedding.query_prefix, told.embedding.document_prefix) == ("", "d: ")
    assert (default.embedding.model, default.embedding.query_prefix) == (SMALL, "")


async def test_contents_are_counted(store: Store) -> None:
    mark = await store.collection()
    await store.truth.write(lambda pen: store.marks.note_dimensions(pen, mark.ns, mark.space, 8))
    await store.document(mark, "a", "één", "two")
    await store.document(mark, "b", "three")

    found = await store.collections.find(ADA, mark.collection)

    assert found.counts == DocumentCounts(completed=2)
    assert found.counts.total == 2
    assert found.chunks == 3
    assert found.usage_bytes == len("één\n\ntwo".encode()) + 5 + 3 * 2 * 8


async def test_another_embedding_gets_a_space_of_its_own_and_the_old_one_serves_until_the_swap(
    store: Store,
) -> None:
    mark = await store.collection()
    await store.document(mark, "a", "text")

    changed = await store.collections.change(ADA, mark.collection, CollectionChange(embedding_model=GREAT))
    during = store.marks.find_ns(ADA, mark.collection)
    former = await store.truth.write(lambda pen: store.marks.swap_space(pen, mark.ns))
    after = store.marks.find_ns(ADA, mark.collection)

    assert changed.is_reembedding
    assert changed.embedding.model == SMALL
    assert store.reembedded == [during]
    assert during.next_embedding is not None
    assert (during.space, during.next_embedding.model, during.next_embedding.document_prefix) == (
        mark.space,
        GREAT,
        "passage: ",
    )
    assert former == mark.space
    assert (after.space, after.embedding, after.next_space) == (
        during.next_space,
        during.next_embedding,
        None,
    )


async def test_an_empty_collection_changes_its_embedding_at_once(store: Store) -> None:
    mark = await store.collection()

    changed = await store.collections.change(
        ADA, mark.collection, CollectionChange(embedding_model=GREAT, dimensions=4)
    )

    assert (changed.embedding.model, changed.embedding.dimensions) == (GREAT, 4)
    assert not changed.is_reembedding
    assert store.reembedded == []


async def test_the_old_embedding_asked_for_again_ends_the_change(store: Store) -> None:
    mark = await store.collection()
    await store.document(mark, "a", "text")
    await store.collections.change(ADA, mark.collection, CollectionChange(embedding_model=GREAT))

    again = await store.collections.change(ADA, mark.collection, CollectionChange(embedding_model=GREAT))
    back = await store.collections.change(ADA, mark.collection, CollectionChange(embedding_model=SMALL))

    assert again.is_reembedding
    assert len(store.reembedded) == 1
    assert not back.is_reembedding
    assert store.marks.find_ns(ADA, mark.collection) == mark


async def test_a_collection_that_was_not_used_for_its_days_goes_with_all_that_is_in_it(store: Store) -> None:
    used, unused = await store.collection("used"), await store.collection("unused")
    await store.document(unused, "a", "text")
    for mark in (used, unused):
        await store.collections.change(ADA, mark.collection, CollectionChange(expiry=Expiry(days=2)))
    store.clock.advance(1.5 * DAY_S)
    store.marks.touch(used.ns, store.clock.now())
    await store.marks.write_touched()
    store.clock.advance(1 * DAY_S)

    removed = await store.collections.remove_expired()

    assert removed == [(ADA, unused.collection, 1)]
    assert [mark.collection for mark in store.removed] == [unused.collection]
    assert await store.truth.read("SELECT count(*) FROM chunk") == [(0,)]
    assert await store.truth.read("SELECT count(*) FROM space") == [(1,)]
    with pytest.raises(NotFound):
        store.marks.find_ns(ADA, unused.collection)
    assert await store.truth.read("SELECT op FROM change ORDER BY seq DESC LIMIT 1") == [("drop",)]


async def test_uses_are_stored_now_and_then(store: Store) -> None:
    mark = await store.collection()
    store.clock.advance(1000)
    store.marks.touch(mark.ns, store.clock.now())

    await store.marks.write_touched()
    written = store.truth.newest
    await store.marks.write_touched()

    rows = await store.truth.read("SELECT last_active_at FROM collection")
    assert rows == [(store.clock.now(),)]
    assert store.truth.newest == written
    assert (await store.collections.find(ADA, mark.collection)).last_active_at == store.clock.now()


async def test_the_memory_of_a_tenant_is_made_once_and_is_no_collection_of_documents(store: Store) -> None:
    made: list[int] = []

    async def ask() -> None:
        made.append((await store.collections.memory_of(ADA)).ns)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    other = await store.collections.memory_of(BOB)

    assert len(set(made)) == 1
    assert other.ns not in made
    assert await store.collections.list_all(ADA) == []
    memory = store.marks.memory_of(ADA)
    assert memory is not None
    for asked in (store.collections.find, store.collections.remove):
        with pytest.raises(NotFound):
            await asked(ADA, memory.collection)
    assert (await store.collections.change_memory_embedding(ADA, GREAT)).embedding.model == GREAT


async def test_what_is_another_tenants_does_not_exist(store: Store) -> None:
    mark = await store.collection("notes")
    await store.collection("notes", BOB)

    for asked in (store.collections.find, store.collections.remove):
        with pytest.raises(NotFound):
            await asked(BOB, mark.collection)
    with pytest.raises(NotFound):
        await store.collections.change(BOB, mark.collection, CollectionChange(name="x"))
    with pytest.raises(NotFound):
        store.marks.find_ns(BOB, mark.collection)
    with pytest.raises(NotFound):
        await store.collections.find(ADA, CollectionId("vs_unknown"))
    assert len(await store.collections.list_all(BOB)) == 1
