"""Tests of runtime/egress/addresses.py."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from runtime.core.errors import SettingsInvalid
from runtime.core.fetching import Reach
from runtime.egress.addresses import Perimeter, is_public, judge_redirect

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
ODD = [
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0177.1",
    "0",
    "1.2.3.4.5",
    "0x",
    "256.1.1.1",
]

PRIVATE_NETWORKS = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
]


def code_of(url: str, private: tuple[str, ...] = ()) -> str | None:
    fault = Perimeter(private).judge_url(URL(url))
    return fault.code if fault else None


def in_url(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_passes(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert code_of(in_url(address)) is None


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_public_is_refused_as_literal_and_as_answer(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert code_of(in_url(address)) == "refused"
    fault = Perimeter().judge("example.org", 443, [address])
    assert fault is not None
    assert "recall.private_addresses" in fault.message


@pytest.mark.parametrize("host", ODD)
def test_an_ipv4_address_in_an_odd_spelling_is_refused_even_where_its_network_is_granted(host: str) -> None:
    assert code_of(f"http://{host}/", private=("0.0.0.0/0",)) == "refused"


@pytest.mark.parametrize(
    "url",
    [
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://127\u30020\u30020\u30021/",
        "http://127.0.0.1./",
        "http://\uff10x7f.1/",
    ],
)
def test_other_digits_and_dots_do_not_help(url: str) -> None:
    assert code_of(url) == "refused"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "example.org",
        "http:///x",
        "http://a b/",
        "gopher://example.org:70/",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert code_of(url) == "refused"


def test_credentials_are_refused_without_being_repeated() -> None:
    fault = Perimeter().judge_url(URL("https://anna:secret@example.org/"))
    assert fault is not None
    assert "token" in fault.message
    assert "secret" not in fault.message


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    assert Perimeter().judge("example.org", 443, ["1.1.1.1", "10.0.0.1"]) is not None
    assert Perimeter().judge("example.org", 443, ["10.0.0.1", "1.1.1.1"]) is not None
    assert Perimeter().judge("example.org", 443, ["1.1.1.1", "2606:4700::1111"]) is None


def test_what_is_no_address_refuses_the_host() -> None:
    assert Perimeter().judge("example.org", 443, ["nonsense"]) is not None


@pytest.mark.parametrize(
    ("port", "passes"), [(80, True), (443, True), (8080, True), (22, False), (25, False), (1023, False)]
)
def test_low_ports_other_than_those_of_the_web_are_refused(port: int, passes: bool) -> None:
    fault = Perimeter().judge("example.org", port, ["1.1.1.1"])
    assert (fault is None) is passes
    assert Perimeter(("example.org",)).judge("example.org", port, ["1.1.1.1"]) is None
    assert Perimeter(("1.1.1.0/24",)).judge("example.org", port, ["1.1.1.1"]) is None


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    assert Perimeter(("example.org",)).judge_host("example.org", port) is not None


def test_a_granted_name_opens_its_addresses_and_no_other_name() -> None:
    perimeter = Perimeter(("Wiki.Home.arpa",))
    assert perimeter.judge("wiki.home.ARPA.", 443, ["192.168.1.5"]) is None
    assert perimeter.judge("other.wiki.home.arpa", 443, ["192.168.1.5"]) is not None
    assert code_of("http://192.168.1.5/", ("wiki.home.arpa",)) == "refused"


def test_a_granted_network_opens_its_addresses_and_no_others() -> None:
    private = ("192.168.1.0/24", "fd12::/16", "127.0.0.1")
    for address in ("192.168.1.5", "::ffff:192.168.1.5", "fd12::9", "127.0.0.1"):
        assert code_of(in_url(address), private) is None
    for address in ("192.168.2.5", "fd13::9", "127.0.0.2"):
        assert code_of(in_url(address), private) == "refused"


@pytest.mark.parametrize("entry", ["", "http://wiki", "wiki:80", "10.0.0.0/99", "a b", "127.1", "a/b"])
def test_a_grant_that_is_neither_name_nor_network_is_said(entry: str) -> None:
    with pytest.raises(SettingsInvalid, match="private_addresses"):
        Perimeter((entry,))


@given(st.sampled_from(PRIVATE_NETWORKS), st.data())
def test_no_private_address_passes_in_any_spelling(network: str, data: st.DataObject) -> None:
    block = ipaddress.IPv4Network(network)
    number = int(block.network_address) + data.draw(st.integers(0, block.num_addresses - 1))
    a, b, c, d = number.to_bytes(4, "big")
    spellings = [
        f"{a}.{b}.{c}.{d}",
        f"{a}.{b}.{c * 256 + d}",
        f"{a}.{number & 0xFFFFFF}",
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a:#x}.{b:#X}.{c}.0{d:o}",
        f"[::ffff:{a}.{b}.{c}.{d}]",
        f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[0:0:0:0:0:ffff:{number >> 16:04x}:{number & 0xFFFF:04X}]",
        f"[64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::{data.draw(st.integers(0, 0xFFFF)):x}]",
        f"[::{number >> 16:x}:{number & 0xFFFF:x}]",
    ]
    for host in spellings:
        assert code_of(f"http://{host}/") == "refused", host
        assert Perimeter().judge_host(host, 80) is not None, host


@given(
    st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)
    | st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
)
def test_an_address_that_passes_is_global_and_no_multicast(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if code_of(in_url(str(address))) is None:
        assert is_public(address)
        assert not address.is_multicast
        assert not address.is_loopback


def test_a_step_from_https_to_http_is_refused_and_the_others_are_not() -> None:
    plain, secure = URL("http://example.org/"), URL("https://example.org/")
    assert judge_redirect(secure, plain) is not None
    assert judge_redirect(plain, secure) is None
    assert judge_redirect(secure, secure) is None
    assert judge_redirect(plain, plain) is None


REACHES: tuple[Reach, ...] = ("this_machine", "public")
SECRETIVE = ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "168.63.129.16", "fd00:ec2::254"]
INSIDE = ["10.1.2.3", "192.168.1.2", "100.64.0.1", "fd00::1"]
LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1"]


@pytest.mark.parametrize("reach", ["anywhere", "this_machine", "public"])
@pytest.mark.parametrize("address", SECRETIVE)
def test_no_named_host_may_be_where_machines_give_out_their_secrets(address: str, reach: Reach) -> None:
    fault = Perimeter().judge_named("metadata.test", 80, [address], reach)

    assert fault is not None
    assert "recall.private_addresses" in fault.message
    assert Perimeter(["metadata.test"]).judge_named("metadata.test", 80, [address], reach) is None
    granted = Perimeter(["169.254.0.0/16", "fe80::/10", "168.63.129.16", "fd00:ec2::254"])
    assert granted.judge_named("metadata.test", 80, [address], reach) is None


@pytest.mark.parametrize("address", [*INSIDE, *LOOPBACK, "8.8.8.8"])
def test_a_host_that_a_person_names_may_be_on_this_machine_or_in_its_network(address: str) -> None:
    assert Perimeter().judge_named("server.lan", 80, ["8.8.4.4", address], "anywhere") is None


@pytest.mark.parametrize("address", INSIDE)
def test_other_named_hosts_may_not_be_in_the_network_unless_it_is_granted(address: str) -> None:
    for reach in REACHES:
        assert Perimeter().judge_named("server.lan", 80, ["8.8.4.4", address], reach) is not None
        assert Perimeter([address]).judge_named("server.lan", 80, ["8.8.4.4", address], reach) is None


@pytest.mark.parametrize("address", LOOPBACK)
def test_this_machine_is_reached_by_its_own_names_alone(address: str) -> None:
    for host in (address, "localhost", "LOCALHOST.", "lar.localhost"):
        assert Perimeter().judge_named(host, 80, [address], "this_machine") is None
        assert Perimeter().judge_named(host, 80, [address], "public") is not None
        assert Perimeter().judge_named(host, 80, [address, "10.0.0.1"], "this_machine") is not None
    for host in ("evil.test", "localhost.evil.test", "notlocalhost"):
        assert Perimeter().judge_named(host, 80, [address], "this_machine") is not None


def test_what_is_no_address_is_not_connected_to() -> None:
    assert Perimeter().judge_named("server.lan", 80, ["10.0.0.1", "elsewhere"], "anywhere") is not None
