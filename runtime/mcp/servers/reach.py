"""What the MCP server of recall needs of it: the few methods of the core's ports that its tools call.

`core.recall.Recall` has them, and so has the recall of a server that is reached over HTTP.
"""

from collections.abc import Sequence
from typing import Protocol

from runtime.core.ids import CollectionId, DocumentId, ItemId, JobId, TenantId
from runtime.core.knowledge import Collection, Document, Found, Job, NewDocument, Query
from runtime.core.memories import (
    Forgotten,
    FoundItem,
    Item,
    ItemChange,
    ItemQuery,
    NewItem,
    Remembered,
    Scope,
)


class CollectionsReach(Protocol):
    """Collections, to be named and listed."""

    async def list_all(self, tenant: TenantId, /) -> list[Collection]:
        """Return all, by creation."""

    async def find(self, tenant: TenantId, collection: CollectionId, /) -> Collection:
        """Return one. Raises NotFound."""

    async def find_by_name(self, tenant: TenantId, name: str, /) -> Collection | None:
        """Return the collection of that name; None where there is none."""


class DocumentsReach(Protocol):
    """Documents, to be taken in, read and removed."""

    async def add(
        self, tenant: TenantId, collection: CollectionId, new: Sequence[NewDocument], /
    ) -> tuple[Job, tuple[Document, ...]]:
        """Store what was given and begin to read it. Raises NotFound, StoreFull, RequestInvalid."""

    async def list_all(
        self,
        tenant: TenantId,
        collection: CollectionId,
        /,
        *,
        limit: int = 100,
        after: DocumentId | None = None,
        is_newest_first: bool = True,
    ) -> list[Document]:
        """Return documents in the order of their creation."""

    async def find(self, tenant: TenantId, document: DocumentId, /) -> Document:
        """Return one. Raises NotFound."""

    async def text(self, tenant: TenantId, document: DocumentId, /) -> str:
        """Return the whole text. Raises NotFound."""

    async def remove(self, tenant: TenantId, document: DocumentId, /) -> None:
        """Remove a document everywhere. Raises NotFound."""


class SearcherReach(Protocol):
    """Finds passages."""

    async def search(self, tenant: TenantId, query: Query, /) -> Found:
        """Search collections."""


class MemoriesReach(Protocol):
    """What is remembered."""

    async def remember(self, tenant: TenantId, new: NewItem, /) -> Remembered:
        """Store an item, or find that it is known."""

    async def revise(
        self, tenant: TenantId, item: ItemId, change: ItemChange, by: str | None = None, /
    ) -> Item:
        """Change an item. Raises NotFound, Conflict."""

    async def forget(self, tenant: TenantId, items: Sequence[ItemId], /) -> Forgotten:
        """Remove items. Raises NotFound before anything goes."""

    async def find(self, tenant: TenantId, item: ItemId, /) -> Item:
        """Return an item. Raises NotFound."""

    async def list_all(self, tenant: TenantId, query: ItemQuery, /) -> list[Item]:
        """Return items, the newest first."""

    async def search(self, tenant: TenantId, query: Query, scope: Scope | None, /) -> list[FoundItem]:
        """Search items."""


class JobsReach(Protocol):
    """Work behind the scenes."""

    async def wait(self, tenant: TenantId, job: JobId, limit_s: float, /) -> Job:
        """Return the job once it has ended, or as it is after the limit."""


class RecallReach(Protocol):
    """All of it."""

    @property
    def collections(self) -> CollectionsReach:
        """Sets of documents."""

    @property
    def documents(self) -> DocumentsReach:
        """Documents."""

    @property
    def searcher(self) -> SearcherReach:
        """Search."""

    @property
    def memories(self) -> MemoriesReach:
        """Memory."""

    @property
    def jobs(self) -> JobsReach:
        """Jobs."""
