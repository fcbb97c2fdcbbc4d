"""What is sealed can be opened by who sealed it, for the same kind and tenant, and by nobody else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.errors import Refused
from runtime.api.responses.sealing import KEY_FILE, Sealer, load_sealer
from runtime.core.errors import StoreDamaged
from runtime.core.ids import LOCAL_TENANT, TenantId
from tests.kit.responses import SEALER


@given(st.text())
def test_what_is_sealed_is_opened_as_it_was(text: str) -> None:
    sealed = SEALER.seal("reasoning", LOCAL_TENANT, text)

    assert SEALER.open("reasoning", LOCAL_TENANT, sealed, "p") == text
    assert SEALER.seal("reasoning", LOCAL_TENANT, text) == sealed
    assert not text or len(text) < 4 or text not in sealed


@given(st.text(max_size=20), st.data())
def test_what_is_changed_anywhere_is_refused(text: str, data: st.DataObject) -> None:
    sealed = SEALER.seal("compaction", LOCAL_TENANT, text)
    place = data.draw(st.integers(0, len(sealed) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_=.é ").filter(lambda each: each != sealed[place]))

    changed = sealed[:place] + letter + sealed[place + 1 :]

    code: str | None = None
    opened = text  # the last letter of base64 may have bits that say nothing
    try:
        opened = SEALER.open("compaction", LOCAL_TENANT, changed, "p")
    except Refused as refused:
        code = refused.refusal.code
    assert opened == text
    assert code in (None, "invalid_encrypted_content")
    assert code is not None or place == len(sealed) - 1 or sealed.endswith("=")


@given(st.text())
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        SEALER.open("reasoning", LOCAL_TENANT, text, "input[0].encrypted_content")


def test_kind_tenant_and_home_are_part_of_the_seal() -> None:
    sealed = SEALER.seal("reasoning", LOCAL_TENANT, "x")

    with pytest.raises(Refused):
        SEALER.open("compaction", LOCAL_TENANT, sealed, "p")
    with pytest.raises(Refused):
        SEALER.open("reasoning", TenantId("other"), sealed, "p")
    with pytest.raises(Refused):
        Sealer(bytes(64)).open("reasoning", LOCAL_TENANT, sealed, "p")


def test_a_home_keeps_its_key_to_itself(tmp_path: Path) -> None:
    sealed = load_sealer(tmp_path).seal("reasoning", LOCAL_TENANT, "x")

    assert load_sealer(tmp_path).open("reasoning", LOCAL_TENANT, sealed, "p") == "x"
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0


def test_a_damaged_key_is_told_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"short")

    with pytest.raises(StoreDamaged, match="is no key"):
        load_sealer(tmp_path)
