"""/v1/conversations: histories that responses continue, item by item.

What a conversation holds are the items of the runs that went on in it and those that clients put there; each
keeps its id wherever it is shown. A call that Lar carried out is shown with its result, as one item.
"""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_body
from runtime.api.deps import DEPS, PRINCIPAL
from runtime.api.errors import Refused, invalid, not_found
from runtime.api.openai.paging import DEFAULT_LIMIT, MAX_LIMIT, page_of
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.api.responses.body import Metadata, Open
from runtime.api.responses.items_in import read_input
from runtime.api.responses.items_out import ItemWords, Wired, paired
from runtime.api.responses.outside import outside_of
from runtime.api.responses.parts import parts_of
from runtime.api.responses.reach import INCLUDE_NAMES, include_of
from runtime.core.agents.items import Answered, AnyItem, Called
from runtime.core.agents.ports import Session
from runtime.core.errors import NotFound
from runtime.core.minting import new_id

ROUTE = "/v1/conversations"
ITEMS_LIMIT = 20
"""That may be added at once, as OpenAI's."""

GivenItems = Annotated[list[dict[str, Any]], msgspec.Meta(max_length=ITEMS_LIMIT)]


class ConversationBody(Open, frozen=True, kw_only=True):
    """What clients send to begin one."""

    items: GivenItems | None = None
    metadata: Metadata | None = None


class ConversationChange(Open, frozen=True, kw_only=True):
    """What clients send to label one anew."""

    metadata: Metadata | None


class ItemsBody(Open, frozen=True, kw_only=True):
    """What clients add."""

    items: GivenItems


async def post_conversation(request: web.Request) -> web.Response:
    """Begin a conversation, with items in it where some are given."""
    body = ConversationBody()
    if request.can_read_body:
        body = await read_body(request, ConversationBody)
    items = await _read(request, body.items or [])
    session = Session(
        id=new_id("conv_"),
        tenant=tenant_of(request),
        created_at=request.app[DEPS].clock.now(),
        metadata=body.metadata or {},
    )
    return json_answer(_wire(await agents_of(request).sessions.create(session, items)))


async def get_conversation(request: web.Request) -> web.Response:
    """Show a conversation."""
    return json_answer(_wire(await _found(request)))


async def post_conversation_change(request: web.Request) -> web.Response:
    """Label a conversation anew."""
    body = await read_body(request, ConversationChange)
    await _found(request)
    sessions = agents_of(request).sessions
    return json_answer(_wire(await sessions.change(tenant_of(request), _id(request), body.metadata or {})))


async def delete_conversation(request: web.Request) -> web.Response:
    """Forget a conversation with its items; responses that went on in it stay."""
    await _found(request)
    await agents_of(request).sessions.remove(tenant_of(request), _id(request))
    return json_answer({"id": _id(request), "object": "conversation.deleted", "deleted": True})


async def post_items(request: web.Request) -> web.Response:
    """Add items; those that are there already are left as they are."""
    query = QueryString(request, *INCLUDE_NAMES)
    words = _words(request, include_of(query))
    body = await read_body(request, ItemsBody)
    await _found(request)
    items = await _read(request, body.items)
    added = await agents_of(request).sessions.add(tenant_of(request), _id(request), items)
    wired = words.items([each.item for each in added])
    return json_answer(page_of(wired, _item_id, has_more=False))


