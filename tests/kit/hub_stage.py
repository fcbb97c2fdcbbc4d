"""A hub over real server processes and servers in memory, with a gate that rules as a test says."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runtime.core.clock import SystemClock
from runtime.core.gate.principals import OWNER
from runtime.core.ids import CallId, RunId, TenantId
from runtime.core.minting import new_id
from runtime.core.settings import McpServer, McpSettings
from runtime.core.tool_facts import ReachFact
from runtime.core.tools import Asked, Caller, Progressed, TextContent, ToolResult
from runtime.egress.client import open_fetcher
from runtime.egress.resolver import Lookup, system_lookup
from runtime.mcp.asking import NOBODY, Answerers
from runtime.mcp.hub import McpHub
from runtime.mcp.members import HubParts
from runtime.mcp.opening import open_hub
from tests.kit.fake_gate import FakeGate

CALLER = Caller(principal=OWNER, door="agent", agent="tester")


class HubStage:
    """The hub, its gate, and the facts that it told."""

    def __init__(self, hub: McpHub, gate: FakeGate, facts: list[ReachFact], home: Path) -> None:
        self.hub = hub
        self.gate = gate
        self.facts = facts
        self.home = home

    async def call(
        self,
        full_name: str,
        caller: Caller = CALLER,
        limit_s: float = 20.0,
        progressed: Progressed | None = None,
        **arguments: object,
    ) -> ToolResult:
        asked = Asked(
            id=CallId(new_id("call_")), full_name=full_name, arguments=dict(arguments), limit_s=limit_s
        )
        return await self.hub.call(caller, asked, progressed)

    async def say(self, full_name: str, **arguments: Any) -> str:
        """Call a tool that is expected to work; return its text."""
        result = await self.call(full_name, **arguments)
        assert not result.is_error, text_of(result)
        return text_of(result)

    async def names(self, caller: Caller = CALLER) -> list[str]:
        return [each.full_name for each in await self.hub.tools(caller)]

    def kinds(self) -> list[str]:
        return [type(each).__name__ for each in self.facts]


def text_of(result: ToolResult) -> str:
    return "".join(each.text for each in result.content if isinstance(each, TextContent))


def write_servers(home: Path, servers: Mapping[str, Any]) -> None:
    (home / "mcp.json").write_text(json.dumps({"mcpServers": servers}))


@asynccontextmanager
async def open_stage(
    home: Path,
    servers: Mapping[str, McpServer] | None = None,
    internal: Mapping[str, Callable[[], Any]] | None = None,
    gate: FakeGate | None = None,
    answerers: Answerers = NOBODY,
    private: Sequence[str] = (),
    lookup: Lookup = system_lookup,
) -> AsyncIterator[HubStage]:
    """Open a hub; `private` and `lookup` as in `open_fetcher`."""
    facts: list[ReachFact] = []
    gate = gate or FakeGate()

    def publish(fact: ReachFact, tenant: TenantId, run: RunId | None) -> None:
        facts.append(fact)

    async with open_fetcher(private, "test", lookup) as hosts:
        parts = HubParts(
            home=home,
            settings=McpSettings(servers=dict(servers or {})),
            gate=gate,
            publish=publish,
            clock=SystemClock(),
            hosts=hosts,
            internal=internal or {},
            answerers=answerers,
        )
        async with open_hub(parts) as hub:
            yield HubStage(hub, gate, facts, home)
