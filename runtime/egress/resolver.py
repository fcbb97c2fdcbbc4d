"""Turns host names into addresses that the perimeter allows; the connection goes to these and no others.

There is one look-up per connection, so a name cannot mean one address when it is judged and another after.
"""

import socket
from collections.abc import Awaitable, Callable

import anyio
from aiohttp.abc import AbstractResolver, ResolveResult

from runtime.core.fetching import FetchFault, Reach
from runtime.egress.addresses import Perimeter

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""From a host name and a port to its addresses, in order; raises `OSError` where there are none."""


class Denied(Exception):
    """Carries a fault out of the middle of a request."""

    def __init__(self, fault: FetchFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


async def system_lookup(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedResolver(AbstractResolver):
    """Gives aiohttp the checked addresses of a host, or raises `Denied`."""

    def __init__(self, perimeter: Perimeter, lookup: Lookup) -> None:
        self._perimeter = perimeter
        self._lookup = lookup

    async def checked(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, all of them allowed."""
        addresses = await self._found(host, port)
        fault = self._perimeter.judge(host, port, addresses)
        if fault is not None:
            raise Denied(fault)
        return addresses

    async def named(self, host: str, port: int, reach: Reach) -> list[str]:
        """Return the addresses of a host that a definition names, all of them allowed."""
        addresses = await self._found(host, port)
        fault = self._perimeter.judge_named(host, port, addresses, reach)
        if fault is not None:
            raise Denied(fault)
        return addresses

    async def _found(self, host: str, port: int) -> list[str]:
        addresses = await self._lookup(host, port)
        if not addresses:
            raise OSError(f"{host} has no address")
        return addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a host for one connection."""
        found = [_result(host, address, port) for address in await self.checked(host, port)]
        return [result for result in found if family in (socket.AF_UNSPEC, result["family"])]

    async def close(self) -> None:
        """Hold nothing, so nothing to let go."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
