"""The HTTP doors of an MCP server: the SDK's transports behind Lar's own keys. Fulfils `core.doors.McpDoors`.

An exchange lives in a task of the doors, not in a request handler: a client of the older era closes its
connection as soon as it has read its answer, and a cancelled exchange would take the session with it.

Host and Origin have been judged by the HTTP edge, one rule for all routes; the SDK's own check is therefore
off. A session belongs to the principal that opened it: to another one it does not exist.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp.server import Server
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.runner import serve_dual_era_loop
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http import EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from runtime.core.doors import Message, Receive, Scope, Send
from runtime.core.gate.principals import Principal
from runtime.mcp.outward import PRINCIPAL

logger = logging.getLogger(__name__)

MESSAGES_PATH = "/messages/"
SESSIONS_LIMIT = 1000
"""Sessions of the older era that may be open at once; each costs a few tasks."""
StreamOpened = Callable[[str], Coroutine[Any, Any, None]]
"""Hears of the session whose client has opened its own stream (GET) just now; must not raise."""
_SESSION_HEADER = b"mcp-session-id"
_CHECKED_BEFORE = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class SdkDoors:
    """Doors to one server; `open_doors` makes them."""

    def __init__(
        self,
        server: Server[Any],
        http: StreamableHTTPSessionManager,
        sse: SseServerTransport | None,
        lifespan: Any,
        tasks: TaskGroup,
        on_stream: StreamOpened | None = None,
    ) -> None:
        self._server = server
        self._http = http
        self._sse = sse
        self._lifespan = lifespan
        self._tasks = tasks
        self._on_stream = on_stream

    @property
    def has_sse(self) -> bool:
        """Whether the older transport is served."""
        return self._sse is not None

    async def http(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the streamable HTTP transport."""
        session = dict(scope["headers"]).get(_SESSION_HEADER)
        if scope["method"] == "GET" and session is not None and self._on_stream is not None:
            send = self._noticing(send, session.decode("latin-1"), self._on_stream)
        await self._live(self._http.handle_request, _known(scope, principal), receive, send)

    async def sse(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the older transport; its messages come by `messages`."""
        await self._live(self._connect, _known(scope, principal), receive, send)

    async def messages(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one message for such a connection."""
        assert self._sse is not None
        await self._live(self._sse.handle_post_message, _known(scope, principal), receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._sse is not None
        async with self._sse.connect_sse(scope, receive, send) as (incoming, outgoing):
            await serve_dual_era_loop(
                self._server,
                incoming,
                outgoing,
                lifespan_state=self._lifespan,
                init_options=self._server.create_initialization_options(),
            )

    def _noticing(self, send: Send, session: str, on_stream: StreamOpened) -> Send:
        """Return a `send` that tells when a stream has been opened."""

        async def notice(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
                # In a task of its own: by its first step the SDK has made the stream that it writes to.
                self._tasks.start_soon(on_stream, session)

        return notice

    async def _live(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Run an exchange to its end; whoever is cancelled while waiting for it leaves it to itself."""
        exchange = _Exchange()
        self._tasks.start_soon(exchange.live, app, scope, receive, send)
        await exchange.wait()


class _Exchange:
    """One exchange that goes on, and how it ended."""

    def __init__(self) -> None:
        self._ended = anyio.Event()
        self._problem: Exception | None = None
        self._is_awaited = True

    async def live(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Run the exchange; never raises."""
        try:
            await app(scope, receive, send)
        except Exception as problem:  # the request that waits raises it: there is the border
            self._problem = problem
            if not self._is_awaited:
                logger.warning("an exchange of MCP failed after its client had left", exc_info=problem)
        finally:
            self._ended.set()

    async def wait(self) -> None:
        """Return at its end. Raises what it raised."""
        try:
            await self._ended.wait()
        finally:
            self._is_awaited = False
        if self._problem is not None:
            raise self._problem


@asynccontextmanager
async def open_doors(
    server: Server[Any],
    *,
    has_sse: bool,
    max_body_bytes: int,
    events: EventStore | None = None,
    retry_interval_ms: int | None = None,
    on_stream: StreamOpened | None = None,
) -> AsyncIterator[SdkDoors]:
    """Open the doors to a server; leave the context after the last request has ended.

    With a store of events a client of the older era may come back to a stream that broke. `on_stream` hears
    when it has opened the one of its session.
    """
    http = StreamableHTTPSessionManager(
        server,
        event_store=events,
        retry_interval=retry_interval_ms,
        security_settings=_CHECKED_BEFORE,
        max_request_body_size=max_body_bytes,
        max_sessions=SESSIONS_LIMIT,
    )
    sse = SseServerTransport(MESSAGES_PATH, _CHECKED_BEFORE, max_body_bytes) if has_sse else None
    async with server.lifespan(server) as lifespan, http.run(), anyio.create_task_group() as tasks:
        yield SdkDoors(server, http, sse, lifespan, tasks, on_stream)
        tasks.cancel_scope.cancel()


def _known(scope: Scope, principal: Principal) -> Scope:
    """Return the scope with who asks: for the handlers, and for the SDK's check of whose session it is."""
    scope.setdefault("state", {})[PRINCIPAL] = principal
    token = AccessToken(
        token="", client_id=principal.id, scopes=[principal.role], subject=str(principal.tenant)
    )
    scope["user"] = AuthenticatedUser(token)
    return scope
