"""In which runs an item is, found by its id: the id carries the time, and that bounds what is read.

    id ─► time ─► runs that lived then (two small columns) ─► their steps alone (zone maps) ─► who names it
Ids that were not minted here tell no time, and forks copy what is older: the newest runs are read for those.
"""

import re

import duckdb
import msgspec

from runtime.core.ids import RunId, TenantId
from runtime.recall.agents.run_rows import TABLES

_MINTED = re.compile(r"[a-z]+_(?P<time>[0-9a-f]{11})[0-9a-f]{16}")
_BEFORE_S = 900.0
"""So long before its run an item of a request may be made: servers that come along are listed in between."""
_AFTER_S = 5.0
"""So long after the last step of a run an id may seem to be made, where clocks are put."""
_NEWEST = 2000
"""Runs that are looked at where the time leads nowhere."""
_MOST = 8
"""Runs that name one item: the one that gave it, and a few that were given it."""

_LIVED = """
    SELECT id, key FROM {table}
    WHERE tenant = $tenant AND created_at <= $until AND coalesce(ended_at, $since) >= $since
"""
_NEW = "SELECT id, key FROM {table} WHERE tenant = $tenant"
_NAMING = """
    SELECT DISTINCT run FROM run_step
    WHERE run BETWEEN $low AND $high AND run IN (SELECT unnest($keys::BIGINT[])) AND contains(body, $needle)
    ORDER BY run LIMIT $most
"""


def runs_naming(connection: duckdb.DuckDBPyConnection, tenant: TenantId, item: str) -> list[RunId]:
    """Return runs whose steps name an item, the oldest first; some may only have been given it."""
    minted = _MINTED.fullmatch(item)
    found: list[RunId] = []
    if minted is not None:
        made_at = int(minted["time"], 16) / 1000
        bounds = {"until": made_at + _BEFORE_S, "since": made_at - _AFTER_S}
        found = _naming(connection, _runs(connection, _LIVED, {"tenant": tenant, **bounds}), item)
    return found or _naming(connection, _runs(connection, _NEW, {"tenant": tenant})[-_NEWEST:], item)


def _runs(
    connection: duckdb.DuckDBPyConnection, which: str, parameters: dict[str, object]
) -> list[tuple[int, str]]:
    """Return keys and ids of runs, the oldest first."""
    both = " UNION ALL ".join(which.format(table=each) for each in TABLES)
    return sorted((int(key), str(run)) for run, key in connection.execute(both, parameters).fetchall())


def _naming(connection: duckdb.DuckDBPyConnection, runs: list[tuple[int, str]], item: str) -> list[RunId]:
    if not runs:
        return []

    parameters = {
        "low": runs[0][0],
        "high": runs[-1][0],
        "keys": [key for key, _ in runs],
        "needle": '"id":' + msgspec.json.encode(item).decode(),
        "most": _MOST,
    }
    ids = dict(runs)
    return [RunId(ids[key]) for (key,) in connection.execute(_NAMING, parameters).fetchall()]
