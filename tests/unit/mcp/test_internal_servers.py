"""Lar's own MCP servers, asked by the SDK's client on behalf of callers: time, system, inference, files."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.server import Server
from mcp.shared.exceptions import MCPError

from runtime.core.gate.principals import Principal, Role
from runtime.core.ids import PrincipalId, TenantId
from runtime.core.tools import Caller
from runtime.mcp.calling import calling
from runtime.mcp.servers.clock_time import time_server
from runtime.mcp.servers.files import files_server, place_of
from runtime.mcp.servers.workspace import FILE_BYTES
from tests.kit.clock import FakeClock

LIMIT_S = 20.0


def caller(
    name: str = "ana", *, agent: str | None = None, role: Role = "operator", tenant: str = "t"
) -> Caller:
    principal = Principal(id=PrincipalId(name), role=role, tenant=TenantId(tenant))
    return Caller(principal=principal, door="mcp", agent=agent)


@asynccontextmanager
async def client_of(server: Server[Any], who: Caller | None = None) -> AsyncIterator[Client]:
    with anyio.fail_after(LIMIT_S), calling(who or caller()):
        async with Client(server) as client:
            yield client


async def call(client: Client, tool: str, /, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refusal(client: Client, tool: str, /, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    return str(getattr(result.content[0], "text", ""))


def files_below(folder: Path) -> list[str]:
    return [each for _, _, files in os.walk(folder) for each in files]


async def test_every_tool_says_what_it_takes_and_does(tmp_path: Path) -> None:
    for server in (files_server(tmp_path), time_server(FakeClock())):
        async with client_of(server) as client:
            for tool in (await client.list_tools()).tools:
                assert tool.description
                assert tool.annotations is not None
                assert tool.annotations.read_only_hint is not None
                assert tool.output_schema is not None
                for name, field in tool.input_schema.get("properties", {}).items():
                    assert field, (tool.name, name)


async def test_files_are_resources_in_pages_text_as_text_and_the_rest_as_bytes(tmp_path: Path) -> None:
    async with client_of(files_server(tmp_path)) as client:
        for number in range(101):
            await call(client, "write", path=f"notes/{number:03}.md", text=f"note {number}")
        (place_of(tmp_path, caller()) / "z ä.png").write_bytes(b"\x89PNG\xff")

        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        uris = [each.uri for page in (first, second) for each in page.resources]
        assert (len(first.resources), len(uris), second.next_cursor) == (100, 102, None)
        assert uris[0] == "files:///notes/000.md"
        (text,) = (await client.read_resource(uris[0])).contents
        assert (getattr(text, "text", None), text.mime_type) == ("note 0", "text/markdown")
        (blob,) = (await client.read_resource(uris[-1])).contents
        assert (getattr(blob, "blob", None), blob.mime_type) == ("iVBOR/8=", "image/png")


@pytest.mark.parametrize(
    "uri", ["files:///../up", "files:///%2e%2e/up", "files:////etc/passwd", "files:///", "files:///none.md"]
)
async def test_resources_lead_out_of_no_workspace(tmp_path: Path, uri: str) -> None:
    (tmp_path / "up").write_text("secret")
    async with client_of(files_server(tmp_path)) as client:
        with pytest.raises(MCPError):
            await client.read_resource(uri)


async def test_another_callers_files_are_not_listed(tmp_path: Path) -> None:
    async with client_of(files_server(tmp_path)) as client:
        await call(client, "write", path="mine.md", text="mine")
    async with client_of(files_server(tmp_path), caller("ben")) as client:
        assert not (await client.list_resources()).resources
        with pytest.raises(MCPError):
            await client.read_resource("files:///mine.md")


async def test_wrong_arguments_are_told_with_the_field(tmp_path: Path) -> None:
    async with client_of(files_server(tmp_path)) as client:
        assert "$.start_line" in await refusal(client, "read", path="a", start_line=0)
        assert "unknown field `pth`" in await refusal(client, "read", path="a", pth="b")
        assert "There is no tool 'format'. There are: list, read" in await refusal(client, "format")


async def test_nobody_may_call_where_nobody_is_known(tmp_path: Path) -> None:
    async with Client(files_server(tmp_path)) as client:
        with pytest.raises(Exception, match="without its hub"):
            await client.call_tool("list", {})


async def test_times_are_told_in_other_zones() -> None:
    clock = FakeClock()
    async with client_of(time_server(clock)) as client:
        now = await call(client, "now", zones=["UTC", "Asia/Kolkata"])
        assert now["epoch"] == clock.now()
        assert now["moments"][1]["time"].endswith("+05:30")
        told = await call(
            client,
            "convert",
            time="2026-07-01T09:30",
            zone="Europe/Lisbon",
            to=["America/New_York", "UTC"],
        )
        assert told["given"]["is_summer_time"] is True
        assert [each["time"] for each in told["moments"]] == [
            "2026-07-01T04:30:00-04:00",
            "2026-07-01T08:30:00+00:00",
        ]
        assert (
            "T09:30:00"
            in (await call(client, "convert", time="9:30", zone="UTC", to=["UTC"]))["given"]["time"]
        )
        assert "Atlantis" in await refusal(client, "now", zones=["Europe/Atlantis"])
        assert "no time zone" in await refusal(client, "now", zones=["../../etc/passwd"])
        assert "'time' is 'noon'" in await refusal(client, "convert", time="noon", to=["UTC"])


async def test_a_file_is_written_read_edited_found_moved_and_deleted(tmp_path: Path) -> None:
    async with client_of(files_server(tmp_path)) as client:
        text = "".join(f"line {each}\n" for each in range(1, 11))
        written = await call(client, "write", path="notes/plan.md", text=text)
        assert (written["total_lines"], written["size_bytes"]) == (10, len(text))
        part = await call(client, "read", path="notes/plan.md", start_line=3, lines=2)
        assert (part["text"], part["is_more"], part["total_lines"]) == ("line 3\nline 4\n", True, 10)
        edited = await call(client, "edit", path="notes/plan.md", old="line 4", new="Fourth ÄÖ")
        assert edited["replaced"] == 1
        assert "2 times" in await refusal(client, "edit", path="notes/plan.md", old="line 1", new="x")
        assert "not in" in await refusal(client, "edit", path="notes/plan.md", old="line 99", new="x")
        found = await call(client, "search", query="fourth äö")
        assert found["places"] == [{"path": "notes/plan.md", "line": 4, "text": "Fourth ÄÖ"}]
        assert (await call(client, "search", query="PLAN", within="names"))["places"][0][
            "path"
        ] == "notes/plan.md"
        await call(client, "write", path="log.txt", text="one\n", mode="append")
        await call(client, "write", path="log.txt", text="two\n", mode="append")
        assert (await call(client, "read", path="log.txt"))["text"] == "one\ntwo\n"
        assert "already" in await refusal(client, "write", path="log.txt", text="three")
        assert "already" in await refusal(client, "move", path="log.txt", to="notes/plan.md")
        await call(client, "move", path="log.txt", to="old/log.txt")
        listed = await call(client, "list", depth=2)
        assert [each["path"] for each in listed["entries"]] == [
            "notes",
            "notes/plan.md",
            "old",
            "old/log.txt",
        ]
        assert "something in it" in await refusal(client, "delete", path="notes")
        assert (await call(client, "delete", path="notes", recursive=True))["files"] == 1
        assert "no 'notes'" in await refusal(client, "read", path="notes/plan.md")


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a\\b",
        "",
        ".",
        "..",
        "a/..",
        "x\0y",
        "a/" * 40 + "b",
        ".lar-1",
        "n" * 300,
    ],
)
async def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    async with client_of(files_server(tmp_path)) as client:
        for tool, more in (("read", {}), ("write", {"text": "x"}), ("delete", {"recursive": True})):
            assert await refusal(client, tool, path=path, **more)
    assert files_below(tmp_path) == []


async def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("plugh")
    folder = tmp_path / "workspaces"
    place = place_of(folder, caller())
    place.mkdir(parents=True)
    (place / "file").symlink_to(secret)
    (place / "folder").symlink_to(tmp_path)
    os.mkfifo(place / "pipe")
    async with client_of(files_server(folder)) as client:
        assert "symbolic link" in await refusal(client, "read", path="file")
        assert "no file" in await refusal(client, "write", path="file", text="x", mode="replace")
        assert await refusal(client, "read", path="folder/secret.txt")
        assert await refusal(client, "write", path="folder/new.txt", text="x")
        assert await refusal(client, "list", path="folder")
        assert "no file" in await refusal(client, "read", path="pipe")
        assert (await call(client, "list", depth=5))["entries"] == []
        assert (await call(client, "search", query="plugh"))["places"] == []
        await call(client, "delete", path="folder")
    assert secret.read_text() == "plugh"
    assert not (tmp_path / "new.txt").exists()


async def test_each_agent_and_each_key_has_a_workspace_of_its_own(tmp_path: Path) -> None:
    server = files_server(tmp_path)
    callers = [
        caller(),
        caller("ben"),
        caller(agent="ana"),
        caller(agent="../../keys/ana"),
        caller(tenant="u"),
        caller(agent="a" * 500),
    ]
    for number, who in enumerate(callers):
        async with client_of(server, who) as client:
            assert (await call(client, "list"))["entries"] == []
            await call(client, "write", path="mine.txt", text=str(number))
    for number, who in enumerate(callers):
        async with client_of(server, who) as client:
            assert (await call(client, "read", path="mine.txt"))["text"] == str(number)
    assert all(
        each.is_relative_to(tmp_path) for each in (place_of(tmp_path, who).resolve() for who in callers)
    )


async def test_what_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    place = place_of(tmp_path, caller())
    place.mkdir(parents=True)
    (place / "a.bin").write_bytes(b"\xff\xfe\x00")
    with (place / "big").open("wb") as file:
        file.truncate(FILE_BYTES + 1)
    async with client_of(files_server(tmp_path)) as client:
        assert "no text" in await refusal(client, "read", path="a.bin")
        assert "can be read" in await refusal(client, "read", path="big")
        await call(client, "write", path="x", text="a" * 3_000_000)
        for _ in range(4):
            await call(client, "write", path="x", text="a" * 3_000_000, mode="append")
        assert "limit of a file" in await refusal(
            client, "write", path="x", text="a" * 3_000_000, mode="append"
        )
    assert [each for each in files_below(place) if each.startswith(".lar-")] == []


async def test_edits_side_by_side_lose_nothing(tmp_path: Path) -> None:
    async with client_of(files_server(tmp_path)) as client:
        await call(client, "write", path="x", text="")
        async with anyio.create_task_group() as tasks:
            for each in range(20):

                async def add(number: int = each) -> None:
                    await call(client, "write", path="x", text=f"{number}\n", mode="append")

                tasks.start_soon(add)
        lines = (await call(client, "read", path="x"))["text"].split()
    assert sorted(map(int, lines)) == list(range(20))
