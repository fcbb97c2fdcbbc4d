"""How an index in memory follows the truth: which chunks changed since the snapshot that it knows.

An index remembers the newest seq of its snapshot. The log is trimmed without asking it, and a namespace may
have been dropped: both mean that the index must be made anew.

The log is read first and the rows by what it named, each in a statement of one snapshot: joined in one
statement, the database looks at all rows to find a few.
"""

from collections.abc import Collection
from typing import NamedTuple

import duckdb

from runtime.recall.truth import Op


class Changes(NamedTuple):
    """What the log names after a seq."""

    chunks: list[int]
    """Each once, ascending."""
    newest: int
    """The newest seq of the snapshot."""


def newest_seq(cursor: duckdb.DuckDBPyConnection) -> int:
    """Return the newest seq of all namespaces in the cursor's snapshot, 0 where nothing was logged."""
    return _ends(cursor)[1]


def changes_after(
    cursor: duckdb.DuckDBPyConnection, ns: int, followed: int, ops: Collection[Op]
) -> Changes | None:
    """Return the chunks of a namespace that one of `ops` concerned after a seq.

    None where that cannot be told any more, or the namespace was dropped.
    """
    oldest, newest = _ends(cursor)
    if oldest > followed + 1:
        return None

    rows = cursor.execute(
        "SELECT DISTINCT chunk, op FROM change WHERE seq > $1 AND ns = $2", [followed, ns]
    ).fetchall()
    if any(op == "drop" for _, op in rows):
        return None
    return Changes(sorted({chunk for chunk, op in rows if op in ops}), max(newest, followed))


def _ends(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    row = cursor.execute("SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM change").fetchone()
    assert row is not None, "an aggregate always has a row"
    return int(row[0]), int(row[1])
