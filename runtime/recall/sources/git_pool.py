"""The connections of the child that fetches a repository: to the judged addresses of one host, nowhere else.

No proxy, no redirect to another origin. TLS verifies the name of the host, whatever the address.
"""

import socket
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import parse_url

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}


class Elsewhere(Exception):
    """The host leads to another one, or the library would connect to another one."""


def pinned_pools(url: str, addresses: tuple[str, ...], timeout_s: float) -> urllib3.PoolManager:
    """Return connections to the host of a url at these addresses."""
    origin = _origin(url)

    def connect(host: str, port: int) -> socket.socket:
        if (host.strip("[]").lower(), port) != origin[1:]:
            raise Elsewhere(f"a connection to {host}:{port} was asked for")
        return _connect(addresses, port, timeout_s)

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    class Pools(urllib3.PoolManager):
        def urlopen(  # type: ignore[override]  # urllib3 overrides its own base likewise
            self,
            method: str,
            url: str,
            redirect: bool = True,  # noqa: ARG002 - urllib3 names it
            **rest: Any,
        ) -> Any:
            for _ in range(_MOST_REDIRECTS + 1):
                if _origin(url) != origin:
                    raise Elsewhere(f"it leads to {_place(url)}")
                answer = super().urlopen(method, url, redirect=False, **(rest | {"retries": False}))
                target = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or not target:
                    return answer
                answer.close()
                url = urljoin(url, target)
            raise Elsewhere("it redirects without end")

    pools = Pools(cert_reqs="CERT_REQUIRED", headers={"User-Agent": "git/Lar"})
    pools.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return pools


def _connect(addresses: tuple[str, ...], port: int, timeout_s: float) -> socket.socket:
    problem: OSError = OSError("the host has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=timeout_s)
        except OSError as failed:
            problem = failed
    raise problem


def _origin(url: str) -> tuple[str, str, int]:
    parts = parse_url(url)
    scheme = parts.scheme or ""
    return scheme, (parts.host or "").strip("[]").lower(), parts.port or _PORTS.get(scheme, 0)


def _place(url: str) -> str:
    scheme, host, port = _origin(url)
    return f"{scheme}://{host}:{port}"
