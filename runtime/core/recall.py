"""What the faces (HTTP, MCP, command line) may ask of Recall, as ports; `runtime/recall` implements them.

Every call names the tenant that owns what is touched; what belongs to another tenant does not exist for it.
Calls raise RecallError kinds: NotFound, Conflict, RequestInvalid, StoreFull, StoreDamaged.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from runtime.core.filters import Attributes
from runtime.core.ids import CollectionId, DocumentId, FileId, ItemId, JobId, ModelId, SourceId, TenantId
from runtime.core.knowledge import (
    Collection,
    CollectionChange,
    Document,
    DocumentStatus,
    Found,
    Job,
    NewCollection,
    NewDocument,
    NewSource,
    Query,
    Source,
    StoredChunk,
    StoredFile,
)
from runtime.core.memories import (
    Forgotten,
    FoundItem,
    HistoryEntry,
    Item,
    ItemChange,
    ItemQuery,
    NewItem,
    Remembered,
    Scope,
)


class Embedder(Protocol):
    """Turns texts into vectors with a model of Lar's; given to Recall by the composition root."""

    async def embed(
        self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
    ) -> list[bytes]:
        """Return one little-endian float32 vector per text. Raises ModelUnavailable, RequestInvalid."""

    async def rerank(self, model: ModelId, query: str, texts: Sequence[str]) -> list[float]:
        """Return one score per text, greater is better. Raises ModelUnavailable, RequestInvalid."""

    def is_installed(self, model: ModelId) -> bool:
        """Whether the model could answer without an installation."""


class Collections(Protocol):
    """Sets of documents."""

    async def create(self, tenant: TenantId, new: NewCollection) -> Collection:
        """Make a collection. Raises Conflict where the name is taken."""

    async def list_all(self, tenant: TenantId) -> list[Collection]:
        """Return all of the tenant's collections of documents, by creation."""

    async def find(self, tenant: TenantId, collection: CollectionId) -> Collection:
        """Return one. Raises NotFound."""

    async def find_by_name(self, tenant: TenantId, name: str) -> Collection | None:
        """Return the collection of that name; None where there is none."""

    async def change(
        self, tenant: TenantId, collection: CollectionId, change: CollectionChange
    ) -> Collection:
        """Change what is told; another embedding begins a job. Raises NotFound, Conflict."""

    async def remove(self, tenant: TenantId, collection: CollectionId) -> None:
        """Remove the collection with its documents, sources and indexes' entries. Raises NotFound."""


class Documents(Protocol):
    """Documents of collections, and the files that they are made of."""

    async def add(
        self, tenant: TenantId, collection: CollectionId, new: Sequence[NewDocument]
    ) -> tuple[Job, tuple[Document, ...]]:
        """Store what was given and begin to read it; returns once it is safe on disk.

        What the collection holds already, byte for byte under the same name, is not read again: its document
        is returned as it is. Raises NotFound, StoreFull, RequestInvalid.
        """

    async def list_all(
        self,
        tenant: TenantId,
        collection: CollectionId,
        *,
        limit: int = 100,
        after: DocumentId | None = None,
        before: DocumentId | None = None,
        is_newest_first: bool = True,
        status: DocumentStatus | None = None,
    ) -> list[Document]:
        """Return documents in the order of their ids, which is that of their creation."""

    async def find(self, tenant: TenantId, document: DocumentId) -> Document:
        """Return one. Raises NotFound."""

    async def find_by_name(self, tenant: TenantId, collection: CollectionId, name: str) -> Document | None:
        """Return the document of that name in the collection."""

    async def find_by_file(self, tenant: TenantId, collection: CollectionId, file: FileId) -> Document | None:
        """Return the document that was made of the file."""

    async def text(self, tenant: TenantId, document: DocumentId) -> str:
        """Return the whole text as it was read. Raises NotFound."""

    async def path(self, tenant: TenantId, document: DocumentId) -> Path:
        """Return where the bytes that it was made of lie, to be read and never changed. Raises NotFound."""

    async def chunks(self, tenant: TenantId, document: DocumentId) -> list[StoredChunk]:
        """Return its chunks in order. Raises NotFound."""

    async def change_attributes(
        self, tenant: TenantId, document: DocumentId, attributes: Attributes
    ) -> Document:
        """Set its attributes in place of the former ones. Raises NotFound."""

    async def remove(self, tenant: TenantId, document: DocumentId) -> None:
        """Remove a document everywhere. Raises NotFound."""

    async def cancel(self, tenant: TenantId, document: DocumentId) -> Document:
        """Stop reading it if that has not ended yet. Raises NotFound."""


class Files(Protocol):
    """Uploaded files as they came."""

    async def add(
        self,
        tenant: TenantId,
        name: str,
        purpose: str,
        content: AsyncIterator[bytes],
        *,
        expires_after_s: float | None = None,
        media_type: str | None = None,
    ) -> StoredFile:
        """Store what the iterator yields. Raises StoreFull; what an iterator raises, after cleaning up."""

    async def list_all(
        self,
        tenant: TenantId,
        *,
        purpose: str | None = None,
        limit: int = 10_000,
        after: FileId | None = None,
        is_newest_first: bool = True,
    ) -> list[StoredFile]:
        """Return files by creation."""

    async def find(self, tenant: TenantId, file: FileId) -> StoredFile:
        """Return one. Raises NotFound."""

    async def path(self, tenant: TenantId, file: FileId) -> Path:
        """Return where its bytes lie, to be read and never changed. Raises NotFound."""

    async def remove(self, tenant: TenantId, file: FileId) -> None:
        """Remove a file; documents made of it stay. Raises NotFound."""


