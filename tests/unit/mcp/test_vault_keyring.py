"""The key of the kept tokens in the system's keyring: used where there is one, told where it is locked."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from runtime.mcp.vault import KEY_FILE, Kept, Vault, VaultUnreadable

KEPT = Kept(url="https://example.org/mcp", tokens="{}")


class Ring(ModuleType):
    def __init__(self, priority: float = 5.0) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.priority = priority
        self.is_locked = False

    def get_keyring(self) -> SimpleNamespace:
        return SimpleNamespace(priority=self.priority)

    def get_password(self, service: str, account: str) -> str | None:
        self.check()
        return self.kept.get((service, account))

    def set_password(self, service: str, account: str, password: str) -> None:
        self.check()
        self.kept[service, account] = password

    def check(self) -> None:
        if self.is_locked:
            raise RuntimeError("the collection is locked")


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    ring = Ring()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    return ring


def test_the_key_lies_in_the_keyring_and_nowhere_else(ring: Ring, tmp_path: Path) -> None:
    Vault(tmp_path).keep("mail", KEPT)

    assert len(ring.kept) == 1
    assert not (tmp_path / KEY_FILE).exists()
    assert Vault(tmp_path).find("mail", KEPT.url) == KEPT


def test_a_locked_keyring_is_told_and_its_tokens_come_back_with_it(ring: Ring, tmp_path: Path) -> None:
    Vault(tmp_path).keep("mail", KEPT)
    ring.is_locked = True

    for work in (lambda: Vault(tmp_path).find("mail", KEPT.url), lambda: Vault(tmp_path).keep("post", KEPT)):
        with pytest.raises(VaultUnreadable, match=r"the collection is locked.*Unlock it"):
            work()

    ring.is_locked = False
    assert Vault(tmp_path).find("mail", KEPT.url) == KEPT
    assert not (tmp_path / KEY_FILE).exists()


def test_without_tokens_a_locked_keyring_gives_way_to_a_file(ring: Ring, tmp_path: Path) -> None:
    ring.is_locked = True
    Vault(tmp_path).keep("mail", KEPT)
    ring.is_locked = False

    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
    assert Vault(tmp_path).find("mail", KEPT.url) == KEPT


def test_a_keyring_that_keeps_nothing_is_none(ring: Ring, tmp_path: Path) -> None:
    ring.priority = 0

    Vault(tmp_path).keep("mail", KEPT)

    assert ring.kept == {}
    assert (tmp_path / KEY_FILE).exists()
