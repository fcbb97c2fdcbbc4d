"""Runs as MCP resources: the last facts, stored ones and new ones, each tenant its own."""

from typing import Any

import msgspec
import pytest
from mcp import Client
from mcp.server import Server
from mcp.shared.exceptions import MCPError

from runtime.core.bus import Bus
from runtime.core.events import Envelope, RunQueued
from runtime.core.ids import RunId, TenantId
from runtime.mcp.servers.offering import tool_server
from runtime.mcp.servers.run_resources import FACTS, RunResources
from tests.kit.clock import FakeClock
from tests.kit.fake_models import FakeJournal
from tests.unit.mcp.test_internal_servers import caller, client_of

MINE = TenantId("t")


def stored(seq: int, run: str, tenant: str = "t") -> Envelope:
    return Envelope(
        seq=seq, at=0.0, event=RunQueued(position=seq), run_id=RunId(run), tenant=TenantId(tenant)
    )


def server_of(bus: Bus, journal: FakeJournal) -> Server[Any]:
    return tool_server("system", "System", "", (), RunResources(bus, journal))


async def facts(client: Client, run: str) -> tuple[bool, list[int]]:
    (content,) = (await client.read_resource(f"lar://runs/{run}")).contents
    told = msgspec.json.decode(getattr(content, "text", ""))
    assert told["run"] == run
    return told["is_whole"], [each["seq"] for each in told["facts"]]


async def test_what_is_stored_comes_before_what_is_only_in_memory() -> None:
    bus = Bus(FakeClock(), 10)
    bus.publish(RunQueued(position=1), run_id=RunId("run_a"), tenant=MINE)
    bus.publish(RunQueued(position=1), run_id=RunId("run_b"), tenant=MINE)
    journal = FakeJournal(stored(3, "run_a"), stored(4, "run_b"), stored(5, "run_a"))
    async with client_of(server_of(bus, journal)) as client:
        assert await facts(client, "run_a") == (True, [3, 5, 11])
        listed = [each.uri for each in (await client.list_resources()).resources]
    assert listed == ["lar://runs/run_b", "lar://runs/run_a"]


async def test_of_a_long_run_the_last_facts_are_shown_and_that_there_were_more() -> None:
    journal = FakeJournal(*(stored(each, "run_a") for each in range(1, 2501)))
    async with client_of(server_of(Bus(FakeClock(), 3000), journal)) as client:
        assert await facts(client, "run_a") == (False, list(range(2501 - FACTS, 2501)))


@pytest.mark.parametrize("uri", ["lar://runs/run_b", "lar://runs/run_none", "lar://runs/", "lar://models/m"])
async def test_what_is_of_others_or_of_nobody_is_not_found(uri: str) -> None:
    bus = Bus(FakeClock(), 10)
    bus.publish(RunQueued(position=1), run_id=RunId("run_b"), tenant=TenantId("other"))
    journal = FakeJournal(stored(1, "run_b", "other"))
    async with client_of(server_of(bus, journal)) as client:
        assert not (await client.list_resources()).resources
        with pytest.raises(MCPError):
            await client.read_resource(uri)


async def test_a_key_that_may_not_read_events_sees_no_run() -> None:
    journal = FakeJournal(stored(1, "run_a"))
    async with client_of(server_of(Bus(FakeClock(), 10), journal), caller(role="user")) as client:
        with pytest.raises(MCPError):
            await client.read_resource("lar://runs/run_a")
