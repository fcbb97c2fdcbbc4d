"""A DuckDB file of Lar: one owner process, one writer thread with group commit, reader cursors.

Writes are queued and committed together: the writer takes what has arrived, runs it in one transaction,
and only then do the callers go on; what they were told is stored is stored. Reads run on cursors of their
own, in threads, beside the writer.

Rules that keep DuckDB's write-ahead log replayable: primary keys only, no secondary indexes, schema
changes only in migrations, each followed by a checkpoint.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import anyio
import anyio.to_thread
import duckdb

from runtime.core.errors import LarError, StoreUnavailable
from runtime.recall.connection import Connection, Limits
from runtime.recall.damage import is_damage, is_full, store_damaged, store_full
from runtime.recall.migrating import Migration, migrate
from runtime.recall.restoring import compact, finish_restore, is_wasteful

__all__ = ["Database", "Limits", "Migration", "open_database"]

logger = logging.getLogger(__name__)

GROUP_WRITES = 256
"""Writes that one commit takes at most: bounds how long the first of them waits."""
QUEUED_WRITES = 4096
"""Writes that may wait for the disk; more wait in their callers."""
_CLOSE_LIMIT_S = 10.0
"""For the writer to finish its queue and the checkpoint that follows."""
_WAY_OUT = "Keep a copy of it; then put back a backup, or move it away to begin anew."

T = TypeVar("T")
Work = Callable[[duckdb.DuckDBPyConnection], None]


class _Write(NamedTuple):
    work: Work
    committed: Callable[[], None] | None
    is_making_room: bool
    done: "Future[None]"


class Database:
    """An open database; made by `open_database`."""

    def __init__(self, connection: Connection) -> None:
        self.path = connection.path
        self.limits = connection.limits
        self.commits = 0
        """How many there were since it was opened; grows before whoever waits for one goes on."""
        self._connection = connection
        self._writes: queue.Queue[_Write | None] = queue.Queue(QUEUED_WRITES)
        self._readers = anyio.CapacityLimiter(connection.limits.readers)
        self._is_closed = False
        self._thread = threading.Thread(target=self._write_forever, name="database-writer", daemon=True)
        self._thread.start()

    async def write(
        self, work: Work, committed: Callable[[], None] | None = None, *, is_making_room: bool = False
    ) -> None:
        """Run `work` in the writer's next transaction; returns once it is committed and synced.

        `committed` is called in the writer's thread right after the commit, in the order of commits, even if
        nobody waits any more. Work that makes room is tried on a full disk, too. What `work` raises is raised
        here; its neighbours in the same transaction are stored all the same. Raises StoreFull, StoreDamaged.
        """
        if self._is_closed:
            raise StoreUnavailable(f"{self.path} is closed.")

        write = _Write(work, committed, is_making_room, Future())
        await self._queue(write)
        await asyncio.wrap_future(write.done)

    async def post(self, work: Work, done: "Future[None]") -> None:
        """Queue work that several wait for: `done` tells how it went, even where all of them have left."""
        if self._is_closed:
            done.set_exception(StoreUnavailable(f"{self.path} is closed."))
        else:
            await self._queue(_Write(work, None, False, done))

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query on a cursor of its own and return its rows. Raises StoreDamaged."""

        def _query() -> list[tuple[Any, ...]]:
            with self._connection.cursor() as cursor:
                return cursor.execute(sql, list(parameters)).fetchall()

        return await self._reading(_query, self._readers)

    async def read_snapshot(
        self, work: Callable[[duckdb.DuckDBPyConnection], T], limiter: anyio.CapacityLimiter | None = None
    ) -> T:
        """Run `work` in a thread on a cursor whose reads all see one commit. Raises StoreDamaged."""

        def _read() -> T:
            with self._connection.cursor() as cursor:
                cursor.begin()
                try:
                    return work(cursor)
                finally:
                    cursor.rollback()

        return await self._reading(_read, limiter or self._readers)

    async def use_cursor(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` in a thread on a cursor of its own, without a transaction around it."""

        def _use() -> T:
            with self._connection.cursor() as cursor:
                return work(cursor)

        return await self._reading(_use, self._readers)

    async def aclose(self) -> None:
        """Write what is queued, then close; bounded."""
        self._is_closed = True
        with anyio.move_on_after(_CLOSE_LIMIT_S, shield=True):
            await anyio.to_thread.run_sync(self._writes.put, None, abandon_on_cancel=True)
            await anyio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)
            await anyio.to_thread.run_sync(self._connection.close, abandon_on_cancel=True)

    async def _queue(self, write: _Write) -> None:
        try:
            self._writes.put_nowait(write)
        except queue.Full:
            await anyio.to_thread.run_sync(self._writes.put, write)

    async def _reading(self, read: Callable[[], T], limiter: anyio.CapacityLimiter) -> T:
        try:
            return await anyio.to_thread.run_sync(read, limiter=limiter)
        except duckdb.FatalException:
            # Something else has ended the connection: the writer opens the file again.
            await self.write(_nothing, is_making_room=True)
        except duckdb.Error as problem:
            raise self._explained(problem) from problem

        try:
            return await anyio.to_thread.run_sync(read, limiter=limiter)
        except duckdb.Error as problem:
            raise self._explained(problem) from problem

    def _explained(self, problem: Exception) -> Exception:
        """Return the error that says what to do; where nothing better can be said, the error itself."""
        if is_full(problem):
            return store_full(self.path, str(problem))
        if isinstance(problem, duckdb.Error) and is_damage(problem):
            return store_damaged(self.path, self._connection.way_out, problem)
        return problem

    def _write_forever(self) -> None:
        is_last = False
        while not is_last:
            first = self._writes.get()
            group: list[_Write] = []
            while first is not None:
                group.append(first)
                if len(group) >= GROUP_WRITES or self._writes.empty():
                    break
                first = self._writes.get()
            is_last = first is None
            self._commit(
                self._with_room([each for each in group if each.done.set_running_or_notify_cancel()])
            )

    def _with_room(self, group: list[_Write]) -> list[_Write]:
        """Return the writes that there is room for; refuse the others."""
        if all(each.is_making_room for each in group) or not self._connection.is_short_of_room():
            return group

        full = store_full(self.path, "less room is left than Lar keeps free")
        for each in group:
            if not each.is_making_room:
                each.done.set_exception(full)
        return [each for each in group if each.is_making_room]

    def _commit(self, group: list[_Write]) -> None:
        """Store a group in one transaction; if one of them fails, each in a transaction of its own."""
        if not group:
            return

        try:
            self._transact(group)
        except Exception as problem:  # noqa: BLE001 - the border of the writer: each caller gets its own failure
            if len(group) == 1:
                group[0].done.set_exception(self._explained(problem))
                return

            for each in group:
                self._commit([each])
            return

        self.commits += 1
        for each in group:
            self._tell(each)
        self._checkpoint()

    def _tell(self, write: _Write) -> None:
        try:
            if write.committed is not None:
                write.committed()
        except Exception:
            logger.exception("what follows a commit has failed")
        write.done.set_result(None)

    def _transact(self, group: list[_Write]) -> None:
        connection = self._begin()
        try:
            for each in group:
                each.work(connection)
            connection.commit()
        except BaseException:
            self._roll_back(connection)
            raise

    def _begin(self) -> duckdb.DuckDBPyConnection:
        """Begin a transaction, on a connection opened anew where something has ended the former one."""
        try:
            self._connection.raw.begin()
        except duckdb.FatalException:
            logger.warning("a database is opened again after a failure", extra={"path": str(self.path)})
            self._connection.reopen()
            self._connection.raw.begin()
        return self._connection.raw

    def _roll_back(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.rollback()
        except duckdb.Error:
            # A failed commit has ended its transaction already; the first error is the one that counts.
            logger.debug("nothing to roll back")

    def _checkpoint(self) -> None:
        try:
            self._connection.checkpoint_if_due()
        except (duckdb.Error, LarError, StoreUnavailable):
            # Everything is in the log, synced: the next write opens the file again where that is needed.
            logger.exception("a checkpoint has failed")


@asynccontextmanager
async def open_database(
    path: Path,
    migrations: Sequence[Migration],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    way_out: str = _WAY_OUT,
    snapshots: Path | None = None,
) -> AsyncIterator[Database]:
    """Open (or make) the file, bring its schema up to date, and close it at the end.

    A restore that was cut off is finished first; a file that is mostly freed blocks is made smaller. Before a
    migration of what is there a snapshot goes into the folder `snapshots`. `way_out` ends the message about
    damage. Raises StoreUnavailable when another process holds the file or the file is damaged.
    """
    connection = await anyio.to_thread.run_sync(_open, path, migrations, limits, way_out, snapshots)
    database = Database(connection)
    try:
        yield database
    finally:
        await database.aclose()


def _open(
    path: Path, migrations: Sequence[Migration], limits: Limits, way_out: str, snapshots: Path | None
) -> Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    finish_restore(path)
    connection = Connection(path, limits, way_out)
    try:
        migrate(connection.raw, path, migrations, snapshots)
        if is_wasteful(connection.raw, path):
            _shrink(connection)
    except duckdb.Error as problem:
        connection.close()
        raise StoreUnavailable(str(_unreadable(connection, problem))) from problem
    except BaseException:
        connection.close()
        raise
    return connection


def _nothing(_: duckdb.DuckDBPyConnection) -> None:
    """Write nothing: the transaction around it is what matters."""


def _unreadable(connection: Connection, problem: duckdb.Error) -> LarError:
    if is_full(problem):
        return store_full(connection.path, str(problem))
    return store_damaged(connection.path, connection.way_out, problem)


def _shrink(connection: Connection) -> None:
    """Put a smaller copy in the place of the file; where that fails it stays as it is."""
    try:
        won = compact(connection.raw, connection.path)
        logger.info("a database was made smaller", extra={"path": str(connection.path), **won._asdict()})
    except (duckdb.Error, LarError, OSError):
        logger.exception("a database could not be made smaller")
    connection.reopen()
