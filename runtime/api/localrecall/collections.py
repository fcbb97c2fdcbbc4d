"""/api/collections: LocalRecall's collections by name: made, listed, emptied, searched.

Making one that exists returns it, as LocalRecall does. A reset empties a collection and keeps it.
"""

from typing import Annotated

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import DEPS
from runtime.api.errors import not_found
from runtime.api.localrecall.envelope import said, stamp
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.openai.vector_store_words import FILE_URI
from runtime.api.reach import Entry, recall_of, tenant_of
from runtime.core.errors import Conflict
from runtime.core.knowledge import Collection, Document, Hit, NewCollection, Query

RESULTS = 5
RESULTS_LIMIT = 1000


class CreateBody(Wire, frozen=True, kw_only=True):
    """What clients send to make a collection."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class SearchBody(Wire, frozen=True, kw_only=True):
    """What clients send to search."""

    query: NotEmpty
    max_results: Annotated[int, msgspec.Meta(ge=0, le=RESULTS_LIMIT)] = 0
    """0: as many as LocalRecall returns. More than there are is no error."""


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One chunk that was found."""

    id: str = msgspec.field(name="ID")
    metadata: dict[str, str]
    content: str
    similarity: float


async def post_collection(request: web.Request) -> web.Response:
    """Make a collection, or find that it exists."""
    body = await read_body(request, CreateBody)
    collections, tenant = recall_of(request).collections, tenant_of(request)
    found = await collections.find_by_name(tenant, body.name)
    if found is None:
        try:
            found = await collections.create(tenant, NewCollection(name=body.name))
        except Conflict:
            found = await collections.find_by_name(tenant, body.name)  # somebody made it just now
            if found is None:
                raise
    data = {"name": found.name, "created_at": stamp(found.created_at)}
    return said("Collection created successfully", data, status=201)


async def get_collections(request: web.Request) -> web.Response:
    """List the names of all collections."""
    names = [each.name for each in await recall_of(request).collections.list_all(tenant_of(request))]
    return said("Collections retrieved successfully", {"collections": names, "count": len(names)})


async def post_search(request: web.Request) -> web.Response:
    """Search a collection."""
    body = await read_body(request, SearchBody)
    collection = await asked_collection(request)
    limit = body.max_results or RESULTS
    query = Query(text=body.query, collections=(collection.id,), limit=limit)
    found = await recall_of(request).searcher.search(tenant_of(request), query)
    results = [result_of(each) for each in found.hits]
    data = {"query": body.query, "max_results": limit, "results": results, "count": len(results)}
    return said("Search completed successfully", data)


async def post_reset(request: web.Request) -> web.Response:
    """Empty a collection, its sources included; its settings stay."""
    former = await asked_collection(request)
    collections, tenant = recall_of(request).collections, tenant_of(request)
    await collections.remove(tenant, former.id)
    await collections.create(
        tenant,
        NewCollection(
            name=former.name,
            description=former.description,
            language=former.language,
            embedding_model=former.embedding.model,
            dimensions=former.embedding.dimensions,
            query_prefix=former.embedding.query_prefix,
            document_prefix=former.embedding.document_prefix,
            chunking=former.chunking,
            metadata=former.metadata,
            expiry=former.expiry,
        ),
    )
    data = {"collection": former.name, "reset_at": stamp(request.app[DEPS].clock.now())}
    return said("Collection reset successfully", data)


async def asked_collection(request: web.Request) -> Collection:
    """Return the collection that the path names. Raises Refused (404)."""
    name = request.match_info["name"]
    found = await recall_of(request).collections.find_by_name(tenant_of(request), name)
    if found is None or found.kind != "documents":
        raise not_found(f"Collection '{name[:80]}' does not exist.", "not_found", "name")
    return found


def result_of(hit: Hit) -> Result:
    """Say a hit in LocalRecall's words, its attributes as texts."""
    document = hit.document
    metadata = {key: _text(value) for key, value in document.attributes.items()}
    metadata |= {
        "source": document.name if _is_upload(document) else document.uri or document.name,
        "file": document.name,
        "created_at": stamp(document.created_at),
        "start": str(hit.chunk.start),
        "end": str(hit.chunk.end),
    }
    if document.title:
        metadata["title"] = document.title
    return Result(id=str(hit.chunk.id), metadata=metadata, content=hit.chunk.text, similarity=hit.score)


def _is_upload(document: Document) -> bool:
    return document.uri is not None and document.uri.startswith(FILE_URI)


def _text(value: str | bool | float) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/collections", "infer", post_collection),
    ("GET", "/api/collections", "infer", get_collections),
    ("POST", "/api/collections/{name}/search", "infer", post_search),
    ("POST", "/api/collections/{name}/reset", "infer", post_reset),
)
