"""/api/recall/memories: what agents remember: stored, revised, forgotten, listed, found."""

from typing import get_args

import msgspec
from aiohttp import web

from runtime.api.bodies import read_body
from runtime.api.deps import PRINCIPAL
from runtime.api.filters import filter_of
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, recall_of, tenant_of
from runtime.api.recall.bodies import ForgetBody, ItemChangeBody, MemorySearchBody, NewItemBody
from runtime.core.ids import ItemId
from runtime.core.knowledge import Query
from runtime.core.memories import ItemKind, ItemQuery, Scope

LIST_LIMIT = 1000
KINDS: dict[str, ItemKind] = {each: each for each in get_args(ItemKind)}


async def post_memory(request: web.Request) -> web.Response:
    """Remember something; 201 where it is new, 200 where it was known."""
    body = await read_body(request, NewItemBody)
    provenance = msgspec.structs.replace(body.provenance, by=body.provenance.by or request[PRINCIPAL].id)
    new = msgspec.structs.replace(body, provenance=provenance)
    remembered = await recall_of(request).memories.remember(tenant_of(request), new)
    return json_answer(remembered, status=200 if remembered.outcome == "known" else 201)


async def get_memories(request: web.Request) -> web.Response:
    """List items, the newest first."""
    query = QueryString(request, "limit", "after", "user", "agent", "session", "kind", "tag", "ended")
    limit = query.number("limit", 100, lowest=1, highest=LIST_LIMIT - 1)
    user, agent, session = query.text("user"), query.text("agent"), query.text("session")
    has_scope = any((user, agent, session))
    after = query.text("after")
    asked = ItemQuery(
        scope=Scope(user=user, agent=agent, session=session) if has_scope else None,
        kinds=tuple(KINDS[each] for each in query.some_of("kind", [*KINDS])),
        tags=query.texts("tag"),
        is_ended_wanted=query.flag("ended", default=False),
        limit=limit + 1,
        after=None if after is None else ItemId(after),
    )
    items = await recall_of(request).memories.list_all(tenant_of(request), asked)
    return json_answer({"items": items[:limit], "is_more": len(items) > limit})


async def get_memory(request: web.Request) -> web.Response:
    """Describe one item."""
    return json_answer(await recall_of(request).memories.find(tenant_of(request), _item(request)))


async def patch_memory(request: web.Request) -> web.Response:
    """Revise an item; a changed text makes a successor, which is returned."""
    body = await read_body(request, ItemChangeBody)
    memories, by = recall_of(request).memories, request[PRINCIPAL].id
    return json_answer(await memories.revise(tenant_of(request), _item(request), body, by))


async def delete_memory(request: web.Request) -> web.Response:
    """Forget an item everywhere; tell what stood on it."""
    return json_answer(await recall_of(request).memories.forget(tenant_of(request), [_item(request)]))


async def post_forget(request: web.Request) -> web.Response:
    """Forget several items, or none where one of them is not there."""
    body = await read_body(request, ForgetBody)
    return json_answer(await recall_of(request).memories.forget(tenant_of(request), body.items))


async def get_history(request: web.Request) -> web.Response:
    """Tell what happened to an item and to those that it superseded, the oldest first."""
    history = await recall_of(request).memories.history(tenant_of(request), _item(request))
    return json_answer({"history": history})


async def post_memory_search(request: web.Request) -> web.Response:
    """Search items in a scope, or in all of them."""
    body = await read_body(request, MemorySearchBody)
    told = msgspec.structs.asdict(body)
    scope = told.pop("scope")
    told["where"] = None if body.where is None else filter_of(body.where, "where")
    memories = recall_of(request).memories
    return json_answer({"items": await memories.search(tenant_of(request), Query(**told), scope)})


async def post_consolidate(request: web.Request) -> web.Response:
    """Begin to merge near-duplicates and to end what has expired."""
    return json_answer(await recall_of(request).memories.consolidate(tenant_of(request)), status=202)


def _item(request: web.Request) -> ItemId:
    return ItemId(request.match_info["item"])


_MEMORIES = "/api/recall/memories"
ROUTES: tuple[Entry, ...] = (
    ("POST", _MEMORIES, "infer", post_memory),
    ("GET", _MEMORIES, "infer", get_memories),
    ("POST", f"{_MEMORIES}/forget", "infer", post_forget),
    ("POST", f"{_MEMORIES}/search", "infer", post_memory_search),
    ("POST", f"{_MEMORIES}/consolidate", "infer", post_consolidate),
    ("GET", f"{_MEMORIES}/{{item}}", "infer", get_memory),
    ("PATCH", f"{_MEMORIES}/{{item}}", "infer", patch_memory),
    ("DELETE", f"{_MEMORIES}/{{item}}", "infer", delete_memory),
    ("GET", f"{_MEMORIES}/{{item}}/history", "infer", get_history),
)
