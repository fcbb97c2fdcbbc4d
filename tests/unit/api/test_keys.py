"""API keys: what is stored, who is found, and what happens to a damaged file."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.api.keys import Key, KeyRefused, KeyStore, KeysUnreadable
from runtime.core.gate.principals import OWNER
from runtime.core.ids import LOCAL_TENANT, TenantId
from tests.kit.clock import FakeClock


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> KeyStore:
    return KeyStore(tmp_path / "home" / "keys.json", clock)


def test_a_new_key_opens_the_door_with_its_role(store: KeyStore) -> None:
    secret = store.create("laptop", "operator")

    found = store.find(secret)
    assert found is not None
    assert found.role == "operator"
    assert found.id == store.list_keys()[0].id
    assert store.has_any()


def test_secrets_are_long_random_and_not_stored(store: KeyStore, tmp_path: Path) -> None:
    secrets = {store.create(f"k{each}", "user") for each in range(3)}
    stored = (tmp_path / "home" / "keys.json").read_text()

    assert len(secrets) == 3
    for secret in secrets:
        assert secret.startswith("lar-")
        assert len(secret) == 4 + 43
        assert secret not in stored
        assert hashlib.sha256(secret.encode()).hexdigest() in stored


def test_the_file_is_for_its_owner_only_and_nothing_half_made_is_left(
    store: KeyStore, tmp_path: Path
) -> None:
    previous = os.umask(0)
    try:
        store.create("a", "user")
    finally:
        os.umask(previous)

    assert (tmp_path / "home" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in (tmp_path / "home").iterdir()) == ["keys.json", "keys.json.lock"]


@pytest.mark.parametrize("wrong", ["", "lar-", "x", "Bearer", "lar-" + "A" * 43, "\udcff"])
def test_a_wrong_secret_finds_nobody(store: KeyStore, wrong: str) -> None:
    secret = store.create("a", "user")

    assert store.find(wrong) is None
    assert store.find(secret[:-1]) is None
    assert store.find(secret + "x") is None


def test_every_stored_hash_is_compared(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [store.create(f"k{each}", "user") for each in range(4)]
    compared: list[str] = []

    def compare(left: str, right: str) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr("runtime.api.keys.hmac.compare_digest", compare)

    assert store.find(secrets[0]) is not None
    assert store.find("nobody") is None
    assert len(compared) == 8


def test_a_revoked_key_is_gone_at_once_and_by_name_too(store: KeyStore) -> None:
    first, second = store.create("a", "user"), store.create("b", "user")

    assert store.revoke(store.list_keys()[0].id)
    assert store.find(first) is None
    assert store.revoke("b")
    assert store.find(second) is None
    assert not store.revoke("b")
    assert not store.has_any()


def test_what_a_key_began_stands_until_it_is_revoked(store: KeyStore) -> None:
    principal = store.find(store.create("laptop", "user"))
    assert principal is not None
    assert store.holds(principal)

    store.revoke("laptop")
    assert not store.holds(principal)
    assert store.holds(OWNER)


def test_another_process_sees_the_change_after_a_reload(store: KeyStore, tmp_path: Path) -> None:
    server = KeyStore(tmp_path / "home" / "keys.json")
    server.reload()
    secret = store.create("a", "user")

    assert server.find(secret) is None
    server.reload()
    assert server.find(secret) is not None
    store.revoke("a")
    server.reload()
    assert server.find(secret) is None


def test_two_stores_do_not_lose_each_others_keys(store: KeyStore, tmp_path: Path) -> None:
    other = KeyStore(tmp_path / "home" / "keys.json")
    store.create("a", "user")
    other.create("b", "user")
    store.create("c", "user")

    assert [each.name for each in other.list_keys()] == ["a", "b", "c"]


def test_keys_made_at_the_same_time_are_all_kept(store: KeyStore, tmp_path: Path) -> None:
    def create(number: int) -> None:
        KeyStore(tmp_path / "home" / "keys.json").create(f"k{number}", "user")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(create, range(32)))

    assert len(store.list_keys()) == 32


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\nb"])
def test_a_bad_name_is_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(KeyRefused):
        store.create(name, "user")


def test_a_taken_name_is_refused(store: KeyStore) -> None:
    store.create("a", "user")

    with pytest.raises(KeyRefused, match="exists"):
        store.create("a", "operator")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version": 2, "keys": []}', b'{"keys": []}', b"\xff", b"[" * 100_000],
)
def test_a_damaged_file_is_an_error_and_never_no_keys(
    store: KeyStore, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "home" / "keys.json"
    path.parent.mkdir()
    path.write_bytes(content)

    for ask in (store.reload, store.list_keys, lambda: store.create("a", "user"), lambda: store.revoke("a")):
        with pytest.raises(KeysUnreadable, match=r"keys\.json"):
            ask()
    assert path.read_bytes() == content


def test_a_file_damaged_later_is_an_error_at_every_look(store: KeyStore, tmp_path: Path) -> None:
    store.create("a", "user")
    (tmp_path / "home" / "keys.json").write_bytes(b"oops")

    for _ in range(2):
        with pytest.raises(KeysUnreadable):
            store.reload()


def test_an_entry_tells_what_its_owner_needs(store: KeyStore, clock: FakeClock) -> None:
    secret = store.create("a", "user")

    key = store.list_keys()[0]
    assert isinstance(key, Key)
    assert (key.name, key.role, key.created, key.last4) == ("a", "user", int(clock.now()), secret[-4:])


def test_the_owners_secret_opens_without_being_a_key(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.json")
    secret = store.issue_owner_secret()

    assert store.find(secret) == OWNER
    assert store.find("lar-other") is None
    assert not store.has_any()
    assert not (tmp_path / "keys.json").exists()


def test_a_key_opens_the_tenant_that_it_was_made_for(store: KeyStore, tmp_path: Path) -> None:
    local, other = store.create("a", "user"), store.create("b", "operator", TenantId("team-7"))

    mine, theirs = store.find(local), store.find(other)
    assert mine is not None
    assert theirs is not None
    assert (mine.tenant, theirs.tenant) == (LOCAL_TENANT, "team-7")
    reread = KeyStore(tmp_path / "home" / "keys.json")
    assert [each.tenant for each in reread.list_keys()] == [LOCAL_TENANT, "team-7"]


def test_a_key_of_the_own_tenant_is_stored_as_it_always_was(store: KeyStore, tmp_path: Path) -> None:
    store.create("a", "user")

    assert "tenant" not in (tmp_path / "home" / "keys.json").read_text()


@pytest.mark.parametrize("tenant", ["", "A", "a b", "../a", "-a", "a" * 65, "é", "a\n"])
def test_a_bad_tenant_is_refused(store: KeyStore, tenant: str) -> None:
    with pytest.raises(KeyRefused, match="tenant"):
        store.create("a", "user", TenantId(tenant))
