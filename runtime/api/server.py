"""The HTTP server: the application put together, bound to an address, and stopped within a bound."""

import errno
from typing import NamedTuple

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.api.access import is_loopback
from runtime.api.deps import DEPS, ApiDeps
from runtime.api.events import OPEN_STREAMS, OpenStreams
from runtime.api.mcp_mount import add_challenge
from runtime.api.middleware import Door, add_headers, border, make_guard
from runtime.api.responses.parts import RESPONSES, ResponseParts
from runtime.api.routes import add_routes
from runtime.api.visits import VISITS, Visits
from runtime.core.errors import SettingsInvalid
from runtime.core.settings import ServerSettings

PORT_TRIES = 20
"""How many ports after the wished one are tried when it is taken."""
_CANCEL_S = 2.0
"""How long handlers may take to end once they were cancelled: they only tidy up."""
_KEEPALIVE_S = 75.0
_BACKLOG = 1024
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - names them, binds nothing


class Bound(NamedTuple):
    """Where the server answers."""

    address: str
    """As a URL without a slash at the end."""
    port: int
    is_moved: bool
    """Whether the wished port was taken and another one is used."""


class _InFlight:
    """Counts the requests that are being answered."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = anyio.Event()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count one request while it lasts."""
        self._count += 1
        try:
            return await handler(request)
        finally:
            self._count -= 1
            if self._count == 0:
                self._idle.set()

    async def wait_idle(self) -> None:
        """Return once nothing is being answered."""
        while self._count:
            self._idle = anyio.Event()
            await self._idle.wait()


_IN_FLIGHT = web.AppKey("in_flight", _InFlight)


def create_app(deps: ApiDeps, responses: ResponseParts | None = None) -> web.Application:
    """Put the application together. Does no I/O."""
    app = web.Application(client_max_size=deps.settings.max_body_bytes)
    app[DEPS] = deps
    if responses is not None:
        app[RESPONSES] = responses
    app[OPEN_STREAMS] = OpenStreams()
    app[_IN_FLIGHT] = in_flight = _InFlight()
    permissions = add_routes(app)
    door = Door(deps.keys, deps.clock, deps.settings.allow_remote_without_keys)
    app[VISITS] = Visits(door.is_welcome)
    app.middlewares.extend((in_flight.count, border, make_guard(door, permissions)))
    app.on_response_prepare.extend((add_headers, add_challenge))
    return app


class HttpServer:
    """An application on a socket."""

    def __init__(self, app: web.Application, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._runner: web.AppRunner | None = None
        self._bound: Bound | None = None

    @property
    def address(self) -> str:
        """Where the server answers; empty before `open`."""
        return "" if self._bound is None else self._bound.address

    async def open(self) -> Bound:
        """Bind and answer from now on. Takes a following port if the wished one is taken.

        Raises SettingsInvalid where the address cannot be bound.
        """
        assert self._runner is None
        runner = web.AppRunner(
            self._app,
            handle_signals=False,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_S,
            shutdown_timeout=_CANCEL_S,
        )
        await runner.setup()
        try:
            self._bound = await self._bind(runner)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        return self._bound

    async def watch_forever(self) -> None:
        """End the requests whose key goes while they are answered. For the app's task group."""
        await self._app[VISITS].watch_forever()

    async def aclose(self, grace_s: float) -> None:
        """Take no more connections, let requests end within the grace, then cancel the rest. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is None:
            return

        for site in list(runner.sites):
            await site.stop()
        self._app[OPEN_STREAMS].close()
        with anyio.move_on_after(grace_s):
            await self._app[_IN_FLIGHT].wait_idle()
        await runner.cleanup()

    async def _bind(self, runner: web.AppRunner) -> Bound:
        wished = self._settings.port
        tries = 1 if wished == 0 else PORT_TRIES
        for port in range(wished, min(wished + tries, 65536)):
            site = web.TCPSite(runner, self._settings.host, port, backlog=_BACKLOG)
            try:
                await site.start()
            except OSError as problem:
                if problem.errno != errno.EADDRINUSE:
                    raise self._cannot_bind(port, problem) from problem
                continue

            actual = site.port
            return Bound(self._url(actual), actual, is_moved=wished not in (0, actual))

        raise SettingsInvalid(
            f"server.port: the ports {wished} to {min(wished + tries, 65536) - 1} on {self._settings.host} "
            "are all taken. Set another one in lar.toml, or stop what uses them."
        )

    def _url(self, port: int) -> str:
        host = _WILDCARDS.get(self._settings.host, self._settings.host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _cannot_bind(self, port: int, problem: OSError) -> SettingsInvalid:
        host = self._settings.host
        fix = (
            "Use a port from 1024 on."
            if problem.errno == errno.EACCES
            else "Set another address in lar.toml."
        )
        where = "server.port" if is_loopback(host) else "server.host"
        return SettingsInvalid(
            f"{where}: cannot listen on {host}:{port} ({problem.strerror or problem}). {fix}"
        )
