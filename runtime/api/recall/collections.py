"""/api/recall/collections: Lar's own collections, by id or by name."""

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import not_found
from runtime.api.openai.vector_store_words import GIVEN_NAME, check_metadata
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.api.recall.bodies import CollectionChangeBody, NewCollectionBody
from runtime.core.errors import NotFound
from runtime.core.ids import CollectionId
from runtime.core.knowledge import Collection, CollectionChange

_ID = "vs_"


async def post_collection(request: web.Request) -> web.Response:
    """Make a collection; 409 where the name is taken."""
    body = await read_body(request, NewCollectionBody)
    check_metadata(body.metadata)
    made = await recall_of(request).collections.create(tenant_of(request), body)
    return json_answer(shown(made), status=201)


async def get_collections(request: web.Request) -> web.Response:
    """List all collections, the oldest first."""
    everything = await recall_of(request).collections.list_all(tenant_of(request))
    return json_answer({"collections": [shown(each) for each in everything]})


async def get_collection(request: web.Request) -> web.Response:
    """Describe one collection."""
    return json_answer(shown(await asked_collection(request)))


async def patch_collection(request: web.Request) -> web.Response:
    """Change what is told; another embedding begins a job."""
    body = await read_body(request, CollectionChangeBody)
    collection = await asked_collection(request)
    change: CollectionChange = body
    if body.metadata is not msgspec.UNSET:
        check_metadata(body.metadata)
        if GIVEN_NAME in collection.metadata:
            kept = {**body.metadata, GIVEN_NAME: collection.metadata[GIVEN_NAME]}
            change = msgspec.structs.replace(body, metadata=kept)
    changed = await recall_of(request).collections.change(tenant_of(request), collection.id, change)
    return json_answer(shown(changed))


async def delete_collection(request: web.Request) -> web.Response:
    """Remove a collection with all that it knows."""
    collection = await asked_collection(request)
    await recall_of(request).collections.remove(tenant_of(request), collection.id)
    return web.Response(status=204)


def shown(collection: Collection) -> Collection:
    """Return the collection without what another face keeps in its metadata."""
    metadata = {key: value for key, value in collection.metadata.items() if key != GIVEN_NAME}
    return msgspec.structs.replace(collection, metadata=metadata)


async def asked_collection(request: web.Request) -> Collection:
    """Return the collection that the path names. Raises Refused (404)."""
    return await named_collection(request, request.match_info["collection"], "collection")


async def named_collection(request: web.Request, name: str, param: str) -> Collection:
    """Return the collection of this id or, where no such id is, of this name. Raises Refused (404)."""
    collections, tenant = recall_of(request).collections, tenant_of(request)
    found: Collection | None = None
    if name.startswith(_ID):
        try:
            found = await collections.find(tenant, CollectionId(name))
        except NotFound:
            found = None  # a name may begin like an id
    if found is None:
        found = await collections.find_by_name(tenant, name)
    if found is None or found.kind != "documents":
        raise not_found(f"There is no collection '{name[:80]}'.", "not_found", param)
    return found


ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/recall/collections", "infer", post_collection),
    ("GET", "/api/recall/collections", "infer", get_collections),
    ("GET", "/api/recall/collections/{collection}", "infer", get_collection),
    ("PATCH", "/api/recall/collections/{collection}", "infer", patch_collection),
    ("DELETE", "/api/recall/collections/{collection}", "infer", delete_collection),
)
