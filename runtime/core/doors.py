"""The port between the HTTP edge and the MCP SDK: one exchange in ASGI's words, for one principal.

`runtime/api` runs an exchange for a request of its own, `runtime/mcp` answers it; neither knows the other.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from runtime.core.gate.principals import Principal

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
"""The whole body at its first call; after that it waits until the exchange is over: `http.disconnect`."""
Send = Callable[[Message], Awaitable[None]]


class McpDoors(Protocol):
    """The ways in for MCP clients that come over HTTP. A session belongs to the principal that opened it."""

    @property
    def has_sse(self) -> bool:
        """Whether the older transport (HTTP+SSE) is served, too."""

    async def http(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the streamable HTTP transport, of either era."""

    async def sse(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the older transport until its client leaves."""

    async def messages(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one message for such a connection."""
