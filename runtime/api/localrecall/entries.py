"""/api/collections/{name}/…: entries of a LocalRecall collection: uploaded, listed, read and deleted.

An entry is a document, called by its name or by its key. An upload of a name that is there replaces it once
the new one was read; where it cannot be read the old one stays.
"""

import anyio
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS
from runtime.api.errors import Refusal, Refused, invalid, not_found
from runtime.api.intake import Intake
from runtime.api.localrecall.collections import asked_collection
from runtime.api.localrecall.envelope import said, stamp
from runtime.api.multipart import FormFile, open_form
from runtime.api.openai.files import download
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.reach import Entry, recall_of, tenant_of
from runtime.core.errors import NotFound
from runtime.core.ids import CollectionId, DocumentId, JobId, TenantId
from runtime.core.knowledge import Collection, Document, DocumentFault, NewDocument
from runtime.core.recall import Recall

UPLOAD_WAIT_S = 300.0
"""How long an upload may take to be read; after that the answer is that it goes on."""
MEANING_WAIT_S = 30.0
"""How long an upload that was read waits for its vectors; its words are found without them."""
PAGE = 1000

_WAIT_S = 5.0
_STATUS = {"unsupported_format": 415, "too_large": 413, "internal_error": 500, "embedding_failed": 503}


class EntryBody(Wire, frozen=True, kw_only=True):
    """What clients send to delete an entry."""

    entry: NotEmpty


async def post_upload(request: web.Request) -> web.Response:
    """Take a file in and wait until it has been read."""
    collection = await asked_collection(request)
    document: Document | None = None
    job = JobId("")
    async with Intake(request) as intake:
        async for part in open_form(request).parts():
            if not isinstance(part, FormFile) or part.name != "file" or document is not None:
                raise invalid("The form must hold exactly one file, in the field 'file'.", part.name[:80])
            name = part.filename.rpartition("/")[2] or part.filename
            file = await intake.keep(part)
            new = NewDocument(name=name, file=file, media_type=part.media_type)
            begun, (document,) = await intake.add(collection.id, [new])
            job = begun.id
    if document is None:
        raise invalid("Missing required parameter: 'file'.", "file", code="missing_required_parameter")

    recall, tenant = recall_of(request), tenant_of(request)
    document = await _await_reading(recall, tenant, job, document)
    if document.fault is not None:
        await recall.documents.remove(tenant, document.id)
        raise _unreadable(document, document.fault)

    data = {
        "filename": document.name,
        "collection": collection.name,
        "key": document.id,
        "created_at": stamp(document.created_at),
        "uploaded_at": stamp(request.app[DEPS].clock.now()),
        "status": document.status,
    }
    is_done = document.status == "completed"
    return said("File uploaded successfully" if is_done else "File stored, it is still being read", data)


async def get_entries(request: web.Request) -> web.Response:
    """List the names and keys of a collection's entries."""
    collection = await asked_collection(request)
    documents = await _all_documents(recall_of(request), tenant_of(request), collection.id)
    data = {
        "collection": collection.name,
        "entries": [each.name for each in documents],
        "keys": [each.id for each in documents],
        "count": len(documents),
    }
    return said("Entries retrieved successfully", data)


async def get_entry(request: web.Request) -> web.Response:
    """Return the text of an entry as it was read, without overlaps."""
    collection = await asked_collection(request)
    document = await _entry(request, collection, request.match_info["entry"])
    data = {
        "collection": collection.name,
        "entry": document.name,
        "content": await recall_of(request).documents.text(tenant_of(request), document.id),
        "chunk_count": document.chunks,
    }
    return said("Entry content retrieved successfully", data)


async def get_entry_raw(request: web.Request) -> web.StreamResponse:
    """Return the bytes of an entry as they came."""
    collection = await asked_collection(request)
    document = await _entry(request, collection, request.match_info["entry"])
    path = await recall_of(request).documents.path(tenant_of(request), document.id)
    return await download(path, document.name)


async def delete_entry(request: web.Request) -> web.Response:
    """Remove an entry; tell what is left."""
    body = await read_body(request, EntryBody)
    collection = await asked_collection(request)
    document = await _entry(request, collection, body.entry)
    recall, tenant = recall_of(request), tenant_of(request)
    await recall.documents.remove(tenant, document.id)
    left = [each.name for each in await _all_documents(recall, tenant, collection.id)]
    data = {"deleted_entry": body.entry, "remaining_entries": left, "entry_count": len(left)}
    return said("Entry deleted successfully", data)


async def _await_reading(recall: Recall, tenant: TenantId, job: JobId, document: Document) -> Document:
    """Return the document once it is completed or failed, or as it is when the bounds are met."""
    with anyio.move_on_after(UPLOAD_WAIT_S):
        waited_s = 0.0
        while document.status == "in_progress" and not (document.chunks and waited_s >= MEANING_WAIT_S):
            found = await recall.jobs.wait(tenant, job, _WAIT_S)
            waited_s += _WAIT_S
            document = await recall.documents.find(tenant, document.id)
            if found.finished_at is not None:
                break
    return document


async def _all_documents(recall: Recall, tenant: TenantId, collection: CollectionId) -> list[Document]:
    found: list[Document] = []
    after: DocumentId | None = None
    while True:
        page = await recall.documents.list_all(
            tenant, collection, limit=PAGE, after=after, is_newest_first=False
        )
        found += page
        if len(page) < PAGE:
            return found
        after = page[-1].id


async def _entry(request: web.Request, collection: Collection, entry: str) -> Document:
    """Return a collection's document by its name or its key. Raises Refused (404)."""
    documents, tenant = recall_of(request).documents, tenant_of(request)
    found = await documents.find_by_name(tenant, collection.id, entry)
    if found is not None:
        return found

    message = f"Entry '{entry[:80]}' does not exist in collection '{collection.name}'."
    try:
        document = await documents.find(tenant, DocumentId(entry))
    except NotFound as problem:
        raise not_found(message, "not_found", "entry") from problem

    if document.collection != collection.id:
        raise not_found(message, "not_found", "entry")
    return document


def _unreadable(document: Document, fault: DocumentFault) -> Refused:
    """Return the refusal that says why a file could not be taken in; raise it."""
    status = _STATUS.get(fault.code, 400)
    return Refused(
        Refusal(
            status=status,
            type="invalid_request_error" if status < 500 else "server_error",
            code=fault.code,
            message=f"'{document.name}' could not be taken in: {fault.message}",
            param="file",
        )
    )


ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/collections/{name}/upload", "infer", post_upload),
    ("GET", "/api/collections/{name}/entries", "infer", get_entries),
    ("GET", "/api/collections/{name}/entries/{entry}", "infer", get_entry),
    ("GET", "/api/collections/{name}/entries/{entry}/raw", "infer", get_entry_raw),
    ("DELETE", "/api/collections/{name}/entry/delete", "infer", delete_entry),
)
