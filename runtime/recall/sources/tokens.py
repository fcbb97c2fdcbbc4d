"""The token that a source names: where it is found, and that nobody on its way can read it.

Over plain http a token is sent to this machine and to the own network alone.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from runtime.core.fetching import FetchFault
from runtime.core.knowledge import DocumentFault, NewSource
from runtime.recall.sources.origin import OriginFailed

FindHost = Callable[[str, int], Awaitable[tuple[str, ...] | FetchFault]]
"""As `core.fetching.Fetcher.find_host`."""
_HTTP_PORT = 80


async def token_of(told: NewSource, environment: Mapping[str, str], find_host: FindHost) -> str | None:
    """Return the token for a look at a place; None where the source names none. Raises OriginFailed."""
    if told.secret is None:
        return None

    token = environment.get(told.secret)
    if not token:
        raise OriginFailed(no_token(told.secret))

    addresses = await _addresses(told.uri, find_host)
    if isinstance(addresses, FetchFault):
        raise OriginFailed(
            DocumentFault(code=addresses.code, message=addresses.message), addresses.retry_after_s
        )
    if _is_readable(addresses):
        raise OriginFailed(readable_on_its_way(told.uri))
    return token


async def is_readable_on_its_way(uri: str, find_host: FindHost) -> bool:
    """Whether a token would cross the internet unencrypted; False where that cannot be told yet."""
    addresses = await _addresses(uri, find_host)
    return not isinstance(addresses, FetchFault) and _is_readable(addresses)


def no_token(secret: str) -> DocumentFault:
    """Say that a token is missing."""
    return DocumentFault(
        code="refused",
        message=f"The server has no environment variable '{secret}', which holds the token of this place. "
        "Set it where the server is started, and start it again.",
    )


def readable_on_its_way(uri: str) -> DocumentFault:
    """Say that a token is not sent over plain http."""
    return DocumentFault(
        code="refused",
        message=f"The token would go to {urlsplit(uri).hostname} by http, where anybody on the way can read "
        "it. Give the https address, or leave 'secret' out.",
    )


async def _addresses(uri: str, find_host: FindHost) -> tuple[str, ...] | FetchFault:
    """Return where an address leads to by plain http; nowhere where it is another one."""
    parts = urlsplit(uri)
    if parts.scheme != "http" or not parts.hostname:
        return ()
    return await find_host(parts.hostname, parts.port or _HTTP_PORT)


def _is_readable(addresses: tuple[str, ...]) -> bool:
    return any(_is_global(each) for each in addresses)


def _is_global(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_global
    return address.is_global
