"""Talking with an agent as LocalAGI has it: a message goes in here, what comes of it goes out as events.

POST /api/chat/{name}   202 at once: the run goes on in the background, in the agent's one conversation
GET  /sse/{name}        json_message, json_message_status, json_error and status, for every run of the agent
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any, NamedTuple

import msgspec
from aiohttp import web

from runtime.api.agents.reach import agents_of
from runtime.api.bodies import read_body
from runtime.api.deps import DEPS, PRINCIPAL
from runtime.api.errors import invalid
from runtime.api.events import OPEN_STREAMS
from runtime.api.localagi.answers import stamp
from runtime.api.reach import Entry, json_answer, tenant_of
from runtime.api.sse import SseStream
from runtime.api.stream import ReaderGone
from runtime.core.agent_facts import (
    AgentCancelled,
    AgentFailed,
    AgentFinished,
    AgentIncomplete,
    AgentStarted,
    AgentWaiting,
)
from runtime.core.agents.fold import fold
from runtime.core.agents.items import Said, Text
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.ports import Session
from runtime.core.agents.starting import Wish
from runtime.core.bus import Subscription
from runtime.core.errors import NotFound
from runtime.core.events import Envelope
from runtime.core.ids import RunId, TenantId
from runtime.core.minting import new_id

SESSION_KIND = "localagi_session"
"""Of the records that say which conversation an agent's chat is."""
_FACTS_BUFFERED = 1024


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What clients send."""

    message: Annotated[str, msgspec.Meta(min_length=1)]


class Told(NamedTuple):
    """An event for those who listen."""

    event: str
    data: dict[str, Any]


async def post_chat(request: web.Request) -> web.Response:
    """Say something to an agent."""
    body = await read_body(request, ChatMessage)
    text = body.message.strip()
    if not text:
        raise invalid("'message' cannot be empty.", "message")

    said = Said(id=new_id("msg_"), role="user", parts=(Text(text=text),))
    parts, name = agents_of(request), request.match_info["name"]
    await parts.book.find(tenant_of(request), name)
    follower = await parts.starter.start(
        Wish(
            agent=name,
            principal=request[PRINCIPAL],
            input=(said,),
            door="api",
            trigger="chat",
            session=await _session(request, parts, name),
        )
    )
    follower.aclose()
    return json_answer({"message_id": said.id, "status": "message_received"}, status=202)


async def get_sse(request: web.Request) -> web.StreamResponse:
    """Tell what an agent's runs hear and say, from now on."""
    parts, name = agents_of(request), request.match_info["name"]
    await parts.book.find(tenant_of(request), name)
    stream = SseStream(request)
    try:
        bus, streams = request.app[DEPS].bus, request.app[OPEN_STREAMS]
        with bus.subscribe("localagi", _FACTS_BUFFERED) as facts, streams.hold(facts):
            await stream.open()
            await _tell(stream, facts, Listener(parts, tenant_of(request), name))
        stream.end_connection()
    except ReaderGone:
        stream.end_connection()
    return stream.response


class Listener:
    """Turns facts about an agent's runs into what LocalAGI's clients hear."""

    def __init__(self, parts: AgentParts, tenant: TenantId, agent: str) -> None:
        self._parts = parts
        self._tenant = tenant
        self._agent = agent

    async def hear(self, envelope: Envelope) -> AsyncIterator[Told]:
        """Yield the events that a fact is worth."""
        event, run = envelope.event, envelope.run_id
        if envelope.tenant != self._tenant or getattr(event, "agent", None) != self._agent or run is None:
            return
        at = stamp(envelope.at)
        match event:
            case AgentStarted(parent=None):
                for each in await self._asked(run):
                    yield _message(each.id, "user", each.text, at)
                yield _status("processing", at)
            case AgentWaiting(approvals=approvals):
                yield Told("status", {"status": "waiting", "approvals": list(approvals), "timestamp": at})
            case AgentFinished(parent=None) | AgentIncomplete(parent=None):
                answered = await self._answered(run)
                yield _message(
                    f"{run}-agent" if answered is None else answered.id, "agent", _text(answered), at
                )
                yield _status("completed", at)
            case AgentFailed(parent=None, message=message):
                yield Told("json_error", {"error": message, "timestamp": at})
                yield _status("completed", at)
            case AgentCancelled(parent=None, reason=reason):
                error = f"The run was cancelled: {reason}" if reason else "The run was cancelled."
                yield Told("json_error", {"error": error, "timestamp": at})
                yield _status("completed", at)
            case _:
                return

    async def _asked(self, run: RunId) -> list[Said]:
        try:
            steps = await self._parts.runs.steps(self._tenant, run)
        except NotFound:
            return []
        return [each for each in fold(steps).opened.input if isinstance(each, Said) and each.role == "user"]

    async def _answered(self, run: RunId) -> Said | None:
        try:
            steps = await self._parts.runs.steps(self._tenant, run)
        except NotFound:
            return None
        said = [each for each in fold(steps).output if isinstance(each, Said) and each.role == "assistant"]
        return said[-1] if said else None


async def _tell(stream: SseStream, facts: Subscription, listener: Listener) -> None:
    while batch := await stream.next_or_comment(lambda: facts.receive(limit=1)):
        async for told in listener.hear(batch[0]):
            await stream.send(msgspec.json.encode(told.data), event=told.event)


async def _session(request: web.Request, parts: AgentParts, agent: str) -> str:
    """Return the conversation that the chat with an agent is; begins it with the first message."""
    tenant = tenant_of(request)
    stored = await parts.records.get(tenant, SESSION_KIND, agent)
    if stored is not None:
        try:
            return (await parts.sessions.find(tenant, stored.decode())).id
        except NotFound:
            stored = None  # somebody has removed it: another one begins
    session = Session(
        id=new_id("conv_"),
        tenant=tenant,
        created_at=request.app[DEPS].clock.now(),
        agent=agent,
        title=f"Chat with {agent}",
    )
    await parts.sessions.create(session)
    await parts.records.put(tenant, SESSION_KIND, agent, session.id.encode())
    return session.id


def _message(message: str, sender: str, content: str, at: str) -> Told:
    return Told(
        "json_message",
        {"id": message, "sender": sender, "content": content, "createdAt": at, "timestamp": at},
    )


def _status(status: str, at: str) -> Told:
    return Told("json_message_status", {"status": status, "timestamp": at})


def _text(said: Said | None) -> str:
    return "" if said is None else said.text


CHAT_ROUTES: tuple[Entry, ...] = (
    ("POST", "/api/chat/{name}", "infer", post_chat),
    ("GET", "/sse/{name}", "infer", get_sse),
)
