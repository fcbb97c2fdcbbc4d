"""Brings the schema of a database up to date, step by step, each followed by a checkpoint."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from runtime.core.errors import StoreUnavailable
from runtime.recall.copying import copy_database


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

    Raises StoreUnavailable where a newer Lar has written the file, duckdb.Error where a step fails: then the
    file is as it was before that step.
    """
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, applied TIMESTAMP)")
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
    reached = int(row[0]) if row else 0
    newest = max((each.number for each in migrations), default=0)
    if reached > newest:
        raise StoreUnavailable(
            f"{path} was written by a newer Lar (schema {reached}, here {newest}). Use that version."
        )

    missing = [each for each in sorted(migrations) if each.number > reached]
    if missing and reached and snapshots is not None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        copy_database(connection, snapshots / f"{path.stem}-{stamp}-schema{reached}.duckdb")
    for each in missing:
        _run(connection, each)


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
