"""/v1/vector_stores/{id}/file_batches: many files attached at once; a batch is a job and the files it had."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import invalid, not_found
from runtime.api.openai.files import find_file
from runtime.api.openai.paging import Window, page_of, window_of
from runtime.api.openai.records import Kind, find_held, keep_record, read_record
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.openai.vector_store_files import POLL_AFTER_MS, STATUSES, document_in
from runtime.api.openai.vector_store_words import (
    Strategy,
    WireCounts,
    WireStoreFile,
    check_attributes,
    chunking_of,
    document_of,
    wire_store_file,
)
from runtime.api.openai.vector_stores import asked_store
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.filters import Scalar
from runtime.core.ids import CollectionId, JobId, TenantId
from runtime.core.knowledge import Job, NewDocument
from runtime.core.recall import Recall

BATCH_LIMIT = 2000
"""As OpenAI's."""
KEPT_S = 30 * 86_400.0
"""How long a batch can be asked for."""
BATCH = Kind("batch", "vsfb_")

_POLL_HEADERS = {"openai-poll-after-ms": str(POLL_AFTER_MS)}


class BatchFile(Wire, frozen=True, kw_only=True):
    """A file of a batch with what is its own."""

    file_id: NotEmpty
    attributes: dict[str, Scalar] | None = None
    chunking_strategy: Strategy | None = None


class BatchBody(Wire, frozen=True, kw_only=True):
    """What clients send: `file_ids`, to which the rest applies, or `files` with their own."""

    file_ids: Annotated[list[NotEmpty], msgspec.Meta(min_length=1, max_length=BATCH_LIMIT)] | None = None
    files: Annotated[list[BatchFile], msgspec.Meta(min_length=1, max_length=BATCH_LIMIT)] | None = None
    attributes: dict[str, Scalar] | None = None
    chunking_strategy: Strategy | None = None


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a batch."""

    store: CollectionId
    job: JobId | None
    """None: everything was there already."""
    files: tuple[str, ...]


class WireBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as OpenAI's clients know it."""

    id: str
    object: str = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    file_counts: WireCounts


class _Found(NamedTuple):
    """A batch that was asked for."""

    id: str
    created_at: float
    record: BatchRecord


async def post_batch(request: web.Request) -> web.Response:
    """Attach files and begin to read them."""
    body = await read_body(request, BatchBody)
    store = await asked_store(request)
    recall, tenant = recall_of(request), tenant_of(request)
    asked = _asked_files(body)
    new = [
        each
        for place, one in enumerate(asked)
        if (each := await _new_document(recall, tenant, store.id, one, _place(body, place))) is not None
    ]
    job: Job | None = None
    if new:
        job, _ = await recall.documents.add(tenant, store.id, new)
    record = BatchRecord(
        store=store.id, job=None if job is None else job.id, files=tuple(each.file_id for each in asked)
    )
    stored = await keep_record(recall.files, tenant, BATCH, record, KEPT_S)
    return _answer(_Found(BATCH.id_of(stored.id), stored.created_at, record), job)


async def get_batch(request: web.Request) -> web.Response:
    """Tell how far a batch is."""
    found = await _asked(request)
    return _answer(found, await _job_of(request, found))


async def post_cancel(request: web.Request) -> web.Response:
    """Stop reading what has not been read yet; what was read stays."""
    found = await _asked(request)
    job = await _job_of(request, found)
    if job is not None and job.status in ("queued", "running"):
        job = await recall_of(request).jobs.cancel(tenant_of(request), job.id)
    return _answer(found, job)


async def get_batch_files(request: web.Request) -> web.Response:
    """List the files of a batch, the last of it first; those that were taken out meanwhile are left out."""
    query = QueryString(request, "limit", "order", "after", "before", "filter")
    window = window_of(query)
    status = query.one_of("filter", tuple(STATUSES))
    found = await _asked(request)
    recall, tenant = recall_of(request), tenant_of(request)
    page: list[WireStoreFile] = []
    for file in ids_in(found.record.files, window):
        document = await document_in(recall.documents, tenant, found.record.store, file)
        if document is not None and status in (None, document.status):
            page.append(wire_store_file(document))
        if len(page) > window.limit:
            break
    has_more = len(page) > window.limit
    page = page[: window.limit]
    if window.before is not None and window.after is None:
        page.reverse()
    return json_answer(page_of(page, lambda each: each.id, has_more=has_more))


