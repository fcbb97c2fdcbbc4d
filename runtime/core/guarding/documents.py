"""Collections and documents as one caller may reach them, and the way to things inside collections."""

from collections.abc import Sequence
from pathlib import Path

from runtime.core.filters import Attributes
from runtime.core.gate.words import Action
from runtime.core.guarding.knowing import KnowledgePass
from runtime.core.ids import CollectionId, DocumentId, FileId, SourceId, TenantId
from runtime.core.knowledge import (
    Collection,
    CollectionChange,
    Document,
    DocumentStatus,
    Job,
    NewCollection,
    NewDocument,
    Source,
    StoredChunk,
)
from runtime.core.recall import Collections, Documents, Recall

READ: Action = "recall_read"
WRITE: Action = "recall_write"


class Entry:
    """The way to things inside collections."""

    def __init__(self, recall: Recall, knowledge: KnowledgePass, action: Action) -> None:
        self.recall = recall
        self.knowledge = knowledge
        self.action = action
        """What the caller wants with things that it names."""
        self.listed: frozenset[CollectionId] = frozenset()
        """What the caller was shown when it asked for all collections."""
        self.hidden = 0
        """How many it was not shown."""

    async def to(self, tenant: TenantId, collection: CollectionId, action: Action | None = None) -> None:
        """Let the caller at a collection. Raises NotFound, PolicyDenied."""
        wanted = action or self.action
        if not self.knowledge.has(wanted, collection):
            await self.knowledge.enter(wanted, await self.recall.collections.find(tenant, collection))

    async def to_document(
        self, tenant: TenantId, document: DocumentId, action: Action | None = None
    ) -> Document:
        """Let the caller at a document; return it. Raises NotFound, PolicyDenied."""
        found = await self.recall.documents.find(tenant, document)
        await self.to(tenant, found.collection, action)
        return found

    async def to_source(self, tenant: TenantId, source: SourceId, action: Action | None = None) -> Source:
        """Let the caller at a source; return it. Raises NotFound, PolicyDenied."""
        found = await self.recall.sources.find(tenant, source)
        await self.to(tenant, found.collection, action)
        return found


class GuardedCollections(Collections):
    """Sets of documents, those that the caller may not see left out."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._inner = entry.recall.collections

    async def create(self, tenant: TenantId, new: NewCollection) -> Collection:
        """Make a collection."""
        await self._entry.knowledge.enter_any(WRITE, "documents", new.name)
        return await self._inner.create(tenant, new)

    async def list_all(self, tenant: TenantId) -> list[Collection]:
        """Return those that the caller may do something with."""
        entry = self._entry
        everything = await self._inner.list_all(tenant)
        shown = [each for each in everything if not entry.knowledge.is_denied(entry.action, each)]
        entry.listed, entry.hidden = frozenset(each.id for each in shown), len(everything) - len(shown)
        return shown

    async def find(self, tenant: TenantId, collection: CollectionId) -> Collection:
        """Return one."""
        found = await self._inner.find(tenant, collection)
        await self._entry.knowledge.enter(self._entry.action, found)
        return found

    async def find_by_name(self, tenant: TenantId, name: str) -> Collection | None:
        """Return the collection of that name."""
        found = await self._inner.find_by_name(tenant, name)
        if found is not None:
            await self._entry.knowledge.enter(self._entry.action, found)
        return found

    async def change(
        self, tenant: TenantId, collection: CollectionId, change: CollectionChange
    ) -> Collection:
        """Change what is told; a new name is asked for as well."""
        await self._entry.to(tenant, collection, WRITE)
        if isinstance(change.name, str):
            await self._entry.knowledge.enter_any(WRITE, "documents", change.name)
        return await self._inner.change(tenant, collection, change)

    async def remove(self, tenant: TenantId, collection: CollectionId) -> None:
        """Remove the collection."""
        await self._entry.to(tenant, collection, WRITE)
        await self._inner.remove(tenant, collection)


class GuardedDocuments(Documents):
    """Documents of collections, each reached by way of its collection."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._inner = entry.recall.documents

    async def add(
        self, tenant: TenantId, collection: CollectionId, new: Sequence[NewDocument]
    ) -> tuple[Job, tuple[Document, ...]]:
        """Store what was given."""
        await self._entry.to(tenant, collection, WRITE)
        return await self._inner.add(tenant, collection, new)

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
        """Return documents in the order of their ids."""
        await self._entry.to(tenant, collection)
        return await self._inner.list_all(
            tenant,
            collection,
            limit=limit,
            after=after,
            before=before,
            is_newest_first=is_newest_first,
            status=status,
        )

    async def find(self, tenant: TenantId, document: DocumentId) -> Document:
        """Return one."""
        return await self._entry.to_document(tenant, document)

    async def find_by_name(self, tenant: TenantId, collection: CollectionId, name: str) -> Document | None:
        """Return the document of that name in the collection."""
        await self._entry.to(tenant, collection)
        return await self._inner.find_by_name(tenant, collection, name)

    async def find_by_file(self, tenant: TenantId, collection: CollectionId, file: FileId) -> Document | None:
        """Return the document that was made of the file."""
        await self._entry.to(tenant, collection)
        return await self._inner.find_by_file(tenant, collection, file)

    async def text(self, tenant: TenantId, document: DocumentId) -> str:
        """Return the whole text."""
        await self._entry.to_document(tenant, document, READ)
        return await self._inner.text(tenant, document)

    async def path(self, tenant: TenantId, document: DocumentId) -> Path:
        """Return where its bytes lie."""
        await self._entry.to_document(tenant, document, READ)
        return await self._inner.path(tenant, document)

    async def chunks(self, tenant: TenantId, document: DocumentId) -> list[StoredChunk]:
        """Return its chunks."""
        await self._entry.to_document(tenant, document, READ)
        return await self._inner.chunks(tenant, document)

    async def change_attributes(
        self, tenant: TenantId, document: DocumentId, attributes: Attributes
    ) -> Document:
        """Set its attributes."""
        await self._entry.to_document(tenant, document, WRITE)
        return await self._inner.change_attributes(tenant, document, attributes)

    async def remove(self, tenant: TenantId, document: DocumentId) -> None:
        """Remove a document."""
        await self._entry.to_document(tenant, document, WRITE)
        await self._inner.remove(tenant, document)

    async def cancel(self, tenant: TenantId, document: DocumentId) -> Document:
        """Stop reading it."""
        await self._entry.to_document(tenant, document, WRITE)
        return await self._inner.cancel(tenant, document)
