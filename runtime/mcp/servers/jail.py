"""A folder that nothing leads out of: each step of a path is opened beneath the last; links are not followed.

The jail holds a descriptor of its root. What is asked for is walked from there, so that a folder that is
swapped for a link in the middle of the walk leads nowhere. Blocking; call it in a thread.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from runtime.core.errors import Conflict, Fault, LarError, NotFound, RequestInvalid, StoreFull

DEPTH_LIMIT = 32
NAME_BYTES = 255
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""Without O_NONBLOCK a named pipe would wait for a writer."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = ".lar-"
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


class Entry(NamedTuple):
    """A file or a folder."""

    path: str
    is_folder: bool
    size_bytes: int
    changed_at: float


class Jail:
    """One folder. Paths are relative, with slashes; the empty one is the folder itself."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._root)

    def read(self, path: str, most_bytes: int) -> bytes:
        """Return a file's content. Raises NotFound, RequestInvalid."""
        with self._parent(path) as (folder, name), _faults(path):
            descriptor = os.open(name, _FILE, dir_fd=folder)
            with os.fdopen(descriptor, "rb") as file:
                info = os.fstat(descriptor)
                if not stat.S_ISREG(info.st_mode):
                    raise _invalid(f"'{path}' is no file.")
                if info.st_size > most_bytes:
                    raise _invalid(f"'{path}' has {info.st_size} bytes; {most_bytes} can be read.")
                return file.read(most_bytes + 1)

    def write(self, path: str, content: bytes, *, is_new: bool) -> None:
        """Put a file in its place as a whole, in folders that are made. Raises Conflict, RequestInvalid."""
        with self._parent(path, make=True) as (folder, name), _faults(path):
            found = _look(folder, name)
            if found is not None and is_new:
                raise Conflict(Fault(code="conflict", message=f"There is a '{path}' already."))
            if found is not None and not stat.S_ISREG(found.st_mode):
                raise _invalid(f"'{path}' is no file, so it cannot be written.")
            guest = f"{_TEMPORARY}{secrets.token_hex(8)}"
            try:
                with os.fdopen(os.open(guest, _NEW, _PRIVATE_FILE, dir_fd=folder), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(guest, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(guest, dir_fd=folder)
                raise
            os.fsync(folder)

    def move(self, path: str, to: str, *, may_replace: bool) -> None:
        """Give a file or a folder another place. Raises NotFound, Conflict, RequestInvalid."""
        with self._parent(path) as (folder, name), self._parent(to, make=True) as (other, new), _faults(path):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            if _look(other, new) is not None and not may_replace:
                raise Conflict(Fault(code="conflict", message=f"There is a '{to}' already."))
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=other)

    def remove(self, path: str, *, with_content: bool) -> int:
        """Remove a file or a folder; return how many files went. Raises NotFound, Conflict."""
        with self._parent(path) as (folder, name), _faults(path):
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(info.st_mode):
                os.unlink(name, dir_fd=folder)
                return 1
            if not with_content and _has_entries(folder, name):
                message = f"'{path}' is a folder with something in it. Say 'recursive' if all of it shall go."
                raise Conflict(Fault(code="conflict", message=message))
            return _remove_tree(folder, name)

    def walk(self, path: str, depth: int) -> Iterator[Entry]:
        """Yield what lies in a folder, so many levels deep, by name. Raises NotFound, RequestInvalid."""
        with self._folder(_parts(path)) as folder:
            yield from _walk(folder, "/".join(_parts(path)), depth)

    def used(self) -> tuple[int, int]:
        """Return how many files there are, and their bytes."""
        sizes = [each.size_bytes for each in self.walk("", DEPTH_LIMIT) if not each.is_folder]
        return len(sizes), sum(sizes)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Open the folder in which the last part of a path lies. Raises NotFound, RequestInvalid."""
        parts = _parts(path)
        if not parts:
            raise _invalid("A path must name something inside the workspace.")
        with self._folder(parts[:-1], make=make) as folder:
            yield folder, parts[-1]

    @contextmanager
    def _folder(self, parts: list[str], *, make: bool = False) -> Iterator[int]:
        current = os.dup(self._root)
        try:
            for each in parts:
                with _faults("/".join(parts)):
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(each, _PRIVATE_FOLDER, dir_fd=current)
                    following = os.open(each, _FOLDER, dir_fd=current)
                os.close(current)
                current = following
            yield current
        finally:
            os.close(current)


def _parts(path: str) -> list[str]:
    """Return the steps of a path. Raises RequestInvalid for one that leaves the folder."""
    if path.startswith("/") or "\\" in path or "\0" in path:
        raise _invalid(
            f"'{path[:200]}' must be a path inside the workspace, with slashes, such as 'notes/a.md'."
        )

    parts = [each for each in path.split("/") if each not in ("", ".")]
    if ".." in parts:
        raise _invalid(f"'{path[:200]}' leads out of the workspace.")
    if len(parts) > DEPTH_LIMIT or any(len(os.fsencode(each)) > NAME_BYTES for each in parts):
        raise _invalid(f"'{path[:200]}' is deeper or longer than paths may be.")
    if any(each.startswith(_TEMPORARY) for each in parts):
        raise _invalid(f"Names that begin with '{_TEMPORARY}' are Lar's own.")
    return parts


@contextmanager
def _faults(path: str) -> Iterator[None]:
    """Say the system's refusals in words. Raises LarError kinds."""
    try:
        yield
    except FileNotFoundError as problem:
        message = f"There is no '{path}' in the workspace."
        raise NotFound(Fault(code="not_found", message=message)) from problem
    except OSError as problem:
        raise _refusal(path, problem) from problem


def _refusal(path: str, problem: OSError) -> LarError:
    match problem.errno:
        case errno.ELOOP | errno.EMLINK:
            return _invalid(f"'{path}' is, or leads through, a symbolic link; those are not followed.")
        case errno.ENOTDIR:
            return _invalid(f"'{path}' leads through something that is no folder.")
        case errno.EISDIR:
            return _invalid(f"'{path}' is a folder.")
        case errno.ENXIO:
            return _invalid(f"'{path}' is no file.")
        case errno.ENOTEMPTY | errno.EEXIST:
            return Conflict(Fault(code="conflict", message=f"'{path}': there is something in its place."))
        case errno.EINVAL:
            return _invalid(f"'{path}' cannot be moved into itself.")
        case errno.ENOSPC | errno.EDQUOT:
            return StoreFull(Fault(code="store_full", message="The disk is full; nothing was written."))
        case _:
            return _invalid(f"'{path}': {problem.strerror or problem}.")


def _look(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _walk(folder: int, path: str, depth: int) -> Iterator[Entry]:
    with os.scandir(folder) as entries:
        known = sorted(entries, key=lambda each: each.name)
    for each in known:
        if each.name.startswith(_TEMPORARY):
            continue
        info = _look(folder, each.name)
        if info is None or not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            continue
        is_folder = stat.S_ISDIR(info.st_mode)
        place = f"{path}/{each.name}" if path else each.name
        yield Entry(place, is_folder, 0 if is_folder else info.st_size, info.st_mtime)
        if is_folder and depth > 1:
            yield from _walk_below(folder, each.name, place, depth - 1)


def _walk_below(folder: int, name: str, path: str, depth: int) -> Iterator[Entry]:
    try:
        below = os.open(name, _FOLDER, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # gone, or something else, since it was listed
    try:
        yield from _walk(below, path, depth)
    finally:
        os.close(below)


def _has_entries(folder: int, name: str) -> bool:
    below = os.open(name, _FOLDER, dir_fd=folder)
    try:
        with os.scandir(below) as entries:
            return any(entries)
    finally:
        os.close(below)


def _remove_tree(folder: int, name: str) -> int:
    """Remove a folder with all that is in it; links go, and what they lead to stays."""
    below = os.open(name, _FOLDER, dir_fd=folder)
    count = 0
    try:
        with os.scandir(below) as entries:
            known = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
        for each, is_folder in known:
            if is_folder:
                count += _remove_tree(below, each)
            else:
                os.unlink(each, dir_fd=below)
                count += 1
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=folder)
    return count


def _invalid(message: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message))
