"""Brings the schema of a database up to date, step by step, each followed by a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from runtime.core.errors import StoreUnavailable
from runtime.recall.copying import copy_database
from runtime.recall.privacy import make_private_folder
from runtime.recall.snapshot_files import list_snapshots, name_before_migration, prune_before_migrations


class Migration(NamedTuple):
    """One step of the schema; never edited once released, only followed by another."""

    number: int
    sql: str


def migrate(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    migrations: Sequence[Migration],
    snapshots: Path | None,
) -> None:
    """Run the steps that the file has not seen; copy what is there into the folder `snapshots` before.

    Of such copies the newest two are kept.

    Raises StoreUnavailable where a newer Lar has written the file, duckdb.Error where a step fails: then the
    file is as it was before that step.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, applied TIMESTAMP)")
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
    reached = int(row[0]) if row else 0
    newest = max((each.number for each in migrations), default=0)
    if reached > newest:
        raise StoreUnavailable(explain_newer(path, reached, newest, snapshots))

    missing = [each for each in sorted(migrations) if each.number > reached]
    if missing and reached and snapshots is not None:
        make_private_folder(snapshots)
        copy_database(connection, snapshots / name_before_migration(path.stem, reached))
        prune_before_migrations(snapshots)
    for each in missing:
        _run(connection, each)


def explain_newer(path: Path, reached: int, newest: int, snapshots: Path | None) -> str:
    """Say that a newer Lar has written the file, and which copies from before this one can read."""
    told = f"{path} was written by a newer Lar (schema {reached}, here {newest}). Use that version"
    copies = [] if snapshots is None else list_snapshots(snapshots)
    fitting = [each.path.name for each in copies if each.schema is not None and each.schema <= newest]
    if not fitting:
        return f"{told}."
    return f"{told}, or put back the copy from before its change, {fitting[0]}, without what came since."


def _run(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    connection.begin()
    try:
        connection.execute(migration.sql)
        connection.execute("INSERT INTO migration VALUES (?, now())", [migration.number])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    connection.execute("CHECKPOINT")
