"""The rules of the perimeter, pure: which URLs, hosts, ports and addresses may be reached.

Whatever is not public is refused unless the settings grant it by host name or by network. A rule answers
with the fault that the asker is told, or with None.
"""

import ipaddress
import re
from collections.abc import Sequence

from yarl import URL

from runtime.core.errors import SettingsInvalid
from runtime.core.fetching import FetchFault, Reach

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOW_PORTS = 1024
_WEB_PORTS = frozenset({80, 443})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = (
    ipaddress.IPv4Network("100.64.0.0/10"),  # shared by the customers of one carrier
    ipaddress.IPv4Network("168.63.129.16/32"),  # the host of a cloud machine, seen from inside
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # NAT64 with a prefix of one's own
    ipaddress.IPv6Network("2001::/23"),
    ipaddress.IPv6Network("3fff::/20"),
    ipaddress.IPv6Network("5f00::/16"),
)
"""What some versions of `ipaddress` take for public."""
_TELLS_SECRETS: tuple[Network, ...] = (
    ipaddress.IPv4Network("169.254.0.0/16"),
    ipaddress.IPv6Network("fe80::/10"),
    ipaddress.IPv4Network("168.63.129.16/32"),
    ipaddress.IPv4Network("100.100.100.200/32"),
    ipaddress.IPv6Network("fd00:ec2::254/128"),
)
"""Where the metadata services of clouds answer, which give a machine's credentials to whoever asks on it."""

_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)
_MOST_HOST_CHARACTERS = 253


def refusal(message: str) -> FetchFault:
    """Build the fault for what the perimeter forbids."""
    return FetchFault(code="refused", message=message)


def plain_host(host: str) -> str:
    """Return a host as it is compared: lower case, ASCII, without brackets and without the root's dot."""
    host = host.strip().removeprefix("[").removesuffix("]").removesuffix(".").lower()
    if host.isascii():
        return host
    return (URL.build(scheme="http", host=host).raw_host or "").removesuffix(".")


def literal(host: str) -> Address | None:
    """Read a host that is an address in its plain spelling; None for names and for other spellings."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_odd_spelling(host: str) -> bool:
    """Say whether a host would be read as a number by some resolvers, but is no plainly written address."""
    return literal(host) is None and (":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None)


def carried(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to (mapped, NAT64, 6to4), else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Say whether an address lies in the open internet, whatever it is wrapped in."""
    address = carried(address)
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    closed = address.is_private or address.is_loopback or address.is_link_local or address.is_unspecified
    return not (closed or address.is_multicast or address.is_reserved) and address.is_global


def is_this_machine(host: str, addresses: Sequence[str]) -> bool:
    """Say whether a host is this machine, by its address or a name that cannot be another's."""
    plain = plain_host(host)
    address = literal(plain)
    is_own = address.is_loopback if address else plain == "localhost" or plain.endswith(".localhost")
    found = [literal(each) for each in addresses]
    return is_own and all(each is not None and each.is_loopback for each in found)


def judge_redirect(before: URL, after: URL) -> FetchFault | None:
    """Judge the step from one URL to the next, each of which is allowed by itself."""
    if (before.scheme, after.scheme) != ("https", "http"):
        return None
    return refusal(
        f"{before.raw_host} redirects from https to http, where anybody on the way can read and change"
        " the answer; give an https address that does not"
    )


