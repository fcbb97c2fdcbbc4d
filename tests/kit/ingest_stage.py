"""Ingestion on a database of its own, with a reader and an embedder that need no children and no model."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from runtime.core.clock import Clock
from runtime.core.fact import Fact
from runtime.core.ids import LOCAL_TENANT, CollectionId, TenantId
from runtime.core.knowledge import (
    Chunking,
    Collection,
    Document,
    DocumentFault,
    Job,
    NewCollection,
    NewDocument,
)
from runtime.recall import schema
from runtime.recall.blobs import BlobStore
from runtime.recall.chunk import Piece
from runtime.recall.collections import EmbeddingDefaults, StoredCollections
from runtime.recall.database import open_database
from runtime.recall.documents import DocumentRows
from runtime.recall.ingest.ingestion import Ingestion, Pace
from runtime.recall.ingest.lane import Patience
from runtime.recall.ingest.reading import Reader
from runtime.recall.ingest.schema import TABLES
from runtime.recall.ingest.stores import Stores
from runtime.recall.marks import load_marks
from runtime.recall.parse.limits import Limits
from runtime.recall.parse.reader import Reading
from runtime.recall.parts import Parsed
from runtime.recall.sources.schema import TABLES as SOURCE_TABLES
from runtime.recall.truth import Truth, load_truth
from tests.kit.clock import FakeClock
from tests.kit.embedder import MODEL, WordEmbedder

MIGRATIONS = (schema.TABLES, TABLES, SOURCE_TABLES)
LIMIT_S = 150.0
"""For what takes seconds on a machine of one's own."""
QUICK = Patience(first_rest_s=0.01, longest_rest_s=0.02, batch_limit_s=5.0)


class ParagraphReader:
    """Takes bytes for UTF-8 and cuts at empty lines. What begins with `broken` is broken."""

    def __init__(self, before: Callable[[str], Awaitable[None]] | None = None) -> None:
        self.before = before
        """Awaited with the name before each answer: raises, waits or hangs where a test wants that."""
        self.read_names: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def read_and_cut(
        self, path: Path, name: str, media_type: str | None, limits: Limits | None, chunking: Chunking
    ) -> Reading | DocumentFault:
        """Return the text and its paragraphs."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.before is not None:
                await self.before(name)
            content = await anyio.to_thread.run_sync(path.read_bytes)
        finally:
            self.at_once -= 1
        self.read_names.append(name)
        if content.startswith(b"broken"):
            return DocumentFault(code="broken", message="It is damaged.")
        return _cut(content.decode())


def _cut(text: str) -> Reading:
    pieces: list[Piece] = []
    start = 0
    for paragraph in text.split("\n\n"):
        if paragraph.strip():
            end = start + len(paragraph)
            pieces.append(Piece(len(pieces), start, end, (), paragraph))
        start += len(paragraph) + 2
    return Reading(Parsed(text=text, language="en"), tuple(pieces))


@dataclass
class Stage:
    """Ingestion with what is around it."""

    stores: Stores
    truth: Truth
    ingestion: Ingestion
    collections: StoredCollections
    embedder: WordEmbedder
    reader: Any
    facts: list[tuple[Fact, TenantId]] = field(default_factory=list)

    async def collection(self, name: str = "papers", tenant: TenantId = LOCAL_TENANT) -> Collection:
        """Return the collection of that name; made on first use."""
        found = await self.collections.find_by_name(tenant, name)
        return found or await self.collections.create(tenant, NewCollection(name=name))

    async def add(
        self, *new: NewDocument, collection: CollectionId | None = None, tenant: TenantId = LOCAL_TENANT
    ) -> tuple[Job, tuple[Document, ...]]:
        """Add documents."""
        where = collection or (await self.collection(tenant=tenant)).id
        return await self.ingestion.documents.add(tenant, where, new)

    async def over(self, job: Job, tenant: TenantId = LOCAL_TENANT) -> Job:
        """Return the job once it has ended."""
        ended = await self.ingestion.jobs.wait(tenant, job.id, LIMIT_S)
        assert ended.finished_at is not None, ended
        return ended

    async def taken_in(self, *new: NewDocument) -> tuple[Job, list[Document]]:
        """Add documents; return the ended job and the documents as they are then."""
        job, documents = await self.add(*new)
        ended = await self.over(job)
        found = await self.stores.documents.find_many(
            self.stores.marks.find_ns(LOCAL_TENANT, documents[0].collection).ns,
            [each.id for each in documents],
        )
        return ended, [found[each.id] for each in documents if each.id in found]

    async def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return int((await self.truth.read(f"SELECT count(*) FROM {table}"))[0][0])

    async def check(self) -> None:
        """Assert what must always hold once nothing is under way."""
        assert await self.truth.read(ORPHANS) == []
        assert await self.count("work") == 0
        rows = await self.truth.read("SELECT status, count(*) FROM task GROUP BY status")
        assert "live" not in Counter(dict(rows))


ORPHANS = """
    SELECT 'chunk', id::VARCHAR FROM chunk WHERE document NOT IN (SELECT id FROM document)
    UNION ALL SELECT 'body', document FROM body WHERE document NOT IN (SELECT id FROM document)
    UNION ALL SELECT 'vector', chunk::VARCHAR FROM vector WHERE chunk NOT IN (SELECT id FROM chunk)
    UNION ALL SELECT 'twice', document FROM chunk GROUP BY document, ordinal HAVING count(*) > 1
    UNION ALL SELECT 'count', d.id FROM document d WHERE d.status = 'completed'
        AND d.chunks <> (SELECT count(*) FROM chunk k WHERE k.document = d.id)
    UNION ALL SELECT 'lacks', k.id::VARCHAR FROM chunk k JOIN document d ON d.id = k.document
        JOIN collection c ON c.ns = k.ns WHERE d.status = 'completed'
        AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.chunk = k.id AND v.space = c.space)
