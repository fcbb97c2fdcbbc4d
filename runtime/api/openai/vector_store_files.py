"""/v1/vector_stores/{id}/files: documents of a store, by the ids of the files that they were made of."""

from typing import Any

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import not_found
from runtime.api.openai.files import WireDeleted, find_file
from runtime.api.openai.paging import Window, page_of, window_of
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.openai.vector_store_words import (
    Strategy,
    check_attributes,
    chunking_of,
    document_of,
    file_id_of,
    wire_store_file,
)
from runtime.api.openai.vector_stores import asked_store
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.errors import NotFound
from runtime.core.filters import Scalar
from runtime.core.ids import CollectionId, DocumentId, FileId, TenantId
from runtime.core.knowledge import Collection, Document, DocumentStatus
from runtime.core.recall import Documents

POLL_AFTER_MS = 250
"""How soon OpenAI's clients ask again whether a file has been read; most have been by then."""
STATUSES: dict[str, DocumentStatus] = {
    "in_progress": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}

_POLL_HEADERS = {"openai-poll-after-ms": str(POLL_AFTER_MS)}


class AttachBody(Wire, frozen=True, kw_only=True):
    """What clients send to attach a file."""

    file_id: NotEmpty
    attributes: dict[str, Scalar] | None = None
    chunking_strategy: Strategy | None = None


class AttributesBody(Wire, frozen=True, kw_only=True):
    """What clients send to change a file's attributes; null takes them away."""

    attributes: dict[str, Scalar] | None


class WireText(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a file's text."""

    type: str = "text"
    text: str


class ContentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A file's text as it was read."""

    object: str = "vector_store.file_content.page"
    data: list[WireText]
    has_more: bool = False
    next_page: str | None = None
    file_id: str
    filename: str
    attributes: dict[str, Any]


async def post_store_file(request: web.Request) -> web.Response:
    """Attach a file and begin to read it."""
    body = await read_body(request, AttachBody)
    store = await asked_store(request)
    recall, tenant = recall_of(request), tenant_of(request)
    file = await find_file(recall.files, tenant, body.file_id, "file_id")
    attributes = check_attributes(body.attributes)
    chunking = chunking_of(body.chunking_strategy, "chunking_strategy")
    document = await recall.documents.find_by_file(tenant, store.id, file.id)
    if document is not None and document.status in ("in_progress", "completed") and chunking is None:
        if body.attributes is not None and attributes != document.attributes:
            document = await recall.documents.change_attributes(tenant, document.id, attributes)
        return _answer(document)

    if document is not None:
        await recall.documents.remove(tenant, document.id)
    new = document_of(file, attributes, chunking)
    _, (document,) = await recall.documents.add(tenant, store.id, [new])
    return _answer(document)


async def get_store_files(request: web.Request) -> web.Response:
    """List a store's files, the newest first."""
    query = QueryString(request, "limit", "order", "after", "before", "filter")
    window = window_of(query)
    status = query.one_of("filter", tuple(STATUSES))
    store = await asked_store(request)
    documents, has_more = await _page(
        recall_of(request).documents, tenant_of(request), store.id, window, STATUSES.get(status or "")
    )
    wired = [wire_store_file(each) for each in documents]
    return json_answer(page_of(wired, lambda each: each.id, has_more=has_more))


async def get_store_file(request: web.Request) -> web.Response:
    """Describe one file of a store."""
    return _answer(await _asked(request, await asked_store(request)))


async def post_to_store_file(request: web.Request) -> web.Response:
    """Set the attributes of a file in place of the former ones."""
    body = await read_body(request, AttributesBody)
    document = await _asked(request, await asked_store(request))
    attributes = check_attributes(body.attributes)
    documents = recall_of(request).documents
    return _answer(await documents.change_attributes(tenant_of(request), document.id, attributes))


async def delete_store_file(request: web.Request) -> web.Response:
    """Take a file out of a store; the file itself stays."""
    document = await _asked(request, await asked_store(request))
    await recall_of(request).documents.remove(tenant_of(request), document.id)
    return json_answer(WireDeleted(id=file_id_of(document), object="vector_store.file.deleted"))


async def get_store_file_content(request: web.Request) -> web.Response:
    """Return the text of a file as it was read."""
    document = await _asked(request, await asked_store(request))
    text = await recall_of(request).documents.text(tenant_of(request), document.id)
    return json_answer(
        ContentPage(
            data=[WireText(text=text)],
            file_id=file_id_of(document),
            filename=document.name,
            attributes=document.attributes,
        )
    )


async def document_in(
    documents: Documents, tenant: TenantId, store: CollectionId, file: str
) -> Document | None:
    """Return a store's document by the id that OpenAI's clients know; None where there is none."""
    found = await documents.find_by_file(tenant, store, FileId(file))
    if found is not None:
        return found

    try:
        document = await documents.find(tenant, DocumentId(file))
    except NotFound:
        return None
    return document if document.collection == store else None


async def _page(
    documents: Documents,
    tenant: TenantId,
    store: CollectionId,
    window: Window,
    status: DocumentStatus | None,
) -> tuple[list[Document], bool]:
    """Return a page of a store's documents. A cursor that has gone counts as none.

    So a list can be walked while what was listed is being taken out: what is left begins anew.
    """
    after = None if window.after is None else await document_in(documents, tenant, store, window.after)
    before = None if window.before is None else await document_in(documents, tenant, store, window.before)
    found = await documents.list_all(
        tenant,
        store,
        limit=window.limit + 1,
        after=None if after is None else after.id,
        before=None if before is None else before.id,
        is_newest_first=window.is_newest_first,
        status=status,
    )
    has_more = len(found) > window.limit
    if before is not None and after is None:
        return found[-window.limit :], has_more  # the page that ends right before the cursor
    return found[: window.limit], has_more


async def _asked(request: web.Request, store: Collection) -> Document:
    file = request.match_info["file_id"]
    document = await document_in(recall_of(request).documents, tenant_of(request), store.id, file)
    if document is None:
        message = f"No file found with id '{file[:80]}' in vector store '{store.id}'."
        raise not_found(message, "not_found", "file_id")
    return document


def _answer(document: Document) -> web.Response:
    return json_answer(wire_store_file(document), headers=_POLL_HEADERS)


_FILES = "/v1/vector_stores/{vector_store_id}/files"
ROUTES: tuple[Entry, ...] = (
    ("POST", _FILES, "infer", post_store_file),
    ("GET", _FILES, "infer", get_store_files),
    ("GET", f"{_FILES}/{{file_id}}", "infer", get_store_file),
    ("POST", f"{_FILES}/{{file_id}}", "infer", post_to_store_file),
    ("DELETE", f"{_FILES}/{{file_id}}", "infer", delete_store_file),
    ("GET", f"{_FILES}/{{file_id}}/content", "infer", get_store_file_content),
)
