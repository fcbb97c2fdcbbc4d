"""From a server's definition to what the SDK's client connects to. References to secrets are resolved here.

A remote answer has a bounded size like a local one: its body is counted as it comes.
"""

import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread
import httpx2
import mcp.types as wire
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from runtime.core.fetching import HostFinder
from runtime.core.version import __version__
from runtime.mcp.config import ConfigInvalid, ServerEntry
from runtime.mcp.naming import file_stem
from runtime.mcp.noticing import NoticingStream
from runtime.mcp.perimeter import JudgedTransport, Named
from runtime.mcp.sandbox import Confinement, Place, confine
from runtime.mcp.stderr_log import StderrLog
from runtime.mcp.stdio import Launch, inherited, run_server
from runtime.mcp.variables import VariableMissing, expand

logging.getLogger("httpx2").setLevel(logging.WARNING)  # else it writes every address, with its secrets
CLIENT = wire.Implementation(name="lar", version=__version__)
Sign = Callable[[str], Awaitable[Any]]
"""Given a server's address, returns the authentication of requests to it, or None."""


class Outside(NamedTuple):
    """How remote servers are reached."""

    hosts: HostFinder
    sign: Sign


OWN_HOMES = Path("mcp") / "homes"
_LINE_FACTOR = 2
"""JSON writes some characters with more bytes than they have."""
_LINE_BYTES = 4 * 1024 * 1024
"""At least so much may be read at once, since lists of tools are long as well."""
_HTTP_S = 30.0
"""To connect, and for a piece to be sent."""
_SILENCE_S = 3600.0
"""A stream without a word for so long is dead; calls have limits of their own."""


async def connection(
    entry: ServerEntry,
    home: Path,
    log: StderrLog,
    confinement: Confinement,
    outside: Outside,
    on_end: Callable[[], None],
) -> AbstractAsyncContextManager[Any]:
    """Return a fresh transport to a server. Raises ConfigInvalid where a reference leads nowhere."""
    if entry.fault:
        raise ConfigInvalid(entry.fault)
    if entry.transport == "stdio":
        return run_server(await anyio.to_thread.run_sync(launch_of, entry, home, log, confinement, on_end))
    return remote_transport(entry, outside, on_end)


def limit_bytes(entry: ServerEntry) -> int:
    """Return how long one message of the server may be."""
    return max(_LINE_BYTES, entry.config.max_result_bytes * _LINE_FACTOR)


def launch_of(
    entry: ServerEntry, home: Path, log: StderrLog, confinement: Confinement, on_end: Callable[[], None]
) -> Launch:
    """Return how a local server is started. Raises ConfigInvalid."""
    config, known = entry.config, os.environ
    environment = inherited(known)
    if config.env_file:
        environment |= _read_variables(_path(_resolve(entry, "envFile", config.env_file, known), home), entry)
    environment |= {name: _resolve(entry, f"env.{name}", value, known) for name, value in config.env.items()}
    folder = home
    if config.cwd:
        folder = _path(_resolve(entry, "cwd", config.cwd, known), home)
    command = [
        _resolve(entry, "command", config.command or "", known),
        *(_resolve(entry, "args", each, known) for each in config.args),
    ]
    place = Place(home, home / OWN_HOMES / file_stem(entry.name), folder)
    return Launch(
        command=confine(command, place, config.sandbox, confinement, environment),
        environment=environment,
        folder=folder,
        log=log,
        max_line_bytes=limit_bytes(entry),
        on_end=on_end,
    )


def shown_target(entry: ServerEntry) -> str:
    """Return the command line or the address, without what may be secret."""
    if entry.config.command:
        return " ".join([entry.config.command, *entry.config.args])
    url = entry.config.url or ""
    scheme, _, rest = url.partition("://")
    host = rest.partition("?")[0].rpartition("@")[2]
    return f"{scheme}://{host}" if rest else url


@asynccontextmanager
async def remote_transport(
    entry: ServerEntry, outside: Outside, on_end: Callable[[], None]
) -> AsyncGenerator[Any, None]:
    """Speak to a remote server while the context lasts. Raises ConfigInvalid, and what connecting raises."""
    config, environment, most_bytes = entry.config, os.environ, limit_bytes(entry)
    url = _resolve(entry, "url", config.url or "", environment)
    headers = {
        name: _resolve(entry, f"headers.{name}", value, environment) for name, value in config.headers.items()
    }

    tls = await anyio.to_thread.run_sync(httpx2.create_ssl_context)  # reads the system's certificates
    issuer = "" if config.oauth is None else config.oauth.issuer or ""
    hosts = {httpx2.URL(each).raw_host.decode("ascii").lower() for each in (url, issuer)}

    own_auth = None if "authorization" in map(str.lower, headers) else await outside.sign(url)

    def client(
        headers: dict[str, str] | None = headers,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers=headers,
            timeout=timeout or httpx2.Timeout(_HTTP_S, read=_SILENCE_S),
            auth=auth or own_auth,
            transport=_Counting(
                JudgedTransport(outside.hosts, Named(hosts, entry.reach), tls),
                most_bytes,
                is_signed=(auth or own_auth) is not None,
            ),
        )

    try:
        if entry.transport == "sse":
            async with sse_client(url, headers, sse_read_timeout=_SILENCE_S, httpx_client_factory=client) as (
                incoming,
                outgoing,
            ):
                yield NoticingStream(incoming, on_end), outgoing
        else:
            async with (
                client() as opened,
                streamable_http_client(url, http_client=opened, max_sse_event_size=most_bytes) as (
                    incoming,
                    outgoing,
                ),
            ):
                yield NoticingStream(incoming, on_end), outgoing
    finally:
        on_end()


class _Counting(httpx2.AsyncBaseTransport):
    """Lets answers through that are short enough; streams of events are counted by event elsewhere."""

    def __init__(self, below: httpx2.AsyncBaseTransport, most_bytes: int, *, is_signed: bool) -> None:
        self._below = below
        self._most_bytes = most_bytes
        self._is_signed = is_signed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._below.handle_async_request(request)
        if response.status_code in (401, 403) and not self._is_signed:
            # The SDK would only say that something went wrong; with a login, it answers such a response.
            await response.aclose()
            raise httpx2.HTTPStatusError("not let in", request=request, response=response)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Counted(response.stream, self._most_bytes)
        return response

    async def aclose(self) -> None:
        await self._below.aclose()


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, below: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._below = below
        self._left = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._below:
            self._left -= len(piece)
            if self._left < 0:
                raise httpx2.ReadError("the answer is longer than may be read")
            yield piece

    async def aclose(self) -> None:
        await self._below.aclose()


def _resolve(entry: ServerEntry, field: str, text: str, environment: Mapping[str, str]) -> str:
    try:
        return expand(text, environment)
    except VariableMissing as problem:
        raise ConfigInvalid(f"{entry.origin}: {entry.name}: {field}: {problem}.") from problem


def _path(text: str, home: Path) -> Path:
    return home / Path(text).expanduser()


def _read_variables(path: Path, entry: ServerEntry) -> dict[str, str]:
    """Return the lines NAME=VALUE of a file. Raises ConfigInvalid."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        message = f"{entry.origin}: {entry.name}: envFile: {path} cannot be read: {problem}."
        raise ConfigInvalid(message) from problem

    found = {}
    for line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found
