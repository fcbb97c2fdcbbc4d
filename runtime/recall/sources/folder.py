"""A folder of this machine as a place: its files, copied one at a time.

Links are never followed, special files never opened. What is not there any more is gone for certain, unless
all that was known vanished at once: a disk that is not mounted looks like an empty folder.
"""

import errno
import os
import secrets
import stat
from collections.abc import AsyncGenerator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread
import watchfiles

from runtime.core.errors import RequestInvalid
from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.choosing import Choice
from runtime.recall.sources.kinds import path_of
from runtime.recall.sources.origin import (
    Changed,
    Entry,
    Finished,
    Gone,
    Listed,
    Look,
    OriginFailed,
    Refused,
    Same,
    Seen,
)

_SLICE = 500
"""So many entries are looked at in one go: a cancelled look waits for no more."""
_COPY_BYTES = 1 << 20
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
_DEPTH = 100


class _File(NamedTuple):
    key: str
    path: str
    size: int
    stamp: str


class _Walk:
    """What a walk came by beside the files."""

    def __init__(self, root: str, choice: Choice) -> None:
        self.links = 0
        self.closed: list[str] = []
        """Folders that could not be read, by their keys with a `/` behind."""
        self._root = root
        self._choice = choice

    def steps(self) -> Iterator[_File | None]:
        """Yield the files that are wanted, in the order of their names; None for each other entry."""
        folders = [self._root]
        while folders:
            folder = folders.pop()
            below = []
            for entry in self._entries(folder):
                is_folder, file = self._judge(entry)
                if is_folder:
                    below.append(entry.path)
                yield file
            folders += reversed(below)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as problem:
            if folder == self._root:
                raise
            if problem.errno not in _GONE:
                self.closed.append(_key(self._root, folder) + "/")
            return []

    def _judge(self, entry: os.DirEntry[str]) -> tuple[bool, _File | None]:
        """Return whether an entry is a folder to look into, and the file that it is if it is wanted."""
        try:
            told = entry.stat(follow_symlinks=False)
        except OSError as problem:
            if problem.errno in _GONE:
                return False, None
            return False, _File(_key(self._root, entry.path), entry.path, 0, "")
        key = _key(self._root, entry.path)
        if stat.S_ISDIR(told.st_mode):
            return self._choice.enters(entry.name) and key.count("/") < _DEPTH, None
        if not self._choice.takes(key):
            return False, None
        if stat.S_ISLNK(told.st_mode):
            self.links += 1
        if not stat.S_ISREG(told.st_mode):
            return False, None
        return False, _File(key, entry.path, told.st_size, _stamp(told))


