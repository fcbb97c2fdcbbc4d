"""Opens Recall: builds its parts in order, lets them work until the context ends, and closes them in reverse.

    database ─► truth ─► marks ─► text index, vectors, columns ─► search ─► ingestion ─► memory, sources
Everything that goes on by itself (reading, vectors, following, upkeep) is a task of one group.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread
import psutil

from runtime.core.clock import Clock
from runtime.core.fact import Fact
from runtime.core.fetching import Fetcher
from runtime.core.ids import DocumentId, ModelId, TenantId
from runtime.core.recall import Embedder, Recall
from runtime.core.recall_facts import RecallForgotten, RecallSearched
from runtime.core.settings import MIB, RecallSettings
from runtime.recall.blobs import BlobStore
from runtime.recall.care import StoreCare
from runtime.recall.collections import EmbeddingDefaults, StoredCollections
from runtime.recall.columns import Columns
from runtime.recall.connection import Limits as DatabaseLimits
from runtime.recall.database import Database, open_database
from runtime.recall.documents import DocumentRows
from runtime.recall.files import StoredFiles
from runtime.recall.ingest.ingestion import Ingestion, Pace
from runtime.recall.ingest.schema import TABLES as INGEST_TABLES
from runtime.recall.ingest.stores import Stores, tell_soon
from runtime.recall.lexical.arm import TextIndex, open_text_index
from runtime.recall.marks import Marks, Shelfmark, load_marks
from runtime.recall.memory.given import Given as MemoryGiven
from runtime.recall.memory.memories import RecallMemories
from runtime.recall.memory.tables import MEMORY_TABLES, drop_memory
from runtime.recall.parse.limits import Limits
from runtime.recall.parse.reader import open_reader
from runtime.recall.privacy import make_private_folder
from runtime.recall.schema import TABLES
from runtime.recall.search import HybridSearcher, Reading
from runtime.recall.search_candidates import Arms
from runtime.recall.search_models import QueryModels
from runtime.recall.search_rows import HitRows
from runtime.recall.snapshots import Snapshots
from runtime.recall.sources.opening import make_sources
from runtime.recall.sources.schema import TABLES as SOURCE_TABLES
from runtime.recall.sources.sources import RecallSources
from runtime.recall.truth import Pen, Truth, load_truth
from runtime.recall.upkeep import Upkeep
from runtime.recall.vectors.index import VectorIndex
from runtime.recall.wiping import Wiper

DATABASE_FILE = "recall.duckdb"
SNAPSHOTS_FOLDER = "snapshots"
TEXT_FOLDER = "text"
LOOKS_FOLDER = "looks"
"""What sources are fetching; emptied at each start."""
MIGRATIONS = (TABLES, INGEST_TABLES, MEMORY_TABLES, SOURCE_TABLES)

_SHARE = 4
"""Of the machine's memory a quarter, where the settings name no number."""
_LEAST_BYTES = 512 * MIB
_DATABASE_BYTES = 1024 * MIB
"""More would only cache what the indexes hold already."""
_WAY_OUT = (
    "'lar recall doctor --restore latest' puts back the newest snapshot and keeps the damaged file aside; "
    "'lar recall doctor --snapshots' lists them all."
)
_READERS = 4
"""Queries of the database side by side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What Recall is given by whoever opens it."""

    embedder: Embedder
    publish: Callable[[Fact, TenantId], object]
    """Tells the bus a fact of a tenant; never waits."""
    clock: Clock
    embedding_model: ModelId
    """Of collections that name none."""
    fetcher: Fetcher
    """How sources reach other hosts."""


class OpenRecall(NamedTuple):
    """Recall at work: the ports for the faces, and what stands behind them."""

    recall: Recall
    truth: Truth
    marks: Marks
    text: TextIndex
    vectors: VectorIndex
    columns: Columns
    upkeep: Upkeep


class _Shares(NamedTuple):
    """Bytes of main memory for each part."""

    database: int
    vectors: int
    columns: int


class _Store(NamedTuple):
    """What everything else stands on."""

    database: Database
    truth: Truth
    marks: Marks
    documents: DocumentRows
    blobs: BlobStore
    text: TextIndex
    vectors: VectorIndex
    columns: Columns


