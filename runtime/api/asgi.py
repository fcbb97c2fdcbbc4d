"""Runs an ASGI app for an aiohttp request: the scope, the body, the answer as it comes.

A client that leaves cancels the handler (the runner is set up so); the app is told `http.disconnect`, and
may go on to its end in a task of its own. A server that stops looks to the app like a client that left.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
from aiohttp import hdrs, web

from runtime.api.errors import Refused, refusal_of
from runtime.api.events import OPEN_STREAMS
from runtime.core.doors import Message, Receive, Scope, Send
from runtime.core.errors import Fault

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})
"""Headers about the connection, which is aiohttp's and not the app's."""


async def run_asgi(app: AsgiApp, request: web.Request, content: bytes) -> web.StreamResponse:
    """Run the app for a request with this body. Raises Refused where the server stopped meanwhile."""
    exchange = _Exchange(request, content)
    with request.app[OPEN_STREAMS].hold(exchange):
        try:
            await app(scope_of(request), exchange.receive, exchange.send)
        except BaseException:
            exchange.leave()
            raise
    return await exchange.finish()


def scope_of(request: web.Request) -> Scope:
    """Return what ASGI calls the scope of an HTTP request."""
    transport = request.transport
    url = request.rel_url
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": request.scheme,
        "path": url.path,
        "raw_path": url.raw_path.encode("ascii"),
        "query_string": url.raw_query_string.encode("ascii"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": _address(transport, "peername"),
        "server": _address(transport, "sockname"),
        "state": {},
    }


def _address(transport: Any, name: str) -> tuple[str, int] | None:
    place = None if transport is None else transport.get_extra_info(name)
    return (place[0], place[1]) if isinstance(place, tuple) else None


class _Exchange:
    """What an app receives and sends for one request."""

    def __init__(self, request: web.Request, content: bytes) -> None:
        self._request = request
        self._content: bytes | None = content
        self._response: web.StreamResponse | None = None
        self._is_whole = False
        self._over = anyio.Event()
        self._is_left = False

    def leave(self) -> None:
        """Nobody reads any more: what the app still sends goes nowhere."""
        self._is_left = True
        self._over.set()

    def close(self) -> None:
        """Tell the app that its client is gone."""
        self._over.set()

    async def receive(self) -> Message:
        """Return the body, then wait for the end. It never returns twice without a wait: apps loop on it."""
        if self._content is not None:
            content, self._content = self._content, None
            return {"type": "http.request", "body": content, "more_body": False}

        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Carry a part of the answer; once the client is gone it goes nowhere, and `receive` says so."""
        if self._is_left:
            return

        try:
            await self._send(message)
        except ConnectionError:
            self.leave()

    async def finish(self) -> web.StreamResponse:
        """End the answer where the app left it open."""
        if self._response is None:
            fault = Fault(code="shutting_down", message="The server is stopping.", retry_after_s=5.0)
            raise Refused(refusal_of(fault))

        if not self._is_whole:
            with suppress(ConnectionError):
                await self._response.write_eof()
        return self._response

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._response = response = web.StreamResponse(status=message["status"])
            for name, value in message.get("headers", ()):
                text = name.decode("latin-1")
                if text.lower() not in _HOP_BY_HOP:
                    response.headers.add(text, value.decode("latin-1"))
            if response.headers.get(hdrs.CONTENT_TYPE, "").startswith("text/event-stream"):
                response.headers["X-Accel-Buffering"] = "no"
            await response.prepare(self._request)
            return

        assert self._response is not None, "an ASGI app starts its answer before it sends a body"
        if body := message.get("body", b""):
            await self._response.write(body)
        if not message.get("more_body", False):
            self._is_whole = True
            self._over.set()
            await self._response.write_eof()
