"""Appends of many runs as one: what arrives while the disk is busy becomes three statements, not three each.

Each append is held against its run as the ones before it in the same batch leave it; one that does not follow
is refused alone, and the others are stored.
"""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import duckdb

from runtime.core.errors import LarError
from runtime.core.ids import RunId, TenantId
from runtime.recall.agents.common import conflict
from runtime.recall.agents.run_rows import insert_ended, insert_steps, located
from runtime.recall.database import Database

_APPENDS_AT_ONCE = 256
"""Of one batch: bounds how long other writes wait for it."""


class Append(NamedTuple):
    """Steps from a number on, and the run's row after them, whose `key` and `steps` are still to be set."""

    row: Sequence[Any]
    """As `run_rows.COLUMNS` has it."""
    first: int
    bodies: Sequence[str]
    is_ended: bool


class _Stand(NamedTuple):
    key: int
    tenant: str
    steps: int
    is_ended: bool


class _Batch:
    """Appends that are committed together."""

    def __init__(self) -> None:
        self.appends: list[Append] = []
        self.refused: dict[int, LarError] = {}
        """By the append's place."""
        self.done: Future[None] = Future()


class Appender:
    """Takes appends and stores them in batches. One for a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._open: _Batch | None = None

    async def append(self, append: Append) -> None:
        """Return once it is committed. Raises Conflict, NotFound, what the database raises."""
        with self._lock:
            batch = self._open
            if batch is None or len(batch.appends) >= _APPENDS_AT_ONCE:
                self._open = batch = _Batch()
            place = len(batch.appends)
            batch.appends.append(append)
        if place == 0:
            await self._database.post(partial(self._store, batch=batch), batch.done)
        # Whoever leaves takes nothing away from the others of the batch.
        await asyncio.shield(asyncio.wrap_future(batch.done))
        if place in batch.refused:
            raise batch.refused[place]

    def _store(self, connection: duckdb.DuckDBPyConnection, batch: _Batch) -> None:
        with self._lock:  # from here on nobody joins
            if self._open is batch:
                self._open = None
        batch.refused.clear()
        _store_batch(connection, batch)


def _store_batch(connection: duckdb.DuckDBPyConnection, batch: _Batch) -> None:
    stands = _read_stands(connection, [each.row[0] for each in batch.appends])
    moved: dict[str, list[Any]] = {}
    ends: list[list[Any]] = []
    steps: list[tuple[int, int, str]] = []
    for place, append in enumerate(batch.appends):
        try:
            stand = _checked(connection, stands, append)
        except LarError as problem:
            batch.refused[place] = problem
            continue

        count = append.first + len(append.bodies)
        run = append.row[0]
        row = [run, stand.key, *append.row[2:12], count, append.row[13]]
        stands[run] = _Stand(stand.key, stand.tenant, count, append.is_ended)
        steps += [(stand.key, number, body) for number, body in enumerate(append.bodies, append.first)]
        moved.pop(run, None)
        if append.is_ended:
            ends.append(row)
        else:
            moved[run] = row
    _update_live(connection, list(moved.values()))
    if ends:
        marks = ", ".join("?" * len(ends))
        connection.execute(f"DELETE FROM run_live WHERE id IN ({marks})", [row[0] for row in ends])  # noqa: S608 - marks
        insert_ended(connection, ends)
    insert_steps(connection, steps)


def _read_stands(connection: duckdb.DuckDBPyConnection, runs: Sequence[str]) -> dict[str, _Stand]:
    """Return how these runs stand, as far as they go on."""
    wanted = sorted(set(runs))
    rows = connection.execute(
        f"SELECT id, key, tenant, steps FROM run_live WHERE id IN ({', '.join('?' * len(wanted))})",  # noqa: S608 - marks
        wanted,
    ).fetchall()
    return {run: _Stand(key, tenant, steps, False) for run, key, tenant, steps in rows}


def _checked(connection: duckdb.DuckDBPyConnection, stands: dict[str, _Stand], append: Append) -> _Stand:
    """Return how the run stands, if the append follows. Raises Conflict, NotFound."""
    run, tenant = RunId(append.row[0]), TenantId(append.row[2])
    stand = stands.get(run)
    if stand is None or stand.tenant != tenant:
        located(connection, tenant, run)
    if stand is None or stand.is_ended:
        raise conflict(f"The run '{run}' has ended.")
    if stand.steps != append.first:
        raise conflict(f"The run '{run}' has {stand.steps} steps; {append.first} does not follow.")
    return stand


def _update_live(connection: duckdb.DuckDBPyConnection, rows: Sequence[Sequence[Any]]) -> None:
    """Store how runs are that go on."""
    if len(rows) == 1:
        run, _, _, _, agent, model, _, _, _, _, status, _, steps, body = rows[0]
        connection.execute(
            "UPDATE run_live SET agent = ?, model = ?, status = ?, steps = ?, body = ? WHERE id = ?",
            [agent, model, status, steps, body, run],
        )
    elif rows:
        columns = [[row[place] for row in rows] for place in (0, 4, 5, 10, 12, 13)]
        connection.execute(
            "UPDATE run_live SET agent = n.agent, model = n.model, status = n.status, steps = n.steps, "
            "body = n.body FROM (SELECT unnest($1::VARCHAR[]) AS id, unnest($2::VARCHAR[]) AS agent, "
            "unnest($3::VARCHAR[]) AS model, unnest($4::VARCHAR[]) AS status, "
            "unnest($5::INTEGER[]) AS steps, unnest($6::VARCHAR[]) AS body) AS n WHERE run_live.id = n.id",
            columns,
        )
