"""Documents, as `core.recall.Documents`: what is given is safe on disk with its work before anybody is told.

A content lies in the blobs, its document's row and what is to be done with it are written in one transaction.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.filters import Attributes
from runtime.core.ids import CollectionId, DocumentId, FileId, JobId, TenantId
from runtime.core.knowledge import Chunking, Document, DocumentStatus, Job, NewDocument, StoredChunk
from runtime.core.minting import new_id
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.blobs import Blob
from runtime.recall.ingest.adding import Added, Adding, Given
from runtime.recall.ingest.jobs import DurableJobs
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.tasks import EndedJob, NewJob, cancel_documents, end_tasks
from runtime.recall.marks import Shelfmark
from runtime.recall.truth import Pen

NAME_LIMIT = 1024


class Intake:
    """Takes documents in; reading them is somebody else's."""

    def __init__(self, stores: Stores, jobs: DurableJobs) -> None:
        self._stores = stores
        self._jobs = jobs
        self._rows = stores.documents

    async def add(
        self, tenant: TenantId, collection: CollectionId, new: Sequence[NewDocument]
    ) -> tuple[Job, tuple[Document, ...]]:
        """Store what was given and begin to read it, as a job of its own; returns once it is safe on disk.

        Raises NotFound, StoreFull, RequestInvalid.
        """
        mark = self._stores.marks.find_ns(tenant, collection)
        job = NewJob(JobId(new_id("job_")), tenant, "ingest", collection, mark.ns, None, is_open=False)
        documents = await self._add(mark, job, new)
        return await self._jobs.find(tenant, job.id), documents

    async def add_to(
        self, job: JobId, tenant: TenantId, collection: CollectionId, new: Sequence[NewDocument]
    ) -> tuple[Document, ...]:
        """Do the same as a part of a job that somebody else began and ends.

        Raises NotFound, StoreFull, RequestInvalid.
        """
        return await self._add(self._stores.marks.find_ns(tenant, collection), job, new)

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
        """Return documents in the order of their ids. Raises NotFound."""
        return await self._rows.list_all(
            tenant,
            collection,
            limit=limit,
            after=after,
            before=before,
            is_newest_first=is_newest_first,
            status=status,
        )

    async def find(self, tenant: TenantId, document: DocumentId) -> Document:
        """Return one. Raises NotFound."""
        return await self._rows.find(tenant, document)

    async def find_by_name(self, tenant: TenantId, collection: CollectionId, name: str) -> Document | None:
        """Return the newest document of that name in the collection."""
        return await self._rows.find_by_name(tenant, collection, name)

    async def find_by_file(self, tenant: TenantId, collection: CollectionId, file: FileId) -> Document | None:
        """Return the newest document that was made of the file."""
        return await self._rows.find_by_file(tenant, collection, file)

    async def text(self, tenant: TenantId, document: DocumentId) -> str:
        """Return the whole text as it was read. Raises NotFound."""
        return await self._rows.text(tenant, document)

    async def path(self, tenant: TenantId, document: DocumentId) -> Path:
        """Return where the bytes that it was made of lie, to be read and never changed. Raises NotFound."""
        found = await self._rows.find(tenant, document)
        return self._stores.blobs.path(found.content_hash)

    async def chunks(self, tenant: TenantId, document: DocumentId) -> list[StoredChunk]:
        """Return its chunks in order. Raises NotFound."""
        return await self._rows.chunks(tenant, document)

    async def change_attributes(
        self, tenant: TenantId, document: DocumentId, attributes: Attributes
    ) -> Document:
        """Set its attributes in place of the former ones. Raises NotFound."""
        return await self._rows.change_attributes(tenant, document, attributes)

    async def remove(self, tenant: TenantId, document: DocumentId) -> None:
        """Remove a document everywhere; what is being done with it stops. Raises NotFound."""
        removed = await self._rows.remove(tenant, document)
        await self._stop(document)
        self._stores.publish(RecallForgotten(collection=removed.collection, documents=1), tenant)

    async def cancel(self, tenant: TenantId, document: DocumentId) -> Document:
        """Stop taking it in if that has not ended yet; what is stored of it stays. Raises NotFound."""
        await self._rows.find(tenant, document)
        await self._stop(document)
        return await self._rows.find(tenant, document)

    async def _stop(self, document: DocumentId) -> None:
        now = self._stores.clock.now()

        def _cancel(pen: Pen) -> list[EndedJob]:
            cancel_documents(pen, [document], now)
            return end_tasks(pen, [document], "cancelled", now)

        def _tell(ended: list[EndedJob]) -> None:
            self._stores.live.stop([document])
            self._stores.tell_ended(ended)

        await self._stores.write(_cancel, _tell)

    async def _add(
        self, mark: Shelfmark, job: NewJob | JobId, new: Sequence[NewDocument]
    ) -> tuple[Document, ...]:
        for index, each in enumerate(new):
            _check(each, f"documents[{index}]")
        async with AsyncExitStack() as held:
            given = [Given(each, await self._keep(held, each)) for each in new]
            adding = Adding(mark, job, given, self._stores.clock.now())
            added = await self._stores.write(adding.write, self._tell_added)
        self._stores.marks.touch(mark.ns, adding.now)
        known = await self._rows.find_many(
            mark.ns, [each for each in added.documents if isinstance(each, str)]
        )
        every = [known.get(each) if isinstance(each, str) else each for each in added.documents]
        return tuple(each for each in every if each is not None)

    def _tell_added(self, added: Added) -> None:
        self._stores.live.bells["read"].ring()
        self._stores.tell_ended(added.ended)

    async def _keep(self, held: AsyncExitStack, new: NewDocument) -> Blob | None:
        """Store a content; it is held until its row is written. A file's is there already."""
        content = new.content if new.text is None else new.text.encode("utf-8", "replace")
        if content is None:
            return None
        return await held.enter_async_context(self._stores.blobs.taking_bytes(content))


def _check(new: NewDocument, param: str) -> None:
    if sum(each is not None for each in (new.text, new.content, new.file)) != 1:
        raise _invalid("Give exactly one of 'text', 'content' and 'file'.", param)
    if not 1 <= len(new.name) <= NAME_LIMIT or _is_unwritable(new.name):
        raise _invalid(f"A document's name is a text of 1 to {NAME_LIMIT} characters.", f"{param}.name")
    chunking = new.chunking or Chunking()
    if chunking.overlap_tokens > chunking.max_tokens // 2:
        raise _invalid("'overlap_tokens' is half of 'max_tokens' at most.", f"{param}.chunking")


def _is_unwritable(text: str) -> bool:
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def _invalid(message: str, param: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message, param=param))
