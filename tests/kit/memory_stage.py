"""A memory over a truth in a folder with the real search; words are found in rows or in the text index."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from runtime.core.fact import Fact
from runtime.core.ids import ItemId, TenantId
from runtime.core.knowledge import Query
from runtime.core.memories import Item, NewItem, Scope
from runtime.recall.blobs import BlobStore
from runtime.recall.collections import EmbeddingDefaults, StoredCollections
from runtime.recall.columns import Columns
from runtime.recall.database import open_database
from runtime.recall.documents import DocumentRows
from runtime.recall.ingest.jobs import DurableJobs
from runtime.recall.ingest.schema import TABLES as INGEST_TABLES
from runtime.recall.ingest.stores import Stores
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.marks import Marks, Shelfmark, load_marks
from runtime.recall.memory.given import Given
from runtime.recall.memory.memories import RecallMemories
from runtime.recall.memory.tables import MEMORY_TABLES
from runtime.recall.parts import TextArm
from runtime.recall.schema import TABLES
from runtime.recall.search import HybridSearcher, Reading
from runtime.recall.search_candidates import Arms
from runtime.recall.search_models import QueryModels
from runtime.recall.search_rows import HitRows
from runtime.recall.truth import Pen, Truth, load_truth
from runtime.recall.vectors.index import VectorIndex
from tests.kit.clock import FakeClock
from tests.kit.embedder import DIMENSIONS, MODEL, WordEmbedder, vector_of
from tests.kit.search_stage import RowText, Told

ADA, BOB = TenantId("ada"), TenantId("bob")
QUERY = Query(text="", collections=(), limit=1000)


@dataclass(kw_only=True)
class MemoryStage:
    """A memory with what it stands on."""

    truth: Truth
    marks: Marks
    memories: RecallMemories
    text: TextArm
    jobs: DurableJobs
    embedder: WordEmbedder
    clock: FakeClock
    facts: list[tuple[Fact, TenantId]]
    healed: list[int] = field(default_factory=list)

    async def learn(self, tenant: TenantId = ADA) -> Shelfmark:
        """Make the tenant's memory, as it is once its first vector is there."""
        mark = await self.memories._given.homes.memory_of(tenant)
        await self.truth.write(lambda pen: self.marks.note_dimensions(pen, mark.ns, mark.space, DIMENSIONS))
        learnt = self.marks.memory_of(tenant)
        assert learnt is not None
        return learnt

    async def make_vectors(self) -> None:
        """Make the vectors that chunks lack, as the backlog does."""
        for mark in self.marks.all_marks():
            rows = await self.truth.read(
                "SELECT id, text FROM chunk WHERE ns = $1 AND id NOT IN (SELECT chunk FROM vector)", [mark.ns]
            )
            vectors = [
                (row[0], np.frombuffer(vector_of(row[1]), "<f4").astype("<f2").tobytes()) for row in rows
            ]
            ns, space = mark.ns, mark.space
            await self.truth.write(partial(Pen.put_vectors, ns=ns, space=space, vectors=vectors))

    async def remember(self, text: str, tenant: TenantId = ADA, **told: Any) -> Item:
        """Store an item; return it."""
        return (await self.memories.remember(tenant, NewItem(text=text, **told))).item

    async def search(
        self, text: str, tenant: TenantId = ADA, scope: Scope | None = None, **told: Any
    ) -> list[str]:
        """Return the texts that are found, the best first."""
        query = msgspec.structs.replace(QUERY, text=text, **told)
        return [each.item.text for each in await self.memories.search(tenant, query, scope)]

    async def lines(self, tenant: TenantId = ADA) -> list[dict[str, Any]]:
        """Return what is exported."""
        return [dict(line) async for line in self.memories.export(tenant)]

    async def take_in(self, lines: list[dict[str, Any]], tenant: TenantId = ADA) -> tuple[int, list[str]]:
        """Import lines."""

        async def _lines() -> AsyncIterator[dict[str, Any]]:
            for line in lines:
                yield line

        return await self.memories.import_items(tenant, _lines())

    async def mentions(self, needle: str) -> list[str]:
        """Return the tables of the database in which a text occurs."""
        tables = await self.truth.read(
            "SELECT table_name FROM information_schema.tables WHERE table_name <> 'migration' ORDER BY 1"
        )
        found = []
        for (table,) in tables:
            rows = await self.truth.read(
                f"SELECT count(*) FROM {table} t WHERE contains(t::VARCHAR, $1)", [needle]
            )
            if rows[0][0]:
                found.append(table)
        return found


def ids_of(items: list[Item]) -> list[ItemId]:
    """Return the ids of items."""
    return [each.id for each in items]


@asynccontextmanager
async def open_memory_stage(
    folder: Path,
    clock: FakeClock | None = None,
    *,
    is_indexed: bool = False,
) -> AsyncIterator[MemoryStage]:
    """Open the memory of a folder."""
    clock = clock or FakeClock()
    path = folder / "recall.duckdb"
    async with open_database(path, (TABLES, INGEST_TABLES, MEMORY_TABLES)) as database:
        truth = await load_truth(database)
        marks = await load_marks(truth)
        embedder = WordEmbedder()
        vectors = VectorIndex(truth)
        text: TextArm = await open_text_index(folder / "text", truth) if is_indexed else RowText(truth)
        rows = DocumentRows(truth, marks, clock)
        searcher = HybridSearcher(
            Reading(marks, rows, HitRows(truth)),
            Arms(text, vectors, Columns(truth)),
            QueryModels(embedder, None, clock),
            clock,
            Told(),
        )
        facts: list[tuple[Fact, TenantId]] = []
        healed: list[int] = []
        blobs = BlobStore(folder / "files", reserve_bytes=0)
        stores = Stores(truth, marks, rows, blobs, clock, lambda fact, tenant: facts.append((fact, tenant)))
        collections = StoredCollections(
            truth,
            marks,
            clock,
            defaults=EmbeddingDefaults(MODEL),
            reembed=lambda pen, mark: None,
            publish=stores.publish,
        )
        jobs = DurableJobs(stores)
        memories = RecallMemories(
            Given(
                truth=truth,
                marks=marks,
                homes=collections,
                search_in=searcher.search_in,
                vectors=vectors,
                embedder=embedder,
                jobs=jobs,
                clock=clock,
                publish=lambda fact, tenant: facts.append((fact, tenant)),
                heal=healed.append,
            )
        )
        stage = MemoryStage(
            truth=truth,
            marks=marks,
            memories=memories,
            text=text,
            jobs=jobs,
            embedder=embedder,
            clock=clock,
            facts=facts,
            healed=healed,
        )
        yield stage
        await memories.aclose()
        await vectors.aclose()
        if isinstance(text, TextIndex):
            await text.aclose()
