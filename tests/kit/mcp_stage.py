"""The HTTP edge with its MCP doors open, before a hub of a test's choice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from runtime.core.settings import ServerSettings
from runtime.core.tools import Hub
from runtime.mcp.doors import open_doors
from runtime.mcp.outward import Outward, OutwardServer, outward_server
from tests.kit.fake_hub import FakeHub
from tests.kit.http_stage import Stage, open_stage

INTERNAL = frozenset({"echo"})


class McpStage(NamedTuple):
    """A running edge and what stands behind its MCP doors."""

    stage: Stage
    hub: FakeHub
    outward: OutwardServer

    @property
    def mcp(self) -> str:
        return f"{self.stage.address}/mcp"

    @property
    def sse(self) -> str:
        return f"{self.stage.address}/sse"


@asynccontextmanager
async def open_mcp_stage(
    home: Path, *, has_sse: bool = True, settings: ServerSettings | None = None
) -> AsyncIterator[McpStage]:
    hub = FakeHub()
    checked: Hub = hub
    served = outward_server(Outward(checked, lambda: INTERNAL, 0.0))
    async with (
        open_doors(
            served.server,
            has_sse=has_sse,
            max_body_bytes=1024 * 1024,
            on_stream=served.sessions.stream_opened,
        ) as doors,
        open_stage(home, settings=settings, mcp=doors) as stage,
    ):
        yield McpStage(stage, hub, served)
