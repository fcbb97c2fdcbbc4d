"""The servers that everybody uses, from npm, in real processes: over stdio, HTTP and SSE."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.core.settings import McpSandbox, McpServer
from tests.kit.hub_stage import CALLER, open_stage, text_of
from tests.kit.link_stage import is_gone

CACHE = Path(__file__).parents[2] / ".cache" / "mcp-peers"
VERSION = "2026.8.31"
PACKAGES = ("server-everything", "server-filesystem", "server-memory")


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with the servers beside it; they are installed once and kept."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no Node here: the servers of npm are not tried")
    if not script("server-memory").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        names = [f"@modelcontextprotocol/{each}@{VERSION}" for each in PACKAGES]
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *names],
            cwd=CACHE,
            capture_output=True,
            timeout=100,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install the servers: {done.stderr.decode()[-300:]}")
    return node


def script(package: str) -> Path:
    return CACHE / "node_modules" / "@modelcontextprotocol" / package / "dist" / "index.js"


def peer(node: str, package: str, *arguments: str, **more: object) -> McpServer:
    return McpServer(command=node, args=(str(script(package)), *arguments), trust=True, **more)  # type: ignore[arg-type]  # as the test says


async def test_server_everything_gives_tools_resources_prompts_and_progress(
    node: str, tmp_path: Path
) -> None:
    steps: list[float] = []

    async def progressed(done: float, total: float | None, message: str) -> None:
        steps.append(done)

    async with open_stage(tmp_path, {"all": peer(node, "server-everything", "stdio")}) as stage:
        names = await stage.names()
        assert "hello" in await stage.say("mcp__all__echo", message="hello")
        assert "5" in await stage.say("mcp__all__get-sum", a=2, b=3)
        wrong = await stage.call("mcp__all__get-sum", a="two", b=3)
        assert wrong.code == "invalid_arguments"
        await stage.call(
            "mcp__all__trigger-long-running-operation", progressed=progressed, duration=1, steps=4
        )
        image = await stage.call("mcp__all__get-tiny-image")
        resources = await stage.hub.resources(CALLER)
        read = await stage.hub.read(
            CALLER, "all", next(each.uri for each in resources if not each.is_template)
        )
        prompts = {each.name for each in await stage.hub.prompts(CALLER)}
        assert stage.hub.servers()[0].protocol == "2025-11-25"

    assert len(names) >= 10
    assert len(steps) == 4
    assert any(type(each).__name__ == "BlobContent" for each in image.content)
    assert not read.is_error
    assert "simple-prompt" in prompts


async def test_server_filesystem_stays_in_its_folder(node: str, tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    config = peer(node, "server-filesystem", str(inside), sandbox=McpSandbox(write=(str(inside),)))
    async with open_stage(tmp_path, {"fs": config}) as stage:
        await stage.say("mcp__fs__write_file", path=str(inside / "a.txt"), content="written by a peer")
        assert "written by a peer" in await stage.say("mcp__fs__read_text_file", path=str(inside / "a.txt"))
        refused = await stage.call("mcp__fs__write_file", path=str(outside / "b.txt"), content="no")

    assert refused.is_error
    assert "denied" in text_of(refused).lower()
    assert (inside / "a.txt").read_text() == "written by a peer"
    assert list(outside.iterdir()) == []


async def test_server_memory_remembers_across_restarts(node: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    config = peer(
        node,
        "server-memory",
        env={"MEMORY_FILE_PATH": str(data / "memory.jsonl")},
        sandbox=McpSandbox(write=(str(data),)),
    )
    entity = {"name": "Anna", "entityType": "person", "observations": ["likes tea"]}
    async with open_stage(tmp_path, {"memory": config}) as stage:
        await stage.say("mcp__memory__create_entities", entities=[entity])
    async with open_stage(tmp_path, {"memory": config}) as stage:
        result = await stage.call("mcp__memory__read_graph")

    assert result.structured["entities"] == [entity]
    assert json.loads((data / "memory.jsonl").read_text())["name"] == "Anna"


@pytest.mark.parametrize(("kind", "path"), [("streamableHttp", "mcp"), ("sse", "sse")])
async def test_server_everything_over_http_and_sse(node: str, tmp_path: Path, kind: str, path: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = McpServer(
        url=f"http://127.0.0.1:{port}/{path}", type="sse" if kind == "sse" else "http", trust=True
    )
    with serving(node, kind, port) as pid:
        async with open_stage(tmp_path, {"far": config}) as stage:
            assert "hello" in await stage.say("mcp__far__echo", message="hello")
    assert is_gone(pid)


@contextlib.contextmanager
def serving(node: str, kind: str, port: int) -> Iterator[int]:
    process = subprocess.Popen(
        [node, str(script("server-everything")), kind],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait(10)
