"""Recall itself, in process, with the vectors that the other systems get: `python -m bench.recall.lar`."""

import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import numpy as np

from bench.recall import measure
from bench.recall.embedder import MODEL, GivenVectors, Installed, install_embedder, open_embedder
from runtime.core.clock import SystemClock
from runtime.core.fact import Fact
from runtime.core.filters import Comparison
from runtime.core.ids import LOCAL_TENANT, ChunkId, CollectionId, DocumentId, TenantId
from runtime.core.knowledge import Document, NewCollection, Query
from runtime.core.settings import RecallSettings
from runtime.core.version import __version__
from runtime.egress.client import open_fetcher
from runtime.recall.documents import NewRow, insert_documents
from runtime.recall.opening import Given, OpenRecall, open_recall
from runtime.recall.truth import NewChunk, Pen

_CHUNKS = 50
"""Of a document: some twenty pages."""
_DOCUMENTS = 20
"""That are stored in one transaction, as ingestion does."""


async def main(folder: Path, store: Path) -> None:
    """Ingest and ask."""
    corpus = measure.load(folder)
    installed = await install_embedder()
    embedder = GivenVectors(corpus)
    empty = measure.memory_mib()
    async with open_fetcher((), __version__) as fetcher:
        given = Given(
            embedder=embedder,
            publish=_ignore,
            clock=SystemClock(),
            embedding_model=MODEL,
            fetcher=fetcher,
        )
        async with open_recall(store, RecallSettings(snapshots=0), given) as opened:
            result = await _measure(opened, corpus, embedder, installed)
            result |= {"memory_mib": measure.memory_mib(), "memory_before_mib": empty}
    measure.tell(result | {"version": __version__, "disk_mib": measure.disk_mib(store)})


async def _measure(
    opened: OpenRecall, corpus: measure.Loaded, embedder: GivenVectors, installed: Installed
) -> dict[str, Any]:
    collection = await opened.recall.collections.create(LOCAL_TENANT, NewCollection(name="chunks"))
    mark = opened.marks.find_ns(LOCAL_TENANT, collection.id)
    began = time.perf_counter()
    rows: dict[ChunkId, int] = {}
    documents = _documents(corpus)
    for start in range(0, len(documents), _DOCUMENTS):
        lot = documents[start : start + _DOCUMENTS]

        def _store(pen: Pen, lot: list[list[int]] = lot) -> dict[ChunkId, int]:
            return _ingest(pen, mark.ns, mark.space, corpus, lot)

        rows |= await opened.truth.write(_store)
    ingested = time.perf_counter()
    await opened.recall.searcher.search(
        LOCAL_TENANT, Query(text=corpus.questions[0], collections=(collection.id,))
    )
    indexed = time.perf_counter()

    async def ask(**more: Any) -> dict[str, Any]:
        def _ask(question: str, _vector: Any) -> list[int]:
            query = Query(text=question, collections=(collection.id,), limit=measure.LIMIT, **more)
            found = anyio.from_thread.run(opened.recall.searcher.search, LOCAL_TENANT, query)
            return [rows[hit.chunk.id] for hit in found.hits]

        return await anyio.to_thread.run_sync(measure.time_each, _ask, corpus)

    async with open_embedder(installed, lambda _: None) as embedder.worker:
        embedded = await ask()
    embedder.worker = None
    where = Comparison(type="eq", key="tenant", value="t7")
    return {
        "embedded": embedded,
        "ingest_s": ingested - began,
        "index_s": indexed - ingested,
        "hybrid": await ask(),
        "vector": await ask(arm="vector"),
        "text": await ask(arm="text"),
        "filtered": await ask(where=where),
    }


def _documents(corpus: measure.Loaded) -> list[list[int]]:
    """Return the rows of each document: all of one tenant, which is an attribute of the document."""
    by_tenant: defaultdict[str, list[int]] = defaultdict(list)
    for row, tenant in enumerate(corpus.tenants):
        by_tenant[tenant].append(row)
    return [
        mine[start : start + _CHUNKS] for mine in by_tenant.values() for start in range(0, len(mine), _CHUNKS)
    ]


def _ingest(
    pen: Pen, ns: int, space: int, corpus: measure.Loaded, documents: list[list[int]]
) -> dict[ChunkId, int]:
    """Store documents with their chunks and vectors; return the row of each chunk."""
    now = time.time()
    stored: dict[ChunkId, int] = {}
    made = [_document(corpus, rows, now) for rows in documents]
    insert_documents(pen, ns, LOCAL_TENANT, [NewRow(each) for each in made])
    for document, rows in zip(made, documents, strict=True):
        texts = [corpus.texts[row] for row in rows]
        chunks = [NewChunk(place, 0, len(text), "[]", text) for place, text in enumerate(texts)]
        stored |= dict(zip(pen.put_chunks(ns, document.id, chunks), rows, strict=True))
    halves = corpus.vectors[list(stored.values())].astype(np.float16)
    pen.put_vectors(ns, space, [(chunk, half.tobytes()) for chunk, half in zip(stored, halves, strict=True)])
    return stored


def _document(corpus: measure.Loaded, rows: list[int], now: float) -> Document:
    return Document(
        id=DocumentId(f"doc_{rows[0]}"),
        collection=CollectionId(""),  # the row has its namespace
        name=str(rows[0]),
        status="completed",
        attributes={"tenant": corpus.tenants[rows[0]]},
        chunks=len(rows),
        created_at=now,
        changed_at=now,
    )


def _ignore(_fact: Fact, _tenant: TenantId) -> None:
    return


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), Path(sys.argv[2]))