class Searcher(Protocol):
    """Finds."""

    async def search(self, tenant: TenantId, query: Query) -> Found:
        """Search collections of the tenant. Raises NotFound; no text of a query is ever an error."""


class Memories(Protocol):
    """What agents remember."""

    async def remember(self, tenant: TenantId, new: NewItem) -> Remembered:
        """Store an item, or find that it is known; returns once it is safe and searchable."""

    async def revise(self, tenant: TenantId, item: ItemId, change: ItemChange, by: str | None = None) -> Item:
        """Change an item; a new text makes a successor, which is returned. Raises NotFound, Conflict."""

    async def forget(self, tenant: TenantId, items: Sequence[ItemId]) -> Forgotten:
        """Remove items and their history from everywhere. Raises NotFound before anything goes."""

    async def find(self, tenant: TenantId, item: ItemId) -> Item:
        """Return an item. Raises NotFound."""

    async def list_all(self, tenant: TenantId, query: ItemQuery) -> list[Item]:
        """Return items, the newest first."""

    async def history(self, tenant: TenantId, item: ItemId) -> list[HistoryEntry]:
        """Return what happened to an item and to those that it superseded, the oldest first."""

    async def search(self, tenant: TenantId, query: Query, scope: Scope | None) -> list[FoundItem]:
        """Search items; `query.collections` is not looked at. Notes their use."""

    async def consolidate(self, tenant: TenantId) -> Job:
        """Begin to merge near-duplicates and to end what has expired."""

    def export(self, tenant: TenantId) -> AsyncIterator[Mapping[str, Any]]:
        """Yield everything that is remembered, ready to be written as JSONL."""

    async def import_items(
        self, tenant: TenantId, lines: AsyncIterator[Mapping[str, Any]]
    ) -> tuple[int, list[str]]:
        """Store what `export` wrote; return how many items came, and what was wrong with the others."""


class Sources(Protocol):
    """Places that collections are kept in step with."""

    async def add(self, tenant: TenantId, collection: CollectionId, new: NewSource) -> Source:
        """Follow a place and begin its first sync. Raises NotFound, Conflict, RequestInvalid."""

    async def list_all(self, tenant: TenantId, collection: CollectionId | None = None) -> list[Source]:
        """Return sources by creation."""

    async def find(self, tenant: TenantId, source: SourceId) -> Source:
        """Return one. Raises NotFound."""

    async def sync(self, tenant: TenantId, source: SourceId) -> Job:
        """Begin a sync now, or return the one under way. Raises NotFound."""

    async def pause(self, tenant: TenantId, source: SourceId, *, is_paused: bool) -> Source:
        """Stop or resume following. Raises NotFound."""

    async def remove(self, tenant: TenantId, source: SourceId, *, is_keeping_documents: bool) -> None:
        """Follow it no more. Raises NotFound."""


class Jobs(Protocol):
    """Work behind the scenes."""

    async def find(self, tenant: TenantId, job: JobId) -> Job:
        """Return one. Raises NotFound."""

    async def list_all(self, tenant: TenantId, *, limit: int = 100) -> list[Job]:
        """Return jobs, the newest first."""

    async def wait(self, tenant: TenantId, job: JobId, limit_s: float) -> Job:
        """Return the job once it has ended, or as it is after `limit_s`. Raises NotFound."""

    async def cancel(self, tenant: TenantId, job: JobId) -> Job:
        """End a job; what it has stored stays. Raises NotFound."""

    async def retry(self, tenant: TenantId, job: JobId) -> Job:
        """Begin a job over the documents that failed in this one. Raises NotFound, Conflict."""


Severity = Literal["damage", "inconsistency", "waste"]
"""damage: something that was stored cannot be read · inconsistency: rows contradict each other or an index ·
waste: something lies there that nobody needs."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the store."""

    severity: Severity
    where: str
    message: str
    """The cause."""
    fix: str
    """What to do; what was done, where it is repaired."""
    is_repaired: bool = False


class StoredSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of the database on disk."""

    name: str
    at: float
    size_bytes: int
    schema: int | None = None
    """The schema before the migration that it was made for; None: a nightly one or one asked for."""


class Care(Protocol):
    """Looking after the store as a whole, whoever owns what is in it: for operators alone."""

    async def check(self, *, is_repairing: bool) -> list[Finding]:
        """Read everything and return what is wrong; modifies nothing unless `is_repairing`."""

    async def snapshots(self) -> list[StoredSnapshot]:
        """Return the copies on disk, the newest first."""

    async def take_snapshot(self) -> StoredSnapshot:
        """Copy the database as of this moment. Raises StoreFull, StoreDamaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """All of it, as the composition root hands it to the faces."""

    collections: Collections
    documents: Documents
    files: Files
    searcher: Searcher
    memories: Memories
    sources: Sources
    jobs: Jobs
    care: Care | None = None
    """None: the store cannot be looked after from here."""