class Perimeter:
    """What may be reached: all that is public, and what `private` names as well."""

    def __init__(self, private: Sequence[str] = ()) -> None:
        self._names: set[str] = set()
        self._networks: list[Network] = []
        for entry in private:
            self._grant(entry)

    def _grant(self, entry: str) -> None:
        network = _read_network(entry)
        if network is not None:
            self._networks.append(network)
            return
        name = _read_name(entry)
        if not name:
            raise SettingsInvalid(
                f"recall.private_addresses: {entry!r} is neither a host name nor a network; write a name"
                " without scheme and port (wiki.home.arpa) or a network (192.168.1.0/24)"
            )
        self._names.add(name)

    def grants_name(self, host: str) -> bool:
        """Say whether a host is granted by its name."""
        return plain_host(host) in self._names

    def grants_address(self, address: Address) -> bool:
        """Say whether an address lies in a granted network, itself or by what it leads to."""
        return any(one in network for network in self._networks for one in (address, carried(address)))

    def judge_url(self, url: URL) -> FetchFault | None:
        """Judge all that a URL says by itself; the addresses of a name are judged when they are known."""
        if url.scheme not in ("http", "https"):
            return refusal(
                f"Lar fetches http and https only, not {url.scheme or 'a path'}: give a full web address"
            )
        if url.raw_user is not None or url.raw_password is not None:
            return refusal(
                f"the address for {url.raw_host} carries a user or password, which would end up in logs;"
                " take them out and give a token instead"
            )
        return self.judge_host(url.raw_host or "", url.port or 0)

    def judge_host(self, host: str, port: int) -> FetchFault | None:
        """Judge a host before it is resolved; an address is judged at once."""
        if not 0 < port < 65536:
            return refusal(f"port {port} cannot be reached; give one from 1 to 65535")
        try:
            plain = plain_host(host)
        except ValueError:
            plain = ""
        if is_odd_spelling(plain):
            return refusal(f"{host} is no plainly written address; write it like 192.0.2.1 or [2001:db8::1]")
        if literal(plain) is not None:
            return self.judge(plain, port, [plain])
        if not _is_name(plain):
            return refusal(f"{host[:80]!r} is no host name; check the address")
        return None

    def judge(self, host: str, port: int, addresses: Sequence[str]) -> FetchFault | None:
        """Judge where a host really is; one address that is not allowed refuses them all."""
        if self.grants_name(host):
            return None
        for text in addresses:
            address = literal(text)
            if address is None:
                return _no_address(host, text)
            fault = self._judge_address(host, port, address)
            if fault is not None:
                return fault
        return None

    def judge_named(self, host: str, port: int, addresses: Sequence[str], reach: Reach) -> FetchFault | None:
        """Judge where a host is that a definition names; one address that is not allowed refuses them all."""
        may_be_inside = reach == "anywhere" or (reach == "this_machine" and is_this_machine(host, addresses))
        if not may_be_inside:
            return self.judge(host, port, addresses)
        if self.grants_name(host):
            return None
        for text in addresses:
            address = literal(text)
            if address is None:
                return _no_address(host, text)
            tells_secrets = any(carried(address) in network for network in _TELLS_SECRETS)
            if tells_secrets and not self.grants_address(address):
                return refusal(
                    f"{_place(host, address)} is where machines give out their secrets (link-local, or a"
                    " cloud's metadata service); if it really is a server of yours, add"
                    f" {host} to recall.private_addresses in lar.toml"
                )
        return None

    def _judge_address(self, host: str, port: int, address: Address) -> FetchFault | None:
        if self.grants_address(address):
            return None
        if not is_public(address):
            return refusal(
                f"{_place(host, address)} is not a public address, and no rule grants it; if you trust it,"
                f" add {host} or its network to recall.private_addresses in lar.toml"
            )
        if port < _LOW_PORTS and port not in _WEB_PORTS:
            return refusal(
                f"port {port} of {host} belongs to another kind of service (mail, shell, files), which a web"
                f" request could be made to command; use 80, 443 or one from 1024 on, or add {host} to"
                " recall.private_addresses in lar.toml"
            )
        return None


def _place(host: str, address: Address) -> str:
    return host if host == str(address) else f"{host} ({address})"


def _no_address(host: str, text: str) -> FetchFault:
    return refusal(f"{host} leads to {text!r}, which is no address; check the name service")


def _is_name(host: str) -> bool:
    return len(host) <= _MOST_HOST_CHARACTERS and ".." not in host and _HOST.fullmatch(host) is not None


def _read_network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry.strip().strip("[]"), strict=False)
    except ValueError:
        return None


def _read_name(entry: str) -> str:
    """Return a granted name as hosts are compared, empty if it is none."""
    try:
        name = plain_host(entry)
    except ValueError:
        return ""
    return name if _is_name(name) and not is_odd_spelling(name) else ""
