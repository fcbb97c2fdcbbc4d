"""/api/recall/…/sources: places that collections are kept in step with."""

from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.query import QueryString
from runtime.api.reach import Entry, check_place, json_answer, sources_of, tenant_of
from runtime.api.recall.bodies import NewSourceBody, SourceChangeBody
from runtime.api.recall.collections import asked_collection
from runtime.core.ids import SourceId


async def post_source(request: web.Request) -> web.Response:
    """Follow a place and begin its first sync."""
    body = await read_body(request, NewSourceBody)
    check_place(request, body)
    collection = await asked_collection(request)
    source = await sources_of(request).add(tenant_of(request), collection.id, body)
    return json_answer(source, status=201)


async def get_collection_sources(request: web.Request) -> web.Response:
    """List the places that a collection follows."""
    collection = await asked_collection(request)
    sources = sources_of(request)
    return json_answer({"sources": await sources.list_all(tenant_of(request), collection.id)})


async def get_sources(request: web.Request) -> web.Response:
    """List the places of all collections."""
    return json_answer({"sources": await sources_of(request).list_all(tenant_of(request))})


async def get_source(request: web.Request) -> web.Response:
    """Describe one source."""
    return json_answer(await sources_of(request).find(tenant_of(request), _source(request)))


async def patch_source(request: web.Request) -> web.Response:
    """Pause a source, or let it go on."""
    body = await read_body(request, SourceChangeBody)
    sources = sources_of(request)
    source = await sources.pause(tenant_of(request), _source(request), is_paused=body.is_paused)
    return json_answer(source)


async def post_sync(request: web.Request) -> web.Response:
    """Begin a sync now, or tell of the one under way."""
    job = await sources_of(request).sync(tenant_of(request), _source(request))
    return json_answer(job, status=202)


async def delete_source(request: web.Request) -> web.Response:
    """Follow a place no more; its documents go as well unless `keep_documents` is true."""
    keeps = QueryString(request, "keep_documents").flag("keep_documents", default=False)
    sources = sources_of(request)
    await sources.remove(tenant_of(request), _source(request), is_keeping_documents=keeps)
    return web.Response(status=204)


def _source(request: web.Request) -> SourceId:
    return SourceId(request.match_info["source"])


_SOURCE = "/api/recall/sources/{source}"
ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/recall/collections/{collection}/sources", "infer", post_source),
    ("GET", "/api/recall/collections/{collection}/sources", "infer", get_collection_sources),
    ("GET", "/api/recall/sources", "infer", get_sources),
    ("GET", _SOURCE, "infer", get_source),
    ("PATCH", _SOURCE, "infer", patch_source),
    ("DELETE", _SOURCE, "infer", delete_source),
    ("POST", f"{_SOURCE}/sync", "infer", post_sync),
)
