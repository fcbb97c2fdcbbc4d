"""Large removals: gone at once for whoever looks, their rows in steps, also after a restart."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from runtime.core.errors import NotFound
from runtime.core.ids import CollectionId, DocumentId, SourceId
from runtime.core.knowledge import Chunking, CollectionChange, Embedding, NewSource
from runtime.recall import schema
from runtime.recall.connection import Limits
from runtime.recall.database import open_database
from runtime.recall.documents import NewRow, insert_documents
from runtime.recall.lexical.reading import known_namespaces, namespaces
from runtime.recall.marks import Shelfmark
from runtime.recall.sources.rows import SourceRow, remove_source
from runtime.recall.sources.schema import TABLES as SOURCE_TABLES
from runtime.recall.sweeping import DOCUMENTS_AT_ONCE, leave_source, sweep, sweep_source
from runtime.recall.truth import NewChunk, Pen, Truth, load_truth
from tests.kit.store import ADA, GREAT, SMALL, Store, new_document, open_store, vector_for

T = TypeVar("T")
PER_DOCUMENT = 4
LARGE = 2_000
"""Documents: with their chunks more rows than one transaction removes."""
SOURCE = SourceId("src_manual")
PLACE = NewSource(uri="https://docs.example/")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path) as opened:
        yield opened


async def fill(
    truth: Truth, mark: Shelfmark, documents: int, source: SourceId | None = None
) -> list[DocumentId]:
    """Store many documents of some chunks with texts and vectors."""
    made = [
        new_document(mark.collection, f"{number}", 1.0, source=source, status="completed")
        for number in range(documents)
    ]

    def _fill(pen: Pen) -> None:
        insert_documents(pen, mark.ns, ADA, [NewRow(each) for each in made])
        pen.execute(
            "INSERT INTO body SELECT unnest($1::VARCHAR[]), $2, 'text'", [[each.id for each in made], mark.ns]
        )
        cut = [
            (each.id, NewChunk(ordinal, 0, 4, "[]", "text"))
            for each in made
            for ordinal in range(PER_DOCUMENT)
        ]
        chunks = pen.put_chunks_of(mark.ns, cut)
        pen.put_vectors(mark.ns, mark.space, [(each, vector_for(each)) for each in chunks])
        pen.execute(
            "UPDATE document SET chunks = $1 WHERE id IN (SELECT unnest($2::VARCHAR[]))",
            [PER_DOCUMENT, [each.id for each in made]],
        )

    await truth.write(_fill)
    return [each.id for each in made]


async def rows_of(truth: Truth, ns: int) -> dict[str, int]:
    """Return how many rows the tables have of a namespace, those without rows left out."""
    counts = {
        table: (await truth.read(f"SELECT count(*) FROM {table} WHERE ns = ?", [ns]))[0][0]
        for table in ("chunk", "body", "document", "vector", "space")
    }
    return {table: count for table, count in counts.items() if count}


class Watched:
    """A truth that notes how many rows each transaction took away."""

    def __init__(self, truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
        self.removed: list[int] = []
        write = truth.write

        async def _write(work: Callable[[Pen], T], *, is_making_room: bool = False) -> T:
            before = await self._rows(truth)
            result = await write(work, is_making_room=is_making_room)
            self.removed.append(before - await self._rows(truth))
            return result

        monkeypatch.setattr(truth, "write", _write)

    async def _rows(self, truth: Truth) -> int:
        rows = await truth.read(
            "SELECT (SELECT count(*) FROM chunk) + (SELECT count(*) FROM vector) "
            "+ (SELECT count(*) FROM body)"
        )
        return int(rows[0][0])


async def test_a_large_collection_is_gone_at_once_and_its_rows_go_in_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, other = await store.collection("large"), await store.collection("other")
    await fill(store.truth, mark, LARGE)
    await store.document(other, "kept", "text")
    kept = await rows_of(store.truth, other.ns)
    watched = Watched(store.truth, monkeypatch)

    await store.collections.remove(ADA, mark.collection)

    with pytest.raises(NotFound):
        await store.collections.find(ADA, mark.collection)
    assert watched.removed == [0]
    assert await namespaces(store.truth) == {other.ns}, "no index may be made of it"
    assert mark.ns not in await known_namespaces(store.truth)
    await sweep(store.truth)
    assert await rows_of(store.truth, mark.ns) == {}
    assert sum(watched.removed) == LARGE * (2 * PER_DOCUMENT + 1)
    assert max(watched.removed) <= 5_000
    assert await rows_of(store.truth, other.ns) == kept
    assert await store.truth.read("SELECT count(*) FROM note") == [(0,)]


async def test_a_small_collection_goes_with_its_rows(store: Store) -> None:
    mark = await store.collection()
    await store.document(mark, "a", "text")

    await store.collections.remove(ADA, mark.collection)

    assert await rows_of(store.truth, mark.ns) == {}
    assert await store.truth.read("SELECT count(*) FROM note") == [(0,)]


async def test_a_restart_goes_on_with_a_removal_and_gives_no_number_twice(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        mark = await store.collection("large")
        await fill(store.truth, mark, LARGE)
        await store.collections.remove(ADA, mark.collection)
        await store.truth.write(lambda pen: pen.execute("DELETE FROM change"))  # it was followed and trimmed

    async with open_store(tmp_path) as store:
        assert (await store.collection("next")).ns > mark.ns
        await sweep(store.truth)
        assert await rows_of(store.truth, mark.ns) == {}


async def test_a_space_that_is_given_up_goes_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = await store.collection()
    await fill(store.truth, mark, 10)
    await store.collections.change(ADA, mark.collection, CollectionChange(embedding_model=GREAT))
    during = store.marks.find_ns(ADA, mark.collection)
    chunks = await store.truth.read("SELECT id FROM chunk")
    assert during.next_space is not None
    filled = during.next_space
    await store.truth.write(
        lambda pen: pen.put_vectors(mark.ns, filled, [(row[0], vector_for(row[0])) for row in chunks])
    )
    watched = Watched(store.truth, monkeypatch)

    await store.truth.write(lambda pen: store.marks.abandon_space(pen, mark.ns))

    assert watched.removed == [0]
    assert store.marks.find_ns(ADA, mark.collection) == mark


async def test_the_documents_of_a_large_source_go_in_steps_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "recall.duckdb"
    async with open_database(path, (schema.TABLES, SOURCE_TABLES), Limits(reserve_bytes=0)) as database:
        truth = await load_truth(database)
        mark = _mark(7)
        theirs = await fill(truth, mark, DOCUMENTS_AT_ONCE + 10, SOURCE)
        await fill(truth, mark, 3)
        row = SourceRow(SOURCE, mark.ns, ADA, "page", PLACE, 0.0)
        shared = theirs[:2]
        await truth.write(lambda pen: _name_elsewhere(pen, shared))
        watched = Watched(truth, monkeypatch)

        leaving = await truth.write(lambda pen: remove_source(pen, row, is_keeping_documents=False))

        assert set(leaving) == set(theirs[2:])
        assert watched.removed == [DOCUMENTS_AT_ONCE * (2 * PER_DOCUMENT + 1)]
        await sweep(truth)
        left = await truth.read("SELECT source, count(*) FROM document GROUP BY source ORDER BY source")
        assert left == [("src_other", 2), (None, 3)]
        assert (await rows_of(truth, mark.ns))["chunk"] == 5 * PER_DOCUMENT
        assert await truth.read("SELECT count(*) FROM note") == [(0,)]


async def test_documents_of_many_chunks_go_fewer_at_a_time(store: Store) -> None:
    mark = await store.collection()
    await fill(store.truth, mark, 3, SOURCE)
    await store.truth.write(lambda pen: pen.execute("UPDATE document SET chunks = 2000"))

    def _leave(pen: Pen) -> list[int]:
        leave_source(pen, mark.ns, SOURCE)
        return [len(sweep_source(pen, mark.ns, SOURCE)) for _ in range(4)]

    assert await store.truth.write(_leave) == [1, 1, 1, 0]


def _mark(ns: int) -> Shelfmark:
    return Shelfmark(
        collection=CollectionId("vs_manual"),
        tenant=ADA,
        ns=ns,
        name="manual",
        kind="documents",
        language="en",
        chunking=Chunking(),
        space=1,
        embedding=Embedding(model=SMALL),
    )


def _name_elsewhere(pen: Pen, documents: list[DocumentId]) -> None:
    for document in documents:
        pen.execute(
            "INSERT INTO source_entry VALUES ('src_other', ?, 'https://docs.example/', '', NULL, NULL, ?, 0)",
            [document, document],
        )
