"""Links to servers over HTTP and SSE, and to servers in memory: both eras, restarts, resources, prompts."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.core.errors import PolicyDenied
from runtime.core.settings import McpSandbox, McpServer
from runtime.core.tool_facts import LinkChanged
from runtime.core.tools import TextContent
from runtime.mcp.calling import current_caller
from tests.kit.fake_gate import FakeGate
from tests.kit.hub_stage import CALLER, HubStage, open_stage, text_of
from tests.kit.link_stage import until
from tests.kit.sdk_mcp_server import server as sdk_server

SCRIPT = str(Path(__file__).parents[1] / "kit" / "sdk_mcp_server.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(kind: str, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, SCRIPT, kind, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait(10)


async def use_everything(stage: HubStage, server: str) -> None:
    assert await stage.say(f"mcp__{server}__echo", text="hello") == "hello"
    steps: list[float] = []

    async def progressed(done: float, total: float | None, message: str) -> None:
        steps.append(done)

    await stage.call(f"mcp__{server}__steps", progressed=progressed)
    assert steps == [0, 1, 2]

    resources = {each.uri: each for each in await stage.hub.resources(CALLER)}
    assert resources["note://by/{name}"].is_template
    read = await stage.hub.read(CALLER, server, "note://one")
    assert text_of(read) == "the text of the note"
    missing = await stage.hub.read(CALLER, server, "note://two")
    assert missing.is_error

    (prompt,) = await stage.hub.prompts(CALLER)
    assert prompt.arguments[0].is_required
    (message,) = await stage.hub.prompt(CALLER, server, "greet", {"name": "Anna"})
    assert message.content == TextContent(text="Say hello to Anna.")
    assert await stage.hub.complete(CALLER, server, "greet", "name", "ann") == ["anna"]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_server_over_http_gives_tools_resources_prompts_and_progress(
    tmp_path: Path, era: str
) -> None:
    port = free_port()
    config = McpServer(url=f"http://127.0.0.1:{port}/mcp", era=era, trust=True)  # type: ignore[arg-type]  # one of the two
    with serving("http", port):
        async with open_stage(tmp_path, {"far": config}) as stage:
            await use_everything(stage, "far")
            assert stage.hub.servers()[0].protocol == ("2025-11-25" if era == "legacy" else "2026-07-28")


async def test_a_server_over_sse_works_too(tmp_path: Path) -> None:
    port = free_port()
    config = McpServer(type="sse", url=f"http://127.0.0.1:{port}/sse", trust=True)
    with serving("sse", port):
        async with open_stage(tmp_path, {"far": config}) as stage:
            await use_everything(stage, "far")


async def test_a_server_in_memory_gives_the_same_and_knows_who_calls(tmp_path: Path) -> None:
    async with open_stage(tmp_path, internal={"own": lambda: sdk_server}) as stage:
        await use_everything(stage, "own")
        assert {each.trust for each in await stage.hub.tools(CALLER)} == {"internal"}
    assert current_caller() is None


@pytest.mark.parametrize("is_remote", [False, True])
async def test_a_server_of_the_newer_era_tells_of_new_tools(tmp_path: Path, is_remote: bool) -> None:
    port = free_port()
    remote = McpServer(url=f"http://127.0.0.1:{port}/mcp", trust=True)
    local = McpServer(
        command=sys.executable, args=(SCRIPT, "stdio"), trust=True, sandbox=McpSandbox(enabled=False)
    )
    with serving("http", port) if is_remote else contextlib.nullcontext():
        async with open_stage(tmp_path, {"s": remote if is_remote else local}) as stage:
            before = await stage.names()
            await stage.say("mcp__s__grow")
            await until(lambda: any(isinstance(each, LinkChanged) and each.added for each in stage.facts))
            assert await stage.names() == [*before, "mcp__s__grown"]
            assert await stage.say("mcp__s__grown") == "grown"


async def test_resources_and_prompts_pass_the_gate_too(tmp_path: Path) -> None:
    gate = FakeGate(lambda question: "ask")
    async with open_stage(tmp_path, internal={"own": lambda: sdk_server}, gate=gate) as stage:
        read = await stage.hub.read(CALLER, "own", "note://one")
        with pytest.raises(PolicyDenied):
            await stage.hub.prompt(CALLER, "own", "greet", {"name": "Anna"})

    assert (read.code, read.is_error) == ("asked", True)
    assert [each.resource.id for each in gate.asked] == ["mcp__own__read_resource", "mcp__own__get_prompt"]
    assert gate.asked[0].resource.attributes["is_read_only"] is True
    assert gate.asked[1].arguments == {"name": "Anna"}


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_restarted_http_server_is_found_again(tmp_path: Path, era: str) -> None:
    port = free_port()
    config = McpServer(url=f"http://127.0.0.1:{port}/mcp", era=era, trust=True)  # type: ignore[arg-type]  # one of the two
    async with open_stage(tmp_path, {"far": config}) as stage:
        down = await stage.call("mcp__far__echo", text="too early")
        assert down.code == "unknown_tool"
        assert "nothing answers at its address" in stage.hub.servers()[0].fault

        with serving("http", port):
            assert (await stage.hub.test("far")).status == "ready"
            assert await stage.say("mcp__far__echo", text="one") == "one"
        with serving("http", port):
            assert await stage.say("mcp__far__echo", text="two") == "two"
        assert (await stage.call("mcp__far__echo", text="gone")).code == "unreachable"


async def test_a_restarted_sse_server_is_found_again_before_anybody_calls(tmp_path: Path) -> None:
    port = free_port()
    config = McpServer(type="sse", url=f"http://127.0.0.1:{port}/sse", trust=True)
    async with open_stage(tmp_path, {"far": config}) as stage:
        with serving("sse", port):
            assert await stage.say("mcp__far__echo", text="one") == "one"
        await until(lambda: stage.hub.servers()[0].status != "ready")
        with serving("sse", port):
            await until(lambda: stage.hub.servers()[0].status == "ready")
            assert await stage.say("mcp__far__echo", text="two") == "two"
    assert stage.kinds().count("LinkLost") >= 1


async def test_an_answer_over_http_that_is_too_long_is_refused(tmp_path: Path) -> None:
    port = free_port()
    config = McpServer(url=f"http://127.0.0.1:{port}/mcp", trust=True, max_result_bytes=1000)
    with serving("http", port):
        async with open_stage(tmp_path, {"far": config}) as stage:
            cut = await stage.call("mcp__far__flood", count=3000)
            assert cut.code == "too_large"
            refused = await stage.call("mcp__far__flood", count=20_000_000)
            assert refused.is_error
            assert await stage.say("mcp__far__echo", text="alive") == "alive"


async def test_a_server_of_the_sdk_over_stdio_speaks_the_newer_era(tmp_path: Path) -> None:
    config = McpServer(
        command=sys.executable, args=(SCRIPT, "stdio"), trust=True, sandbox=McpSandbox(enabled=False)
    )
    async with open_stage(tmp_path, {"near": config}) as stage:
        await use_everything(stage, "near")
        assert stage.hub.servers()[0].protocol == "2026-07-28"
