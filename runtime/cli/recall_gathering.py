"""Finds what `lar recall add` is to take in: files of folders by patterns, in order; nothing is read yet."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from runtime.api.remote.knowledge import Upload
from runtime.core.knowledge import DocumentFault, JobFailure

_BATCH_FILES = 100
_BATCH_BYTES = 64 * 1024 * 1024
"""Of one request: so that progress shows, and a connection that breaks costs little."""
_SCHEMES = ("http://", "https://", "git://", "ssh://", "git@")


class Choice(NamedTuple):
    """Which files of a folder are meant."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    is_hidden_wanted: bool = False

    def takes(self, path: PurePosixPath) -> bool:
        """Tell whether a path below the folder is meant; patterns see the path and the bare name."""
        if not self.is_hidden_wanted and any(each.startswith(".") for each in path.parts):
            return False

        def fits(pattern: str) -> bool:
            return fnmatchcase(str(path), pattern) or fnmatchcase(path.name, pattern)

        is_included = not self.include or any(map(fits, self.include))
        return is_included and not any(map(fits, self.exclude))


@dataclass(slots=True)
class Gathered:
    """What is to be taken in."""

    files: list[Upload] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    failures: list[JobFailure] = field(default_factory=list)


def is_address(place: str) -> bool:
    """Tell whether this names a place elsewhere, not a path."""
    return place.lower().startswith(_SCHEMES)


def gather(places: Sequence[str], choice: Choice, *, is_following: bool) -> Gathered:
    """Sort what was given into files and addresses; folders that are followed are addresses, too."""
    given = Gathered()
    for place in places:
        path = Path(place).expanduser()
        if is_address(place):
            given.addresses.append(place)
        elif path.is_dir() and is_following:
            given.addresses.append(str(path.resolve()))
        elif path.is_dir():
            for below in sorted(_files(path, given.failures)):
                name = below.relative_to(path)
                if choice.takes(PurePosixPath(name)):
                    _take(given, name.as_posix(), below)
        elif path.is_file():
            _take(given, path.name, path)
        else:
            given.failures.append(_failure(place, "not_found", "There is no such file or folder."))
    return given


def batches(files: Sequence[Upload]) -> Iterator[list[Upload]]:
    """Yield the files in requests of bearable size."""
    batch: list[Upload] = []
    weight = 0
    for each in files:
        size = each.path.stat().st_size if each.path.exists() else 0
        if batch and (len(batch) >= _BATCH_FILES or weight + size > _BATCH_BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(each)
        weight += size
    if batch:
        yield batch


def _take(given: Gathered, name: str, path: Path) -> None:
    if os.access(path, os.R_OK):
        given.files.append(Upload(name, path))
    else:
        message = f"{path} may not be read. Change its permissions, or leave it out with --exclude."
        given.failures.append(_failure(name, "refused", message))


def _files(folder: Path, failures: list[JobFailure]) -> Iterator[Path]:
    """Yield the plain files below a folder; links to folders are not followed, so that it ends."""

    def note(problem: OSError) -> None:
        where = str(problem.filename)
        message = f"The folder cannot be read ({problem.strerror}). Change its permissions, or leave it out."
        failures.append(_failure(where, "refused", message))

    for place, _, names in os.walk(folder, onerror=note):
        yield from (path for name in names if (path := Path(place) / name).is_file())


def _failure(name: str, code: str, message: str) -> JobFailure:
    fault = DocumentFault(code="not_found" if code == "not_found" else "refused", message=message)
    return JobFailure(name=name, fault=fault)