class FolderOrigin:
    """Fulfils `Origin` for folders."""

    async def look(self, asked: Look, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        """Yield the files that are there. Raises OriginFailed where there is no folder to be read."""
        root = _root(asked.uri)
        before = await anyio.to_thread.run_sync(_identity, root)
        walk = _Walk(root, Choice(asked))
        found, is_whole = await _list(walk, asked.most_entries)
        yield Listed(entries=len(found))

        for key, file in found.items():
            entry = known.get(key)
            if entry is not None and entry.stamp and entry.stamp == file.stamp:
                yield Same(key=key)
            else:
                yield await anyio.to_thread.run_sync(_read, root, file, asked.most_bytes, folder)

        missing = [key for key in known if key not in found]
        if await anyio.to_thread.run_sync(_identity, root) != before:
            raise OriginFailed(_moved(root))
        is_certain = len(missing) < len(known)
        for key in missing:
            if any(key.startswith(closed) for closed in walk.closed):
                yield Refused(key=key, fault=_closed(key))
            elif is_whole or not await anyio.to_thread.run_sync(os.path.lexists, Path(root) / key):
                yield Gone(key=key, is_certain=is_certain)
        yield Finished(notes=tuple(_notes(walk, is_whole, asked.most_entries)))


async def watch_folder(path: Path, stopped: anyio.Event) -> AsyncGenerator[None, None]:
    """Yield after each burst of changes until `stopped` is set. Raises OSError where it cannot be watched."""
    async for _ in watchfiles.awatch(path, stop_event=stopped, ignore_permission_denied=True):
        yield


async def _list(walk: _Walk, most: int) -> tuple[dict[str, _File], bool]:
    """Return the files by their keys, and whether they are all."""
    found: dict[str, _File] = {}
    steps = walk.steps()
    while True:
        try:
            some = await anyio.to_thread.run_sync(lambda: list(islice(steps, _SLICE)))
        except OSError as problem:
            raise OriginFailed(_unreadable(str(problem.filename), problem)) from problem
        if not some:
            return found, True
        for file in some:
            if file is not None:
                if len(found) == most:
                    return found, False
                found[file.key] = file


def _root(uri: str) -> str:
    try:
        return os.path.normpath(path_of(uri))
    except RequestInvalid as problem:
        raise OriginFailed(DocumentFault(code="refused", message=str(problem))) from problem


def _identity(root: str) -> tuple[int, int]:
    try:
        told = Path(root).stat()
    except (OSError, ValueError) as problem:
        raise OriginFailed(_unreadable(root, problem)) from problem
    if not stat.S_ISDIR(told.st_mode):
        message = f"{_shown(root)} is not a folder. Give the folder that holds the files."
        raise OriginFailed(DocumentFault(code="not_found", message=message))
    return told.st_dev, told.st_ino


def _read(root: str, file: _File, most_bytes: int, folder: Path) -> Changed | Refused | Gone:
    """Copy a file into the look's folder."""
    if file.size > most_bytes:
        return Refused(key=file.key, fault=_too_large(file.key, file.size, most_bytes))
    body = folder / f"file-{secrets.token_hex(16)}"
    is_kept = False
    try:
        told, stamp = _copy(root, file.path, body, most_bytes)
        if told.st_size > most_bytes:
            return Refused(key=file.key, fault=_too_large(file.key, told.st_size, most_bytes))
        is_kept = True
    except OSError as problem:
        if problem.errno in _GONE:
            return Gone(key=file.key, is_certain=True)
        return Refused(key=file.key, fault=_unreadable(file.key, problem))
    finally:
        if not is_kept:
            body.unlink(missing_ok=True)
    return Changed(
        key=file.key,
        name=file.key.rpartition("/")[2],
        uri=Path(_shown(file.path)).as_uri(),
        body=body,
        stamp=stamp,
        created_at=told.st_mtime,
    )


def _copy(root: str, path: str, body: Path, most_bytes: int) -> tuple[os.stat_result, str]:
    """Copy a plain file within the root; the stamp is empty where it changed meanwhile."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise PermissionError(errno.EPERM, "it leads out of the folder", path)
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as source:
        before = os.fstat(number)
        if not stat.S_ISREG(before.st_mode):
            raise PermissionError(errno.EPERM, "it is no plain file", path)
        if before.st_size > most_bytes:
            return before, ""
        with body.open("xb") as target:
            left = most_bytes
            while part := source.read(min(_COPY_BYTES, left)):
                target.write(part)
                left -= len(part)
        after = os.fstat(number)
    return after, _stamp(after) if _stamp(before) == _stamp(after) else ""


def _stamp(told: os.stat_result) -> str:
    return f"{told.st_size}-{told.st_mtime_ns}"


def _key(root: str, path: str) -> str:
    return _shown(os.path.relpath(path, root).replace(os.sep, "/"))


def _shown(path: str) -> str:
    """Return a path as text; bytes that are not UTF-8 are written out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _notes(walk: _Walk, is_whole: bool, most: int) -> Iterator[str]:
    if not is_whole:
        yield f"There are more than {most:,} files: the others were left out. Allow more, or exclude some."
    if walk.links:
        yield f"{walk.links:,} links were skipped: add the folders that they lead to as sources."
    if walk.closed:
        yield f"{len(walk.closed):,} folders could not be read. Let Lar's user read them, or exclude them."


def _unreadable(path: str, problem: Exception) -> DocumentFault:
    why = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    is_missing = isinstance(problem, OSError) and problem.errno in _GONE
    return DocumentFault(
        code="not_found" if is_missing else "refused",
        message=f"{_shown(path)} could not be read ({why}). Check that it is there, its disk is mounted, "
        "and that Lar's user may read it.",
    )


def _closed(key: str) -> DocumentFault:
    message = f"The folder of {key} could not be read. Let Lar's user read it."
    return DocumentFault(code="refused", message=message)


def _moved(root: str) -> DocumentFault:
    message = f"{_shown(root)} was exchanged while it was looked at. Nothing was removed; it is tried again."
    return DocumentFault(code="unreachable", message=message)


def _too_large(key: str, size: int, most: int) -> DocumentFault:
    message = f"{key} has {size:,} bytes; {most:,} are allowed. Split it, or exclude it."
    return DocumentFault(code="too_large", message=message)
