"""Collections, documents, search, sources and jobs of a running server, shaped like the ports of the core."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp
import anyio
import anyio.to_thread
import msgspec

from runtime.api.remote.wire import LONG_LIMIT_S, SEARCH_LIMIT_S, Wire, part
from runtime.core.ids import CollectionId, DocumentId, JobId, SourceId, TenantId
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
)

_WAIT_LIMIT_S = 60
"""The longest that the server holds a question for a job."""
_WAIT_GRACE_S = 15.0
_PAGE = 1000


class Upload(NamedTuple):
    """A file on this machine that becomes a document."""

    name: str
    path: Path


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What the server took in."""

    job: Job
    documents: tuple[Document, ...]


class _Collections(msgspec.Struct):
    collections: list[Collection]


class _Documents(msgspec.Struct):
    documents: list[Document]
    is_more: bool = False


class _Text(msgspec.Struct):
    text: str


class _Chunks(msgspec.Struct):
    chunks: list[StoredChunk]


class _Sources(msgspec.Struct):
    sources: list[Source]


class _Jobs(msgspec.Struct):
    jobs: list[Job]


class RemoteCollections:
    """Sets of documents."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(self, _tenant: TenantId, new: NewCollection) -> Collection:
        """Make a collection. Raises Conflict where the name is taken."""
        return await self._wire.ask("POST", "/collections", Collection, body=new)

    async def list_all(self, _tenant: TenantId) -> list[Collection]:
        """Return all collections, by creation."""
        return (await self._wire.ask("GET", "/collections", _Collections)).collections

    async def find(self, _tenant: TenantId, collection: CollectionId | str) -> Collection:
        """Return the one of this id or name. Raises NotFound."""
        return await self._wire.ask("GET", f"/collections/{part(collection)}", Collection)

    async def change(
        self, _tenant: TenantId, collection: CollectionId | str, change: CollectionChange
    ) -> Collection:
        """Change what is told. Raises NotFound, Conflict."""
        return await self._wire.ask("PATCH", f"/collections/{part(collection)}", Collection, body=change)

    async def remove(self, _tenant: TenantId, collection: CollectionId | str) -> None:
        """Remove the collection with all that it knows. Raises NotFound."""
        path = f"/collections/{part(collection)}"
        await self._wire.ask("DELETE", path, type(None), limit_s=LONG_LIMIT_S)


class RemoteDocuments:
    """Documents of collections, and their way in."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def add(
        self, _tenant: TenantId, collection: CollectionId | str, new: Sequence[NewDocument]
    ) -> tuple[Job, tuple[Document, ...]]:
        """Store what was given and begin to read it. Raises NotFound, StoreFull, RequestInvalid."""
        path = f"/collections/{part(collection)}/documents"
        taken = await self._wire.ask("POST", path, Taken, body={"documents": new}, limit_s=LONG_LIMIT_S)
        return taken.job, taken.documents

    async def upload(
        self, collection: CollectionId | str, files: Sequence[Upload], options: dict[str, object]
    ) -> Taken:
        """Send files as they lie on disk, never held in memory. Raises OSError where one cannot be read."""
        async with AsyncExitStack() as opened:
            form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
            form.add_field("options", msgspec.json.encode(options).decode())
            for each in files:
                stream = await anyio.to_thread.run_sync(each.path.open, "rb")
                opened.callback(stream.close)
                form.add_field("file", stream, filename=each.name, content_type="application/octet-stream")
            path = f"/collections/{part(collection)}/documents"
            return await self._wire.ask("POST", path, Taken, data=form, limit_s=LONG_LIMIT_S)

    async def list_all(
        self,
        _tenant: TenantId,
        collection: CollectionId | str,
        *,
        limit: int = 100,
        after: DocumentId | None = None,
        is_newest_first: bool = True,
        status: DocumentStatus | None = None,
    ) -> list[Document]:
        """Return documents in the order of their ids, which is that of their creation. Raises NotFound."""
        params = {"limit": str(min(limit, _PAGE)), "order": "desc" if is_newest_first else "asc"}
        params |= {} if after is None else {"after": after}
        params |= {} if status is None else {"status": status}
        path = f"/collections/{part(collection)}/documents"
        return (await self._wire.ask("GET", path, _Documents, params=params)).documents

    async def find_by_name(
        self, _tenant: TenantId, collection: CollectionId | str, name: str
    ) -> Document | None:
        """Return the document of that name in the collection. Raises NotFound."""
        path = f"/collections/{part(collection)}/documents"
        found = (await self._wire.ask("GET", path, _Documents, params={"name": name})).documents
        return found[0] if found else None

    async def find(self, _tenant: TenantId, document: DocumentId) -> Document:
        """Return one. Raises NotFound."""
        return await self._wire.ask("GET", f"/documents/{part(document)}", Document)

    async def text(self, _tenant: TenantId, document: DocumentId) -> str:
        """Return the whole text as it was read. Raises NotFound."""
        return (await self._wire.ask("GET", f"/documents/{part(document)}/text", _Text)).text

    async def chunks(self, _tenant: TenantId, document: DocumentId) -> list[StoredChunk]:
        """Return its chunks in order. Raises NotFound."""
        return (await self._wire.ask("GET", f"/documents/{part(document)}/chunks", _Chunks)).chunks

    async def remove(self, _tenant: TenantId, document: DocumentId) -> None:
        """Remove a document everywhere. Raises NotFound."""
        await self._wire.ask("DELETE", f"/documents/{part(document)}", type(None))

    async def walk(self, collection: CollectionId | str) -> AsyncIterator[Document]:
        """Yield all documents of a collection, the newest first. Raises NotFound."""
        after: DocumentId | None = None
        while page := await self.list_all(TenantId(""), collection, limit=_PAGE, after=after):
            for each in page:
                yield each
            after = page[-1].id


