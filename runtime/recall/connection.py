"""One DuckDB file, opened: a connection for the writer, cursors for readers, and its reopening.

Lar takes checkpoints itself, where the disk has room for one: DuckDB calls a checkpoint that fails the end
of the connection, while a commit that finds no room is only rolled back. Where the connection is lost all
the same, the file is closed and opened again; what was committed is in the log.
"""

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from runtime.core.errors import StoreUnavailable
from runtime.recall.damage import explain_unopened
from runtime.recall.privacy import make_private
from runtime.recall.wal import is_log_damaged

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
CHECKPOINT_BYTES = 16 * MIB
"""The log's size from which on it is written into the file: replaying it takes a third of a second."""
_NEVER = "1000TB"
_SLOWER = "in_clause"
"""It makes a join of `id IN (1, 2, ...)`; without it twenty rows come by the primary key in half the time."""
_DRAIN_LIMIT_S = 10.0
"""For reads to end before the file is opened again; they take milliseconds."""


class Limits(NamedTuple):
    """What a database may take."""

    memory_bytes: int = 256 * MIB
    threads: int = 2
    readers: int = 2
    """Reads side by side; a page of the journal takes milliseconds."""
    reserve_bytes: int = 64 * MIB
    """Room on the disk that writes leave, so that a checkpoint, and what makes room, always find some."""
    temp_directory: Path | None = None
    """Where what exceeds the memory goes for a while; None: beside the file."""


class Connection:
    """An open file. One thread writes; cursors are for any."""

    def __init__(self, path: Path, limits: Limits, way_out: str) -> None:
        self.path = path
        self.limits = limits
        self.way_out = way_out
        self._log = path.with_name(path.name + ".wal")
        self._changed = threading.Condition()
        self._readers = 0
        self._is_reopening = False
        self._raw: duckdb.DuckDBPyConnection | None = self._connect()

    @property
    def raw(self) -> duckdb.DuckDBPyConnection:
        """The writer's connection. Raises StoreUnavailable while the file cannot be opened."""
        if self._raw is None:
            self.reopen()
        assert self._raw is not None, "reopening raises, or opens"
        return self._raw

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a reader a cursor of its own. Raises StoreUnavailable while the file cannot be opened."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_reopening, _DRAIN_LIMIT_S)
            if self._raw is None:
                raise StoreUnavailable(f"{self.path} is closed.")
            cursor = self._raw.cursor()
            self._readers += 1
        try:
            yield cursor
        finally:
            cursor.close()
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def reopen(self) -> None:
        """Close the file and open it again. For the writer. Raises StoreUnavailable where that fails."""
        with self._changed:
            self._is_reopening = True
            self._changed.wait_for(lambda: not self._readers, _DRAIN_LIMIT_S)
            try:
                self._close()
                self._raw = self._connect()
            finally:
                self._is_reopening = False
                self._changed.notify_all()

    def is_short_of_room(self) -> bool:
        """Tell whether the disk has less room than writes must leave."""
        return shutil.disk_usage(self.path.parent).free < self.limits.reserve_bytes

    def checkpoint_if_due(self) -> None:
        """Write the log into the file where it is long and the disk has room. For the writer."""
        size = self._log.stat().st_size if self._log.exists() else 0
        if size < CHECKPOINT_BYTES:
            return

        if shutil.disk_usage(self.path.parent).free < 2 * size + self.limits.reserve_bytes // 2:
            return

        try:
            self.raw.execute("CHECKPOINT")
        except duckdb.TransactionException:
            logger.debug("a read is under way; the next write tries the checkpoint again")

    def close(self) -> None:
        """Close the file; its log is written into it if there is room."""
        with self._changed:
            self._changed.wait_for(lambda: not self._readers, _DRAIN_LIMIT_S)
            if self._raw is not None and self.is_short_of_room():
                self._raw.execute("PRAGMA disable_checkpoint_on_shutdown")
            self._close()

    def _close(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        directory = self.limits.temp_directory or self.path.with_name(self.path.name + ".tmp")
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{max(1, self.limits.memory_bytes // MIB)}MiB",
            "threads": self.limits.threads,
            "disabled_optimizers": _SLOWER,
            "temp_directory": str(directory),
            "wal_autocheckpoint": _NEVER,
            "auto_checkpoint_skip_wal_threshold": str(2**62),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        try:
            if self._log.exists() and not self.path.exists():  # DuckDB would begin anew, without a word
                told = f"{self.path} is gone, while its write-ahead log is there. Put the file back."
                raise StoreUnavailable(f"{told} {self.way_out}")
            if is_log_damaged(self._log):
                raise duckdb.IOException("Corrupt WAL file: commits lie behind an entry that cannot be read.")
            connection = duckdb.connect(str(self.path), config=config)
        except duckdb.Error as problem:
            raise StoreUnavailable(explain_unopened(self.path, problem, self.way_out)) from problem

        make_private(self.path)
        # What a process that died had put there; the file is ours now.
        shutil.rmtree(directory, ignore_errors=True)
        return connection
