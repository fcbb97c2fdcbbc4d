"""Calls of a trivial tool through the hub, beside the SDK's own client on the same server."""

import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from mcp import Client, StdioServerParameters
from mcp.server import MCPServer

from bench.options import Options
from runtime.core.gate.principals import OWNER
from runtime.core.ids import CallId
from runtime.core.settings import McpSandbox, McpServer
from runtime.core.tools import Asked, Caller
from tests.kit.hub_stage import open_stage

CALLS = 300
ROUNDS = 5
STDIO_SERVER = """
from mcp.server import MCPServer
server = MCPServer("bench")
@server.tool()
def echo(text: str) -> str:
    "Return the text."
    return text
server.run("stdio")
"""
_Once = Callable[[], Awaitable[Any]]


class Measured(NamedTuple):
    """Medians in milliseconds."""

    sdk_ms: float
    hub_ms: float


def run(options: Options) -> None:
    """Measure what a tool call through the hub costs over the SDK alone, in memory and over stdio."""
    del options
    for name, limit_ms, measured in (
        ("in memory", 1.0, anyio.run(_in_memory)),
        ("over stdio", 3.0, anyio.run(_over_stdio)),
    ):
        more = measured.hub_ms - measured.sdk_ms
        print(
            f"  {name:10}  SDK alone {measured.sdk_ms:6.3f} ms   through the hub {measured.hub_ms:6.3f} ms   "
            f"more {more:+.3f} ms (at most {limit_ms:g})   ratio {measured.hub_ms / measured.sdk_ms:.2f}"
        )


async def _in_memory() -> Measured:
    async with Client(_server()) as alone:
        return await _beside(
            lambda: alone.call_tool("echo", {"text": "hello"}), internal={"own": _server}, servers={}
        )


async def _over_stdio() -> Measured:
    arguments = ["-c", STDIO_SERVER]
    config = McpServer(
        command=sys.executable, args=tuple(arguments), trust=True, sandbox=McpSandbox(enabled=False)
    )
    async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as alone:
        return await _beside(
            lambda: alone.call_tool("echo", {"text": "hello"}), internal={}, servers={"own": config}
        )


async def _beside(alone: _Once, **stage: Any) -> Measured:
    caller = Caller(principal=OWNER, door="agent", agent="bench")
    with tempfile.TemporaryDirectory() as folder:
        async with open_stage(Path(folder), **stage) as opened:

            async def through_hub() -> None:
                asked = Asked(id=CallId("call"), full_name="mcp__own__echo", arguments={"text": "hello"})
                result = await opened.hub.call(caller, asked)
                assert not result.is_error, result
                opened.facts.clear()

            rounds = [Measured(await _median_ms(alone), await _median_ms(through_hub)) for _ in range(ROUNDS)]
            return min(rounds, key=lambda each: each.hub_ms + each.sdk_ms)


async def _median_ms(once: _Once) -> float:
    for _ in range(20):
        await once()
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await once()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def _server() -> MCPServer:
    server = MCPServer("bench")

    @server.tool()
    def echo(text: str) -> str:
        """Return the text."""
        return text

    return server
