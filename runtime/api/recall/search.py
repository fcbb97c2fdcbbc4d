"""POST /api/recall/search: everything that a search of Lar's can be told, over some collections or all."""

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.filters import filter_of
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.api.recall.bodies import SearchBody
from runtime.api.recall.collections import named_collection
from runtime.core.ids import CollectionId
from runtime.core.knowledge import NOTHING_TO_SEARCH, Found, Query

COLLECTIONS_LIMIT = 1000


async def post_search(request: web.Request) -> web.Response:
    """Search; the hits come with where they are from."""
    body = await read_body(request, SearchBody)
    where = None if body.where is None else filter_of(body.where, "where")
    collections = await _collections(request, body)
    if not collections:
        return json_answer(Found(hits=(), notes=(NOTHING_TO_SEARCH,)))

    told = msgspec.structs.asdict(body) | {"collections": collections, "where": where}
    return json_answer(await recall_of(request).searcher.search(tenant_of(request), Query(**told)))


async def _collections(request: web.Request, body: SearchBody) -> tuple[CollectionId, ...]:
    if not body.collections:
        everything = await recall_of(request).collections.list_all(tenant_of(request))
        return tuple(each.id for each in everything[:COLLECTIONS_LIMIT])

    found = [
        await named_collection(request, each, f"collections[{place}]")
        for place, each in enumerate(body.collections[:COLLECTIONS_LIMIT])
    ]
    return tuple(dict.fromkeys(each.id for each in found))


ROUTES: tuple[Entry, ...] = (("POST", "/api/recall/search", "infer", post_search),)
