"""One server as the hub keeps it: its definition, its link, and what it offers as Lar's words.

A tool's definition is judged against what was approved each time that the server lists it.
"""

import importlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import mcp.types as wire
import msgspec
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from runtime.core.clock import Clock
from runtime.core.fetching import HostFinder
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.gate.words import Gate, GateResource, Question
from runtime.core.ids import LOCAL_TENANT, RunId, TenantId
from runtime.core.settings import McpSettings
from runtime.core.tool_facts import LinkChanged, LinkClosed, LinkLost, LinkOpened, ReachFact
from runtime.core.tools import Caller, ServerStatus, Tool, ToolHints, Transport, Trust
from runtime.mcp.asking import NOBODY, Answerers, asking_options
from runtime.mcp.config import ConfigInvalid, ServerEntry
from runtime.mcp.convert import annotations_of, hints_of, title_of
from runtime.mcp.handing_on import Askers
from runtime.mcp.link import Link
from runtime.mcp.link_words import LinkFailed, LinkLimits, MakeTarget
from runtime.mcp.listing import Bell
from runtime.mcp.naming import ToolNames, file_stem
from runtime.mcp.oauth import CALLBACK_PATH, find_auth
from runtime.mcp.pinning import Pin, Pins, definition_of, digest_of
from runtime.mcp.sandbox import Confinement, advice, describe
from runtime.mcp.stderr_log import StderrLog
from runtime.mcp.suspicions import strip_deep, strip_hidden
from runtime.mcp.transports import CLIENT, Outside, Sign, connection, shown_target
from runtime.mcp.vault import Vault

logger = logging.getLogger(__name__)

Tell = Callable[[ReachFact, TenantId, RunId | None], None]
"""Publishes a fact."""
MakeServer = Callable[[], Any]
"""Returns one of Lar's own servers, as the SDK builds them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HubParts:
    """What the hub works with."""

    home: Path
    settings: McpSettings
    gate: Gate
    publish: Tell
    clock: Clock
    hosts: HostFinder
    internal: Mapping[str, MakeServer]
    """Lar's own servers by name, in the order in which their tools are shown."""
    answerers: Answerers = NOBODY
    address: Callable[[], str] = lambda: "http://127.0.0.1:8080"
    """Where browsers reach Lar."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One tool that a server offers now."""

    tool: Tool
    definition: dict[str, Any]
    """As the server said it, hidden characters and all."""


