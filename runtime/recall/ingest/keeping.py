"""The transaction that stores vectors, and ends the documents that have all of theirs."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from runtime.core.ids import ChunkId, DocumentId
from runtime.core.recall_facts import RecallIngested
from runtime.recall.ingest.halves import Unfit, to_halves
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.tasks import EndedJob, end_tasks
from runtime.recall.ingest.units import Part, embedding_of
from runtime.recall.truth import Pen

Unfits = dict[DocumentId, Unfit]


class Home(NamedTuple):
    """Where a vector belongs."""

    ns: int
    space: int


class Finished(NamedTuple):
    """A document that can be found by its words and by its meaning."""

    document: DocumentId
    ns: int
    name: str
    chunks: int


class Kept(NamedTuple):
    """What a transaction did."""

    finished: list[Finished]
    ended: list[EndedJob]


class Packed(NamedTuple):
    """Vectors as they are stored, by where they belong; and the documents whose vectors are unfit."""

    halves: dict[Home, list[tuple[ChunkId, bytes]]]
    unfit: Unfits


def pack(stores: Stores, parts: Sequence[Part], vectors: Sequence[bytes]) -> Packed:
    """Turn a batch's vectors into what is stored. Modifies nothing."""
    places: defaultdict[Home, list[int]] = defaultdict(list)
    for index, part in enumerate(parts):
        places[Home(part.unit.ns, part.unit.space)].append(index)
    halves: dict[Home, list[tuple[ChunkId, bytes]]] = {}
    unfit: Unfits = {}
    for home, indexes in places.items():
        embedding = embedding_of(stores.marks.by_ns(home.ns), home.space)
        if embedding is None:  # its space is gone
            continue

        found = to_halves([vectors[index] for index in indexes], embedding.dimensions)
        fit: dict[ChunkId, bytes] = {}  # a fill and a document under way may both have brought a chunk
        for index, half in zip(indexes, found, strict=True):
            text = parts[index].text
            if isinstance(half, Unfit):
                unfit.setdefault(text.document, half)
            else:
                fit[text.chunk] = half
        halves[home] = [*fit.items()]
    return Packed(halves, unfit)


def keep(
    pen: Pen,
    stores: Stores,
    halves: dict[Home, list[tuple[ChunkId, bytes]]],
    over: Sequence[DocumentId],
    now: float,
) -> Kept:
    """Store vectors; end those of the documents `over` that lack none."""
    for home, group in halves.items():
        rows = pen.rows("SELECT dimensions FROM space WHERE id = ?", [home.space])
        if not rows or not group:
            continue

        if rows[0][0] is None:
            # First, so that nobody sees the dimensions and takes them for asked for.
            pen.committed.append(partial(stores.live.learnt.add, home.space))
            stores.marks.note_dimensions(pen, home.ns, home.space, len(group[0][1]) // 2)
            pen.execute("INSERT OR REPLACE INTO learnt VALUES (?)", [home.space])
        pen.put_vectors(home.ns, home.space, group)
    finished = _finished(pen, over)
    documents = [each.document for each in finished]
    pen.execute(
        "UPDATE document SET status = 'completed', fault = NULL, changed_at = $2 "
        "WHERE id IN (SELECT unnest($1::VARCHAR[]))",
        [documents, now],
    )
    return Kept(finished, end_tasks(pen, documents, "done", now))


def tell_kept(stores: Stores, kept: Kept) -> None:
    """Publish which documents are complete, and which jobs have ended with them."""
    for each in kept.finished:
        mark = stores.marks.by_ns(each.ns)
        if mark is not None:
            fact = RecallIngested(
                collection=mark.collection, document=each.document, name=each.name, chunks=each.chunks
            )
            stores.publish(fact, mark.tenant)
    stores.tell_ended(kept.ended)


def _finished(pen: Pen, documents: Sequence[DocumentId]) -> list[Finished]:
    """Return those of the documents that are under way and have all their vectors."""
    if not documents:
        return []

    rows = pen.rows(
        "SELECT d.id, d.ns, d.name, d.chunks, c.space FROM work w JOIN document d ON d.id = w.document "
        "JOIN collection c ON c.ns = d.ns "
        "WHERE w.stage = 'vectors' AND w.document IN (SELECT unnest($1::VARCHAR[]))",
        [[*documents]],
    )
    by_home: defaultdict[Home, list[Finished]] = defaultdict(list)
    for document, ns, name, chunks, space in rows:
        by_home[Home(ns, space)].append(Finished(DocumentId(document), ns, name, chunks))
    finished: list[Finished] = []
    for home, group in by_home.items():
        lacking = _lacking(pen, home, [each.document for each in group])
        finished += [each for each in group if each.document not in lacking]
    return finished


def _lacking(pen: Pen, home: Home, documents: Sequence[DocumentId]) -> set[str]:
    """Return those of the documents that have a chunk without a vector."""
    chunks: dict[int, str] = dict(
        pen.rows(
            "SELECT id, document FROM chunk WHERE ns = $1 AND document IN (SELECT unnest($2::VARCHAR[]))",
            [home.ns, [*documents]],
        )
    )
    rows = pen.rows(
        "SELECT chunk FROM vector WHERE space = $1 AND chunk IN (SELECT unnest($2::BIGINT[]))",
        [home.space, [*chunks]],
    )
    there = {row[0] for row in rows}
    return {document for chunk, document in chunks.items() if chunk not in there}
