"""How remote servers are reached: each host where it was found when it was judged, and nowhere else.

How far inside the hosts of a server's definition may be depends on who has defined it; every other one, to
which the server's metadata point (its authorization server), must be public, or granted by the settings. So
what a server says cannot turn Lar against the network that it stands in.
"""

import ssl
from collections.abc import Collection
from typing import NamedTuple

import anyio
import httpcore2  # noqa: F401 - httpx2 imports it at its first connection, in the middle of the loop
import httpx2

from runtime.core.fetching import FetchFault, HostFinder, Reach

_PORTS = {"http": 80, "https": 443}


class Named(NamedTuple):
    """The hosts that a definition names."""

    hosts: Collection[str]
    """As URLs have them, lower case."""
    reach: Reach


class HostRefused(httpx2.TransportError):
    """A host may not be reached; the message says why."""


class _Place(NamedTuple):
    """Where a host is."""

    addresses: tuple[str, ...]
    transport: httpx2.AsyncBaseTransport
    """Of this host alone: a connection that was proven to be one host's must not serve another."""


class JudgedTransport(httpx2.AsyncBaseTransport):
    """Sends requests to the addresses that were judged, as long as it lives: a name cannot turn elsewhere."""

    def __init__(self, hosts: HostFinder, named: Named, tls: ssl.SSLContext) -> None:
        self._hosts = hosts
        self._named = named
        self._tls = tls
        self._places: dict[tuple[str, int], _Place] = {}
        self._finding = anyio.Lock()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Raises HostRefused, and what connecting raises."""
        host = request.url.raw_host.decode("ascii").lower()
        place = await self._place(host, request.url.port or _PORTS.get(request.url.scheme, 0))
        *first, last = place.addresses
        for address in first:
            try:
                return await place.transport.handle_async_request(_at(request, host, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing was sent; the next address may answer
        return await place.transport.handle_async_request(_at(request, host, last))

    async def aclose(self) -> None:
        """Close all connections."""
        for each in self._places.values():
            await each.transport.aclose()

    async def _place(self, host: str, port: int) -> _Place:
        async with self._finding:
            known = self._places.get((host, port))
            if known is None:
                addresses = _judged(await self._find(host, port))
                known = _Place(addresses, httpx2.AsyncHTTPTransport(verify=self._tls))
                self._places[host, port] = known
            return known

    async def _find(self, host: str, port: int) -> tuple[str, ...] | FetchFault:
        if host in self._named.hosts:
            return await self._hosts.find_named(host, port, self._named.reach)
        return await self._hosts.find_host(host, port)


def _judged(found: tuple[str, ...] | FetchFault) -> tuple[str, ...]:
    if not isinstance(found, FetchFault):
        return found
    raise HostRefused(found.message)


def _at(request: httpx2.Request, host: str, address: str) -> httpx2.Request:
    """Return the request as it goes to one address of its host; the certificate must be the host's."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
