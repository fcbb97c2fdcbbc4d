"""The open sessions of clients of the older era, who are told of changes on a stream of their own.

Over `/mcp` that stream is a request (GET) that a client opens, loses and opens again. The SDK drops what is
said while none is open, and nothing tells whether what went into a dying one arrived; so what changed since a
stream was opened is said again at the next opening.
"""

import logging
from typing import Any

import anyio
from mcp.server import Server
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import NotificationOptions
from mcp.server.session import ServerSession
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS

logger = logging.getLogger(__name__)

_TELL_S = 2.0
"""For one client; one that reads nothing must not hold up what others are told."""


class HandshakeSessions:
    """Notes who has finished the handshake; a session that ends is forgotten."""

    def __init__(self) -> None:
        self._open: dict[Connection, ServerSession] = {}
        self._is_due: set[Connection] = set()
        """Those that may have missed a change since they last opened their stream."""

    def __len__(self) -> int:
        return len(self._open)

    def attach(self, server: Server[Any]) -> None:
        """Follow the sessions of a server, and have it say that it tells of other tools."""
        told = server.create_initialization_options(NotificationOptions(tools_changed=True))
        server.create_initialization_options = lambda *_, **__: told  # type: ignore[method-assign]  # the SDK's manager passes no options
        server.middleware.append(self._note)

    async def tell_tools_changed(self) -> None:
        """Tell all of them, side by side."""
        async with anyio.create_task_group() as tasks:
            for connection, session in list(self._open.items()):
                if connection.session_id is not None:
                    self._is_due.add(connection)
                tasks.start_soon(self._tell, session)

    async def stream_opened(self, session_id: str) -> None:
        """Tell the client of a session, which has opened its stream just now, what it may have missed."""
        for connection, session in list(self._open.items()):
            if connection.session_id == session_id and connection in self._is_due:
                self._is_due.discard(connection)
                await self._tell(session)

    async def _note(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method == "notifications/initialized":
            # The SDK has no public way to hear of the end of a session.
            connection = ctx.session._connection  # noqa: SLF001
            is_older = connection.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS
            if is_older and connection.has_standalone_channel and connection not in self._open:
                self._open[connection] = ctx.session
                connection.exit_stack.callback(self._forget, connection)
        return result

    def _forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._is_due.discard(connection)

    async def _tell(self, session: ServerSession) -> None:
        with anyio.move_on_after(_TELL_S) as scope:
            try:
                await session.send_tool_list_changed()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                logger.debug("a session ended while it was told of other tools")
        if scope.cancelled_caught:
            logger.info("an MCP client did not read that there are other tools")
