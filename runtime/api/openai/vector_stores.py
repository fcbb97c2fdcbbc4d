"""/v1/vector_stores: collections under OpenAI's name: made, listed, read, changed and removed.

Their files are in `vector_store_files` and `vector_store_batches`, what they find in `vector_store_search`.
"""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS
from runtime.api.errors import not_found
from runtime.api.openai.files import WireDeleted, find_file
from runtime.api.openai.paging import cut, page_of, window_of
from runtime.api.openai.sampling import Wire
from runtime.api.openai.vector_store_names import change_named, create_named
from runtime.api.openai.vector_store_words import (
    GIVEN_NAME,
    ExpiresAfter,
    Strategy,
    check_metadata,
    chunking_of,
    document_of,
    expiry_of,
    given_name,
    wire_store,
)
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.core.errors import NotFound
from runtime.core.ids import CollectionId
from runtime.core.knowledge import Collection, CollectionChange, NewCollection

FILES_LIMIT = 500
"""Files that a store may be made with, as OpenAI's; more go into batches."""

GivenName = Annotated[str, msgspec.Meta(max_length=512)]
Description = Annotated[str, msgspec.Meta(max_length=4096)]


class CreateBody(Wire, frozen=True, kw_only=True):
    """What clients send to make a store."""

    name: GivenName | None = None
    description: Description | None = None
    file_ids: Annotated[list[str], msgspec.Meta(max_length=FILES_LIMIT)] | None = None
    chunking_strategy: Strategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: dict[str, str] | None = None


class ModifyBody(Wire, frozen=True, kw_only=True):
    """What clients send to change a store; null takes away, what is left out stays."""

    name: GivenName | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


async def post_vector_store(request: web.Request) -> web.Response:
    """Make a store, and begin to read the files that it is made with."""
    body = await read_body(request, CreateBody)
    recall, tenant = recall_of(request), tenant_of(request)
    chunking = chunking_of(body.chunking_strategy, "chunking_strategy")
    wanted = list(dict.fromkeys(body.file_ids or ()))
    files = [
        await find_file(recall.files, tenant, each, f"file_ids[{place}]") for place, each in enumerate(wanted)
    ]
    new = NewCollection(
        name=body.name or "",
        description=body.description or "",
        metadata=check_metadata(body.metadata),
        expiry=expiry_of(body.expires_after),
    )
    collection = await create_named(recall.collections, tenant, new)
    if files:
        await recall.documents.add(tenant, collection.id, [document_of(each, {}, chunking) for each in files])
        collection = await recall.collections.find(tenant, collection.id)
    return _answer(request, collection)


async def get_vector_stores(request: web.Request) -> web.Response:
    """List stores, the newest first."""
    window = window_of(QueryString(request, "limit", "order", "after", "before"))
    everything = await recall_of(request).collections.list_all(tenant_of(request))
    stores, has_more = cut(everything, window, lambda each: each.id)
    now = request.app[DEPS].clock.now()
    wired = [wire_store(each, now) for each in stores]
    return json_answer(page_of(wired, lambda each: each.id, has_more=has_more))


async def get_vector_store(request: web.Request) -> web.Response:
    """Describe one store."""
    return _answer(request, await asked_store(request))


async def post_to_vector_store(request: web.Request) -> web.Response:
    """Change a store's name, metadata or expiry."""
    body = await read_body(request, ModifyBody)
    store = await asked_store(request)
    collections, tenant = recall_of(request).collections, tenant_of(request)
    metadata = store.metadata if body.metadata is UNSET else check_metadata(body.metadata)
    expiry = UNSET if body.expires_after is UNSET else expiry_of(body.expires_after)
    if body.name is not UNSET and (body.name or "") != given_name(store):
        change = CollectionChange(expiry=expiry, metadata=metadata)
        return _answer(request, await change_named(collections, tenant, store.id, change, body.name or ""))

    if body.metadata is not UNSET and GIVEN_NAME in store.metadata:
        metadata = {**metadata, GIVEN_NAME: store.metadata[GIVEN_NAME]}
    change = CollectionChange(expiry=expiry, metadata=UNSET if body.metadata is UNSET else metadata)
    return _answer(request, await collections.change(tenant, store.id, change))


async def delete_vector_store(request: web.Request) -> web.Response:
    """Remove a store with what it knows; the files themselves stay."""
    store = await asked_store(request)
    await recall_of(request).collections.remove(tenant_of(request), store.id)
    return json_answer(WireDeleted(id=store.id, object="vector_store.deleted"))


async def asked_store(request: web.Request) -> Collection:
    """Return the collection that the path names. Raises Refused (404), also for a memory of agents."""
    store = request.match_info["vector_store_id"]
    try:
        found = await recall_of(request).collections.find(tenant_of(request), CollectionId(store))
    except NotFound as problem:
        raise not_found(_no_store(store), "not_found", "vector_store_id") from problem

    if found.kind != "documents":
        raise not_found(_no_store(store), "not_found", "vector_store_id")
    return found


def _no_store(store: str) -> str:
    return f"Vector store with id '{store[:80]}' not found."


def _answer(request: web.Request, collection: Collection) -> web.Response:
    return json_answer(wire_store(collection, request.app[DEPS].clock.now()))


ROUTES: tuple[Entry, ...] = (
    ("POST", "/v1/vector_stores", "infer", post_vector_store),
    ("GET", "/v1/vector_stores", "infer", get_vector_stores),
    ("GET", "/v1/vector_stores/{vector_store_id}", "infer", get_vector_store),
    ("POST", "/v1/vector_stores/{vector_store_id}", "infer", post_to_vector_store),
    ("DELETE", "/v1/vector_stores/{vector_store_id}", "infer", delete_vector_store),
)
