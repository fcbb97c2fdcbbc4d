"""The transaction that adds documents: their rows, what is to be done with them, and the job that waits.

What the collection holds already, byte for byte under the same name (or uri), is not taken in again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.core.errors import Fault, NotFound
from runtime.core.ids import DocumentId, JobId
from runtime.core.knowledge import Document, DocumentStatus, NewDocument
from runtime.core.minting import new_id
from runtime.recall.blobs import Blob
from runtime.recall.documents import NewRow, insert_documents, remove_documents
from runtime.recall.ingest.tasks import (
    EndedJob,
    NewJob,
    NewTask,
    NewWork,
    end_jobs,
    insert_job,
    insert_tasks,
    insert_work,
)
from runtime.recall.marks import Shelfmark, no_collection
from runtime.recall.truth import Pen

UNKNOWN = "application/octet-stream"
"""The media type of a document until it is found out."""


class Given(NamedTuple):
    """A document that was given, with its content on disk; None where that is a file whose row says it."""

    new: NewDocument
    blob: Blob | None


class _Known(NamedTuple):
    """A document that is there already."""

    id: DocumentId
    name: str
    uri: str | None
    content_hash: str
    status: DocumentStatus
    chunks: int


class Added(NamedTuple):
    """What became of the documents given."""

    documents: list[Document | DocumentId]
    """New ones, and the ids of those that were there."""
    ended: list[EndedJob]


class Adding:
    """What one transaction is to add."""

    def __init__(self, mark: Shelfmark, job: NewJob | JobId, given: Sequence[Given], now: float) -> None:
        self.now = now
        self._mark = mark
        self._job = job
        self._given = given

    def write(self, pen: Pen) -> Added:
        """Write rows of documents, of work and of the job. Raises NotFound."""
        mark = self._mark
        if not pen.rows("SELECT 1 FROM collection WHERE ns = ?", [mark.ns]):
            raise no_collection(mark.collection)

        job = self._begin_job(pen)
        known = self._known(pen)
        fresh = iter(sorted(new_id("doc_") for _ in self._given))  # of one moment, yet in the order given
        added: list[Document | DocumentId] = []
        rows: list[NewRow] = []
        tasks: list[NewTask] = []
        work: list[NewWork] = []
        for given in self._given:
            sha256, size_bytes, media_type = self._content(pen, given)
            same = _same(known, given.new, sha256)
            if same is not None:
                added.append(same.id)
                tasks.append(NewTask(same.id, same.name, is_done=same.status == "completed"))
                continue

            self._remove_failed(pen, known, given.new)
            document = self._document(DocumentId(next(fresh)), given.new, sha256, size_bytes, media_type)
            rows.append(NewRow(document, given.new.replaces))
            known.append(_Known(document.id, document.name, document.uri, sha256, "in_progress", 0))
            added.append(document)
            tasks.append(NewTask(document.id, document.name, is_done=False))
            work.append(NewWork(document.id, "read", size_bytes))
        insert_documents(pen, mark.ns, mark.tenant, rows)
        insert_tasks(pen, job, tasks)
        insert_work(pen, mark.ns, mark.tenant, work)
        return Added(added, end_jobs(pen, [job], self.now))

    def _begin_job(self, pen: Pen) -> JobId:
        if isinstance(self._job, NewJob):
            insert_job(pen, self._job, self.now)
            return self._job.id

        if not pen.rows("SELECT 1 FROM job WHERE id = ? AND finished_at IS NULL", [self._job]):
            raise NotFound(Fault(code="not_found", message=f"The job '{self._job}' has ended."))
        return self._job

    def _known(self, pen: Pen) -> list[_Known]:
        """Return the documents of the names and uris given, the oldest first."""
        news = [given.new for given in self._given]
        rows = pen.rows(
            "SELECT id, name, uri, content_hash, status, chunks FROM document WHERE ns = $1 "
            "AND (name IN (SELECT unnest($2::VARCHAR[])) OR uri IN (SELECT unnest($3::VARCHAR[]))) "
            "ORDER BY id",
            [
                self._mark.ns,
                [each.name for each in news],
                [each.uri for each in news if each.uri is not None],
            ],
        )
        return [_Known(*row) for row in rows]

    def _content(self, pen: Pen, given: Given) -> tuple[str, int, str]:
        """Return hash, size and media type of a content. Raises NotFound where it is a file that is gone."""
        if given.blob is not None:
            return given.blob.sha256, given.blob.size_bytes, given.new.media_type or UNKNOWN

        rows = pen.rows(
            "SELECT sha256, size_bytes, media_type FROM file WHERE id = ? AND tenant = ?",
            [given.new.file, self._mark.tenant],
        )
        if not rows:
            raise NotFound(Fault(code="not_found", message=f"There is no file '{given.new.file}'."))
        sha256, size_bytes, media_type = rows[0]
        return sha256, size_bytes, given.new.media_type or media_type

    def _remove_failed(self, pen: Pen, known: list[_Known], new: NewDocument) -> None:
        """Remove what was to be this document before and came to nothing."""
        gone = [
            each
            for each in known
            if new.replaces != "nothing"
            and _is_former(each, new)
            and each.status in ("failed", "cancelled")
            and not each.chunks
        ]
        remove_documents(pen, self._mark.ns, [each.id for each in gone])
        known[:] = [each for each in known if each not in gone]

    def _document(
        self, document: DocumentId, new: NewDocument, sha256: str, size_bytes: int, media_type: str
    ) -> Document:
        return Document(
            id=document,
            collection=self._mark.collection,
            name=new.name,
            uri=new.uri,
            media_type=media_type,
            language=new.language or "",
            status="in_progress",
            attributes=new.attributes,
            tags=new.tags,
            source=new.source,
            file=new.file,
            content_hash=sha256,
            size_bytes=size_bytes,
            created_at=self.now,
            changed_at=self.now,
            valid_from=new.valid_from,
            valid_to=new.valid_to,
            expires_at=new.expires_at,
            chunking=new.chunking or self._mark.chunking,
        )


def _is_former(known: _Known, new: NewDocument) -> bool:
    """Whether a document is what a new one would replace."""
    if new.replaces == "uri" and new.uri is not None:
        return known.uri == new.uri
    return known.name == new.name


def _same(known: Sequence[_Known], new: NewDocument, sha256: str) -> _Known | None:
    """Return the document that holds these very bytes: the newest one, or any where none gives way."""
    formers = [each for each in known if _is_former(each, new)]
    if new.replaces != "nothing":
        formers = formers[-1:]
    for each in formers:
        if each.content_hash == sha256 and each.status in ("in_progress", "completed"):
            return each
    return None
