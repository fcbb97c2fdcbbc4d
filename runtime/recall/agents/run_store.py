"""Runs and their steps in DuckDB: each append is one commit, and what is acknowledged survives a kill.

Numbers of steps are held against the run's row in the writer's transaction: of two that write, one is told.
"""

from collections.abc import Sequence

import duckdb

from runtime.core.agents.ports import Numbered, RunQuery
from runtime.core.agents.steps import AnyStep, RunRecord
from runtime.core.ids import RunId, TenantId
from runtime.recall.agents.common import Keys, conflict, encode, first_row, not_found
from runtime.recall.agents.item_rows import runs_naming
from runtime.recall.agents.run_appending import Append, Appender
from runtime.recall.agents.run_forgetting import erase, forget_before
from runtime.recall.agents.run_rows import (
    COLUMNS,
    TABLES,
    happenings_of,
    insert_ended,
    insert_live,
    insert_steps,
    is_over,
    list_rows,
    locate,
    located,
    read_steps,
    readable_record_of,
    record_of,
    row_of,
)
from runtime.recall.database import Database

_LAST_KEY = """
    SELECT greatest(
        (SELECT coalesce(max(key), 0) FROM run),
        (SELECT coalesce(max(key), 0) FROM run_live),
        (SELECT coalesce(max(run), 0) FROM run_step),
        (SELECT coalesce(max(run), 0) FROM run_happening)
    )
"""


class DuckRunStore:
    """Runs, as `core.agents.ports.RunStore`. One for a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = Keys(_LAST_KEY)
        self._appender = Appender(database)

    async def open(self, record: RunRecord, steps: Sequence[AnyStep]) -> None:
        """Store a new run. Raises Conflict where the id is taken."""
        row = row_of(record, 0, len(steps))
        bodies = [encode(each) for each in steps]

        def _open(connection: duckdb.DuckDBPyConnection) -> None:
            if locate(connection, record.id) is not None:
                raise conflict(f"There is a run '{record.id}' already.")

            row[1] = self._keys.next(connection)
            if is_over(record):
                insert_ended(connection, [row])
            else:
                insert_live(connection, row)
            insert_steps(connection, [(row[1], *each) for each in enumerate(bodies)])

        await self._database.write(_open)

    async def append(self, record: RunRecord, first: int, steps: Sequence[AnyStep]) -> None:
        """Store steps from number `first` on and the record as it is after them, in one commit.

        Raises Conflict where `first` does not follow what is stored or the run has ended, NotFound.
        """
        await self._appender.append(
            Append(row_of(record, 0, 0), first, [encode(each) for each in steps], is_over(record))
        )

    async def find(self, tenant: TenantId, run: RunId) -> RunRecord:
        """Return one run. Raises NotFound, StoreDamaged."""

        def _find(connection: duckdb.DuckDBPyConnection) -> RunRecord:
            for table in TABLES:
                row = first_row(
                    connection,
                    f"SELECT {COLUMNS} FROM {table} WHERE id = ? AND tenant = ?",  # noqa: S608 - constants
                    [run, tenant],
                )
                if row is not None:
                    return record_of(row)
            raise not_found(f"There is no run '{run}'.")

        return await self._database.read_snapshot(_find)

    async def steps(self, tenant: TenantId, run: RunId) -> list[AnyStep]:
        """Return all steps in order. Raises NotFound, StoreDamaged where one is missing or unreadable."""
        return await self._database.read_snapshot(lambda connection: read_steps(connection, tenant, run))

    async def list_runs(self, tenant: TenantId, query: RunQuery) -> list[RunRecord]:
        """Return runs by id, which carries the time. One that cannot be read has `store_damaged` as fault."""
        return await self._database.read_snapshot(
            lambda connection: [readable_record_of(row) for row in list_rows(connection, tenant, query)]
        )

    async def runs_naming(self, tenant: TenantId, item: str) -> list[RunId]:
        """Return the first few runs whose steps name an item."""
        return await self._database.read_snapshot(lambda connection: runs_naming(connection, tenant, item))

    async def unfinished(self) -> list[RunRecord]:
        """Return the runs of all tenants that have no end; one that cannot be read has a fault."""
        rows = await self._database.read(f"SELECT {COLUMNS} FROM run_live ORDER BY id")  # noqa: S608 - constants
        return [readable_record_of(row) for row in rows]

    async def remove(self, tenant: TenantId, run: RunId) -> None:
        """Forget a run that has ended, with its steps and happenings. Raises NotFound, Conflict."""

        def _remove(connection: duckdb.DuckDBPyConnection) -> None:
            place = located(connection, tenant, run)
            if place.table != "run":
                raise conflict(f"The run '{run}' has not ended yet. Cancel it first.")
            erase(connection, [place.key])

        await self._database.write(_remove, is_making_room=True)

    async def note_happenings(self, run: RunId, happenings: Sequence[Numbered]) -> None:
        """Store what readers are about to see; numbers that are there already stay as they are.

        Raises NotFound.
        """
        if not happenings:
            return

        batch = sorted(happenings, key=lambda each: each.number)
        body = encode(batch)

        def _note(connection: duckdb.DuckDBPyConnection) -> None:
            moved = first_row(
                connection,
                "UPDATE run_live SET noted = ? WHERE id = ? AND noted <= ? RETURNING key",
                [batch[-1].number + 1, run, batch[0].number],
            )
            if moved is not None:
                _insert_happenings(connection, int(moved[0]), batch, body)
            else:
                _note_rest(connection, run, batch)

        await self._database.write(_note)

    async def happenings(self, run: RunId, first: int = 0) -> list[Numbered]:
        """Return stored happenings from a number on. Raises StoreDamaged."""

        def _read(connection: duckdb.DuckDBPyConnection) -> list[Numbered]:
            place = locate(connection, run)
            if place is None:
                return []
            rows = connection.execute(
                "SELECT first, body FROM run_happening WHERE run = ? AND last >= ? ORDER BY first",
                [place.key, first],
            ).fetchall()
            found = (each for row in rows for each in happenings_of(run, *row))
            return [each for each in found if each.number >= first]

        return await self._database.read_snapshot(_read)

    async def forget_before(self, at: float) -> int:
        """Remove ended runs that are older than this, and all their children; return how many.

        A child goes with its parent and not before. In steps, between which others write.
        """
        return await forget_before(self._database, at)


def _insert_happenings(
    connection: duckdb.DuckDBPyConnection, key: int, batch: Sequence[Numbered], body: str
) -> None:
    connection.execute(
        "INSERT INTO run_happening VALUES (?, ?, ?, ?)", [key, batch[0].number, batch[-1].number, body]
    )


def _note_rest(connection: duckdb.DuckDBPyConnection, run: RunId, batch: Sequence[Numbered]) -> None:
    """Store what is not there yet: of a run that has ended, or where some of it was noted before."""
    place = locate(connection, run)
    if place is None:
        raise not_found(f"There is no run '{run}'.")

    row = first_row(connection, "SELECT max(last) FROM run_happening WHERE run = ?", [place.key])
    last = -1 if row is None or row[0] is None else int(row[0])
    rest = [each for each in batch if each.number > last]
    if not rest:
        return

    _insert_happenings(connection, place.key, rest, encode(rest))
    if place.table == "run_live":
        connection.execute("UPDATE run_live SET noted = ? WHERE id = ?", [rest[-1].number + 1, run])
