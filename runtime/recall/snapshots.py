"""Nightly copies of a database, a few of them, and the way back.

A snapshot is whole, checked and of one commit. It also keeps, until it goes itself, what was forgotten since:
fewer snapshots forget sooner. Copies that were made before a migration of the schema lie beside them.
"""

import shutil
import time
from pathlib import Path

import anyio.to_thread
import duckdb

from runtime.recall.copying import copy_database
from runtime.recall.damage import is_full, store_damaged, store_full
from runtime.recall.database import Database
from runtime.recall.privacy import make_private_folder
from runtime.recall.snapshot_files import (
    STAMP,
    Snapshot,
    epoch,
    list_snapshots,
    prune_before_migrations,
)

__all__ = ["Snapshot", "Snapshots", "is_snapshot_due", "list_snapshots"]

_DAY_S = 86400.0
_LATEST_S = 1.5 * _DAY_S
"""A machine that never runs at night gets its snapshot by day, half a day late."""
_NIGHT = range(2, 5)
"""Hours of local time."""


def is_snapshot_due(now: float, newest: float | None, hour: int) -> bool:
    """Tell whether it is time for a nightly snapshot; `hour` is that of local time."""
    if newest is None:
        return True

    age_s = now - newest
    return age_s >= _LATEST_S or (age_s >= _DAY_S / 2 and hour in _NIGHT)


class Snapshots:
    """The folder of a database's snapshots."""

    def __init__(self, database: Database, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self._database = database
        self._keep = keep

    async def list_all(self) -> list[Snapshot]:
        """Return what is there, the newest first."""
        return await anyio.to_thread.run_sync(list_snapshots, self.folder)

    async def take_if_due(self, now: float) -> Snapshot | None:
        """Take a nightly snapshot if one is wanted and it is time. Raises StoreFull, StoreDamaged."""
        if not self._keep:
            return None

        nightly = [each.at for each in await self.list_all() if each.schema is None]
        if not is_snapshot_due(now, max(nightly, default=None), time.localtime(now).tm_hour):
            return None
        return await self.take(now)

    async def take(self, now: float) -> Snapshot:
        """Copy the database as of now and let the oldest copies go. Raises StoreFull, StoreDamaged."""
        stamp = time.strftime(STAMP, time.gmtime(now))
        target = self.folder / f"{self._database.path.stem}-{stamp}.duckdb"
        try:
            await self._database.use_cursor(lambda cursor: self._copy(cursor, target))
        except (duckdb.Error, OSError) as problem:
            if is_full(problem):
                raise store_full(target, str(problem)) from problem
            way_out = "Put back the newest snapshot that can be read."
            raise store_damaged(target, way_out, problem) from problem

        await anyio.to_thread.run_sync(self._prune)
        size_bytes = (await anyio.to_thread.run_sync(target.stat)).st_size
        return Snapshot(target, float(epoch(stamp)), size_bytes, None)

    def _copy(self, cursor: duckdb.DuckDBPyConnection, target: Path) -> None:
        needed_bytes = self._database.path.stat().st_size
        make_private_folder(self.folder)
        if shutil.disk_usage(self.folder).free < needed_bytes + self._database.limits.reserve_bytes:
            raise store_full(target, f"a snapshot needs {needed_bytes} bytes")
        copy_database(cursor, target)

    def _prune(self) -> None:
        nightly = [each for each in list_snapshots(self.folder) if each.schema is None]
        # Where none is kept by night, those that are there were made by hand: they are not ours to remove.
        for each in nightly[self._keep :] if self._keep else ():
            each.path.unlink(missing_ok=True)
        prune_before_migrations(self.folder)
