"""How runs are forgotten: with all that hangs on them, in bites that hold nobody up."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import duckdb

from runtime.recall.database import Database

_RUNS_AT_ONCE = 40
_STEPS_AT_ONCE = 500
"""Of one commit: it takes some ten milliseconds, in which other writes wait."""
_LOOKED_AT = 2000
"""Old runs of one look: what has to go is found without holding all of it in memory."""

_OLD = """
    SELECT id, key, steps FROM run AS old
    WHERE coalesce(ended_at, created_at) < $1
      AND (parent IS NULL OR NOT EXISTS (SELECT 1 FROM run WHERE id = old.parent)
           AND NOT EXISTS (SELECT 1 FROM run_live WHERE id = old.parent))
    ORDER BY key LIMIT $2
"""


class _Doomed(NamedTuple):
    id: str
    key: int
    steps: int


async def forget_before(database: Database, at: float) -> int:
    """Remove ended runs that are older than this, and all their children; return how many."""
    forgotten = 0
    while found := [_Doomed(*row) for row in await database.read(_OLD, [at, _LOOKED_AT])]:
        found += await _children(database, found)
        for bite in _bites(found):
            await database.write(partial(erase, keys=bite), is_making_room=True)
        forgotten += len(found)
    return forgotten


def erase(connection: duckdb.DuckDBPyConnection, keys: Sequence[int]) -> None:
    """Remove ended runs with their steps and happenings."""
    bounds: list[Any] = [min(keys), max(keys), list(keys)]
    for table in ("run_step", "run_happening"):
        connection.execute(
            f"DELETE FROM {table} WHERE run BETWEEN $1 AND $2 AND run IN (SELECT unnest($3::BIGINT[]))",  # noqa: S608 - constants
            bounds,
        )
    connection.execute(
        "DELETE FROM run WHERE key BETWEEN $1 AND $2 AND key IN (SELECT unnest($3::BIGINT[]))", bounds
    )


async def _children(database: Database, parents: Sequence[_Doomed]) -> list[_Doomed]:
    """Return the ended runs that these have called, and those that they have called, and so on."""
    known = {each.key for each in parents}
    found: list[_Doomed] = []
    while parents:
        rows = await database.read(
            "SELECT id, key, steps FROM run WHERE parent IN (SELECT unnest($1::VARCHAR[]))",
            [[each.id for each in parents]],
        )
        parents = [each for each in (_Doomed(*row) for row in rows) if each.key not in known]
        known |= {each.key for each in parents}
        found += parents
    return found


def _bites(doomed: Sequence[_Doomed]) -> Iterator[list[int]]:
    """Yield numbers of runs that are removed in one commit."""
    bite: list[int] = []
    steps = 0
    for each in sorted(doomed, key=lambda each: each.key):
        if bite and (len(bite) >= _RUNS_AT_ONCE or steps + each.steps > _STEPS_AT_ONCE):
            yield bite
            bite, steps = [], 0
        bite.append(each.key)
        steps += each.steps
    if bite:
        yield bite
