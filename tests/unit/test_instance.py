"""The file by which others find the running server misleads nobody."""

import stat
from pathlib import Path

import msgspec

from runtime.instance import INSTANCE_FILE, find_instance, remove_instance, write_instance

ADDRESS = "http://127.0.0.1:8080"


def test_a_running_server_is_found_and_its_file_is_for_the_owner_only(tmp_path: Path) -> None:
    written = write_instance(tmp_path, ADDRESS, "1", "secret")

    assert find_instance(tmp_path) == written
    assert stat.S_IMODE((tmp_path / INSTANCE_FILE).stat().st_mode) == 0o600


def test_a_file_of_a_process_that_is_gone_or_another_one_now_is_no_server(tmp_path: Path) -> None:
    written = write_instance(tmp_path, ADDRESS, "1", "secret")
    path = tmp_path / INSTANCE_FILE

    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(written, process_started=1.0)))
    reused = find_instance(tmp_path)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(written, pid=2**22 + 1)))
    gone = find_instance(tmp_path)
    path.write_bytes(b"{")
    damaged = find_instance(tmp_path)

    assert (reused, gone, damaged) == (None, None, None)


def test_a_server_takes_away_its_own_file_only(tmp_path: Path) -> None:
    first = write_instance(tmp_path, ADDRESS, "1", "first")
    second = write_instance(tmp_path, ADDRESS, "1", "second")

    remove_instance(tmp_path, first)
    kept = find_instance(tmp_path)
    remove_instance(tmp_path, second)

    assert kept == second
    assert find_instance(tmp_path) is None
