"""Chat completions that are kept (`store: true`): listed, shown, labelled anew, forgotten.

One record for each, under an id that carries the time, so that lists are in the order of creation. They go by
themselves after thirty days, as OpenAI's do (`record_upkeep`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_body
from runtime.api.deps import ApiDeps
from runtime.api.errors import Refusal, Refused, not_found
from runtime.api.openai.body import ChatBody, TextPart, WireMessage
from runtime.api.openai.paging import DEFAULT_LIMIT, MAX_LIMIT, page_of
from runtime.api.openai.sampling import Wire
from runtime.api.query import QueryString
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.api.responses.body import Metadata
from runtime.core.agents.ports import Records
from runtime.core.gate.principals import Principal
from runtime.core.ids import TenantId
from runtime.core.minting import new_id

KIND = "chat_completion"
"""Of the records."""
PREFIX = "chatcmpl-"
ROUTE = "/v1/chat/completions"
_READ_AT_ONCE = 200
_SEARCHED = 20_000
"""Completions that a list with filters looks through for one page."""
_FILTER = "metadata["
_SHOWN_AGAIN = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
)
"""Parameters of the request that a stored completion shows."""

Completion = dict[str, Any]


class StoredChat(msgspec.Struct, frozen=True, kw_only=True):
    """A completion as it is kept."""

    completion: Completion
    messages: list[dict[str, Any]]
    metadata: dict[str, str] = {}


class ChangeBody(Wire, frozen=True, kw_only=True):
    """What clients send to label a completion anew."""

    metadata: Metadata | None


class Shelf(NamedTuple):
    """Where the completions of a tenant are kept."""

    records: Records
    tenant: TenantId

    def mint(self) -> str:
        """Return the id of a completion that is to be kept."""
        return new_id(PREFIX)

    async def keep(self, body: ChatBody, answer: bytes) -> None:
        """Keep a whole answer with what was asked; it is safe when this returns. Raises StoreFull."""
        completion: Completion = msgspec.json.decode(answer)
        asked: dict[str, Any] = msgspec.to_builtins(body)
        stored = StoredChat(
            completion=completion | {name: asked.get(name) for name in _SHOWN_AGAIN},
            messages=[msgspec.to_builtins(each) for each in body.messages],
            metadata=body.metadata or {},
        )
        await self.records.put(
            self.tenant, KIND, completion["id"], msgspec.json.encode(stored), only_new=True
        )


def shelf_of(deps: ApiDeps, principal: Principal) -> Shelf:
    """Return where completions are kept. Raises Refused where the server was started without agents."""
    if deps.agents is None:
        message = "This server was started without its store of conversations. Leave 'store' out."
        raise Refused(
            Refusal(status=503, type="server_error", code="agents_off", message=message, param="store")
        )
    return Shelf(deps.agents.records, principal.tenant)


async def get_chats(request: web.Request) -> web.Response:
    """List completions, the oldest first; of a model, and with labels where they are named."""
    labels = [name for name in request.query if name.startswith(_FILTER) and name.endswith("]")]
    query = QueryString(request, "after", "limit", "order", "model", *labels)
    limit = query.number("limit", DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    is_newest_first = query.one_of("order", ("asc", "desc")) == "desc"
    model = query.text("model")
    wanted = {name[len(_FILTER) : -1]: request.query[name] for name in labels}

    found: list[Completion] = []
    after = query.text("after")
    for _ in range(_SEARCHED // _READ_AT_ONCE):
        rows = await _records(request).list_records(
            tenant_of(request), KIND, after=after, limit=_READ_AT_ONCE, is_newest_first=is_newest_first
        )
        stored = [msgspec.json.decode(body, type=StoredChat) for _, _, body in rows]
        found += [_wire(each) for each in stored if _is_wanted(each, model, wanted)]
        if len(found) > limit or len(rows) < _READ_AT_ONCE:
            break
        after = rows[-1][1]
    return json_answer(page_of(found[:limit], lambda each: str(each["id"]), has_more=len(found) > limit))


async def get_chat(request: web.Request) -> web.Response:
    """Show one completion."""
    return json_answer(_wire(await _asked(request)))


async def post_chat_change(request: web.Request) -> web.Response:
    """Label a completion anew."""
    body = await read_body(request, ChangeBody)
    changed = msgspec.structs.replace(await _asked(request), metadata=body.metadata or {})
    await _records(request).put(tenant_of(request), KIND, _id(request), msgspec.json.encode(changed))
    return json_answer(_wire(changed))


async def delete_chat(request: web.Request) -> web.Response:
    """Forget a completion."""
    if not await _records(request).remove(tenant_of(request), KIND, _id(request)):
        raise _unknown(_id(request))
    return json_answer({"object": "chat.completion.deleted", "id": _id(request), "deleted": True})


async def get_messages(request: web.Request) -> web.Response:
    """List what was asked, the oldest first."""
    query = QueryString(request, "after", "limit", "order")
    limit = query.number("limit", DEFAULT_LIMIT, lowest=1, highest=MAX_LIMIT)
    stored = await _asked(request)
    messages = [_message(f"{_id(request)}-{place}", each) for place, each in enumerate(stored.messages)]
    if query.one_of("order", ("asc", "desc")) == "desc":
        messages.reverse()
    after = query.text("after")
    if after is not None:
        places = [place for place, each in enumerate(messages) if each["id"] == after]
        messages = messages[places[0] + 1 :] if places else []
    page = messages[:limit]
    return json_answer(page_of(page, lambda each: str(each["id"]), has_more=len(messages) > limit))


def _is_wanted(stored: StoredChat, model: str | None, labels: Mapping[str, str]) -> bool:
    return model in (None, stored.completion["model"]) and labels.items() <= stored.metadata.items()


def _wire(stored: StoredChat) -> Completion:
    return {**stored.completion, "metadata": stored.metadata}


def _message(message_id: str, stored: dict[str, Any]) -> dict[str, Any]:
    """Return a message as OpenAI shows stored ones: its text, and its parts where it came in parts."""
    message = msgspec.convert(stored, WireMessage)
    told = {name: value for name, value in stored.items() if value is not None}
    parts = message.content if isinstance(message.content, list) else None
    text = message.content if isinstance(message.content, str) else _text(parts)
    shown = stored["content"] if parts is not None else None
    return {**told, "id": message_id, "content": text, "refusal": message.refusal, "content_parts": shown}


def _text(parts: Sequence[object] | None) -> str | None:
    texts = [each.text for each in parts or () if isinstance(each, TextPart)]
    return "".join(texts) if texts else None


def _records(request: web.Request) -> Records:
    return agents_of(request).records


async def _asked(request: web.Request) -> StoredChat:
    """Return the completion that the path names. Raises Refused (404)."""
    body = await _records(request).get(tenant_of(request), KIND, _id(request))
    if body is None:
        raise _unknown(_id(request))
    return msgspec.json.decode(body, type=StoredChat)


def _id(request: web.Request) -> str:
    return request.match_info["completion_id"]


def _unknown(completion: str) -> Refused:
    message = f"Chat completion '{completion[:80]}' not found. Only completions with 'store': true are kept."
    return not_found(message, "not_found")


ROUTES: tuple[Entry, ...] = (
    ("GET", ROUTE, "infer", get_chats),
    ("GET", f"{ROUTE}/{{completion_id}}", "infer", get_chat),
    ("POST", f"{ROUTE}/{{completion_id}}", "infer", post_chat_change),
    ("DELETE", f"{ROUTE}/{{completion_id}}", "infer", delete_chat),
    ("GET", f"{ROUTE}/{{completion_id}}/messages", "infer", get_messages),
)
