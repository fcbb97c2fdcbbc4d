"""The one DuckDB file of Lar: one owner process, one writer thread with group commit, reader cursors.

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
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import duckdb

from runtime.core.errors import StoreUnavailable

logger = logging.getLogger(__name__)

GROUP_WRITES = 256
"""Writes that one commit takes at most: bounds how long the first of them waits."""
QUEUED_WRITES = 4096
"""Writes that may wait for the disk; more wait in their callers."""
_READERS = 2
"""Reads side by side; a page of the journal takes milliseconds."""
_CLOSE_LIMIT_S = 10.0
"""For the writer to finish its queue and the checkpoint that follows."""
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "256MB",
    "threads": 2,
    "autoinstall_known_extensions": False,
}

Work = Callable[[duckdb.DuckDBPyConnection], None]


class _Write(NamedTuple):
    work: Work
    done: "Future[None]"


class Database:
    """An open database; made by `open_database`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._writes: queue.Queue[_Write | None] = queue.Queue(QUEUED_WRITES)
        self._readers = anyio.CapacityLimiter(_READERS)
        self._thread = threading.Thread(target=self._write_forever, name="database-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Work) -> None:
        """Run `work` in the writer's next transaction; returns once it is committed and synced.

        What `work` raises is raised here; its neighbours in the same transaction are stored all the same.
        """
        write = _Write(work, Future())
        try:
            self._writes.put_nowait(write)
        except queue.Full:
            await anyio.to_thread.run_sync(self._writes.put, write)
        await asyncio.wrap_future(write.done)

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query on a cursor of its own and return its rows."""

        def _query() -> list[tuple[Any, ...]]:
            with self._connection.cursor() as cursor:
                return cursor.execute(sql, list(parameters)).fetchall()

        return await anyio.to_thread.run_sync(_query, limiter=self._readers)

    async def aclose(self) -> None:
        """Write what is queued, then close; bounded."""
        self._writes.put(None)
        with anyio.move_on_after(_CLOSE_LIMIT_S, shield=True):
            await anyio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)
            await anyio.to_thread.run_sync(self._connection.close, abandon_on_cancel=True)

    def _write_forever(self) -> None:
        while (first := self._writes.get()) is not None:
            group = [first]
            is_last = False
            while len(group) < GROUP_WRITES and not self._writes.empty():
                following = self._writes.get()
                if following is None:
                    is_last = True
                    break
                group.append(following)
            self._commit([each for each in group if each.done.set_running_or_notify_cancel()])
            if is_last:
                return

    def _commit(self, group: list[_Write]) -> None:
        """Store a group in one transaction; if one of them fails, each in a transaction of its own."""
        try:
            self._transact(group)
        except Exception as problem:  # noqa: BLE001 - the border of the writer: each caller gets its own failure
            if len(group) == 1:
                group[0].done.set_exception(problem)
                return

            for each in group:
                self._commit([each])
            return

        for each in group:
            each.done.set_result(None)

    def _transact(self, group: list[_Write]) -> None:
        self._connection.begin()
        try:
            for each in group:
                each.work(self._connection)
            self._connection.commit()
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except duckdb.Error:
            # A failed commit has ended its transaction already; the first error is the one that counts.
            logger.debug("nothing to roll back")


class Migration(NamedTuple):
    """One step of the schema; never edited once released, only followed by another."""

    number: int
    sql: str


@asynccontextmanager
async def open_database(path: Path, migrations: Sequence[Migration]) -> AsyncIterator[Database]:
    """Open (or make) the file, bring its schema up to date, and close it at the end.

    Raises StoreUnavailable when another process holds the file or the file is damaged.
    """
    connection = await anyio.to_thread.run_sync(_connect, path, migrations)
    database = Database(connection)
    try:
        yield database
    finally:
        await database.aclose()


def _connect(path: Path, migrations: Sequence[Migration]) -> duckdb.DuckDBPyConnection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = duckdb.connect(str(path), config=_CONFIG)
    except duckdb.Error as problem:
        raise StoreUnavailable(_explain(path, problem)) from problem

    _migrate(connection, path, migrations)
    return connection


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path, migrations: Sequence[Migration]) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, applied TIMESTAMP)")
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
    reached = int(row[0]) if row else 0
    newest = max((each.number for each in migrations), default=0)
    if reached > newest:
        connection.close()
        raise StoreUnavailable(
            f"{path} was written by a newer Lar (schema {reached}, here {newest}). Use that version."
        )

    for each in sorted(migrations):
        if each.number > reached:
            connection.begin()
            connection.execute(each.sql)
            connection.execute("INSERT INTO migration VALUES (?, now())", [each.number])
            connection.commit()
            connection.execute("CHECKPOINT")


def _explain(path: Path, problem: duckdb.Error) -> str:
    """Say what keeps the file from opening, and the way out."""
    text = str(problem)
    if "lock" in text.lower():
        return (
            f"{path} is in use by another process. One Lar owns its data at a time: 'lar status' shows the "
            f"running one, 'lar stop' ends it. ({text.splitlines()[0]})"
        )

    if "wal" in text.lower():
        return (
            f"The write-ahead log beside {path} is damaged, so Lar does not open a half of its data. Keep a "
            f"copy of both files; then move '{path.name}.wal' away to go on without the last writes, or put "
            f"back a backup. ({text.splitlines()[0]})"
        )

    return (
        f"{path} cannot be opened: {text.splitlines()[0]}. Put back a backup, or move it away to begin anew."
    )
