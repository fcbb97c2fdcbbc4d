"""From an MCP client through Lar's door, the real gate and the hub to an outside server; real processes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import mcp.types as wire
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.kit.link_stage import RAW_SERVER
from tests.kit.server import RunningServer, lar, running_server
from tests.system.test_mcp_doors import relay

SDK_SERVER = str(Path(__file__).parents[1] / "kit" / "sdk_mcp_server.py")
DOORS = pytest.mark.parametrize("door", ["http", "sse", "stdio"])

SETTINGS = f"""
[mcp]
offer = "all"
sse = true
approval_wait_s = 20.0

[mcp.servers.raw]
command = {sys.executable!r}
args = [{RAW_SERVER!r}]

[mcp.servers.raw.sandbox]
enabled = false

[mcp.servers.sdk]
command = {sys.executable!r}
args = [{SDK_SERVER!r}, "stdio"]
trust = true

[mcp.servers.sdk.sandbox]
enabled = false
"""


GREETING = """
@id("greeting")
permit (principal, action == Action::"call_tool", resource == Tool::"mcp__sdk__greet_person");
"""


def text(result: Any) -> str:
    return "".join(each.text for each in result.content)


async def answer_first(server: RunningServer, is_approved: bool) -> dict[str, Any]:
    """Answer the first question that waits, as a person would."""
    async with httpx2.AsyncClient(base_url=server.address) as http:
        with anyio.fail_after(15):
            waiting: list[dict[str, Any]] = []
            while not waiting:
                await anyio.sleep(0.05)
                waiting = (await http.get("/api/approvals?status=pending")).json()["approvals"]
        body = {"is_approved": is_approved, "scope": "call"}
        told = await http.post(f"/api/approvals/{waiting[0]['id']}/answer", json=body)
        assert told.status_code == 200, told.text
        return waiting[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "lar.toml").write_text(SETTINGS)
    (home / "policies").mkdir()
    (home / "policies" / "own.cedar").write_text(GREETING)
    with running_server(home) as running:
        yield running


async def test_an_outside_tool_is_called_once_a_person_agrees_and_not_before(server: RunningServer) -> None:
    async with Client(f"{server.address}/mcp") as client:
        names = {each.name for each in (await client.list_tools()).tools}
        assert "raw_echo" not in names

        approved = await anyio.to_thread.run_sync(lar, server.home, "mcp", "approve", "raw", "echo", "--yes")
        assert approved.returncode == 0, approved.stderr
    async with Client(f"{server.address}/mcp") as client:
        names = {each.name for each in (await client.list_tools()).tools}
        assert {"raw_echo", "time_now"} & names == {"raw_echo"} | ({"time_now"} & names)
        assert "raw_slow" not in names

        results: list[Any] = []
        for is_approved in (True, False):
            async with anyio.create_task_group() as tasks:

                async def call(said: str = f"approved: {is_approved}") -> None:
                    results.append(await client.call_tool("raw_echo", {"text": said}))

                tasks.start_soon(call)
                asked = await answer_first(server, is_approved)
                assert asked["resource"]["id"] == "mcp__raw__echo"
    yes, no = results
    assert (yes.is_error, text(yes)) == (False, "approved: True")
    assert no.is_error
    assert "approved: False" not in text(no)


def door_of(server: RunningServer, door: str) -> Any:
    return {
        "http": f"{server.address}/mcp",
        "sse": sse_client(f"{server.address}/sse"),
        "stdio": relay(server.home),
    }[door]


@DOORS
async def test_clients_of_the_older_era_are_told_that_other_tools_are_offered(
    server: RunningServer, door: str
) -> None:
    told = anyio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, wire.ToolListChangedNotification):
            told.set()

    with anyio.fail_after(60):
        async with Client(door_of(server, door), mode="legacy", message_handler=hear) as client:
            before = {each.name for each in (await client.list_tools()).tools}
            done = await anyio.to_thread.run_sync(lar, server.home, "mcp", "approve", "raw", "echo", "--yes")
            assert done.returncode == 0, done.stderr
            await told.wait()
            after = {each.name for each in (await client.list_tools()).tools}
    assert after - before == {"raw_echo"}


@DOORS
async def test_what_an_outside_server_asks_is_handed_on_to_the_client_that_called(
    server: RunningServer, door: str
) -> None:
    seen: list[wire.ElicitRequestParams] = []

    async def person(context: Any, params: wire.ElicitRequestParams) -> wire.ElicitResult:
        seen.append(params)
        return wire.ElicitResult(action="accept", content={"name": "Anna"})

    with anyio.fail_after(60):
        async with Client(door_of(server, door), mode="legacy", elicitation_callback=person) as client:
            greeted = await client.call_tool("sdk_greet_person", {})
    assert text(greeted) == "Hello, Anna!"
    assert [each.message for each in seen] == ["The server 'sdk' asks:\n\nWhat is your name?"]


async def test_with_several_calls_under_way_a_question_goes_to_the_board(server: RunningServer) -> None:
    """Nobody could say which of the clients is meant."""
    asked, greeted = anyio.Event(), anyio.Event()
    results: list[str] = []

    async def person(context: Any, params: wire.ElicitRequestParams) -> wire.ElicitResult:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def greet(client: Client) -> None:
        results.append(text(await client.call_tool("sdk_greet_person", {})))
        greeted.set()

    with anyio.fail_after(60):
        async with (
            Client(door_of(server, "http"), mode="legacy", elicitation_callback=person) as one,
            Client(door_of(server, "http"), mode="legacy") as other,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(greet, one)
            await asked.wait()
            tasks.start_soon(greet, other)
            await answer_question(server, "Ben")
            await greeted.wait()
            tasks.cancel_scope.cancel()
    assert results == ["Hello, Ben!"]


async def answer_question(server: RunningServer, name: str) -> None:
    """Answer the first question on the board."""
    waiting: list[dict[str, Any]] = []
    async with httpx2.AsyncClient(base_url=server.address) as http:
        while not waiting:
            await anyio.sleep(0.02)
            waiting = (await http.get("/api/mcp/questions")).json()["questions"]
        answer = {"action": "accept", "content": {"name": name}}
        told = await http.post(f"/api/mcp/questions/{waiting[0]['id']}/answer", json=answer)
        assert told.status_code in (200, 204), told.text
