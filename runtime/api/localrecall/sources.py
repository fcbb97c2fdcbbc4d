"""/api/collections/{name}/sources: places that a LocalRecall collection follows, by their address."""

from typing import Annotated

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.errors import not_found
from runtime.api.localrecall.collections import asked_collection
from runtime.api.localrecall.envelope import said, stamp
from runtime.api.openai.sampling import NotEmpty, Wire
from runtime.api.reach import Entry, check_place, sources_of, tenant_of
from runtime.core.knowledge import NewSource, Source

MINUTES = 60
"""Between two looks where the client names none, as LocalRecall's."""


class AddBody(Wire, frozen=True, kw_only=True):
    """What clients send to follow a place."""

    url: NotEmpty
    update_interval: Annotated[int, msgspec.Meta(le=525_600)] = MINUTES
    """In minutes; below 1: the default."""


class RemoveBody(Wire, frozen=True, kw_only=True):
    """What clients send to follow a place no more."""

    url: NotEmpty


async def post_source(request: web.Request) -> web.Response:
    """Follow a place."""
    body = await read_body(request, AddBody)
    collection = await asked_collection(request)
    minutes = body.update_interval if body.update_interval >= 1 else MINUTES
    new = NewSource(uri=body.url, interval_s=minutes * 60.0)
    check_place(request, new)
    source = await sources_of(request).add(tenant_of(request), collection.id, new)
    data = {"collection": collection.name, "url": source.uri, "update_interval": minutes}
    return said("External source registered successfully", data)


async def get_sources(request: web.Request) -> web.Response:
    """List the places that a collection follows."""
    collection = await asked_collection(request)
    sources = await sources_of(request).list_all(tenant_of(request), collection.id)
    data = {
        "collection": collection.name,
        "sources": [_wire(each) for each in sources],
        "count": len(sources),
    }
    return said("Sources retrieved successfully", data)


async def delete_source(request: web.Request) -> web.Response:
    """Follow a place no more; the documents that came from it stay, as with LocalRecall."""
    body = await read_body(request, RemoveBody)
    collection = await asked_collection(request)
    sources, tenant = sources_of(request), tenant_of(request)
    for each in await sources.list_all(tenant, collection.id):
        if each.uri == body.url:
            await sources.remove(tenant, each.id, is_keeping_documents=True)
            data = {"collection": collection.name, "url": body.url}
            return said("External source removed successfully", data)

    message = f"Collection '{collection.name}' follows no '{body.url[:200]}'."
    raise not_found(message, "not_found", "url")


def _wire(source: Source) -> dict[str, object]:
    wired: dict[str, object] = {
        "url": source.uri,
        "update_interval": round(source.interval_s / 60),
        "last_update": stamp(source.synced_at or 0.0),
        "documents": source.documents,
    }
    if source.fault is not None:
        wired["error"] = source.fault.message
    return wired


ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/collections/{name}/sources", "infer", post_source),
    ("GET", "/api/collections/{name}/sources", "infer", get_sources),
    ("DELETE", "/api/collections/{name}/sources", "infer", delete_source),
)
