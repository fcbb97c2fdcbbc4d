"""The folder of prefixes when things go wrong: damage, strangers, links, no room, no folder."""

import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.backends.engines.llama.vault_disk import Disk

ROOMY = 10**6
SECOND = 10**9
BLOB = b"state of the sequence" * 50


class Folder:
    """A folder, and disks over it whose clock stands still."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reports: list[str] = []
        self.now_ns = 1000 * SECOND

    def open(self, *, identity: str = "model", most_bytes: int = ROOMY) -> Disk:
        return Disk(
            self.path,
            identity=identity,
            most_bytes=most_bytes,
            report=self.reports.append,
            now_ns=lambda: self.now_ns,
        )

    def tokens(self, disk: Disk) -> list[list[int]]:
        return [record.tokens for record in disk.read_index(1.0, now=lambda: 0.0)]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "prefixes")


def write(disk: Disk, *tokens: int, used_s: int = 1) -> str:
    name = disk.write("", tokens, BLOB, used_s * SECOND)
    assert name is not None
    return name


def test_what_was_written_is_read_by_the_next_worker(folder: Folder) -> None:
    name = folder.open().write("poet", [1, 70000], BLOB, 5 * SECOND)
    assert name is not None

    disk = folder.open()
    (record,) = disk.read_index(1.0, now=lambda: 0.0)

    assert record == (name, "poet", [1, 70000], 5 * SECOND)
    assert bytes(disk.read(name, 6 * SECOND) or b"") == BLOB
    assert disk.used_bytes == (folder.path / name).stat().st_size
    assert disk.damaged == disk.troubles == 0


def test_only_the_owner_may_read(folder: Folder) -> None:
    folder.path.mkdir(mode=0o755)
    name = write(folder.open(), 1)

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder.path / name).stat().st_mode) == 0o600
    assert list(folder.path.iterdir()) == [folder.path / name]


def flip_a_byte_of_the_header(content: bytearray) -> bytearray:
    content[60] ^= 1
    return content


def flip_the_length_of_the_header(content: bytearray) -> bytearray:
    content[11] ^= 0x7F
    return content


HEADER_HARMS: list[Callable[[bytearray], bytearray]] = [
    flip_a_byte_of_the_header,
    flip_the_length_of_the_header,
    lambda content: content[:-1],
    lambda content: content[:20],
    lambda content: content[:0],
    lambda content: content + b"x",
]


@pytest.mark.parametrize("harm", HEADER_HARMS)
def test_a_damaged_file_is_removed_at_the_start(
    folder: Folder, harm: Callable[[bytearray], bytearray]
) -> None:
    path = folder.path / write(folder.open(), 1)
    path.write_bytes(harm(bytearray(path.read_bytes())))

    disk = folder.open()

    assert folder.tokens(disk) == []
    assert not path.exists()
    assert (disk.damaged, disk.troubles, disk.names) == (1, 0, set())


def test_a_blob_with_a_flipped_byte_is_not_handed_out(folder: Folder) -> None:
    disk = folder.open()
    path = folder.path / write(disk, 1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    assert folder.tokens(folder.open()) == [[1]]
    assert disk.read(path.name, 0) is None
    assert not path.exists()
    assert disk.damaged == 1


def test_another_identity_is_removed(folder: Folder) -> None:
    write(folder.open(identity="other context"), 1)

    assert folder.tokens(folder.open()) == []
    assert list(folder.path.iterdir()) == []


def test_a_file_under_a_wrong_name_is_removed(folder: Folder) -> None:
    path = folder.path / write(folder.open(), 1)
    path.rename(path.with_name("0" * 64 + ".prefix"))

    assert folder.tokens(folder.open()) == []
    assert list(folder.path.iterdir()) == []


def test_files_of_others_are_left_alone(folder: Folder) -> None:
    disk = folder.open(most_bytes=0)
    (folder.path / "notes.txt").write_text("mine")

    assert folder.tokens(disk) == []
    assert disk.write("", [1], BLOB, SECOND) is None
    assert (folder.path / "notes.txt").read_text() == "mine"


def test_a_link_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    disk = folder.open()
    path = folder.path / write(disk, 1)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)

    assert disk.read(path.name, 0) is None
    assert elsewhere.exists()


def test_a_pipe_or_a_folder_in_place_of_a_file_blocks_nothing(folder: Folder) -> None:
    disk = folder.open()
    pipe, directory = folder.path / "a.prefix", folder.path / "b.prefix"
    os.mkfifo(pipe)
    directory.mkdir()

    assert folder.tokens(disk) == []
    assert not pipe.exists()
    assert disk.read(directory.name, 0) is None
    assert len(folder.reports) == 1
    assert "cannot read: Is a directory" in folder.reports[0]


def test_a_file_that_vanished_is_no_trouble(folder: Folder) -> None:
    disk = folder.open()
    name = write(disk, 1)
    (folder.path / name).unlink()

    assert disk.read(name, 0) is None
    disk.remove(name)
    assert disk.troubles == 0


def test_the_oldest_make_room_and_the_newer_do_not(folder: Folder) -> None:
    size = folder.path / write(folder.open(), 9, used_s=9)
    most_bytes = 3 * size.stat().st_size
    disk = folder.open(most_bytes=most_bytes)
    old = write(disk, 1, used_s=1)
    older = write(disk, 2, used_s=0)

    new = write(disk, 3, used_s=5)

    assert disk.names == {size.name, old, new}
    assert older not in disk.names
    assert disk.write("", [4], BLOB, 0) is None
    assert disk.names == {size.name, old, new}
    assert disk.used_bytes <= most_bytes


def test_a_use_is_seen_by_other_workers(folder: Folder) -> None:
    one, other = folder.open(), folder.open()
    first, second = write(one, 1, used_s=1), write(one, 2, used_s=2)

    other.read(first, 3 * SECOND)

    assert folder.tokens(one) == [[1], [2]]
    assert one.names == {first, second}


def test_a_time_that_is_still_to_come_protects_nobody(folder: Folder) -> None:
    name = write(folder.open(), 1, used_s=5000)
    disk = folder.open(most_bytes=(folder.path / name).stat().st_size)

    assert disk.write("", [2], BLOB, 2 * SECOND) is not None
    assert not (folder.path / name).exists()


def test_a_bound_that_was_lowered_holds_from_the_start(folder: Folder) -> None:
    disk = folder.open()
    write(disk, 1, used_s=1)
    kept = write(disk, 2, used_s=2)

    again = folder.open(most_bytes=disk.used_bytes - 1)

    assert folder.tokens(again) == [[2]]
    assert [path.name for path in folder.path.iterdir()] == [kept]


def test_the_index_stops_at_its_limit(folder: Folder) -> None:
    disk = folder.open()
    for token in range(3):
        write(disk, token, used_s=token)
    times = iter([0.0, 0.5, 0.9, 1.0])

    records = list(folder.open().read_index(1.0, now=lambda: next(times)))

    assert [record.tokens for record in records] == [[2], [1]]
    assert len(list(folder.path.iterdir())) == 3


def test_what_a_dead_worker_left_unfinished_is_removed(folder: Folder) -> None:
    disk = folder.open()
    stale, fresh = folder.path / "a.prefix.1-0.part", folder.path / "b.prefix.2-0.part"
    stale.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(stale, ns=(0, 0))
    os.utime(fresh, ns=(folder.now_ns, folder.now_ns))

    assert folder.tokens(disk) == []
    assert list(folder.path.iterdir()) == [fresh]


def test_a_disk_that_takes_no_more_is_told_once_and_leaves_nothing_behind(folder: Folder) -> None:
    disk = folder.open()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        written = [disk.write("", [token], BLOB, SECOND) for token in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert written == [None, None, None]
    assert list(folder.path.iterdir()) == []
    assert disk.troubles == 3
    assert folder.reports == [f"The folder of computed prefixes, {folder.path}: cannot write: File too large"]
    assert disk.write("", [1], BLOB, SECOND) is not None


def test_where_there_can_be_no_folder_nothing_is_kept(folder: Folder) -> None:
    folder.path.write_text("a file")

    disk = folder.open()

    assert disk.write("", [1], BLOB, SECOND) is None
    assert folder.tokens(disk) == []
    assert disk.read("a.prefix", 0) is None
    assert any("cannot open: File exists" in text for text in folder.reports)


def test_a_folder_that_is_taken_away_is_no_end(folder: Folder) -> None:
    disk = folder.open()
    name = write(disk, 1)
    (folder.path / name).unlink()
    folder.path.rmdir()

    assert disk.read(name, 0) is None
    assert disk.write("", [1], BLOB, SECOND) is None
