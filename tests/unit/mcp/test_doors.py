"""The MCP doors of the HTTP edge: both eras, both transports, keys, sessions, cancellation, stopping."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from runtime.core.settings import ServerSettings
from tests.kit.mcp_stage import McpStage, open_mcp_stage

LIMIT_S = 20.0
Door = Literal["http", "sse"]
ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
DOORS = pytest.mark.parametrize("door", ["http", "sse"])
OPENING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@asynccontextmanager
async def client(
    stage: McpStage, mode: Any = "auto", door: Door = "http", key: str | None = None
) -> AsyncIterator[Client]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    transport: AbstractAsyncContextManager[Any]
    if door == "sse":
        transport = sse_client(stage.sse, headers=headers)
        async with Client(transport, mode=mode) as opened:
            yield opened
    else:
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(stage.mcp, http_client=http)
            async with Client(transport, mode=mode) as opened:
                yield opened


@ERAS
@DOORS
async def test_a_client_lists_calls_reads_and_fills(tmp_path: Path, mode: str, door: Door) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, client(stage, mode, door) as opened:
            listed = await opened.list_tools()
            assert [each.name for each in listed.tools][:2] == ["echo_say", "echo_count"]
            assert all(each.name.startswith("echo_") and each.description for each in listed.tools)
            assert listed.tools[0].annotations is not None
            assert listed.tools[0].annotations.read_only_hint is True

            said = await opened.call_tool("echo_say", {"text": "hi"})
            assert (said.structured_content, said.is_error) == ({"said": "owner says hi"}, False)
            assert stage.hub.callers[0].door == "mcp"
            assert (stage.hub.callers[0].session is None) == (mode == "auto" and door == "http")

            picture = await opened.call_tool("echo_picture", {})
            assert [each.type for each in picture.content] == ["image", "resource_link"]
            refused = await opened.call_tool("echo_refused", {})
            assert (refused.is_error, (refused.meta or {})["lar/approval"]) == (True, "apr_1")

            read = await opened.read_resource("echo://one")
            assert [getattr(each, "text", None) for each in read.contents] == ["the one"]
            templates = await opened.list_resource_templates()
            assert [each.uri_template for each in templates.resource_templates] == ["echo://{name}"]
            filled = await opened.get_prompt("echo_greet", {"whom": "Ana"})
            assert getattr(filled.messages[0].content, "text", "") == "Greet Ana"


@ERAS
@DOORS
async def test_progress_comes_while_the_tool_works(tmp_path: Path, mode: str, door: Door) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, client(stage, mode, door) as opened:
            await opened.call_tool("echo_count", {}, progress_callback=note)
    assert told == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


@ERAS
@DOORS
async def test_a_call_that_its_client_gives_up_is_cancelled_at_once(
    tmp_path: Path, mode: str, door: Door
) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, client(stage, mode, door) as opened:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(opened.call_tool, "echo_sleep", {})
                await stage.hub.sleeping.wait()
                tasks.cancel_scope.cancel()
            with anyio.fail_after(5):
                await stage.hub.cancelled.wait()
            again = await opened.call_tool("echo_say", {"text": "still here"})
            assert again.structured_content == {"said": "owner says still here"}


async def test_a_client_whose_connection_breaks_takes_its_call_with_it(tmp_path: Path) -> None:
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "echo_sleep",
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
    headers = {
        **ACCEPT,
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "echo_sleep",
    }
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, anyio.create_task_group() as tasks:

            async def post() -> None:
                async with httpx2.AsyncClient() as http:
                    await http.post(stage.mcp, json=body, headers=headers)

            tasks.start_soon(post)
            await stage.hub.sleeping.wait()
            tasks.cancel_scope.cancel()
            with anyio.fail_after(0.3, shield=True):
                await stage.hub.cancelled.wait()


async def test_open_streams_do_not_hold_up_a_stop(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, anyio.create_task_group() as tasks:

            async def stay(mode: str, door: Door) -> None:
                with anyio.CancelScope() as scope:
                    try:
                        async with client(stage, mode, door) as opened:
                            await opened.call_tool("echo_sleep", {})
                    except* (MCPError, httpx2.HTTPError):
                        scope.cancel()

            kinds: tuple[tuple[str, Door], ...] = (("auto", "http"), ("legacy", "http"), ("legacy", "sse"))
            for mode, door in kinds:
                stage.hub.sleeping = anyio.Event()
                tasks.start_soon(stay, mode, door)
                await stage.hub.sleeping.wait()
            with anyio.fail_after(1.5):
                await stage.stage.server.aclose(1.0)
            tasks.cancel_scope.cancel()


async def test_a_key_sees_what_it_may_call_and_owns_its_session(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage:
            keys = stage.stage.keys
            operator, user = await anyio.to_thread.run_sync(
                lambda: (
                    keys.create("op", "operator"),
                    keys.create("us", "user"),
                )
            )
            async with client(stage, key=user) as opened:
                names = {each.name for each in (await opened.list_tools()).tools}
                assert ("echo_say" in names, "echo_write" in names) == (True, False)
            async with client(stage, key=operator) as opened:
                assert "echo_write" in {each.name for each in (await opened.list_tools()).tools}

            async with httpx2.AsyncClient() as http:
                mine = {**ACCEPT, "Authorization": f"Bearer {operator}"}
                first = await http.post(stage.mcp, json=OPENING, headers=mine)
                session = {"Mcp-Session-Id": first.headers["mcp-session-id"]}
                ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
                own = await http.post(stage.mcp, json=ping, headers={**mine, **session})
                assert own.status_code == 200
                foreign = {**ACCEPT, **session, "Authorization": f"Bearer {user}"}
                assert (await http.post(stage.mcp, json=ping, headers=foreign)).status_code == 404
                gone = await http.delete(stage.mcp, headers={**mine, **session})
                assert gone.status_code == 200
                assert (await http.post(stage.mcp, json=ping, headers={**mine, **session})).status_code == 404


async def test_without_a_key_a_client_is_told_where_it_is_said_what_is_needed(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, httpx2.AsyncClient() as http:
            await anyio.to_thread.run_sync(lambda: stage.stage.keys.create("op", "operator"))
            for path in ("/mcp", "/sse"):
                refused = await http.get(f"{stage.stage.address}{path}", headers=ACCEPT)
                challenge = refused.headers["www-authenticate"]
                where = f"{stage.stage.address}/.well-known/oauth-protected-resource{path}"
                assert (refused.status_code, f'resource_metadata="{where}"' in challenge) == (401, True)
                told = await http.get(where)
                assert told.json()["resource"] == f"{stage.stage.address}{path}"
                assert told.json()["bearer_methods_supported"] == ["header"]


async def test_foreign_hosts_and_pages_stay_outside(tmp_path: Path) -> None:
    allowed = ServerSettings(port=0, allowed_origins=("https://inspector.example",))
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path, settings=allowed) as stage, httpx2.AsyncClient() as http:
            for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
                answer = await http.post(stage.mcp, json=OPENING, headers={**ACCEPT, **headers})
                assert answer.status_code == 403
            page = {"Origin": "https://inspector.example"}
            asks = {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "mcp-protocol-version, mcp-method, mcp-name, content-type",
            }
            preflight = await http.options(stage.mcp, headers={**page, **asks})
            assert preflight.status_code == 204
            assert "mcp-method" in preflight.headers["access-control-allow-headers"]
            opened = await http.post(stage.mcp, json=OPENING, headers={**ACCEPT, **page})
            assert "mcp-session-id" in opened.headers["access-control-expose-headers"]


async def test_the_older_transport_is_off_unless_it_is_wanted(tmp_path: Path) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path, has_sse=False) as stage, httpx2.AsyncClient() as http:
            answer = await http.get(stage.sse)
            assert (answer.status_code, "sse = true" in answer.text) == (404, True)


@ERAS
async def test_what_nobody_knows_is_an_error_of_the_protocol(tmp_path: Path, mode: str) -> None:
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path) as stage, client(stage, mode) as opened:
            with pytest.raises(MCPError, match="Unknown tool 'outside_say'"):
                await opened.call_tool("outside_say", {})
            with pytest.raises(MCPError, match="echo://two"):
                await opened.read_resource("echo://two")
            with pytest.raises(MCPError, match="cursor"):
                await opened.list_tools(cursor="x")


async def test_a_body_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    small = ServerSettings(port=0, max_body_bytes=1000)
    with anyio.fail_after(LIMIT_S):
        async with open_mcp_stage(tmp_path, settings=small) as stage, httpx2.AsyncClient() as http:
            answer = await http.post(stage.mcp, content=b"{" + b" " * 2000 + b"}", headers=ACCEPT)
            assert answer.status_code == 413
