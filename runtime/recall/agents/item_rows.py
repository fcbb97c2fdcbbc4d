"""In which runs an item is, found by its id: the id carries the time, and that bounds what is read.

    id ─► time ─► runs that lived then (two small columns) ─► their steps alone (zone maps) ─► who names it
Ids that were not minted here tell no time: they are looked for among the newest runs.
"""

import re

import duckdb
import msgspec

from runtime.core.ids import RunId, TenantId
from runtime.core.minting import TIME_DIGITS

_MINTED = re.compile(r"[a-z]+_(?P<time>[0-9a-f]{11})[0-9a-f]{16}")
_BEFORE_S = 900.0
"""So long before its run an item of a request may be made: servers that come along are listed in between."""
_AFTER_S = 5.0
"""So long after the last step of a run an id may seem to be made, where clocks are put."""
_NEWEST = 2000
"""Runs that are looked at for an id without a time."""
_MOST = 8
"""Runs that name one item: the one that gave it, and a few that were given it."""

_LIVED = """
    SELECT id, key FROM {table}
    WHERE tenant = $tenant AND created_at <= $until AND coalesce(ended_at, $since) >= $since
"""
_NEW = "SELECT id, key FROM {table} WHERE tenant = $tenant ORDER BY key DESC LIMIT $newest"
_NAMING = """
    WITH candidate AS (({live}) UNION ALL ({ended}))
    SELECT id FROM candidate
    WHERE EXISTS (
        SELECT 1 FROM run_step
        WHERE run = candidate.key AND contains(body, $needle)
    )
    ORDER BY key LIMIT $most
"""


def runs_naming(connection: duckdb.DuckDBPyConnection, tenant: TenantId, item: str) -> list[RunId]:
    """Return runs whose steps name an item, the oldest first; they may hold it, or only have been given it."""
    needle = '"id":' + msgspec.json.encode(item).decode()
    parameters: dict[str, object] = {"tenant": tenant, "needle": needle, "most": _MOST}
    minted = _MINTED.fullmatch(item)
    if minted is None:
        which, parameters["newest"] = _NEW, _NEWEST
    else:
        made_at = int(minted["time"][:TIME_DIGITS], 16) / 1000
        which = _LIVED
        parameters |= {"until": made_at + _BEFORE_S, "since": made_at - _AFTER_S}
    sql = _NAMING.format(live=which.format(table="run_live"), ended=which.format(table="run"))
    return [RunId(row[0]) for row in connection.execute(sql, parameters).fetchall()]