class RemoteSearcher:
    """Finds."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def search(self, _tenant: TenantId, query: Query) -> Found:
        """Search collections, named by id or name; none means all. Raises NotFound."""
        return await self._wire.ask("POST", "/search", Found, body=query, limit_s=SEARCH_LIMIT_S)


class RemoteSources:
    """Places that collections are kept in step with."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def add(self, collection: CollectionId | str, new: NewSource) -> Source:
        """Follow a place and begin its first sync. Raises NotFound, Conflict, RequestInvalid."""
        return await self._wire.ask("POST", f"/collections/{part(collection)}/sources", Source, body=new)

    async def list_all(self, collection: CollectionId | str | None = None) -> list[Source]:
        """Return sources by creation."""
        path = "/sources" if collection is None else f"/collections/{part(collection)}/sources"
        return (await self._wire.ask("GET", path, _Sources)).sources

    async def find(self, source: SourceId) -> Source:
        """Return one. Raises NotFound."""
        return await self._wire.ask("GET", f"/sources/{part(source)}", Source)

    async def sync(self, source: SourceId) -> Job:
        """Begin a sync now, or return the one under way. Raises NotFound."""
        return await self._wire.ask("POST", f"/sources/{part(source)}/sync", Job)

    async def pause(self, source: SourceId, *, is_paused: bool) -> Source:
        """Stop or resume following. Raises NotFound."""
        return await self._wire.ask(
            "PATCH", f"/sources/{part(source)}", Source, body={"is_paused": is_paused}
        )

    async def remove(self, source: SourceId, *, is_keeping_documents: bool) -> None:
        """Follow it no more. Raises NotFound."""
        params = {"keep_documents": "true" if is_keeping_documents else "false"}
        path = f"/sources/{part(source)}"
        await self._wire.ask("DELETE", path, type(None), params=params, limit_s=LONG_LIMIT_S)


class RemoteJobs:
    """Work behind the scenes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def find(self, _tenant: TenantId, job: JobId) -> Job:
        """Return one. Raises NotFound."""
        return await self._wire.ask("GET", f"/jobs/{part(job)}", Job)

    async def list_all(self, _tenant: TenantId, *, limit: int = 100) -> list[Job]:
        """Return jobs, the newest first."""
        return (await self._wire.ask("GET", "/jobs", _Jobs, params={"limit": str(limit)})).jobs

    async def wait(self, _tenant: TenantId, job: JobId, limit_s: float) -> Job:
        """Return the job once it has ended, or as it is after `limit_s`. Raises NotFound."""
        seconds = max(1, min(_WAIT_LIMIT_S, round(limit_s)))
        path, params = f"/jobs/{part(job)}", {"wait_s": str(seconds)}
        return await self._wire.ask("GET", path, Job, params=params, limit_s=seconds + _WAIT_GRACE_S)

    async def cancel(self, _tenant: TenantId, job: JobId) -> Job:
        """End a job; what it has stored stays. Raises NotFound."""
        return await self._wire.ask("POST", f"/jobs/{part(job)}/cancel", Job)

    async def retry(self, _tenant: TenantId, job: JobId) -> Job:
        """Begin a job over what failed in this one. Raises NotFound, Conflict."""
        return await self._wire.ask("POST", f"/jobs/{part(job)}/retry", Job)
