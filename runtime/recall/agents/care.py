"""Looking after the server's own database while it is open, as `core.recall.Care`, for operators."""

import logging
from functools import partial

import anyio
import anyio.to_thread
import duckdb

from runtime.core.clock import Clock
from runtime.core.errors import LarError, StoreUnavailable
from runtime.core.recall import Finding, StoredSnapshot
from runtime.recall.agents.check import check_connection, check_files
from runtime.recall.database import Database
from runtime.recall.snapshots import Snapshot, Snapshots

logger = logging.getLogger(__name__)

SNAPSHOTS_FOLDER = "snapshots"
_EVERY_S = 3600.0


class AgentStoreCare:
    """Checks the database of facts, runs, conversations and records, and copies it."""

    def __init__(self, database: Database, clock: Clock, keep: int) -> None:
        self._database = database
        self._clock = clock
        self._snapshots = Snapshots(database, database.path.parent / SNAPSHOTS_FOLDER, keep=keep)

    async def check(self, *, is_repairing: bool) -> list[Finding]:
        """Read everything as of one moment; repairs nothing unless `is_repairing`."""
        files = partial(check_files, self._database.path, self._snapshots.folder, is_repairing=is_repairing)
        return [*await self._check_rows(is_repairing), *await anyio.to_thread.run_sync(files)]

    async def snapshots(self) -> list[StoredSnapshot]:
        """Return the copies on disk, the newest first."""
        return [stored(each) for each in await self._snapshots.list_all()]

    async def take_snapshot(self) -> StoredSnapshot:
        """Copy the database as of this moment. Raises StoreFull, StoreDamaged."""
        return stored(await self._snapshots.take(self._clock.now()))

    async def copy_forever(self) -> None:
        """Copy the database by night, where copies are wanted. For the app's task group."""
        while True:
            await anyio.sleep(_EVERY_S)
            try:
                await self._snapshots.take_if_due(self._clock.now())
            except (LarError, StoreUnavailable, duckdb.Error, OSError):
                logger.exception("the nightly copy of the database has failed")

    async def _check_rows(self, is_repairing: bool) -> list[Finding]:
        if not is_repairing:
            return await self._database.read_snapshot(check_connection)

        findings: list[Finding] = []

        def _mend(connection: duckdb.DuckDBPyConnection) -> None:
            findings[:] = check_connection(connection, is_repairing=True)

        await self._database.write(_mend, is_making_room=True)
        return findings


def stored(snapshot: Snapshot) -> StoredSnapshot:
    """Return a copy as it is told."""
    return StoredSnapshot(
        name=snapshot.path.name, at=snapshot.at, size_bytes=snapshot.size_bytes, schema=snapshot.schema
    )
