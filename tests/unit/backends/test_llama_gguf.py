import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.backends.engines.llama.gguf import WeightsBroken, check_weights

STRING, ARRAY, UINT32 = 8, 9, 4


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(*, version: int = 3, tensors: int = 1) -> bytes:
    entries = [
        text("general.name") + struct.pack("<I", STRING) + text("toy"),
        text("toy.layers") + struct.pack("<II", UINT32, 2),
        text("toy.words") + struct.pack("<IIQ", ARRAY, STRING, 2) + text("a") + text("bc"),
        text("toy.numbers") + struct.pack("<IIQ", ARRAY, UINT32, 3) + bytes(12),
        text("toy.nested") + struct.pack("<IIQIQ", ARRAY, ARRAY, 1, UINT32, 1) + bytes(4),
    ]
    tensor = text("weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, 0)
    start = b"GGUF" + struct.pack("<IQQ", version, tensors, len(entries))
    return start + b"".join(entries) + tensor * tensors


def refusal(path: Path) -> str:
    with pytest.raises(WeightsBroken) as caught:
        check_weights(path)

    return str(caught.value)


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "toy.gguf"
    path.write_bytes(data)
    return path


def test_a_whole_header_passes(tmp_path: Path) -> None:
    check_weights(write(tmp_path, header() + bytes(64)))


def test_a_missing_file_a_folder_and_an_empty_file_are_named_as_such(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.gguf")
    assert "folder" in refusal(tmp_path)
    assert "empty" in refusal(write(tmp_path, b""))
    assert "regular" in refusal(Path("/dev/zero"))


@pytest.mark.parametrize("data", [b"G", b"PK\x03\x04 something else", b"<!DOCTYPE html>"])
def test_other_files_are_not_gguf_files(tmp_path: Path, data: bytes) -> None:
    assert "not a GGUF file" in refusal(write(tmp_path, data))


def test_an_unknown_version_is_named(tmp_path: Path) -> None:
    assert "version 9" in refusal(write(tmp_path, header(version=9)))


def test_a_file_without_tensors_is_no_model(tmp_path: Path) -> None:
    assert "no tensors" in refusal(write(tmp_path, header(tensors=0)))


def test_a_header_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = header()
    for size in range(4, len(whole)):
        assert "cut off or damaged" in refusal(write(tmp_path, whole[:size]))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(4, len(header()) - 1), st.binary(min_size=1, max_size=16))
def test_random_bytes_in_a_header_never_break_the_check_itself(tmp_path: Path, at: int, noise: bytes) -> None:
    damaged = bytearray(header() + bytes(64))
    damaged[at : at + len(noise)] = noise
    path = write(tmp_path, bytes(damaged))
    with contextlib.suppress(WeightsBroken):
        check_weights(path)
