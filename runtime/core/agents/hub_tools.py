"""The hub as a source of a run's tools, opened at the first use; what a tool returns as an item of a run."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

import msgspec

from runtime.core.agents.items import Answered, Called, Document, Part, Picture, Text
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.ports import Lent, MoveOn
from runtime.core.errors import LarError
from runtime.core.gate.principals import Principal, decide_access
from runtime.core.gate.words import Answer, Approvals
from runtime.core.ids import ApprovalId, CallId
from runtime.core.minting import new_id
from runtime.core.toolbox import OpenToolbox
from runtime.core.tools import (
    Asked,
    BlobContent,
    Caller,
    Content,
    LinkContent,
    ServerStatus,
    TextContent,
    Tool,
    ToolResult,
)

RESULT_CHARACTERS = 100_000
"""Of one result's text; a model reads no more at once, and the run keeps it for good."""
_PICTURE_BYTES = 8 * 1024 * 1024
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/bmp", "image/webp")


_HUB_SERVER = "hub_server"
_ASKERS_YES = "mcpr_"
"""How the approval of a call begins that the asker has allowed by another request."""


class Lender(Protocol):
    """A hub that takes servers for a time."""

    def lend(
        self,
        definitions: Mapping[str, dict[str, Any]],
        origin: str,
        *,
        may_run_programs: bool,
        owner: Principal | None = None,
    ) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """Keep servers while the context lasts. Raises RequestInvalid."""


class HubTools:
    """Fulfils `ToolSource`."""

    def __init__(
        self,
        open_toolbox: OpenToolbox,
        limit_characters: int = RESULT_CHARACTERS,
        approvals: Approvals | None = None,
    ) -> None:
        self._open = open_toolbox
        self._limit = limit_characters
        self._approvals = approvals

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """Return what the caller may call or ask for. Raises StoreDamaged."""
        return await (await self._open()).hub.tools(caller)

    async def server(self, name: str) -> ServerStatus | None:
        """Return a server of the hub; None where there is none of this name."""
        return next((each for each in (await self._open()).hub.servers() if each.name == name), None)

    @asynccontextmanager
    async def lend(self, lent: Lent, origin: str) -> AsyncIterator[Mapping[str, str]]:
        """Keep servers while the context lasts; an agent's file may name programs, a request may not.

        Yields their names in the hub by label. Raises RequestInvalid.
        """
        hub = cast("Lender", (await self._open()).hub)  # the hub of a server lends; a test's need not
        may_run_programs = origin.startswith("the agent ")
        owned = {} if lent.owner is None else {"owner": lent.owner}
        async with hub.lend(lent.definitions, origin, may_run_programs=may_run_programs, **owned) as names:
            yield names

    async def call(
        self, caller: Caller, call: Called, tool: PlannedTool, wait_s: float, move: MoveOn
    ) -> Answered:
        """Call a tool. Whatever goes wrong is a result; `code` asked names the approval in `extra`."""
        arguments = _arguments(call)
        if arguments is None:
            text = "The arguments are not a JSON object. Call it again with one that fits its schema."
            return _refused(call, text, "invalid_arguments")

        async def progressed(done: float, total: float | None, message: str) -> None:
            move(message, done, total)

        asked = Asked(
            id=CallId(call.call_id),
            full_name=tool.full_name or tool.name,
            arguments=arguments,
            approval_wait_s=wait_s,
        )
        if server := tool.settings.get(_HUB_SERVER):
            caller = msgspec.structs.replace(caller, servers=frozenset({server}))
        try:
            hub = (await self._open()).hub
            result = await hub.call(caller, asked, progressed)
            if result.code == "asked" and (call.approval or "").startswith(_ASKERS_YES):
                if not await self._agree(caller, result.approval):
                    return _refused(call, _text_of(result), "denied")
                result = await hub.call(caller, asked, progressed)
        except LarError as problem:
            return _refused(call, problem.fault.message, "unreachable")
        return answered(call, result, self._limit)

    async def _agree(self, caller: Caller, approval: str | None) -> bool:
        """Answer the gate's question with the asker's own yes, where the asker may answer questions."""
        may_answer = decide_access(caller.principal, "operate") is None
        if self._approvals is None or approval is None or not may_answer:
            return False
        principal = caller.principal
        answer = Answer(is_approved=True, note="approved in a request")
        await self._approvals.answer(principal.tenant, ApprovalId(approval), answer, principal.id)
        return True


def at_server(tool: PlannedTool, server: str) -> PlannedTool:
    """Return a tool that is looked for at this server of the hub alone."""
    return msgspec.structs.replace(tool, settings={**tool.settings, _HUB_SERVER: server})


def lent_servers(tools: Iterable[PlannedTool]) -> frozenset[str]:
    """Return the labels of the servers that a request has brought: the hub calls them otherwise."""
    at = ((each.server, each.settings.get(_HUB_SERVER)) for each in tools)
    return frozenset(label for label, server in at if server is not None and server != label)


def answered(call: Called, result: ToolResult, limit_characters: int = RESULT_CHARACTERS) -> Answered:
    """Return a tool's result as an item; what is too long is cut, and says so."""
    parts: list[Part] = []
    left = limit_characters
    for content in result.content:
        part = _part(content)
        if isinstance(part, Text) and len(part.text) > left:
            note = f"\n[… {len(part.text) - left} more characters are left out: ask for less at a time.]"
            part = Text(text=part.text[:left] + note)
        left -= len(part.text) if isinstance(part, Text) else 0
        parts.append(part)
        if left <= 0:
            break
    structured = result.structured
    if structured is not None and len(msgspec.json.encode(structured)) > limit_characters:
        structured = None  # the text says the same
    return Answered(
        id=new_id("res_"),
        call_id=call.call_id,
        parts=tuple(parts),
        structured=structured,
        is_error=result.is_error,
        code=result.code,
        form=call.form,
        status="failed" if result.is_error else "completed",
        extra={} if result.approval is None else {"approval": result.approval},
    )


def _part(content: Content) -> Part:
    match content:
        case TextContent(text=text):
            return Text(text=text)
        case BlobContent(media_type=media_type, data=data) if media_type in _PICTURES:
            if len(data) <= _PICTURE_BYTES:
                return Picture(data=data)
            return Text(text=f"[a picture of {len(data)} bytes, too large to be shown]")
        case BlobContent(media_type=media_type, data=data, uri=uri):
            if media_type.startswith("text/"):
                return Document(filename=uri or "", text=data.decode("utf-8", "replace"))
            return Text(text=f"[{media_type}, {len(data)} bytes{f', {uri}' if uri else ''}]")
        case LinkContent(uri=uri, name=name):
            return Text(text=f"[{name}: {uri}]")


def _text_of(result: ToolResult) -> str:
    return "\n".join(each.text for each in result.content if isinstance(each, TextContent))


def _arguments(call: Called) -> dict[str, Any] | None:
    try:
        told = msgspec.json.decode(call.arguments.strip() or b"{}")
    except msgspec.DecodeError:
        return None
    return told if isinstance(told, dict) else None


def _refused(call: Called, text: str, code: str) -> Answered:
    return Answered(
        id=new_id("res_"),
        call_id=call.call_id,
        parts=(Text(text=text),),
        is_error=True,
        code=code,
        form=call.form,
        status="failed",
    )
