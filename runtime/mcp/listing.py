"""What a connected server offers, page by page, and when that changes; both eras of the protocol."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio
import mcp.types as wire
from mcp import Client, MCPError
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

logger = logging.getLogger(__name__)

_PAGES = 200
_ENTRIES = 5000
"""Of one list: more is a fault of the server, or an attack."""
_RELISTEN_S = 5.0
"""Before a broken stream of changes is opened again."""
_SETTLE_S = 0.05
"""Servers change many tools in a row; they are listed once."""
_LIST_LIMIT_S = 30.0

ToolsChanged = Callable[[Sequence[wire.Tool]], Awaitable[None]]
_T = TypeVar("_T")


class ListTooLong(Exception):
    """A list has no end, or too many entries."""


async def collect(
    fetch: Callable[[str | None], Awaitable[Any]], entries: Callable[[Any], Sequence[_T]]
) -> list[_T]:
    """Return the entries of all pages. Raises ListTooLong, and whatever `fetch` raises."""
    found: list[_T] = []
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await fetch(cursor)
        found += entries(page)
        cursor = page.next_cursor
        if not cursor:
            return found
        if cursor in seen or len(found) > _ENTRIES:
            break
        seen.add(cursor)
    raise ListTooLong(f"a list has no end: {len(found)} entries so far")


async def list_tools(client: Client) -> list[wire.Tool]:
    """Return all tools; none of a server that has none."""
    if client.server_capabilities.tools is None:
        return []
    return await collect(lambda cursor: client.list_tools(cursor=cursor), lambda page: page.tools)


async def follow_changes(client: Client, changed: ToolsChanged, options: dict[str, Any]) -> None:
    """List the tools anew each time the server says that they have changed, as long as it is connected."""
    tools = client.server_capabilities.tools
    if tools is None or not tools.list_changed:
        return

    if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
        await _follow_stream(client, changed)
        return
    bell: Bell | None = options.get("message_handler")
    if bell is not None:
        while True:
            await bell.wait()
            await _relist(client, changed)


async def _follow_stream(client: Client, changed: ToolsChanged) -> None:
    is_first = True
    while True:
        try:
            async with client.listen(tools_list_changed=True) as events:
                if not is_first:
                    await _relist(client, changed)  # nothing is repeated that was said in between
                is_first = False
                async for _ in events:
                    await _relist(client, changed)
        except ListenNotSupportedError:
            return
        except (MCPError, SubscriptionLost, TimeoutError) as problem:
            logger.debug("the stream of changes broke", extra={"reason": str(problem)})
        await anyio.sleep(_RELISTEN_S)


async def _relist(client: Client, changed: ToolsChanged) -> None:
    await anyio.sleep(_SETTLE_S)
    try:
        with anyio.fail_after(_LIST_LIMIT_S):
            tools = await list_tools(client)
    except (MCPError, TimeoutError, ListTooLong, ValueError) as problem:
        logger.warning("a changed list of tools could not be read", extra={"reason": str(problem)})
        return
    await changed(tools)


class Bell:
    """The message handler of a connection of the older era: rings when the server's tools have changed."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    async def __call__(self, message: Any) -> None:
        """Look at a message of the server."""
        if isinstance(message, wire.ToolListChangedNotification) or isinstance(
            getattr(message, "root", None), wire.ToolListChangedNotification
        ):
            self._rung.set()

    async def wait(self) -> None:
        """Wait until it rings, and be ready for the next time."""
        await self._rung.wait()
        self._rung = anyio.Event()