@asynccontextmanager
async def open_recall(folder: Path, settings: RecallSettings, given: Given) -> AsyncIterator[OpenRecall]:
    """Open the store in a folder, or make it. Raises StoreUnavailable with the way out."""
    async with (
        _open_store(folder, settings, given.clock) as store,
        open_reader(settings.readers) as reader,
        anyio.create_task_group() as tasks,
    ):
        wiper = Wiper(store.text.compact)
        given = replace(given, publish=_noting(wiper, given.publish))
        stores = Stores(store.truth, store.marks, store.documents, store.blobs, given.clock, given.publish)
        ingestion = Ingestion(stores, reader, given.embedder, _pace(settings))
        sources = make_sources(stores, ingestion, given.fetcher, folder / LOOKS_FOLDER)
        opened, memories = _assemble(store, ingestion, sources, settings, given)
        await memories.resume()
        await tasks.start(ingestion.run_forever)
        await tasks.start(memories.run_forever)
        await tasks.start(sources.run_forever)
        tasks.start_soon(store.text.follow_forever)
        tasks.start_soon(opened.upkeep.run_forever)
        tasks.start_soon(wiper.run_forever)
        try:
            yield opened
        finally:
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _open_store(folder: Path, settings: RecallSettings, clock: Clock) -> AsyncIterator[_Store]:
    shares = _divide(settings.memory_bytes)
    limits = DatabaseLimits(memory_bytes=shares.database, readers=_READERS)
    snapshots = folder / SNAPSHOTS_FOLDER
    path = folder / DATABASE_FILE
    await anyio.to_thread.run_sync(make_private_folder, folder)
    async with open_database(path, MIGRATIONS, limits, way_out=_WAY_OUT, snapshots=snapshots) as database:
        truth = await load_truth(database)
        marks = await load_marks(truth)
        text = await open_text_index(folder / TEXT_FOLDER, truth)
        blobs = BlobStore(folder / "files")
        await blobs.open()
        vectors = VectorIndex(truth, budget_bytes=shares.vectors)
        try:
            yield _Store(
                database=database,
                truth=truth,
                marks=marks,
                documents=DocumentRows(truth, marks, clock),
                blobs=blobs,
                text=text,
                vectors=vectors,
                columns=Columns(truth, budget_bytes=shares.columns),
            )
        finally:
            with anyio.CancelScope(shield=True):  # a commit of what is indexed: bounded by its size
                await text.aclose()
                await vectors.aclose()


def _assemble(
    store: _Store, ingestion: Ingestion, sources: RecallSources, settings: RecallSettings, given: Given
) -> tuple[OpenRecall, RecallMemories]:
    def tell_search(event: RecallSearched, *, tenant: TenantId) -> object:
        return given.publish(event, tenant)

    truth, marks, clock = store.truth, store.marks, given.clock
    searcher = HybridSearcher(
        Reading(marks, store.documents, HitRows(truth)),
        Arms(store.text, store.vectors, store.columns),
        QueryModels(given.embedder, settings.rerank, clock),
        clock,
        tell_search,
    )
    collections = StoredCollections(
        truth,
        marks,
        clock,
        defaults=EmbeddingDefaults(given.embedding_model),
        reembed=ingestion.reembed,
        removed=(ingestion.forget, sources.forget, drop_memory, _giving_up(store)),
        publish=given.publish,
    )
    memories = RecallMemories(
        MemoryGiven(
            truth=truth,
            marks=marks,
            homes=collections,
            search_in=searcher.search_in,
            vectors=store.vectors,
            embedder=given.embedder,
            jobs=ingestion.jobs,
            clock=clock,
            publish=given.publish,
            heal=ingestion.heal,
        )
    )
    files = StoredFiles(truth, store.blobs, clock)
    snapshots = Snapshots(store.database, _snapshots_of(store.database), keep=settings.snapshots)
    upkeep = _upkeep(store, collections, files, snapshots, given)
    recall = Recall(
        collections=collections,
        documents=ingestion.documents,
        files=files,
        searcher=searcher,
        memories=memories,
        sources=sources,
        jobs=ingestion.jobs,
        care=StoreCare(truth, store.blobs, snapshots, clock, store.text, ingestion.sweep),
    )
    return OpenRecall(recall, truth, marks, store.text, store.vectors, store.columns, upkeep), memories


def _giving_up(store: _Store) -> Callable[[Pen, Shelfmark], None]:
    """Return what lets the indexes in memory give up a collection that is being removed."""
    loop = asyncio.get_running_loop()

    def _give_up(ns: int) -> None:
        store.vectors.forget(ns)
        store.columns.forget(ns)

    return lambda pen, mark: pen.committed.append(lambda: tell_soon(loop, _give_up, mark.ns))


def _noting(wiper: Wiper, publish: Callable[[Fact, TenantId], object]) -> Callable[[Fact, TenantId], object]:
    def _publish(fact: Fact, tenant: TenantId) -> object:
        wiper.note(fact)
        return publish(fact, tenant)

    return _publish


def _upkeep(
    store: _Store, collections: StoredCollections, files: StoredFiles, snapshots: Snapshots, given: Given
) -> Upkeep:
    def tell_forgotten(tenant: TenantId, event: RecallForgotten) -> object:
        return given.publish(event, tenant)

    return Upkeep(
        truth=store.truth,
        marks=store.marks,
        collections=collections,
        files=files,
        blobs=store.blobs,
        snapshots=snapshots,
        clock=given.clock,
        followed=lambda: store.text.watermark,
        publish=tell_forgotten,
        before_removal=_nothing,
    )


def _nothing(_pen: Pen, _documents: list[DocumentId]) -> None:
    """Ingestion finds by itself that a document is gone, and ends its tasks."""


def _snapshots_of(database: Database) -> Path:
    return database.path.parent / SNAPSHOTS_FOLDER


def _pace(settings: RecallSettings) -> Pace:
    limits = Limits(size_bytes=settings.max_document_bytes, time_s=settings.read_limit_s)
    return Pace(readers=settings.readers, limits=limits)


def _divide(memory_bytes: int | None) -> _Shares:
    """Share the memory out: vectors are what searches scan, so they get most of it."""
    total = memory_bytes or max(_LEAST_BYTES, psutil.virtual_memory().total // _SHARE)
    database = min(_DATABASE_BYTES, total // 4)
    columns = total // 8
    return _Shares(database=database, vectors=total - database - columns, columns=columns)
