"""Secrets in the database: sealed with a key that lies elsewhere, and never with another one unasked."""

from pathlib import Path

import pytest

from runtime.core.errors import SecretsLocked
from runtime.mcp.secret_box import CHECK_FILE, KEY_FILE, HomeSecretBox
from tests.unit.mcp.test_vault_keyring import Ring, ring

__all__ = ["ring"]

SECRET = "whsec_c2VjcmV0"


async def test_a_secret_is_opened_by_another_server_over_the_same_home(ring: Ring, tmp_path: Path) -> None:
    sealed = await HomeSecretBox(tmp_path).seal(SECRET)

    assert SECRET not in sealed
    assert HomeSecretBox(tmp_path).is_sealed(sealed)
    assert await HomeSecretBox(tmp_path).open(sealed) == SECRET
    assert len(ring.kept) == 1
    assert not (tmp_path / KEY_FILE).exists()


async def test_what_was_kept_before_secrets_were_sealed_comes_as_it_is(tmp_path: Path) -> None:
    box = HomeSecretBox(tmp_path)

    assert not box.is_sealed(SECRET)
    assert await box.open(SECRET) == SECRET
    assert not (tmp_path / CHECK_FILE).exists()


async def test_without_a_keyring_the_key_is_a_file_of_the_owners_own(ring: Ring, tmp_path: Path) -> None:
    ring.priority = 0

    sealed = await HomeSecretBox(tmp_path).seal(SECRET)

    assert await HomeSecretBox(tmp_path).open(sealed) == SECRET
    for each in (KEY_FILE, CHECK_FILE):
        assert (tmp_path / each).stat().st_mode & 0o077 == 0


async def test_a_locked_keyring_is_told_for_a_while_and_asked_again(ring: Ring, tmp_path: Path) -> None:
    sealed = await HomeSecretBox(tmp_path).seal(SECRET)
    ring.is_locked = True
    now = [100.0]
    box = HomeSecretBox(tmp_path, lambda: now[0])

    with pytest.raises(SecretsLocked, match=r"the collection is locked.*Unlock it"):
        await box.open(sealed)
    ring.is_locked = False
    with pytest.raises(SecretsLocked):  # a keyring is not asked for each of many calls
        await box.open(sealed)
    now[0] += 10.0
    assert await box.open(sealed) == SECRET
    assert not (tmp_path / KEY_FILE).exists()


async def test_another_key_is_told_and_nothing_is_sealed_with_it(ring: Ring, tmp_path: Path) -> None:
    await HomeSecretBox(tmp_path).seal(SECRET)
    ring.kept.clear()

    with pytest.raises(SecretsLocked, match=r"the key is another one. Put the former key back"):
        await HomeSecretBox(tmp_path).seal(SECRET)