class Member:
    """One server."""

    def __init__(
        self,
        entry: ServerEntry,
        slug: str,
        parts: HubParts,
        pins: Pins,
        confinement: Confinement,
        vault: Vault,
        owner: Principal | None = None,
    ) -> None:
        self.entry = entry
        self.owner = owner
        """Of a server that came with a request: who alone may use it, and sees its tools as they are."""
        self.slug = slug
        self.calls = 0
        self.offers: dict[str, Offer] = {}
        """By full name, in an order that only grows."""
        self.is_listed = False
        self._parts = parts
        self._pins = pins
        self._confinement = confinement
        self.vault = vault
        self._names = ToolNames(slug)
        self.log = StderrLog(parts.home / "logs" / "mcp" / f"{file_stem(entry.name)}.log")
        config = entry.config
        options = {
            "client_info": CLIENT,
            "mode": "legacy" if config.era == "legacy" else "auto",
            "message_handler": Bell(),
        }
        limits = LinkLimits(connect_s=config.connect_timeout_s, concurrency=config.concurrency)
        make = self._make_internal() if self.is_internal else self._make_target
        answerers = parts.answerers
        self.askers: Askers | None = None
        if answerers.elicit is not None and not self.is_internal:
            self.askers = Askers(answerers.elicit)
            answerers = answerers._replace(elicit=self.askers.elicit)
        options |= asking_options(entry, answerers, parts.home)
        self.link = Link(entry.name, make, self, limits, options)

    @property
    def is_internal(self) -> bool:
        """Whether it is one of Lar's own servers."""
        return self.entry.origin == "internal"

    def is_for(self, caller: Caller) -> bool:
        """Whether the caller may know of it."""
        owner, asker = self.owner, caller.principal
        return owner is None or (owner.id, owner.tenant) == (asker.id, asker.tenant)

    @property
    def is_usable(self) -> bool:
        """Whether it may be connected."""
        return not self.entry.config.disabled and not self.entry.fault

    @property
    def callback(self) -> str:
        """Where a browser comes back to after a login."""
        return f"{self._parts.address()}{CALLBACK_PATH}"

    @property
    def transport(self) -> Transport:
        """How it is spoken to."""
        return "memory" if self.is_internal else self.entry.transport

    async def ready(self) -> None:
        """Wait until the server has said what it offers. Raises LinkFailed."""
        if not self.is_usable:
            raise LinkFailed(
                "unreachable", self.entry.fault or f"The server '{self.entry.name}' is disabled."
            )
        with anyio.move_on_after(self.entry.config.connect_timeout_s + 1):
            await self.link.connected()

    def status(self) -> ServerStatus:
        """Return how the server stands."""
        link, config = self.link, self.entry.config
        waiting = sum(each.tool.trust in ("new", "changed") for each in self.offers.values())
        if self.entry.fault:
            state: Any = "failed"
        else:
            state = "disabled" if config.disabled else link.status
        fault = self.entry.fault or link.fault
        more = self._more() if fault and link.status != "ready" else ""
        return ServerStatus(
            name=self.entry.name,
            transport=self.transport,
            status=state,
            origin=self.entry.origin,
            target=self._target(),
            protocol=link.protocol,
            tools=len(self.offers) - waiting,
            waiting_tools=waiting,
            fault=fault + more,
            sandbox=describe(config.sandbox, self._confinement) if self.transport == "stdio" else "",
            calls=self.calls,
            restarts=link.restarts,
        )

    def _target(self) -> str:
        """Return what is shown of where it is; of a server that came with a request, only the host."""
        if self.is_internal:
            return ""
        target = shown_target(self.entry)
        return target if self.owner is None else "/".join(target.split("/")[:3])

    def _more(self) -> str:
        """Return what else is known of why a local server failed."""
        if self.transport != "stdio" or self.entry.fault:
            return ""
        words = self.log.last_words
        hint = advice(self.entry.config.command, self.entry.config.sandbox, self._confinement)
        is_said = not words or words in self.link.fault
        return ("" if is_said else f"; it said: {words}") + (f"; {hint}" if hint else "")

    async def link_opened(self, protocol: str, tools: Sequence[wire.Tool]) -> None:
        """Take what the server offers. Raises ConfigInvalid where it is too old for its definition."""
        if self.entry.config.era == "modern" and protocol in HANDSHAKE_PROTOCOL_VERSIONS:
            raise ConfigInvalid(f"it speaks only {protocol}; write era = 'auto' for it")
        before = dict(self.offers) if self.is_listed else None
        await self._take(tools)
        self._tell(LinkOpened(server=self.entry.name, protocol=protocol, tools=len(self.offers)))
        self._tell_changes(before)

    async def tools_changed(self, tools: Sequence[wire.Tool]) -> None:
        """Take what the server offers from now on."""
        before = dict(self.offers)
        await self._take(tools)
        self._tell_changes(before)

    async def link_lost(self, message: str) -> None:
        """Tell that the connection broke."""
        self._tell(LinkLost(server=self.entry.name, message=message))

    async def link_closed(self) -> None:
        """Tell that the connection was given up."""
        self._tell(LinkClosed(server=self.entry.name))

    async def approve(self, offers: Sequence[Offer], by: str) -> None:
        """Let tools be called as they are now. Raises OSError."""
        await self._pin(offers, by)
        changed = tuple(each.tool.name for each in offers)
        self._tell(LinkChanged(server=self.entry.name, changed=changed))

    async def _pin(self, offers: Sequence[Offer], by: str) -> None:
        now = self._parts.clock.now()
        pins = {
            each.tool.name: Pin(digest=each.tool.digest, definition=each.definition, approved_at=now, by=by)
            for each in offers
        }
        await anyio.to_thread.run_sync(self._pins.approve, self.entry.name, pins)
        for full_name, offer in self.offers.items():
            trust = self._judge(offer.tool.name, offer.tool.digest)
            tool = msgspec.structs.replace(offer.tool, trust=trust)
            self.offers[full_name] = Offer(tool=tool, definition=offer.definition)

    async def _take(self, tools: Sequence[wire.Tool]) -> None:
        if any(each.output_schema is not None for each in tools):
            await anyio.to_thread.run_sync(_load_validation)
        fresh = {
            self._names.name(each.name): self._offer(each) for each in tools if self._is_wanted(each.name)
        }
        kept = {name: fresh.pop(name) for name in self.offers if name in fresh}
        self.offers = kept | dict(sorted(fresh.items()))
        self.is_listed = True
        unseen = [each for each in self.offers.values() if each.tool.trust == "new"]
        if unseen and self.entry.config.trust:
            try:
                await self._pin(unseen, by=self.entry.origin)
            except OSError as problem:
                logger.warning("approvals could not be stored", extra={"reason": str(problem)})

    def _offer(self, told: wire.Tool) -> Offer:
        definition = definition_of(told)
        digest = digest_of(definition)
        is_believed = self.is_internal or self.entry.config.trust
        trust: Trust = "internal" if self.is_internal else self._judge(told.name, digest)
        tool = Tool(
            server=self.entry.name,
            name=told.name,
            full_name=self._names.name(told.name),
            title=strip_hidden(title_of(told)),
            description=strip_hidden(told.description or ""),
            input_schema=strip_deep(told.input_schema),
            output_schema=strip_deep(told.output_schema),
            hints=hints_of(told) if is_believed else ToolHints(),
            annotations=annotations_of(told),
            digest=digest,
            trust=trust,
        )
        return Offer(tool=tool, definition=definition)

    def _judge(self, tool: str, digest: str) -> Trust:
        return "approved" if self.owner is not None else self._pins.judge(self.entry.name, tool, digest)

    def _is_wanted(self, tool: str) -> bool:
        config = self.entry.config
        is_allowed = config.allowed_tools is None or tool in config.allowed_tools
        return is_allowed and tool not in config.disabled_tools

    def _tell_changes(self, before: dict[str, Offer] | None) -> None:
        """Tell what is new, gone, or not as it was approved."""
        known = self.offers if before is None else before
        added = [name for name in self.offers if name not in known]
        removed = [name for name in known if name not in self.offers]
        changed = [
            name
            for name, offer in self.offers.items()
            if offer.tool.trust == "changed"
            and (before is None or name not in before or before[name].tool.digest != offer.tool.digest)
        ]
        if added or removed or changed:
            self._tell(
                LinkChanged(
                    server=self.entry.name,
                    added=len(added),
                    removed=len(removed),
                    changed=tuple(self.offers[name].tool.name for name in changed),
                )
            )

    def _tell(self, fact: ReachFact) -> None:
        if not self.is_internal:
            self._parts.publish(fact, LOCAL_TENANT, None)

    async def _make_target(self, on_end: Callable[[], None]) -> Any:
        resource = GateResource(
            kind="Server",
            id=self.entry.name,
            attributes={"transport": self.transport, "target": self._target()},
        )
        ruling = await self._parts.gate.rule(Question(principal=OWNER, action="connect", resource=resource))
        if ruling.outcome != "allow":
            raise ConfigInvalid(f"the policies do not let it be connected: {ruling.reason}")
        return await connection(
            self.entry, self._parts.home, self.log, self._confinement, self.outside(self._sign), on_end
        )

    def outside(self, sign: Sign) -> Outside:
        """Return how the server is reached, if it is remote."""
        return Outside(self._parts.hosts, sign)

    async def _sign(self, url: str) -> Any:
        return await find_auth(self.entry, url, self.vault, os.environ, self.callback)

    def _make_internal(self) -> MakeTarget:
        factory = self._parts.internal[self.entry.name]

        async def make(on_end: Callable[[], None]) -> Any:
            del on_end  # a server in memory ends with Lar
            return factory()

        return make


def _load_validation() -> None:
    """Load what the SDK checks results with; else it reads the disk in the middle of the first call."""
    validators = importlib.import_module("jsonschema.validators")
    importlib.import_module("jsonschema.exceptions")
    validators.validator_for({}).check_schema({})