async def get_items(request: web.Request) -> web.Response:
    """List items, the newest first."""
    query = QueryString(request, *INCLUDE_NAMES, "after", "limit", "order")
    words = _words(request, include_of(query))
    limit = query.number("limit", DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    shown = paired(await _items(request))
    if query.one_of("order", ("asc", "desc")) != "asc":
        shown.reverse()
    after = query.text("after")
    if after is not None:
        places = [place for place, (item, _) in enumerate(shown) if item.id == after]
        if not places:
            raise invalid(f"'after' names nothing in this conversation: '{after[:80]}'.", "after")
        shown = shown[places[0] + 1 :]
    page = [words.item(item, result) for item, result in shown[:limit]]
    return json_answer(page_of(page, _item_id, has_more=len(shown) > limit))


async def get_item(request: web.Request) -> web.Response:
    """Show one item."""
    query = QueryString(request, *INCLUDE_NAMES)
    words = _words(request, include_of(query))
    for item, result in paired(await _items(request)):
        if item.id == request.match_info["item_id"]:
            return json_answer(words.item(item, result))
    raise _unknown_item(request)


async def delete_item(request: web.Request) -> web.Response:
    """Remove one item, a call that Lar carried out with its result; shows the conversation."""
    items = await _items(request)
    named = next((each for each in items if each.id == request.match_info["item_id"]), None)
    if named is None:
        raise _unknown_item(request)

    doomed = [named.id]
    if isinstance(named, Called) and not named.by_client:
        doomed += [each.id for each in items if isinstance(each, Answered) and each.call_id == named.call_id]
    sessions, tenant = agents_of(request).sessions, tenant_of(request)
    for each in doomed:
        await sessions.remove_item(tenant, _id(request), each)
    return json_answer(_wire(await _found(request)))


async def _read(request: web.Request, given: list[dict[str, Any]]) -> list[AnyItem]:
    """Return items that clients send. Raises Refused, naming the path within `items`."""
    if not given:
        return []

    outside = outside_of(request.app[DEPS], parts_of(request), agents_of(request), request[PRINCIPAL])
    try:
        return (await read_input(given, outside)).items
    except Refused as refused:
        raise Refused(_of_items(refused)) from refused


def _of_items(refused: Refused) -> Any:
    """Return a refusal that names its field as it is called here: the input of a response is `items`."""
    refusal = refused.refusal
    if refusal.param is None or not refusal.param.startswith("input"):
        return refusal
    param = f"items{refusal.param.removeprefix('input')}"
    message = refusal.message.replace(f"'{refusal.param}'", f"'{param}'")
    return msgspec.structs.replace(refusal, param=param, message=message)


def _words(request: web.Request, include: tuple[str, ...]) -> ItemWords:
    return ItemWords(tenant_of(request), parts_of(request).sealer, include)


async def _found(request: web.Request) -> Session:
    """Return the conversation that the path names. Raises Refused (404)."""
    try:
        return await agents_of(request).sessions.find(tenant_of(request), _id(request))
    except NotFound:
        raise _unknown(request) from None


async def _items(request: web.Request) -> list[AnyItem]:
    """Return all items, the oldest first: a call and its result belong together, wherever a page ends."""
    try:
        found = await agents_of(request).sessions.items(tenant_of(request), _id(request))
    except NotFound:
        raise _unknown(request) from None
    return [each.item for each in found]


def _wire(session: Session) -> Wired:
    return {
        "id": session.id,
        "object": "conversation",
        "created_at": int(session.created_at),
        "metadata": session.metadata,
    }


def _id(request: web.Request) -> str:
    return request.match_info["conversation_id"]


def _item_id(wired: Wired) -> str:
    return str(wired["id"])


def _unknown(request: web.Request) -> Refused:
    return not_found(f"Conversation with id '{_id(request)[:80]}' not found.", "not_found")


def _unknown_item(request: web.Request) -> Refused:
    item, conversation = request.match_info["item_id"][:80], _id(request)[:80]
    return not_found(f"Item with id '{item}' not found in conversation '{conversation}'.", "not_found")


_ONE = f"{ROUTE}/{{conversation_id}}"

ROUTES: tuple[Entry, ...] = (
    ("POST", ROUTE, "infer", post_conversation),
    ("GET", _ONE, "infer", get_conversation),
    ("POST", _ONE, "infer", post_conversation_change),
    ("DELETE", _ONE, "infer", delete_conversation),
    ("POST", f"{_ONE}/items", "infer", post_items),
    ("GET", f"{_ONE}/items", "infer", get_items),
    ("GET", f"{_ONE}/items/{{item_id}}", "infer", get_item),
    ("DELETE", f"{_ONE}/items/{{item_id}}", "infer", delete_item),
)
