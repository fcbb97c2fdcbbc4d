"""The three doors of MCP before a real server: streamable HTTP, HTTP with SSE, stdio through the relay."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.kit.server import RunningServer, background_server, environment, lar, running_server

LIMIT_S = 60.0
OWN_POLICY = """
@id("own-recall")
permit (principal, action == Action::"call_tool", resource)
when { resource.server == "recall" || resource.server == "files" };
"""
DOORS = pytest.mark.parametrize("door", ["http", "sse", "stdio"])
ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    prepare(home)
    with running_server(home) as running:
        yield running


def prepare(home: Path) -> None:
    """Serve the older transport, too, and let recall and files be used unasked."""
    (home / "policies").mkdir()
    (home / "policies" / "own.cedar").write_text(OWN_POLICY)
    (home / "lar.toml").write_text("[mcp]\nsse = true\napproval_wait_s = 0.2\n")


def relay(home: Path) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable, args=["-m", "runtime", "mcp", "serve"], env=environment(home)
    )


@asynccontextmanager
async def client_of(server: RunningServer, door: str, mode: Any) -> AsyncIterator[Client]:
    target: Any = {
        "http": f"{server.address}/mcp",
        "sse": sse_client(f"{server.address}/sse"),
        "stdio": relay(server.home),
    }[door]
    with anyio.fail_after(LIMIT_S):
        async with Client(target, mode=mode) as client:
            yield client


@DOORS
@ERAS
async def test_all_of_lar_is_offered_at_each_door(server: RunningServer, door: str, mode: str) -> None:
    told: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    async with client_of(server, door, mode) as client:
        names = {each.name for each in (await client.list_tools()).tools}
        assert {"recall_search", "inference_generate", "files_read", "web_fetch", "time_now"} <= names
        made = f"{door}-{mode}.md"
        await client.call_tool("files_write", {"path": made, "text": "one\ntwo\n"})
        read = await client.call_tool("files_read", {"path": made})
        assert read.structured_content["text"] == "one\ntwo\n"
        kept = await client.call_tool(
            "recall_remember", {"text": f"Bees live on roof {made}"}, progress_callback=note
        )
        item = kept.structured_content["id"]
        resource = await client.read_resource(f"recall://memory/{item}")
        assert made in getattr(resource.contents[0], "text", "")
        file = await client.read_resource(f"files:///{made}")
        assert getattr(file.contents[0], "text", "") == "one\ntwo\n"
        said = await client.call_tool("inference_generate", {"prompt": "hi", "model": "scripted"})
        assert not said.is_error, said.content
        runs = [each.uri for each in (await client.list_resources()).resources if "lar://runs/" in each.uri]
        run = await client.read_resource(runs[0])
        assert '"kind":"run.' in getattr(run.contents[0], "text", "")
        wrong = await client.call_tool("recall_read", {"id": "doc_none"})
        assert wrong.is_error
        status = await client.call_tool("system_status", {})
        assert status.structured_content["address"] == server.address


@DOORS
async def test_what_a_person_must_allow_is_asked_and_done_once_allowed(
    server: RunningServer, door: str
) -> None:
    async with client_of(server, door, "auto") as client:
        asked = await client.call_tool("web_fetch", {"url": "http://192.0.2.1/"})
        meta = asked.meta or {}
        assert (asked.is_error, meta["lar/code"]) == (True, "asked")
        assert str(meta["lar/approval"]).startswith("apr_")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_relay_cancels_what_its_client_gives_up(server: RunningServer, mode: str) -> None:
    async with client_of(server, "stdio", mode) as client:
        with anyio.move_on_after(0.3):
            await client.call_tool("inference_generate", {"prompt": "slow", "model": "scripted"})
        answer = await client.call_tool("time_now", {})
        assert not answer.is_error


@ERAS
def test_the_relay_outlives_a_server_that_starts_anew(tmp_path: Path, mode: Any) -> None:
    prepare(tmp_path)

    async def use() -> None:
        with anyio.fail_after(LIMIT_S):
            async with Client(relay(tmp_path), mode=mode) as client:  # starts a server: none runs
                assert not (await client.call_tool("time_now", {})).is_error
                await anyio.to_thread.run_sync(lar, tmp_path, "stop")
                assert "does not answer" in await refusal(client)
                await anyio.to_thread.run_sync(start_server, tmp_path)
                assert not (await client.call_tool("time_now", {})).is_error

    with background_server(tmp_path):
        anyio.run(use)


async def refusal(client: Client) -> str:
    try:
        await client.call_tool("time_now", {})
    except Exception as problem:  # noqa: BLE001 - the SDK's errors have no common base
        return str(problem)
    return ""


def start_server(home: Path) -> None:
    """Start a server in the background, as a command would that needs one."""
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "mcp", "serve"],
        env=environment(home),
        input=b"",
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0


def test_the_relay_refuses_noise_and_keeps_stdout_clean(server: RunningServer) -> None:
    lines = b"not json\n\n" + json.dumps({"jsonrpc": "2.0", "id": 7, "method": "nonsense"}).encode() + b"\n"
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "mcp", "serve"],
        input=lines,
        env=environment(server.home),
        capture_output=True,
        timeout=30,
        check=False,
    )
    told = [json.loads(each) for each in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [each["error"]["code"] for each in told if each["id"] is None] == [-32700]
    assert all(each["jsonrpc"] == "2.0" for each in told)


def test_a_stop_does_not_wait_for_open_streams(tmp_path: Path) -> None:
    prepare(tmp_path)
    with running_server(tmp_path) as server:
        anyio.run(stop_amid_streams, server)
        assert server.process.returncode == 0


async def stop_amid_streams(server: RunningServer) -> None:
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as tasks:
            for address, kind in ((f"{server.address}/sse", "sse"), (f"{server.address}/mcp", "http")):
                there = anyio.Event()
                tasks.start_soon(stay, address, kind, there)
                await there.wait()
            server.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(6.0):
                await anyio.to_thread.run_sync(server.process.wait)
            tasks.cancel_scope.cancel()


async def stay(address: str, kind: str, there: anyio.Event) -> None:
    """Be a client with an open stream until the server goes."""
    with suppress(Exception):
        async with Client(sse_client(address) if kind == "sse" else address, mode="legacy") as client:
            await client.list_tools()
            there.set()
            await anyio.sleep_forever()


def test_keys_are_needed_where_there_are_some(tmp_path: Path) -> None:
    prepare(tmp_path)
    key = lar(tmp_path, "keys", "create", "ana", "--role", "user").stdout.split()
    secret = next(each for each in key if each.startswith("lar"))
    with running_server(tmp_path) as server:
        answer = httpx2.post(f"{server.address}/mcp", json={}, timeout=10)
        assert (answer.status_code, "resource_metadata" in answer.headers["www-authenticate"]) == (401, True)

        async def use() -> set[str]:
            headers = {"Authorization": f"Bearer {secret}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30) as http,
                Client(streamable_http_client(f"{server.address}/mcp", http_client=http)) as client,
            ):
                denied = await client.call_tool("system_status", {})
                assert denied.is_error
                return {each.name for each in (await client.list_tools()).tools}

        assert "recall_search" in anyio.run(use)