"""


@asynccontextmanager
async def built_stage(
    folder: Path,
    *,
    embedder: WordEmbedder | None = None,
    reader: Reader | None = None,
    clock: Clock | None = None,
    pace: Pace | None = None,
    tell: Callable[[Fact], object] | None = None,
) -> AsyncIterator[Stage]:
    """Open a database with ingestion that is not begun yet."""
    facts: list[tuple[Fact, TenantId]] = []

    def _publish(fact: Fact, tenant: TenantId) -> None:
        facts.append((fact, tenant))
        if tell is not None:
            tell(fact)

    clock = clock or FakeClock()
    embedder, reader = embedder or WordEmbedder(), reader or ParagraphReader()
    async with open_database(folder / "recall.duckdb", MIGRATIONS) as database:
        truth = await load_truth(database)
        marks = await load_marks(truth)
        blobs = BlobStore(folder / "files", reserve_bytes=0)
        await blobs.open()
        stores = Stores(
            truth=truth,
            marks=marks,
            documents=DocumentRows(truth, marks, clock),
            blobs=blobs,
            clock=clock,
            publish=_publish,
        )
        ingestion = Ingestion(stores, reader, embedder, pace or Pace(patience=QUICK))
        collections = StoredCollections(
            truth,
            marks,
            clock,
            defaults=EmbeddingDefaults(MODEL),
            reembed=ingestion.reembed,
            removed=[ingestion.forget],
            publish=_publish,
        )
        yield Stage(stores, truth, ingestion, collections, embedder, reader, facts)


@asynccontextmanager
async def open_stage(
    folder: Path,
    *,
    embedder: WordEmbedder | None = None,
    reader: Reader | None = None,
    clock: Clock | None = None,
    pace: Pace | None = None,
    tell: Callable[[Fact], object] | None = None,
) -> AsyncIterator[Stage]:
    """Run ingestion while the context lasts."""
    async with (
        built_stage(folder, embedder=embedder, reader=reader, clock=clock, pace=pace, tell=tell) as stage,
        anyio.create_task_group() as tasks,
    ):
        with anyio.fail_after(LIMIT_S * 2):
            await tasks.start(lambda *, task_status: stage.ingestion.run_forever(task_status=task_status))
            yield stage
        tasks.cancel_scope.cancel()


def text(name: str, *paragraphs: str, **more: object) -> NewDocument:
    """Return a document of these paragraphs."""
    return NewDocument(name=name, text="\n\n".join(paragraphs), **more)  # type: ignore[arg-type]  # told by the test
