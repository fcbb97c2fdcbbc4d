"""The rules about Host, Origin and the bound address."""

import pytest

from runtime.api.access import check_bind, decide_origin, host_of, is_host_allowed, is_loopback
from runtime.core.errors import SettingsInvalid
from runtime.core.settings import ServerSettings

LOCAL = ServerSettings()
LAN = ServerSettings(host="0.0.0.0", allowed_hosts=("Lar.example",))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_a_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    check_bind(ServerSettings(host=host), has_keys=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "lar.example"])
def test_a_network_needs_a_key_or_an_explicit_word(host: str) -> None:
    with pytest.raises(SettingsInvalid, match="lar keys create"):
        check_bind(ServerSettings(host=host), has_keys=False)

    check_bind(ServerSettings(host=host), has_keys=True)
    check_bind(ServerSettings(host=host, allow_remote_without_keys=True), has_keys=False)


@pytest.mark.parametrize(
    ("header", "settings", "is_allowed"),
    [
        ("localhost:8080", LOCAL, True),
        ("127.0.0.1", LOCAL, True),
        ("[::1]:8080", LOCAL, True),
        ("LocalHost", LOCAL, True),
        ("evil.example", LOCAL, False),
        ("localhost.evil.example", LOCAL, False),
        ("127.0.0.1.evil.example", LOCAL, False),
        ("10.0.0.5:8080", LOCAL, False),
        ("evil.example@localhost", LOCAL, False),
        ("localhost/x", LOCAL, False),
        ("", LOCAL, False),
        (None, LOCAL, False),
        ("[::1", LOCAL, False),
        ("10.0.0.5:8080", LAN, True),
        ("lar.example:8080", LAN, True),
        ("evil.example", LAN, False),
        ("lar.example", ServerSettings(host="lar.example"), True),
    ],
)
def test_only_our_own_names_are_answered(
    header: str | None, settings: ServerSettings, is_allowed: bool
) -> None:
    assert is_host_allowed(header, settings) == is_allowed


@pytest.mark.parametrize(
    ("origin", "rule"),
    [
        (None, "none"),
        ("http://localhost:8080", "same"),
        ("https://localhost:8080", "same"),
        ("http://localhost:9999", "refused"),
        ("http://evil.example", "refused"),
        ("null", "refused"),
        ("", "refused"),
        ("file://", "refused"),
        ("http://[::1", "refused"),
        ("chrome-extension://localhost:8080", "refused"),
        ("https://app.example", "allowed"),
        ("https://APP.example", "allowed"),
        ("http://app.example", "refused"),
    ],
)
def test_pages_of_other_origins_are_refused(origin: str | None, rule: str) -> None:
    assert decide_origin(origin, "localhost:8080", ("https://app.example/",)) == rule


def test_a_host_header_is_taken_apart() -> None:
    assert host_of("[::1]:80") == "::1"
    assert host_of("A:80") == "a"
