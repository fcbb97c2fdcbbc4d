"""All servers, Lar's own and outside ones, behind one gate. Fulfils `core.tools.Hub` and `ServerBook`.

Outside servers are connected when somebody needs them. The order of tools only grows while the hub lives,
so that what a model has read of them stays a prefix of what it reads next.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import mcp.types as wire
import msgspec
from anyio.abc import TaskGroup

from runtime.core.errors import Conflict, Fault, NotFound, PolicyDenied, RequestInvalid
from runtime.core.gate.principals import Principal
from runtime.core.minting import new_id
from runtime.core.settings import McpServer
from runtime.core.tools import (
    Asked,
    Caller,
    Progressed,
    Prompt,
    PromptMessage,
    Resource,
    ServerStatus,
    Tool,
    ToolChange,
    ToolResult,
)
from runtime.mcp.calling import calling
from runtime.mcp.config import SERVERS_FILE, ConfigInvalid, ServerEntry, lent_entry
from runtime.mcp.config_file import add_server, remove_server
from runtime.mcp.convert import messages_of, reading_of
from runtime.mcp.following import Follower
from runtime.mcp.hub_calls import Calls, Code, Target, failure, gate_question, server_question
from runtime.mcp.link_words import LinkFailed, Use
from runtime.mcp.logins import Logins
from runtime.mcp.members import HubParts, Member
from runtime.mcp.naming import server_slug, slug_of
from runtime.mcp.offerings import list_prompts, list_resources
from runtime.mcp.pinning import Pins, shown
from runtime.mcp.sandbox import Confinement
from runtime.mcp.suspicions import find_suspicions
from runtime.mcp.vault import Vault

logger = logging.getLogger(__name__)

_ASK_S = 60.0
"""For a list, a resource, a prompt."""
_CLOSE_S = 15.0
"""For all servers side by side to end; each of the steps within has a smaller bound."""


class McpHub:
    """The servers; `open_hub` makes it."""

    def __init__(self, parts: HubParts, pins: Pins, confinement: Confinement, tasks: TaskGroup) -> None:
        self._parts = parts
        self._pins = pins
        self._confinement = confinement
        self._tasks = tasks
        self._calls = Calls(parts)
        self._vault = Vault(parts.home)
        self._logins = Logins(tasks)
        self._members: dict[str, Member] = {}
        self._order: dict[str, None] = {}
        self._follower = Follower(parts.home, parts.settings, self._admit, self._close)
        self.refresh = self._follower.refresh

    async def start(self) -> None:
        """Take up the internal servers, and those of the settings and of mcp.json. Reads the disk."""
        for name in self._parts.internal:
            self._join(ServerEntry(name=name, origin="internal", config=McpServer(concurrency=256)))
        await self._follower.start()

    async def aclose(self) -> None:
        """Close all connections side by side; bounded."""
        for member in self._members.values():
            member.link.stop()
        with anyio.move_on_after(_CLOSE_S) as scope:
            for member in self._members.values():
                await member.link.ended.wait()
        if scope.cancelled_caught:
            left = [name for name, each in self._members.items() if not each.link.ended.is_set()]
            logger.warning("servers did not end in time", extra={"servers": left})

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """Return what the caller may call or ask for, in an order that only grows."""
        await self.refresh()
        members = self._of(caller)
        await self._list(members)
        for member in members:
            for full_name in member.offers:
                self._order.setdefault(full_name)
        offered = {name: each.tool for member in members for name, each in member.offers.items()}
        known = [offered[name] for name in self._order if name in offered]
        look = self._parts.gate.look
        return [
            each for each in known if each.trust != "changed" and look(gate_question(caller, each)) != "deny"
        ]

    async def call(self, caller: Caller, asked: Asked, progressed: Progressed | None = None) -> ToolResult:
        """Call a tool. Whatever goes wrong is a result; cancelling it cancels the call at the server."""
        target = self._find(caller, asked.full_name)
        if target is None:
            # Its server may not have been asked yet what it offers.
            await self._list([each for each in self._of(caller) if each.slug == slug_of(asked.full_name)])
            target = self._find(caller, asked.full_name)
        return await self._calls.carry_out(caller, asked, target, progressed)

    async def resources(self, caller: Caller) -> Sequence[Resource]:
        """Return what can be read, templates included."""
        found: dict[str, list[Resource]] = {}

        async def collect(member: Member) -> None:
            found[member.entry.name] = await self._ask(
                caller, member, lambda client: list_resources(client, member.entry.name)
            )

        await self._each(self._of(caller), collect)
        return [each for member in self._of(caller) for each in found.get(member.entry.name, ())]

    async def read(self, caller: Caller, server: str, uri: str) -> ToolResult:
        """Read a resource."""
        member = self._member(caller, server)
        question = server_question(caller, member, "read_resource", {"uri": uri})
        ruling = await self._parts.gate.rule(question)
        if ruling.outcome != "allow":
            code: Code = "asked" if ruling.outcome == "ask" else "denied"
            return failure(code, ruling.reason, ruling.approval)
        try:
            answer: wire.ReadResourceResult = await self._ask(
                caller, member, lambda client: client.read_resource(uri)
            )
        except LinkFailed as problem:
            return failure("unreachable" if problem.code == "refused" else problem.code, str(problem))
        return reading_of(answer, member.entry.config.max_result_bytes)

    async def prompts(self, caller: Caller) -> Sequence[Prompt]:
        """Return the prompts of all servers."""
        found: dict[str, list[Prompt]] = {}

        async def collect(member: Member) -> None:
            found[member.entry.name] = await self._ask(
                caller, member, lambda client: list_prompts(client, member.entry.name)
            )

        await self._each(self._of(caller), collect)
        return [each for member in self._of(caller) for each in found.get(member.entry.name, ())]

    async def prompt(
        self, caller: Caller, server: str, name: str, arguments: dict[str, str]
    ) -> Sequence[PromptMessage]:
        """Fill a prompt. Raises LarError with the server's reason."""
        member = self._member(caller, server)
        question = server_question(caller, member, "get_prompt", {"name": name, **arguments})
        ruling = await self._parts.gate.rule(question)
        if ruling.outcome != "allow":
            raise PolicyDenied(Fault(code="denied", message=ruling.reason))
        try:
            answer: wire.GetPromptResult = await self._ask(
                caller, member, lambda client: client.get_prompt(name, arguments)
            )
        except LinkFailed as problem:
            raise RequestInvalid(Fault(code="invalid_request", message=str(problem))) from problem
        return messages_of(answer)

    async def complete(
        self, caller: Caller, server: str, reference: str, argument: str, value: str
    ) -> Sequence[str]:
        """Return how an argument of a prompt or of a resource's template may go on."""
        member = self._member(caller, server)
        place: wire.PromptReference | wire.ResourceTemplateReference = (
            wire.ResourceTemplateReference(type="ref/resource", uri=reference)
            if "://" in reference
            else wire.PromptReference(type="ref/prompt", name=reference)
        )
        try:
            answer: wire.CompleteResult = await self._ask(
                caller,
                member,
                lambda client: client.complete(place, {"name": argument, "value": value}),
            )
        except LinkFailed:
            return ()  # completions are a convenience: a server without them has none
        return answer.completion.values

    def servers(self) -> Sequence[ServerStatus]:
        """Return all servers by name."""
        return [self._members[name].status() for name in sorted(self._members)]

    async def test(self, server: str) -> ServerStatus:
        """Connect anew and list; returns what came of it. Raises NotFound."""
        await self.refresh()
        member = self._known(server)
        if member.is_usable:
            try:
                with anyio.move_on_after(member.entry.config.connect_timeout_s * 2):
                    await member.link.renew()
            except LinkFailed as problem:
                logger.info("a test of a server failed", extra={"server": server, "reason": str(problem)})
        return member.status()

    def changes(self) -> Sequence[ToolChange]:
        """Return the tools that wait for somebody's approval."""
        found = []
        for member in self._members.values():
            for offer in member.offers.values():
                if offer.tool.trust in ("new", "changed"):
                    pin = self._pins.find(member.entry.name, offer.tool.name)
                    found.append(
                        ToolChange(
                            tool=offer.tool,
                            before=shown(pin.definition) if pin else "",
                            now=shown(offer.definition),
                            warnings=find_suspicions(offer.definition),
                        )
                    )
        return found

    async def approve(self, server: str, tool: str, digest: str) -> None:
        """Let a tool be called as it is now. Raises NotFound, Conflict where it has changed meanwhile."""
        member = self._known(server)
        offer = next((each for each in member.offers.values() if each.tool.name == tool), None)
        if offer is None or member.is_internal:
            message = f"The server '{server}' has no tool '{tool}' that could be approved."
            raise NotFound(Fault(code="not_found", message=message))
        if offer.tool.digest != digest:
            message = f"The tool '{tool}' has changed since you looked at it. Look again, then approve it."
            raise Conflict(Fault(code="conflict", message=message))
        await member.approve([offer], by="owner")

    async def add(self, name: str, definition: dict[str, Any]) -> ServerStatus:
        """Write a server into mcp.json and take it up. Raises RequestInvalid, Conflict."""
        await self.refresh()
        async with self._follower.lock:
            if name in self._members:
                message = f"There is a server '{name}' already; remove it first."
                raise Conflict(Fault(code="conflict", message=message))
            path = self._parts.home / SERVERS_FILE
            try:
                entry = await anyio.to_thread.run_sync(add_server, path, name, definition)
            except ConfigInvalid as problem:
                raise RequestInvalid(Fault(code="invalid_request", message=str(problem))) from problem
            self._follower.note(entry, self._admit(entry))
        return self._members[name].status()

    async def remove(self, server: str) -> None:
        """Close a server, and take it out of mcp.json and out of the approvals. Raises NotFound, Conflict."""
        async with self._follower.lock:
            origin = self._known(server).entry.origin
            if origin != SERVERS_FILE:
                told = f"defined by {origin}; only those of {SERVERS_FILE} can be removed."
                raise Conflict(Fault(code="conflict", message=f"The server '{server}' is {told}"))
            try:
                await anyio.to_thread.run_sync(remove_server, self._parts.home / SERVERS_FILE, server)
            except ConfigInvalid as problem:
                raise RequestInvalid(Fault(code="invalid_request", message=str(problem))) from problem
            self._follower.forget(server)
            await self._leave(server)

    @asynccontextmanager
    async def lend(
        self,
        definitions: Mapping[str, dict[str, Any]],
        origin: str,
        *,
        may_run_programs: bool,
        owner: Principal | None = None,
    ) -> AsyncIterator[Mapping[str, str]]:
        """Keep servers of one agent or one request while the context lasts; nothing of them is kept.

        Those of an owner are there for nobody else, and for the owner only where they are named. Yields what
        each is called here, by its name there. Raises RequestInvalid.
        """
        entries = [
            lent_entry(name, told, origin, owner, may_run_programs=may_run_programs)
            for name, told in definitions.items()
        ]
        for entry in entries:
            if entry.fault:
                raise RequestInvalid(Fault(code="invalid_request", message=entry.fault))

        names: dict[str, str] = {}
        for entry in entries:
            is_taken = owner is not None or entry.name in self._members
            names[entry.name] = new_id(f"{entry.name}-") if is_taken else entry.name
            self._join(msgspec.structs.replace(entry, name=names[entry.name]), owner)
        try:
            yield names
        finally:
            with anyio.CancelScope(shield=True):  # bounded within
                for name in names.values():
                    await self._leave(name)

    async def _close(self, name: str) -> None:
        member = self._members[name]
        member.link.stop()
        with anyio.move_on_after(_CLOSE_S):
            await member.link.ended.wait()
        del self._members[name]
        for full_name in member.offers:
            self._order.pop(full_name, None)

    async def _leave(self, name: str) -> None:
        """Close a server, and forget what was approved and stored of it."""
        await self._close(name)
        await anyio.to_thread.run_sync(self._pins.forget, name)
        await anyio.to_thread.run_sync(self._vault.forget, name)

    async def login(self, server: str) -> str:
        """Begin a login; returns where the person must go, empty where none is needed. Raises LarError."""
        return await self._logins.start(self._known(server))

    def finish_login(self, state: str, code: str, issuer: str | None) -> str:
        """Take what the person's browser has brought; returns the server's name. Raises NotFound."""
        return self._logins.finish(state, code, issuer)

    def _admit(self, entry: ServerEntry) -> str:
        """Take up a server of a file; returns what it is called here."""
        taken = self._members.get(entry.name)
        if taken is not None:
            whose = "Lar has a server of its own" if taken.is_internal else "another server is there"
            fault = f"{entry.origin}: {entry.name}: {whose} by that name; choose another."
            entry = ServerEntry(name=f"{entry.name} ({entry.origin})", origin=entry.origin, fault=fault)
        self._join(entry)
        return entry.name

    def _join(self, entry: ServerEntry, owner: Principal | None = None) -> None:
        slug = server_slug(entry.name, {each.slug for each in self._members.values()})
        member = Member(entry, slug, self._parts, self._pins, self._confinement, self._vault, owner)
        self._members[entry.name] = member
        self._tasks.start_soon(self._own, member, name=f"mcp {entry.name}")

    async def _own(self, member: Member) -> None:
        try:
            await member.link.run()
        except Exception:  # the border of the supervisor: one server's fault is not the other servers'
            logger.exception("a link ended by a defect of Lar's own", extra={"server": member.entry.name})

    def _of(self, caller: Caller) -> list[Member]:
        return [
            each
            for name, each in self._members.items()
            if each.is_usable
            and (each.owner is None if caller.servers is None else name in caller.servers)
            and each.is_for(caller)
        ]

    def _known(self, server: str) -> Member:
        if server not in self._members:
            message = f"There is no server '{server[:100]}'. 'lar mcp list' shows those there are. "
            message = (message + self._follower.fault).rstrip()
            raise NotFound(Fault(code="not_found", message=message))
        return self._members[server]

    def _member(self, caller: Caller, server: str) -> Member:
        member = self._known(server)
        is_named = member.owner is None if caller.servers is None else server in caller.servers
        if not is_named or not member.is_for(caller):
            raise NotFound(Fault(code="not_found", message=f"There is no server '{server[:100]}'."))
        return member

    def _find(self, caller: Caller, full_name: str) -> Target | None:
        for member in self._of(caller):
            offer = member.offers.get(full_name)
            if offer is not None:
                return Target(member, offer)
        return None

    async def _list(self, members: Sequence[Member]) -> None:
        """Wait for those that have not said yet what they offer; not for those that failed before."""
        waiting = [each for each in members if not each.is_listed and each.link.status != "failed"]
        if waiting:
            await self._each(waiting, lambda member: member.ready())

    async def _each(self, members: Sequence[Member], work: Any) -> None:
        async def guarded(member: Member) -> None:
            try:
                await work(member)
            except LinkFailed as problem:
                logger.info(
                    "a server was left out", extra={"server": member.entry.name, "reason": str(problem)}
                )

        async with anyio.create_task_group() as tasks:
            for member in members:
                tasks.start_soon(guarded, member)

    async def _ask(self, caller: Caller, member: Member, use: Use) -> Any:
        if not member.is_usable:
            raise LinkFailed("unreachable", member.entry.fault or "The server is disabled.")
        with calling(caller):
            return await member.link.use(use, limit_s=_ASK_S)
