"""Bytes on disk by what they are: each content once, in a file named by its SHA-256.

    files/ab/abcd…      a whole content; never changed
    files/incoming/…    contents that are being written; those of a dead process are removed at the start

Who needs a content has its hash in a row. What no row names is removed (`sweep`), except what was stored
while the rows were being read or is held by a writer whose row is still to come.
"""

import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import anyio.to_thread

from runtime.core.errors import Fault, StoreFull

logger = logging.getLogger(__name__)

RESERVE_BYTES = 32 * 1024 * 1024
"""Room that is left on the disk for the database, which must be able to remove things."""
_BLOCK_BYTES = 1024 * 1024
_INCOMING = "incoming"
_NAME = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Blob(NamedTuple):
    """A content that is safe on disk."""

    sha256: str
    size_bytes: int


class BlobStore:
    """The folder of contents. One process at a time; calls of any task or thread."""

    def __init__(self, folder: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.folder = folder
        self._reserve_bytes = reserve_bytes
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        """How many writers hold a content whose row may not be there yet."""
        self._stored_at: dict[str, int] = {}
        """When a content was last stored or let go, counted by `_moment`; forgotten by a sweep."""
        self._moment = 0

    async def open(self) -> None:
        """Make the folder; remove what a process that died was writing."""
        await anyio.to_thread.run_sync(self._open)

    def path(self, sha256: str) -> Path:
        """Return where a content lies or would lie."""
        assert _NAME.fullmatch(sha256), "a hash is made here, never taken from outside"
        return self.folder / sha256[:2] / sha256

    async def has(self, sha256: str) -> bool:
        """Tell whether a content is there."""
        return await anyio.to_thread.run_sync(self.path(sha256).is_file)

    async def read(self, sha256: str) -> bytes:
        """Return a whole content. Raises FileNotFoundError."""
        return await anyio.to_thread.run_sync(self.path(sha256).read_bytes)

    @asynccontextmanager
    async def taking(self, content: AsyncIterator[bytes]) -> AsyncIterator[Blob]:
        """Store what an iterator yields, synced to disk; held until the context ends: write its row inside.

        Raises StoreFull, and what the iterator raises; nothing of an unfinished content is left.
        """
        writing = await anyio.to_thread.run_sync(self._begin)
        try:
            async for block in content:
                await anyio.to_thread.run_sync(writing.write, block)
            blob = await anyio.to_thread.run_sync(self._keep, writing)
        except BaseException:
            with anyio.CancelScope(shield=True):  # one unlink
                await anyio.to_thread.run_sync(writing.discard)
            raise

        try:
            yield blob
        finally:
            self._let_go(blob.sha256)

    @asynccontextmanager
    async def taking_bytes(self, content: bytes) -> AsyncIterator[Blob]:
        """Store bytes as `taking` does. Raises StoreFull."""

        async def _blocks() -> AsyncIterator[bytes]:
            for start in range(0, len(content), _BLOCK_BYTES):
                yield content[start : start + _BLOCK_BYTES]

        async with self.taking(_blocks()) as blob:
            yield blob

    async def sweep(self, named: Callable[[], Awaitable[set[str]]]) -> int:
        """Remove the contents that no row names; return their bytes. `named` reads the hashes of all rows."""
        began = self._moment
        kept = await named()
        return await anyio.to_thread.run_sync(self._sweep, kept, began)

    async def remove_unless(self, sha256: str, is_named: Callable[[], Awaitable[bool]]) -> bool:
        """Remove one content unless a row names it; return whether it went."""
        began = self._moment
        if await is_named():
            return False
        return await anyio.to_thread.run_sync(self._remove, self.path(sha256), began)

    async def verify(self, sha256: str) -> bool | None:
        """Tell whether a content still is what it was; None where it is gone."""
        return await anyio.to_thread.run_sync(self._verify, sha256)

    async def hashes(self) -> set[str]:
        """Return the hashes of all contents that are there."""
        return {path.name for path in await anyio.to_thread.run_sync(lambda: [*self._paths()])}

    def _open(self) -> None:
        incoming = self.folder / _INCOMING
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _begin(self) -> "_Writing":
        try:
            return _Writing(self.folder / _INCOMING / secrets.token_hex(8), self._reserve_bytes)
        except OSError as problem:
            raise _explained(problem) from problem

    def _keep(self, writing: "_Writing") -> Blob:
        """Give a finished content its final name and hold it."""
        blob = writing.finish()
        path = self.path(blob.sha256)
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                _sync_folder(self.folder)
            with self._lock:
                writing.path.replace(path)  # also where it is there: one that was damaged is whole again
                self._held[blob.sha256] = self._held.get(blob.sha256, 0) + 1
                self._note(blob.sha256)
        except OSError as problem:
            raise _explained(problem) from problem

        try:
            _sync_folder(path.parent)
        except OSError:
            self._let_go(blob.sha256)
            raise
        return blob

    def _let_go(self, sha256: str) -> None:
        with self._lock:
            self._note(sha256)
            self._held[sha256] -= 1
            if not self._held[sha256]:
                del self._held[sha256]

    def _note(self, sha256: str) -> None:
        self._moment += 1
        self._stored_at[sha256] = self._moment

    def _sweep(self, kept: set[str], began: int) -> int:
        freed = 0
        for path in self._paths():
            if path.name not in kept:
                size = path.stat().st_size
                if self._remove(path, began):
                    freed += size
        with self._lock:
            self._stored_at = {name: at for name, at in self._stored_at.items() if at > began}
        return freed

    def _remove(self, path: Path, began: int) -> bool:
        """Remove a content that no row named at a moment, unless somebody stored it since."""
        with self._lock:
            if path.name in self._held or self._stored_at.get(path.name, 0) > began:
                return False

            existed = path.is_file()
            path.unlink(missing_ok=True)
            return existed

    def _paths(self) -> Iterator[Path]:
        for folder in sorted(self.folder.iterdir()):
            if len(folder.name) == 2 and folder.is_dir():
                yield from (path for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name))

    def _verify(self, sha256: str) -> bool | None:
        try:
            with self.path(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return None


class _Writing:
    """A content on its way to the disk."""

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self.path = path
        self._reserve_bytes = reserve_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def write(self, block: bytes) -> None:
        """Append a block. Raises StoreFull."""
        try:
            if shutil.disk_usage(self.path.parent).free < self._reserve_bytes + len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._file.write(block)
        except OSError as problem:
            raise _explained(problem) from problem
        self._hash.update(block)
        self._size += len(block)

    def finish(self) -> Blob:
        """Sync the content to disk. Raises StoreFull."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as problem:
            raise _explained(problem) from problem
        return Blob(self._hash.hexdigest(), self._size)

    def discard(self) -> None:
        """Remove the unfinished file."""
        self.path.unlink(missing_ok=True)
        try:
            self._file.close()
        except OSError:
            # What is buffered finds no room; the file is gone already, and so is the reason to write.
            logger.debug("an unfinished content was discarded")


def _explained(problem: OSError) -> OSError | StoreFull:
    """Return the error that says what to do about a full disk; other errors as they are."""
    if problem.errno not in _FULL:
        return problem

    message = (
        "The disk has no room for this content; nothing of it was stored. Make room, then send it again."
    )
    return StoreFull(Fault(code="store_full", message=message, detail=str(problem)))


def _sync_folder(folder: Path) -> None:
    """Make names in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