def ids_in(files: Sequence[str], window: Window) -> list[str]:
    """Return a batch's files from the window's cursor on, in the order in which they are to be looked at.

    With `before` alone that is backwards from the cursor. A cursor that is not of the batch counts as none.
    """
    ordered = list(files)[::-1] if window.is_newest_first else list(files)
    if window.after in ordered:
        ordered = ordered[ordered.index(window.after) + 1 :]
    if window.before in ordered:
        ordered = ordered[: ordered.index(window.before)]
    return ordered[::-1] if window.before is not None and window.after is None else ordered


def counts_of(total: int, job: Job | None) -> WireCounts:
    """Say how far a job is in counts that add up to the batch's files; what was there before is completed."""
    if job is None:
        return WireCounts(completed=total, total=total)

    failed = min(job.failed, total)
    open_ones = min(max(job.total - job.done - job.failed, 0), total - failed)
    match job.status:
        case "queued" | "running":
            # A job that is not over is not done, whatever its numbers say: clients wait for 0.
            open_ones = max(open_ones, 1) if failed < total else 0
            return WireCounts(
                in_progress=open_ones, failed=failed, completed=total - failed - open_ones, total=total
            )
        case "cancelled":
            return WireCounts(
                cancelled=open_ones, failed=failed, completed=total - failed - open_ones, total=total
            )
        case "failed":
            return WireCounts(failed=failed + open_ones, completed=total - failed - open_ones, total=total)
        case "completed":
            return WireCounts(failed=failed, completed=total - failed, total=total)


def _asked_files(body: BatchBody) -> list[BatchFile]:
    """Return the files one by one, each once. Raises Refused."""
    if (body.file_ids is None) == (body.files is None):
        raise invalid("Send either 'file_ids' or 'files'.", "file_ids")

    if body.files is not None:
        asked = body.files
    else:
        asked = [
            BatchFile(file_id=each, attributes=body.attributes, chunking_strategy=body.chunking_strategy)
            for each in body.file_ids or ()
        ]
    return list({each.file_id: each for each in asked}.values())


async def _new_document(
    recall: Recall, tenant: TenantId, store: CollectionId, asked: BatchFile, param: str
) -> NewDocument | None:
    """Return what is to be taken in; None where the store has it already. Raises Refused."""
    file = await find_file(recall.files, tenant, asked.file_id, f"{param}.file_id")
    attributes = check_attributes(asked.attributes, f"{param}.attributes")
    chunking = chunking_of(asked.chunking_strategy, f"{param}.chunking_strategy")
    document = await recall.documents.find_by_file(tenant, store, file.id)
    if document is None:
        return document_of(file, attributes, chunking)

    if document.status in ("failed", "cancelled") or chunking not in (None, document.chunking):
        await recall.documents.remove(tenant, document.id)
        return document_of(file, attributes, chunking)

    if asked.attributes is not None and attributes != document.attributes:
        await recall.documents.change_attributes(tenant, document.id, attributes)
    return None


def _place(body: BatchBody, place: int) -> str:
    return f"files[{place}]" if body.files is not None else f"file_ids[{place}]"


async def _asked(request: web.Request) -> _Found:
    store = await asked_store(request)
    batch = request.match_info["batch_id"]
    files, tenant = recall_of(request).files, tenant_of(request)
    stored = await find_held(files, tenant, BATCH, batch)
    if stored is not None:
        record = await read_record(files, tenant, stored, BatchRecord)
        if record.store == store.id:
            return _Found(batch, stored.created_at, record)

    message = f"No file batch found with id '{batch[:80]}' in vector store '{store.id}'."
    raise not_found(message, "not_found", "batch_id")


async def _job_of(request: web.Request, found: _Found) -> Job | None:
    if found.record.job is None:
        return None
    return await recall_of(request).jobs.find(tenant_of(request), found.record.job)


def _answer(found: _Found, job: Job | None) -> web.Response:
    counts = counts_of(len(found.record.files), job)
    status: Literal["in_progress", "completed", "cancelled", "failed"] = "completed"
    if job is not None and job.status in ("cancelled", "failed"):
        status = "cancelled" if job.status == "cancelled" else "failed"
    elif counts.in_progress:
        status = "in_progress"
    batch = WireBatch(
        id=found.id,
        created_at=int(found.created_at),
        vector_store_id=found.record.store,
        status=status,
        file_counts=counts,
    )
    return json_answer(batch, headers=_POLL_HEADERS)


_BATCHES = "/v1/vector_stores/{vector_store_id}/file_batches"
ROUTES: tuple[Entry, ...] = (
    ("POST", _BATCHES, "infer", post_batch),
    ("GET", f"{_BATCHES}/{{batch_id}}", "infer", get_batch),
    ("POST", f"{_BATCHES}/{{batch_id}}/cancel", "infer", post_cancel),
    ("GET", f"{_BATCHES}/{{batch_id}}/files", "infer", get_batch_files),
)
