"""Rows of documents: they come back as they were, give way to newer ones, and go without a trace."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from runtime.core.errors import NotFound
from runtime.core.ids import DocumentId, FileId, SourceId
from runtime.core.knowledge import Chunking, DocumentFault
from runtime.recall.documents import (
    ItemColumns,
    NewRow,
    ReadText,
    cancel,
    fail,
    insert_document,
    insert_documents,
    restart,
    store_text,
)
from runtime.recall.truth import Pen
from tests.kit.store import ADA, BOB, Store, chunks_of, new_document, open_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


async def test_a_document_comes_back_as_it_was(store: Store) -> None:
    mark = await store.collection()
    document = new_document(
        mark.collection,
        "../../etc/passwd",
        5.0,
        title="A title",
        uri="https://example.org/a?b=ç",
        media_type="application/pdf",
        language="pt",
        status="failed",
        fault=DocumentFault(code="encrypted", message="Locked. Unlock it."),
        notes=("page 3 is a picture",),
        attributes={"year": 2024, "share": 0.5, "is_draft": True, "by": "Ada ☃"},
        tags=("a", "b"),
        source=SourceId("src_1"),
        file=FileId("file-1"),
        content_hash="ab" * 32,
        size_bytes=7,
        valid_from=1.0,
        valid_to=2.0,
        expires_at=3.0,
        chunking=Chunking(max_tokens=99, overlap_tokens=9),
    )

    await store.truth.write(lambda pen: insert_document(pen, mark.ns, ADA, document))

    assert await store.rows.find(ADA, document.id) == document
    assert await store.rows.find_many(mark.ns, [document.id]) == {document.id: document}
    assert await store.rows.find_by_file(ADA, mark.collection, FileId("file-1")) == document
    assert await store.rows.find_by_uri(ADA, mark.collection, "https://example.org/a?b=ç") == document
    attributes = (await store.rows.find(ADA, document.id)).attributes
    assert [type(each) for each in attributes.values()] == [int, float, bool, str]


async def test_rows_stored_together_are_those_stored_one_by_one(store: Store) -> None:
    mark, others = await store.collection("one by one"), await store.collection("together")
    item = ItemColumns(0.7, 2.0, "u", None, "s")
    rows = [
        NewRow(new_document(mark.collection, "a ☃", 1.0, status="failed", uri="x:/a", tags=("t",)), "uri"),
        NewRow(new_document(mark.collection, "b", 2.0, attributes={"year": 2024}, expires_at=9.5), "name"),
        NewRow(new_document(mark.collection, "c", 3.0, notes=("n",), size_bytes=2**40), "nothing", item),
    ]
    again = [
        row._replace(document=msgspec.structs.replace(row.document, id=DocumentId(f"{row.document.id}_2")))
        for row in rows
    ]

    def _one_by_one(pen: Pen) -> None:
        for row in rows:
            insert_document(pen, mark.ns, ADA, row.document, replaces=row.replaces, item=row.item)

    await store.truth.write(_one_by_one)
    await store.truth.write(lambda pen: insert_documents(pen, others.ns, ADA, again))
    await store.truth.write(lambda pen: insert_documents(pen, others.ns, ADA, []))

    stored = "SELECT * EXCLUDE (id, ns) FROM document WHERE ns = $1 ORDER BY name"
    together = await store.truth.read(stored, [others.ns])
    assert together == await store.truth.read(stored, [mark.ns])
    assert len(together) == 3


async def test_text_and_chunks_are_read_back_in_order(store: Store) -> None:
    mark = await store.collection()
    document = await store.document(mark, "a", "first ☃", "second")

    chunks = await store.rows.chunks(ADA, document.id)
    text = await store.rows.text(ADA, document.id)

    assert text == "first ☃\n\nsecond"
    assert [text[each.start : each.end] for each in chunks] == [each.text for each in chunks]
    assert [each.ordinal for each in chunks] == [0, 1]
    assert (await store.rows.find(ADA, document.id)).chunks == 2


async def test_a_text_that_is_read_again_takes_the_place_of_the_former(store: Store) -> None:
    mark = await store.collection()
    document = await store.document(mark, "a", "old", "older")
    read = ReadText("new", chunks_of(["new"]), "T", "text/plain", "en", ())

    await store.truth.write(lambda pen: store_text(pen, mark.ns, document.id, read, 9.0))

    assert await store.rows.text(ADA, document.id) == "new"
    assert [each.text for each in await store.rows.chunks(ADA, document.id)] == ["new"]
    assert await store.truth.read("SELECT count(*) FROM vector") == [(0,)]
    assert (await store.rows.find(ADA, document.id)).title == "T"


async def test_a_document_without_text_says_how_far_it_is(store: Store) -> None:
    mark = await store.collection()
    document = new_document(mark.collection, "a", 1.0)
    await store.truth.write(lambda pen: insert_document(pen, mark.ns, ADA, document))

    with pytest.raises(NotFound, match="in progress"):
        await store.rows.text(ADA, document.id)


async def test_an_older_document_of_the_same_name_gives_way_and_others_stay(store: Store) -> None:
    mark, other = await store.collection(), await store.collection("other")
    elsewhere = await store.document(other, "a", "elsewhere")
    await store.document(mark, "a", "old")
    kept = await store.document(mark, "b", "kept")
    new = await store.document(mark, "a", "new")
    twin = await store.document(mark, "a", "twin", replaces="nothing")

    names = [each.id for each in await store.rows.list_all(ADA, mark.collection)]

    assert names == [twin.id, new.id, kept.id]
    assert (await store.rows.find(ADA, elsewhere.id)).name == "a"
    found = await store.rows.find_by_name(ADA, mark.collection, "a")
    assert found is not None
    assert found.id == twin.id


async def test_an_older_document_of_the_same_uri_gives_way(store: Store) -> None:
    mark = await store.collection()
    await store.document(mark, "before", "old", uri="u")
    plain = await store.document(mark, "plain", "x")
    new = await store.document(mark, "after", "new", replaces="uri", uri="u")

    assert [each.id for each in await store.rows.list_all(ADA, mark.collection)] == [new.id, plain.id]


async def test_pages_go_both_ways(store: Store) -> None:
    mark = await store.collection()
    ids = [(await store.document(mark, f"{number}", "x")).id for number in range(7)]
    newest = ids[::-1]

    async def page(**more: object) -> list[DocumentId]:
        listed = await store.rows.list_all(ADA, mark.collection, limit=2, **more)  # type: ignore[arg-type]  # keywords of the test
        return [each.id for each in listed]

    assert await page() == newest[:2]
    assert await page(after=newest[1]) == newest[2:4]
    assert await page(before=newest[4]) == newest[2:4]
    assert await page(before=newest[1]) == newest[:1]
    assert await page(after=newest[6]) == []
    assert await page(is_newest_first=False) == ids[:2]
    assert await page(is_newest_first=False, after=ids[1]) == ids[2:4]
    assert await page(is_newest_first=False, before=ids[4]) == ids[2:4]
    assert await page(after=newest[1], before=newest[3]) == newest[2:3]


async def test_a_document_ends_as_told_and_may_be_taken_in_again(store: Store) -> None:
    mark = await store.collection()
    document = await store.document(mark, "a", "text")
    fault = DocumentFault(code="too_slow", message="It took too long.")

    await store.truth.write(lambda pen: fail(pen, document.id, fault, 7.0))
    failed = await store.rows.list_all(ADA, mark.collection, status="failed")
    await store.truth.write(lambda pen: restart(pen, document.id, 8.0))
    again = await store.rows.find(ADA, document.id)
    await store.truth.write(lambda pen: cancel(pen, document.id, 9.0))
    cancelled = await store.rows.find(ADA, document.id)

    assert [(each.fault, each.changed_at) for each in failed] == [(fault, 7.0)]
    assert (again.status, again.fault) == ("in_progress", None)
    assert (cancelled.status, cancelled.changed_at) == ("cancelled", 9.0)
    assert await store.rows.list_all(ADA, mark.collection, status="completed") == []


async def test_changed_attributes_are_logged_for_every_chunk(store: Store) -> None:
    mark = await store.collection()
    document = await store.document(mark, "a", "one", "two")
    before = store.truth.newest

    changed = await store.rows.change_attributes(ADA, document.id, {"x": 1})

    assert changed == await store.rows.find(ADA, document.id)
    assert changed.attributes == {"x": 1}
    logged = await store.truth.changes(before, 10, mark.ns)
    assert [(each.op, each.chunk) for each in logged] == [
        ("meta", chunk.id) for chunk in await store.rows.chunks(ADA, document.id)
    ]


async def test_a_removed_document_leaves_nothing_but_its_entry_in_the_log(store: Store) -> None:
    mark = await store.collection()
    document = await store.document(mark, "a", "one", "two")
    chunks = [each.id for each in await store.rows.chunks(ADA, document.id)]
    before = store.truth.newest

    removed = await store.rows.remove(ADA, document.id)

    assert (removed.id, removed.chunks) == (document.id, 2)
    for table in ("document", "body", "chunk", "vector"):
        assert await store.truth.read(f"SELECT count(*) FROM {table}") == [(0,)]
    assert {(each.op, each.chunk) for each in await store.truth.changes(before, 10)} == {
        ("remove", chunk) for chunk in chunks
    }
    with pytest.raises(NotFound):
        await store.rows.remove(ADA, document.id)


async def test_items_of_memory_are_no_documents_of_collections(store: Store) -> None:
    memory = await store.collections.memory_of(ADA)
    item = new_document(memory.collection, "it", 1.0, status="completed")
    columns = ItemColumns(0.7, None, "u", "a", "s")

    await store.truth.write(lambda pen: insert_document(pen, memory.ns, ADA, item, item=columns))

    assert await store.rows.find_many(memory.ns, [item.id]) == {item.id: item}
    row = await store.truth.read(
        "SELECT importance, ended_at, scope_user, scope_agent, scope_session FROM document"
    )
    assert row == [(0.7, None, "u", "a", "s")]
    for asked in (store.rows.find, store.rows.text, store.rows.chunks, store.rows.remove):
        with pytest.raises(NotFound):
            await asked(ADA, item.id)
    with pytest.raises(NotFound):
        await store.rows.list_all(ADA, memory.collection)


async def test_what_is_another_tenants_does_not_exist(store: Store) -> None:
    mark = await store.collection()
    document = await store.document(mark, "a", "text")

    for asked in (store.rows.find, store.rows.text, store.rows.chunks, store.rows.remove):
        with pytest.raises(NotFound):
            await asked(BOB, document.id)
    with pytest.raises(NotFound):
        await store.rows.change_attributes(BOB, document.id, {})
    with pytest.raises(NotFound):
        await store.rows.list_all(BOB, mark.collection)
    assert await store.rows.find_many(mark.ns + 1, [document.id]) == {}
