"""Recall as one caller may reach it: the same ports, where policies decide about each collection.

Faces, tools and agents get this view and no other, so that no way leads past the policies: by a collection's
name or id, by a document or a source in it, or by a search over all.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from runtime.core.errors import Fault, NotFound, PolicyDenied
from runtime.core.gate.words import Action, Gate
from runtime.core.guarding.documents import READ, WRITE, Entry, GuardedCollections, GuardedDocuments
from runtime.core.guarding.knowing import KnowledgePass
from runtime.core.ids import CollectionId, FileId, ItemId, JobId, SourceId, TenantId
from runtime.core.knowledge import (
    Collection,
    Found,
    Job,
    NewSource,
    Query,
    Source,
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
from runtime.core.recall import Files, Jobs, Memories, Recall, Searcher, Sources
from runtime.core.tools import Caller


def guard(recall: Recall, gate: Gate | None, caller: Caller, *, is_changing: bool = False) -> Recall:
    """Return Recall as the caller may reach it. `is_changing`: it names things to change them.

    Every method raises PolicyDenied where policies do not let the caller, or not before a person agrees.
    """
    if gate is None:
        return recall

    entry = Entry(recall, KnowledgePass(gate, caller), WRITE if is_changing else READ)
    return Recall(
        collections=GuardedCollections(entry),
        documents=GuardedDocuments(entry),
        files=GuardedFiles(entry),
        searcher=GuardedSearcher(entry),
        memories=GuardedMemories(entry),
        sources=GuardedSources(entry),
        jobs=GuardedJobs(entry),
        care=recall.care,
    )


class GuardedSearcher(Searcher):
    """Finds in what the caller may read."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._inner = entry.recall.searcher

    async def search(self, tenant: TenantId, query: Query) -> Found:
        """Search; of several collections those that may not be read are left out, which a note says."""
        entry = self._entry
        is_over_all = frozenset(query.collections) == entry.listed
        left = entry.hidden if is_over_all else 0
        if len(query.collections) == 1 and not is_over_all:
            await entry.to(tenant, query.collections[0], READ)
            return await self._inner.search(tenant, query)

        known = {each.id: each for each in await entry.recall.collections.list_all(tenant)}
        wanted = [known[each] for each in query.collections if each in known]
        open_ones = {each.id for each in await entry.knowledge.sift(READ, wanted)}
        kept = tuple(each for each in query.collections if each in open_ones or each not in known)
        left += len(query.collections) - len(kept)
        if left and not kept:
            return Found(hits=(), notes=(_left_out(left),))
        found = await self._inner.search(tenant, msgspec.structs.replace(query, collections=kept))
        return msgspec.structs.replace(found, notes=(*found.notes, _left_out(left))) if left else found


class GuardedSources(Sources):
    """Places that collections are kept in step with."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._inner = entry.recall.sources

    async def add(self, tenant: TenantId, collection: CollectionId, new: NewSource) -> Source:
        """Follow a place."""
        await self._entry.to(tenant, collection, WRITE)
        return await self._inner.add(tenant, collection, new)

    async def list_all(self, tenant: TenantId, collection: CollectionId | None = None) -> list[Source]:
        """Return sources of collections that the caller may do something with."""
        if collection is not None:
            await self._entry.to(tenant, collection)
            return await self._inner.list_all(tenant, collection)

        seen = {each.id for each in await GuardedCollections(self._entry).list_all(tenant)}
        return [each for each in await self._inner.list_all(tenant) if each.collection in seen]

    async def find(self, tenant: TenantId, source: SourceId) -> Source:
        """Return one."""
        return await self._entry.to_source(tenant, source)

    async def sync(self, tenant: TenantId, source: SourceId) -> Job:
        """Begin a sync now."""
        await self._entry.to_source(tenant, source, WRITE)
        return await self._inner.sync(tenant, source)

    async def pause(self, tenant: TenantId, source: SourceId, *, is_paused: bool) -> Source:
        """Stop or resume following."""
        await self._entry.to_source(tenant, source, WRITE)
        return await self._inner.pause(tenant, source, is_paused=is_paused)

    async def remove(self, tenant: TenantId, source: SourceId, *, is_keeping_documents: bool) -> None:
        """Follow it no more."""
        await self._entry.to_source(tenant, source, WRITE)
        await self._inner.remove(tenant, source, is_keeping_documents=is_keeping_documents)


class GuardedJobs(Jobs):
    """Work behind the scenes: how far it is shows nothing of what is known, and is asked every second."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._inner = entry.recall.jobs

    async def find(self, tenant: TenantId, job: JobId) -> Job:
        """Return one."""
        return await self._inner.find(tenant, job)

    async def list_all(self, tenant: TenantId, *, limit: int = 100) -> list[Job]:
        """Return jobs, the newest first."""
        return await self._inner.list_all(tenant, limit=limit)

    async def wait(self, tenant: TenantId, job: JobId, limit_s: float) -> Job:
        """Return the job once it has ended, or as it is after `limit_s`."""
        return await self._inner.wait(tenant, job, limit_s)

    async def cancel(self, tenant: TenantId, job: JobId) -> Job:
        """End a job."""
        await self._enter(tenant, job)
        return await self._inner.cancel(tenant, job)

    async def retry(self, tenant: TenantId, job: JobId) -> Job:
        """Begin a job over the documents that failed in this one."""
        await self._enter(tenant, job)
        return await self._inner.retry(tenant, job)

    async def _enter(self, tenant: TenantId, job: JobId) -> None:
        found = await self._inner.find(tenant, job)
        if found.collection is not None:
            with suppress(NotFound):  # the collection is gone; its job can still be ended
                await self._entry.to(tenant, found.collection, WRITE)
                return
        await self._entry.knowledge.enter_any(WRITE, "documents" if found.collection else "memory")


