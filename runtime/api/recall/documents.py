"""/api/recall/…/documents: documents taken in, as JSON or as files of a form, and read back."""

from typing import get_args

import msgspec
from aiohttp import web

from runtime.api.bodies import decode_body, read_body
from runtime.api.errors import invalid, not_found
from runtime.api.intake import Intake
from runtime.api.multipart import FormField, is_form, open_form
from runtime.api.openai.files import download
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.api.recall.bodies import DOCUMENTS_LIMIT, AttributesBody, DocumentOptions, DocumentsBody
from runtime.api.recall.collections import asked_collection
from runtime.core.errors import NotFound
from runtime.core.ids import DocumentId, FileId
from runtime.core.knowledge import Document, DocumentStatus, NewDocument

LIST_LIMIT = 1000
STATUSES: dict[str, DocumentStatus] = {each: each for each in get_args(DocumentStatus)}


class _FormDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a form, stored already."""

    name: str
    file: FileId
    media_type: str | None


async def post_documents(request: web.Request) -> web.Response:
    """Take documents in; 202 with them and the job that reads them."""
    collection = await asked_collection(request)
    async with Intake(request) as intake:
        if is_form(request):
            new = await _read_form(request, intake)
        else:
            new = [*(await read_body(request, DocumentsBody)).documents]
        job, documents = await intake.add(collection.id, new)
    return json_answer({"job": job, "documents": documents}, status=202)


async def get_documents(request: web.Request) -> web.Response:
    """List documents of a collection, the newest first."""
    query = QueryString(request, "limit", "after", "before", "order", "status", "name")
    collection = await asked_collection(request)
    documents, tenant = recall_of(request).documents, tenant_of(request)
    name = query.text("name")
    if name is not None:
        named = await documents.find_by_name(tenant, collection.id, name)
        return _page([] if named is None else [named], is_more=False)

    limit = query.number("limit", 100, lowest=1, highest=LIST_LIMIT)
    after, before = query.text("after"), query.text("before")
    found = await documents.list_all(
        tenant,
        collection.id,
        limit=limit + 1,
        after=None if after is None else DocumentId(after),
        before=None if before is None else DocumentId(before),
        is_newest_first=query.one_of("order", ("asc", "desc")) != "asc",
        status=STATUSES.get(query.one_of("status", tuple(STATUSES)) or ""),
    )
    is_backwards = before is not None and after is None
    return _page(found[-limit:] if is_backwards else found[:limit], is_more=len(found) > limit)


async def get_document(request: web.Request) -> web.Response:
    """Describe one document."""
    return json_answer(await _asked(request))


async def get_text(request: web.Request) -> web.Response:
    """Return the whole text as it was read; offsets of hits count its characters."""
    document = await _asked(request)
    text = await recall_of(request).documents.text(tenant_of(request), document.id)
    return json_answer({"document": document.id, "text": text})


async def get_chunks(request: web.Request) -> web.Response:
    """Return the chunks of a document in order."""
    document = await _asked(request)
    chunks = await recall_of(request).documents.chunks(tenant_of(request), document.id)
    return json_answer({"document": document.id, "chunks": chunks})


async def get_content(request: web.Request) -> web.StreamResponse:
    """Return the bytes that the document was made of."""
    document = await _asked(request)
    path = await recall_of(request).documents.path(tenant_of(request), document.id)
    return await download(path, document.name)


async def patch_document(request: web.Request) -> web.Response:
    """Set the attributes of a document in place of the former ones."""
    body = await read_body(request, AttributesBody)
    document = await _asked(request)
    documents = recall_of(request).documents
    return json_answer(await documents.change_attributes(tenant_of(request), document.id, body.attributes))


async def delete_document(request: web.Request) -> web.Response:
    """Remove a document everywhere."""
    document = await _asked(request)
    await recall_of(request).documents.remove(tenant_of(request), document.id)
    return web.Response(status=204)


async def post_cancel(request: web.Request) -> web.Response:
    """Stop reading a document if that has not ended yet."""
    document = await _asked(request)
    return json_answer(await recall_of(request).documents.cancel(tenant_of(request), document.id))


async def _read_form(request: web.Request, intake: Intake) -> list[NewDocument]:
    """Store the files of a form as they come; return what is told to take them in. Raises Refused."""
    options = DocumentOptions()
    files: list[_FormDocument] = []
    async for part in open_form(request).parts():
        if isinstance(part, FormField):
            if part.name != "options":
                place = part.name[:80]
                raise invalid(f"Unknown parameter: '{place}'. Known: file, options.", place)
            options = decode_body(part.value.encode(), DocumentOptions)
        elif len(files) == DOCUMENTS_LIMIT:
            raise invalid(f"The form has more than {DOCUMENTS_LIMIT} files. Send several requests.", "file")
        else:
            file = await intake.keep(part)
            files.append(_FormDocument(name=part.filename, file=file, media_type=part.media_type))
    if not files:
        raise invalid("Missing required parameter: 'file'.", "file", code="missing_required_parameter")

    shared = msgspec.structs.asdict(options)
    return [NewDocument(**msgspec.structs.asdict(each), **shared) for each in files]


def _page(documents: list[Document], *, is_more: bool) -> web.Response:
    return json_answer({"documents": documents, "is_more": is_more})


async def _asked(request: web.Request) -> Document:
    """Return the document that the path names. Raises Refused (404)."""
    name = request.match_info["document"]
    try:
        return await recall_of(request).documents.find(tenant_of(request), DocumentId(name))
    except NotFound as problem:
        raise not_found(f"There is no document '{name[:80]}'.", "not_found", "document") from problem


_DOCUMENT = "/api/recall/documents/{document}"
ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/recall/collections/{collection}/documents", "infer", post_documents),
    ("GET", "/api/recall/collections/{collection}/documents", "infer", get_documents),
    ("GET", _DOCUMENT, "infer", get_document),
    ("PATCH", _DOCUMENT, "infer", patch_document),
    ("DELETE", _DOCUMENT, "infer", delete_document),
    ("GET", f"{_DOCUMENT}/text", "infer", get_text),
    ("GET", f"{_DOCUMENT}/chunks", "infer", get_chunks),
    ("GET", f"{_DOCUMENT}/content", "infer", get_content),
    ("POST", f"{_DOCUMENT}/cancel", "infer", post_cancel),
)
