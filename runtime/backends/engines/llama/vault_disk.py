"""The folder in which computed prefixes outlive their worker, bounded in size. Never raises.

Workers of one model may share it, and a new one may open it while the old one still writes. A file that
is damaged, or that another identity wrote, is removed when it is met; one that vanishes was removed by
somebody else, which is fine. What goes wrong with the disk itself is counted, and told once per kind.
The oldest files make room: a file's time of change says when its prefix was last used.
Files that do not end like ours are left alone.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from runtime.backends.engines.llama import vault_file
from runtime.backends.engines.llama.vault_file import Blob, Damaged

Action = Literal["open", "list", "read", "write", "remove"]

SUFFIX, PART_SUFFIX = ".prefix", ".part"
_STALE_PART_NS = 10 * 60 * 10**9
"""An unfinished file as old as this has no writer any more: writing one takes seconds."""


class Record(NamedTuple):
    """A prefix that was found at the start."""

    name: str
    namespace: str
    tokens: list[int]
    used_ns: int


class _File(NamedTuple):
    name: str
    size: int
    used_ns: int


class Disk:
    """The folder of one model. `identity` names all that a blob depends on: weights, context, library.

    Making one opens the folder, for its owner alone; where that fails it keeps nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        identity: str,
        most_bytes: int,
        report: Callable[[str], None],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.used_bytes = 0
        """What the files take."""
        self.names: set[str] = set()
        """The files that are there. Both as of the last look, and with what was done since."""
        self.troubles = 0
        """How often the disk failed."""
        self.damaged = 0
        """Files that were removed because they were not what was written, or not by this identity."""
        self._folder = folder
        self._identity = identity
        self._most_bytes = most_bytes
        self._report = report
        self._now_ns = now_ns
        self._told: set[tuple[Action, int | None]] = set()
        self._parts_written = 0
        self._is_open = self._open()

    def read_index(self, limit_s: float, now: Callable[[], float] = time.monotonic) -> Iterator[Record]:
        """Yield what the folder holds, last used first; remove what is damaged or of another identity.

        What is not reached within `limit_s` stays unread, and makes room first.
        """
        until = now() + limit_s
        files = self._look() or []
        self._make_room(files, 0, self._now_ns())
        for file in sorted(files, key=lambda each: each.used_ns, reverse=True):
            if now() >= until:
                return

            if file.name not in self.names:
                continue

            record = self._read_record(file)
            if record is not None:
                yield record

    def write(self, namespace: str, tokens: Sequence[int], blob: Blob, used_ns: int) -> str | None:
        """Keep a blob; return its name, or None where it found no place.

        Files last used up to `used_ns` are removed to make room, later ones are not.
        """
        name = vault_file.name_prefix(self._identity, namespace, tokens) + SUFFIX
        files = self._look()
        if files is None:
            return None

        if name in self.names:
            self.touch(name, used_ns)
            return name

        header = vault_file.pack_header(self._identity, namespace, tokens, blob)
        size = len(header) + len(blob)
        if not self._make_room(files, size, used_ns) or not self._write_whole(name, (header, blob), used_ns):
            return None

        self.used_bytes += size
        self.names.add(name)
        return name

    def read(self, name: str, used_ns: int) -> bytearray | None:
        """Return the blob of a file and note its use; None if it is gone or unreadable, or was damaged."""
        try:
            with vault_file.open_whole(self._folder / name) as file:
                blob = vault_file.read_blob(file, vault_file.read_header(file, self._identity))
        except Damaged:
            self._remove_damaged(name)
            return None
        except OSError as problem:
            self._note("read", problem)
            self.names.discard(name)
            return None

        self.touch(name, used_ns)
        return blob

    def touch(self, name: str, used_ns: int) -> None:
        """Note that a prefix was used."""
        try:
            os.utime(self._folder / name, ns=(used_ns, used_ns), follow_symlinks=False)
        except OSError as problem:
            self._note("write", problem)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.names.discard(name)
        try:
            path = self._folder / name
            size = path.lstat().st_size
            path.unlink()
        except OSError as problem:
            self._note("remove", problem)
        else:
            self.used_bytes -= size

    def _open(self) -> bool:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
        except OSError as problem:
            self._note("open", problem)
            return False

        return True

    def _look(self) -> list[_File] | None:
        """List what is there and count it; remove what dead workers left unfinished. None: no telling."""
        if not self._is_open:
            return None

        try:
            files = list(self._scan())
        except OSError as problem:
            self._note("list", problem)
            return None

        self.used_bytes = sum(file.size for file in files)
        whole = [file for file in files if file.name.endswith(SUFFIX)]
        self.names = {file.name for file in whole}
        for file in files:
            if file.name not in self.names and file.used_ns < self._now_ns() - _STALE_PART_NS:
                self.remove(file.name)

        return whole

    def _scan(self) -> Iterator[_File]:
        """Yield all files of ours. A time that is still to come says nothing, and counts as the oldest."""
        latest = self._now_ns()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith((SUFFIX, PART_SUFFIX)):
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue

                    used_ns = facts.st_mtime_ns if facts.st_mtime_ns <= latest else 0
                    yield _File(entry.name, facts.st_size, used_ns)

    def _read_record(self, file: _File) -> Record | None:
        try:
            with vault_file.open_whole(self._folder / file.name) as opened:
                header = vault_file.read_header(opened, self._identity)
        except Damaged:
            self._remove_damaged(file.name)
            return None
        except OSError as problem:
            self._note("read", problem)
            return None

        name = vault_file.name_prefix(self._identity, header.namespace, header.tokens) + SUFFIX
        if name != file.name:
            self._remove_damaged(file.name)
            return None

        return Record(name, header.namespace, header.tokens, file.used_ns)

    def _make_room(self, files: Sequence[_File], size: int, used_ns: int) -> bool:
        """Remove the oldest until `size` more bytes fit; nothing where even all older ones are too few."""
        older = sorted((file for file in files if file.used_ns <= used_ns), key=lambda each: each.used_ns)
        if self.used_bytes - sum(file.size for file in older) + size > self._most_bytes:
            return False

        for file in older:
            if self.used_bytes + size <= self._most_bytes:
                break

            self.remove(file.name)

        return self.used_bytes + size <= self._most_bytes

    def _write_whole(self, name: str, parts: Sequence[Blob], used_ns: int) -> bool:
        """Write under another name first, so that no reader ever meets half a file."""
        part = self._folder / f"{name}.{os.getpid()}-{self._parts_written}{PART_SUFFIX}"
        self._parts_written += 1
        try:
            vault_file.write_new(part, parts)
            part.replace(self._folder / name)
        except OSError as problem:
            self._note("write", problem)
            self._discard(part)
            return False

        self.touch(name, used_ns)
        return True

    def _remove_damaged(self, name: str) -> None:
        self.damaged += 1
        self.remove(name)

    def _discard(self, part: Path) -> None:
        try:
            part.unlink(missing_ok=True)
        except OSError as problem:
            self._note("remove", problem)

    def _note(self, action: Action, problem: OSError) -> None:
        """Count a failure, and tell the first of its kind. That a file is gone is none."""
        if isinstance(problem, FileNotFoundError) and action != "open":
            return

        self.troubles += 1
        if (action, problem.errno) not in self._told:
            self._told.add((action, problem.errno))
            self._report(
                f"The folder of computed prefixes, {self._folder}: cannot {action}: {problem.strerror}"
            )
