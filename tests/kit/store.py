"""A store in a folder, opened with everything that keeps it, for tests."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from runtime.core.fact import Fact
from runtime.core.ids import ChunkId, CollectionId, DocumentId, ModelId, TenantId
from runtime.core.knowledge import Document, NewCollection
from runtime.core.minting import new_id
from runtime.recall.blobs import BlobStore
from runtime.recall.collections import EmbeddingDefaults, Prefixes, StoredCollections
from runtime.recall.connection import Limits
from runtime.recall.database import open_database
from runtime.recall.documents import (
    DocumentRows,
    ReadText,
    Replaces,
    finish,
    insert_document,
    store_text,
)
from runtime.recall.files import StoredFiles
from runtime.recall.marks import Marks, Shelfmark, load_marks
from runtime.recall.schema import MIGRATIONS
from runtime.recall.snapshots import Snapshots
from runtime.recall.truth import NewChunk, Pen, Truth, load_truth
from tests.kit.clock import FakeClock

ADA, BOB = TenantId("ada"), TenantId("bob")
SMALL = ModelId("small")
GREAT = ModelId("great")
DIMENSIONS = 8
LIMITS = Limits(reserve_bytes=0)


@dataclass(kw_only=True)
class Store:
    """An open store."""

    truth: Truth
    marks: Marks
    collections: StoredCollections
    rows: DocumentRows
    blobs: BlobStore
    files: StoredFiles
    snapshots: Snapshots
    clock: FakeClock
    reembedded: list[Shelfmark] = field(default_factory=list)
    removed: list[Shelfmark] = field(default_factory=list)
    told: list[Fact] = field(default_factory=list)
    """What was published of collections."""

    async def collection(self, name: str = "notes", tenant: TenantId = ADA) -> Shelfmark:
        """Make a collection; return where it stands."""
        made = await self.collections.create(tenant, NewCollection(name=name))
        return self.marks.find_ns(tenant, made.id)

    async def document(
        self, mark: Shelfmark, name: str, *texts: str, replaces: Replaces = "name", **more: object
    ) -> Document:
        """Store a finished document of some chunks with their vectors."""
        document = new_document(mark.collection, name, self.clock.now(), **more)
        await self.truth.write(
            lambda pen: write_document(pen, mark, document, texts, replaces, self.clock.now())
        )
        return document


def new_document(collection: CollectionId, name: str, now: float, **more: object) -> Document:
    """Return a document that is still to be read."""
    values: dict[str, object] = {
        "id": DocumentId(new_id("doc_")),
        "collection": collection,
        "name": name,
        "status": "in_progress",
        "created_at": now,
        "changed_at": now,
    }
    return Document(**{**values, **more})  # type: ignore[arg-type]  # the tests give what fits


def write_document(
    pen: Pen, mark: Shelfmark, document: Document, texts: Sequence[str], replaces: Replaces, now: float
) -> list[ChunkId]:
    """Store a document with its chunks and vectors; return its chunks."""
    insert_document(pen, mark.ns, mark.tenant, document, replaces=replaces)
    chunks = chunks_of(texts)
    read = ReadText("\n\n".join(texts), chunks, document.name, "text/plain", "en", ())
    ids = store_text(pen, mark.ns, document.id, read, now)
    pen.put_vectors(mark.ns, mark.space, [(each, vector_for(each)) for each in ids])
    finish(pen, mark.ns, document.id, now)
    return ids


def chunks_of(texts: Sequence[str]) -> list[NewChunk]:
    """Return the texts as chunks that lie apart by an empty line."""
    chunks: list[NewChunk] = []
    start = 0
    for ordinal, text in enumerate(texts):
        chunks.append(NewChunk(ordinal, start, start + len(text), "[]", text))
        start += len(text) + 2
    return chunks


def vector_for(chunk: ChunkId) -> bytes:
    """Return a vector that tells whose it is."""
    return np.full(DIMENSIONS, chunk % 1000, np.float16).tobytes()


@asynccontextmanager
async def open_store(
    folder: Path, clock: FakeClock | None = None, *, limits: Limits = LIMITS
) -> AsyncIterator[Store]:
    """Open the store of a folder."""
    clock = clock or FakeClock()
    reembedded: list[Shelfmark] = []
    removed: list[Shelfmark] = []
    told: list[Fact] = []
    async with open_database(
        folder / "recall.duckdb", MIGRATIONS, limits, snapshots=folder / "snapshots"
    ) as database:
        truth = await load_truth(database)
        marks = await load_marks(truth)
        blobs = BlobStore(folder / "files", reserve_bytes=limits.reserve_bytes)
        await blobs.open()
        yield Store(
            truth=truth,
            marks=marks,
            collections=StoredCollections(
                truth,
                marks,
                clock,
                defaults=EmbeddingDefaults(SMALL, {GREAT: Prefixes("query: ", "passage: ")}),
                reembed=lambda pen, mark: reembedded.append(mark),
                removed=[lambda pen, mark: removed.append(mark)],
                publish=lambda fact, tenant: told.append(fact),
            ),
            rows=DocumentRows(truth, marks, clock),
            blobs=blobs,
            files=StoredFiles(truth, blobs, clock),
            snapshots=Snapshots(database, folder / "snapshots", keep=3),
            clock=clock,
            reembedded=reembedded,
            removed=removed,
            told=told,
        )


async def stream(*blocks: bytes) -> AsyncIterator[bytes]:
    """Yield blocks."""
    for block in blocks:
        yield block


def all_files(folder: Path) -> list[Path]:
    """Return every file below a folder."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(each for each in folder.rglob("*") if each.is_file())
    return []
