"""Who may knock: the pure rules about Host, Origin and the address that the server binds.

A browser carries its owner's network with it: any page may send requests to the loopback, and a name that
an attacker controls may be pointed at it (DNS rebinding). Hence both headers are checked on every request.
"""

import ipaddress
from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlsplit

from runtime.core.errors import SettingsInvalid
from runtime.core.settings import ServerSettings

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

OriginRule = Literal["none", "same", "allowed", "refused"]
"""none: no browser · same: our own page · allowed: by the settings, answered with CORS headers."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host.lower() == "localhost":
        return True

    address = _address_of(host)
    return address is not None and address.is_loopback


def check_bind(settings: ServerSettings, has_keys: bool) -> None:
    """Refuse to serve a network that needs no key. Raises SettingsInvalid."""
    if is_loopback(settings.host) or has_keys or settings.allow_remote_without_keys:
        return

    raise SettingsInvalid(
        f"server.host is '{settings.host}', which other machines can reach, and no API key exists, so that "
        "everybody there would own this Lar. Create a key with 'lar keys create', or bind 127.0.0.1, or set "
        "server.allow_remote_without_keys = true in lar.toml if the network is yours alone."
    )


def is_host_allowed(header: str | None, settings: ServerSettings) -> bool:
    """Whether a Host header names us: a local name, the bound host, or one of `allowed_hosts`.

    A server that is bound beyond the loopback also answers to any address in digits: rebinding needs a
    name, and which of its addresses a machine is known by it may not know itself (containers).
    """
    name = host_of(header)
    if name is None:
        return False

    if name in _LOCAL_NAMES or name == settings.host.lower():
        return True

    if name in {allowed.lower() for allowed in settings.allowed_hosts}:
        return True

    return not is_loopback(settings.host) and _address_of(name) is not None


def decide_origin(origin: str | None, host: str | None, allowed: Iterable[str]) -> OriginRule:
    """Say what an Origin header means for a request whose Host header was allowed."""
    if origin is None:
        return "none"

    if origin.lower() in {each.lower().rstrip("/") for each in allowed}:
        return "allowed"

    try:
        parts = urlsplit(origin)
    except ValueError:
        return "refused"
    is_page = parts.scheme in ("http", "https") and bool(parts.netloc)
    if is_page and host is not None and parts.netloc.lower() == host.lower():
        return "same"

    return "refused"


def host_of(header: str | None) -> str | None:
    """Return the name in a Host header, without port and brackets, in lower case; None if it is none."""
    if not header or any(each in header for each in "/@?#\\ "):
        return None

    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
