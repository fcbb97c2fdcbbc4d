"""A link to a real server process, and a listener that remembers what it was told."""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import mcp.types as wire
import psutil

from runtime.core.settings import McpSandbox, McpServer
from runtime.mcp.config import ServerEntry
from runtime.mcp.link import Link
from runtime.mcp.link_words import LinkLimits
from runtime.mcp.listing import Bell
from runtime.mcp.sandbox import Confinement
from runtime.mcp.stderr_log import StderrLog
from runtime.mcp.transports import CLIENT, Outside, connection
from tests.kit.fake_fetcher import FakeFetcher

RAW_SERVER = str(Path(__file__).with_name("raw_mcp_server.py"))
FREE = Confinement(None, "tests of links run without")


async def unsigned(url: str) -> None:
    """No authentication."""


class Listener:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.tools: list[str] = []
        self.changed = anyio.Event()

    async def link_opened(self, protocol: str, tools: Sequence[wire.Tool]) -> None:
        self.told.append("opened")
        self.tools = [each.name for each in tools]

    async def tools_changed(self, tools: Sequence[wire.Tool]) -> None:
        self.told.append("changed")
        self.tools = [each.name for each in tools]
        self.changed.set()

    async def link_lost(self, message: str) -> None:
        self.told.append(f"lost: {message}")

    async def link_closed(self) -> None:
        self.told.append("closed")


def raw_server(*options: str, **more: Any) -> McpServer:
    more.setdefault("sandbox", McpSandbox(enabled=False))
    return McpServer(command=sys.executable, args=(RAW_SERVER, *options), **more)


def link_to(home: Path, config: McpServer, name: str = "raw", **limits: Any) -> tuple[Link, Listener]:
    entry = ServerEntry(name=name, origin="test", config=config)
    log = StderrLog(home / f"{name}.log", max_bytes=4096)
    listener = Listener()

    async def make(on_end: Callable[[], None]) -> Any:
        return await connection(entry, home, log, FREE, Outside(FakeFetcher(), unsigned), on_end)

    options = {"client_info": CLIENT, "message_handler": Bell()}
    return Link(name, make, listener, LinkLimits(**limits), options), listener


@asynccontextmanager
async def open_link(home: Path, config: McpServer, **limits: Any) -> AsyncIterator[tuple[Link, Listener]]:
    link, listener = link_to(home, config, **limits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        try:
            yield link, listener
        finally:
            link.stop()
            with anyio.fail_after(15, shield=True):
                await link.ended.wait()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; ten seconds at most."""
    with anyio.fail_after(10):
        while not is_so():  # noqa: ASYNC110 - other processes set no event
            await anyio.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def seen_by(folder: Path) -> list[str]:
    """Return what raw servers with `state=folder` have noted."""
    path = folder / "seen.txt"
    return path.read_text().splitlines() if path.exists() else []
