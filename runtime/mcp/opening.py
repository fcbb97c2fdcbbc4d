"""The composition of the hub: reads definitions and approvals, owns the tasks of all links."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from runtime.mcp.hub import McpHub
from runtime.mcp.members import HubParts
from runtime.mcp.pinning import PINS_FILE, Pins
from runtime.mcp.sandbox import find_confinement


@asynccontextmanager
async def open_hub(parts: HubParts) -> AsyncIterator[McpHub]:
    """Open the hub while the context lasts; afterwards no server that it started lives.

    Outside servers start when they are first needed. Raises PinsUnreadable.
    """
    pins = Pins(parts.home / PINS_FILE)
    await anyio.to_thread.run_sync(pins.load)
    confinement = await anyio.to_thread.run_sync(find_confinement)
    async with anyio.create_task_group() as tasks:
        hub = McpHub(parts, pins, confinement, tasks)
        try:
            await hub.start()
            yield hub
        finally:
            with anyio.CancelScope(shield=True):  # bounded within
                await hub.aclose()
            tasks.cancel_scope.cancel()
