"""From an MCP client through Lar's door, the real gate and the hub to an outside server; real processes."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client

from tests.kit.link_stage import RAW_SERVER
from tests.kit.server import RunningServer, lar, running_server

SETTINGS = f"""
[mcp]
offer = "all"
approval_wait_s = 20.0

[mcp.servers.raw]
command = {sys.executable!r}
args = [{RAW_SERVER!r}]

[mcp.servers.raw.sandbox]
enabled = false
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
