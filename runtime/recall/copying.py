"""A whole, checked copy of an open database, as of one commit, while others go on writing.

The copy is made beside its final name, read back from the disk and compared table by table; only then does
it get its name. A copy also is the only way to make a file smaller: freed blocks stay in it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from runtime.core.errors import Fault, StoreDamaged
from runtime.recall.privacy import make_private

_ALIAS = "copied"
PART_SUFFIX = ".part"


class Print(NamedTuple):
    """What tells whether two tables hold the same rows, in whatever order."""

    rows: int
    mixed: int


def copy_database(cursor: duckdb.DuckDBPyConnection, target: Path) -> dict[str, Print]:
    """Copy the cursor's database to a new file; return what was compared, by table.

    Raises duckdb.Error where either file cannot be read or written, StoreDamaged where the copy differs.
    Nothing is left under the final name then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + PART_SUFFIX)
    _discard(part)
    try:
        written = _copy(cursor, part)
        if prints_of(part) != written:
            message = f"The copy {target.name} does not read as it was written. Check the disk."
            raise StoreDamaged(Fault(code="store_damaged", message=message))
        sync(part)
        part.replace(target)
        sync(target.parent)
    finally:
        _discard(part)
    return written


def prints_of(path: Path) -> dict[str, Print]:
    """Read all of a database that nobody has open. Raises duckdb.Error where it cannot be read."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return prints(connection)


def prints(cursor: duckdb.DuckDBPyConnection) -> dict[str, Print]:
    """Read every row of every table of the cursor's database. Raises duckdb.Error where that fails."""
    return {table: print_of(cursor, table) for table in tables(cursor)}


def tables(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of the tables of the cursor's database."""
    rows = cursor.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() ORDER BY table_name"
    ).fetchall()
    return [row[0] for row in rows]


def print_of(cursor: duckdb.DuckDBPyConnection, table: str) -> Print:
    """Read every row of a table. Raises duckdb.Error where one cannot be read."""
    row = cursor.execute(f'SELECT count(*), coalesce(bit_xor(hash(t)), 0) FROM "{table}" t').fetchone()  # noqa: S608 - names of our own tables
    assert row is not None, "an aggregate always has a row"
    return Print(*row)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(cursor: duckdb.DuckDBPyConnection, part: Path) -> dict[str, Print]:
    row = cursor.execute("SELECT current_database()").fetchone()
    assert row is not None, "a connection has a database"
    with _attached(cursor, part):
        make_private(part)
        cursor.begin()
        try:
            written = prints(cursor)
            cursor.execute(f'COPY FROM DATABASE "{row[0]}" TO {_ALIAS}')
            cursor.commit()
        except BaseException:
            cursor.rollback()
            raise
        cursor.execute(f"CHECKPOINT {_ALIAS}")
    return written


@contextmanager
def _attached(cursor: duckdb.DuckDBPyConnection, part: Path) -> Iterator[None]:
    quoted = str(part).replace("'", "''")
    cursor.execute(f"ATTACH '{quoted}' AS {_ALIAS}")
    try:
        yield
    finally:
        cursor.execute(f"DETACH {_ALIAS}")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".wal").unlink(missing_ok=True)