class GuardedFiles(Files):
    """Uploaded files: they lie in no collection, but what was taken into one is not handed out past it."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._inner = entry.recall.files

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
        """Store what the iterator yields."""
        await self._enter(WRITE)
        return await self._inner.add(
            tenant, name, purpose, content, expires_after_s=expires_after_s, media_type=media_type
        )

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
        await self._enter(READ)
        return await self._inner.list_all(
            tenant, purpose=purpose, limit=limit, after=after, is_newest_first=is_newest_first
        )

    async def find(self, tenant: TenantId, file: FileId) -> StoredFile:
        """Return one."""
        await self._enter(self._entry.action)
        return await self._inner.find(tenant, file)

    async def path(self, tenant: TenantId, file: FileId) -> Path:
        """Return where its bytes lie; not of a file that lies only in collections closed to the caller."""
        await self._enter(READ)
        await self._check_places(tenant, file)
        return await self._inner.path(tenant, file)

    async def remove(self, tenant: TenantId, file: FileId) -> None:
        """Remove a file; documents made of it stay."""
        await self._enter(WRITE)
        await self._inner.remove(tenant, file)

    async def _enter(self, action: Action) -> None:
        await self._entry.knowledge.enter_any(action, "files")

    async def _check_places(self, tenant: TenantId, file: FileId) -> None:
        everything = await self._entry.recall.collections.list_all(tenant)
        closed = [each for each in everything if self._entry.knowledge.is_denied(READ, each)]
        if not closed or not await self._place_of(tenant, closed, file):
            return
        opened = [each for each in everything if each not in closed]
        if not await self._place_of(tenant, opened, file):
            message = "No policy allows this caller to read the collection that this file lies in."
            raise PolicyDenied(Fault(code="denied", message=message))

    async def _place_of(self, tenant: TenantId, collections: Sequence[Collection], file: FileId) -> bool:
        for each in collections:
            if await self._entry.recall.documents.find_by_file(tenant, each.id, file) is not None:
                return True
        return False


class GuardedMemories(Memories):
    """What agents remember: the gate is asked about it as a whole."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._inner = entry.recall.memories

    async def remember(self, tenant: TenantId, new: NewItem) -> Remembered:
        """Store an item."""
        await self._enter(WRITE)
        return await self._inner.remember(tenant, new)

    async def revise(self, tenant: TenantId, item: ItemId, change: ItemChange, by: str | None = None) -> Item:
        """Change an item."""
        await self._enter(WRITE)
        return await self._inner.revise(tenant, item, change, by)

    async def forget(self, tenant: TenantId, items: Sequence[ItemId]) -> Forgotten:
        """Remove items and their history."""
        await self._enter(WRITE)
        return await self._inner.forget(tenant, items)

    async def find(self, tenant: TenantId, item: ItemId) -> Item:
        """Return an item."""
        await self._enter(READ)
        return await self._inner.find(tenant, item)

    async def list_all(self, tenant: TenantId, query: ItemQuery) -> list[Item]:
        """Return items, the newest first."""
        await self._enter(READ)
        return await self._inner.list_all(tenant, query)

    async def history(self, tenant: TenantId, item: ItemId) -> list[HistoryEntry]:
        """Return what happened to an item."""
        await self._enter(READ)
        return await self._inner.history(tenant, item)

    async def search(self, tenant: TenantId, query: Query, scope: Scope | None) -> list[FoundItem]:
        """Search items."""
        await self._enter(READ)
        return await self._inner.search(tenant, query, scope)

    async def consolidate(self, tenant: TenantId) -> Job:
        """Begin to merge near-duplicates."""
        await self._enter(WRITE)
        return await self._inner.consolidate(tenant)

    async def export(self, tenant: TenantId) -> AsyncIterator[Mapping[str, Any]]:
        """Yield everything that is remembered."""
        await self._enter(READ)
        async for each in self._inner.export(tenant):
            yield each

    async def import_items(
        self, tenant: TenantId, lines: AsyncIterator[Mapping[str, Any]]
    ) -> tuple[int, list[str]]:
        """Store what `export` wrote."""
        await self._enter(WRITE)
        return await self._inner.import_items(tenant, lines)

    async def _enter(self, action: Action) -> None:
        await self._entry.knowledge.enter_any(action, "memory")


def _left_out(count: int) -> str:
    what = "1 collection was" if count == 1 else f"{count} collections were"
    return f"{what} left out: policies do not let this caller read there, or not without a person's yes."
