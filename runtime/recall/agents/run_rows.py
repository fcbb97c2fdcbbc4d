"""How a run stands in its row, and how rows are read back and asked for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import msgspec

from runtime.core.agents.ports import Numbered, RunQuery
from runtime.core.agents.steps import TERMINAL, AnyStep, RunRecord
from runtime.core.errors import Fault, StoreDamaged
from runtime.core.ids import ModelId, RunId, TenantId
from runtime.recall.agents.common import damaged, decode, encode, first_row, not_found, places

COLUMNS = (
    "id, key, tenant, principal, agent, model, session, parent, labels, created_at, status, ended_at, steps, "
    "body"
)
TABLES = ("run_live", "run")
_LOOKED_AT = 1000
"""Newest runs among which a page of them is looked for first."""

_records = msgspec.json.Decoder(RunRecord)
_steps: msgspec.json.Decoder[AnyStep] = msgspec.json.Decoder(AnyStep)
_happenings = msgspec.json.Decoder(list[Numbered])


class Place(NamedTuple):
    """Where a run is stored."""

    table: str
    key: int
    steps: int


def row_of(record: RunRecord, key: int, steps: int) -> list[Any]:
    """Return the row of a run, as COLUMNS has it; `steps` are those that are stored."""
    return [
        record.id,
        key,
        record.tenant,
        record.principal,
        record.agent,
        record.model,
        record.session,
        record.parent,
        _lines(record.labels),
        record.created_at,
        record.status,
        record.ended_at,
        steps,
        encode(record),
    ]


def record_of(row: tuple[Any, ...]) -> RunRecord:
    """Return the run of a row of COLUMNS. Raises StoreDamaged."""
    return decode(_records, row[-1], f"the run '{row[0]}'")


def readable_record_of(row: tuple[Any, ...]) -> RunRecord:
    """Return the run of a row; where its body cannot be read, what the columns say, and that as its fault."""
    try:
        return record_of(row)
    except StoreDamaged as problem:
        return _stand_in(row, problem.fault)


def step_of(run: RunId, number: int, body: str) -> AnyStep:
    """Return a step. Raises StoreDamaged."""
    return decode(_steps, body, f"the run '{run}', step {number},")


def happenings_of(run: RunId, first: int, body: str) -> list[Numbered]:
    """Return what was noted at once. Raises StoreDamaged."""
    return decode(_happenings, body, f"the run '{run}', from happening {first} on,")


def locate(connection: duckdb.DuckDBPyConnection, run: RunId, tenant: TenantId | None = None) -> Place | None:
    """Return where a run is, None where it is nowhere or another tenant's."""
    for table in TABLES:
        row = first_row(connection, f"SELECT key, steps, tenant FROM {table} WHERE id = ?", [run])  # noqa: S608 - constants
        if row is not None:
            return Place(table, int(row[0]), int(row[1])) if tenant in (None, row[2]) else None
    return None


def located(connection: duckdb.DuckDBPyConnection, tenant: TenantId, run: RunId) -> Place:
    """Return where a run is. Raises NotFound."""
    found = locate(connection, run, tenant)
    if found is None:
        raise not_found(f"There is no run '{run}'.")
    return found


def read_steps(connection: duckdb.DuckDBPyConnection, tenant: TenantId, run: RunId) -> list[AnyStep]:
    """Return all steps of a run. Raises NotFound, StoreDamaged where one is missing or cannot be read."""
    place = located(connection, tenant, run)
    rows = connection.execute(
        "SELECT number, body FROM run_step WHERE run = ? ORDER BY number", [place.key]
    ).fetchall()
    if [row[0] for row in rows] != list(range(place.steps)):
        raise damaged(f"the run '{run}'", f"it has {len(rows)} steps where {place.steps} were stored")
    return [step_of(run, *row) for row in rows]


def insert_live(connection: duckdb.DuckDBPyConnection, row: Sequence[Any]) -> None:
    """Store the row of a run that goes on."""
    connection.execute(
        f"INSERT INTO run_live ({COLUMNS}, noted) VALUES {places(1, len(row) + 1)}",  # noqa: S608 - constants
        [*row, 0],
    )


def insert_ended(connection: duckdb.DuckDBPyConnection, rows: Sequence[Sequence[Any]]) -> None:
    """Store the rows of runs that have ended."""
    values = [value for row in rows for value in row]
    connection.execute(f"INSERT INTO run ({COLUMNS}) VALUES {places(len(rows), len(rows[0]))}", values)  # noqa: S608 - constants


def insert_steps(connection: duckdb.DuckDBPyConnection, steps: Sequence[tuple[int, int, str]]) -> None:
    """Store steps: the number of the run, their own, their JSON."""
    if steps:
        connection.execute(
            "INSERT INTO run_step SELECT unnest($1::BIGINT[]), unnest($2::INTEGER[]), unnest($3::VARCHAR[])",
            [list(column) for column in zip(*steps, strict=True)],
        )


def list_rows(
    connection: duckdb.DuckDBPyConnection, tenant: TenantId, query: RunQuery
) -> list[tuple[Any, ...]]:
    """Return the rows of the runs that are wanted, in order."""
    rows = [row for table in TABLES for row in _list_table(connection, table, tenant, query)]
    return sorted(rows, key=lambda row: str(row[0]), reverse=query.is_newest_first)[: query.limit]


def is_over(record: RunRecord) -> bool:
    """Tell whether a run has ended."""
    return record.status in TERMINAL


def _list_table(
    connection: duckdb.DuckDBPyConnection, table: str, tenant: TenantId, query: RunQuery
) -> list[tuple[Any, ...]]:
    where, parameters = _condition(tenant, query)
    order = "DESC" if query.is_newest_first else "ASC"
    sql = f"SELECT {COLUMNS} FROM {table} WHERE {where}"  # noqa: S608 - constants
    end = f" ORDER BY id {order} LIMIT ?"
    floor = _floor(connection, table, query)
    if floor is not None:
        rows = connection.execute(f"{sql} AND id >= ?{end}", [*parameters, floor, query.limit]).fetchall()
        if len(rows) == query.limit:
            return rows
    return connection.execute(sql + end, [*parameters, query.limit]).fetchall()


def _floor(connection: duckdb.DuckDBPyConnection, table: str, query: RunQuery) -> str | None:
    """Return an id above which the newest runs are, very likely enough of them; None: not worth a look.

    Rows lie from the oldest to the newest, so that each is the best so far to whoever sorts them the other
    way: with this bound a list of all runs takes a third of the time.
    """
    is_plain = not (query.agent or query.session or query.parent or query.statuses or query.labels)
    if table != "run" or not (is_plain and query.is_newest_first):
        return None

    after = None if query.after is None else locate(connection, query.after)
    top = "(SELECT max(key) FROM run)" if after is None else str(after.key)
    row = first_row(
        connection,
        f"SELECT min(id) FROM run WHERE key > {top} - ? AND key <= {top}",  # noqa: S608 - a number
        [max(_LOOKED_AT, 4 * query.limit)],
    )
    return None if row is None or row[0] is None else str(row[0])


def _condition(tenant: TenantId, query: RunQuery) -> tuple[str, list[Any]]:
    """Return the WHERE clause of a query and its parameters."""
    clauses: list[str] = ["tenant = ?"]
    parameters: list[Any] = [tenant]
    for column, wanted in (("agent", query.agent), ("session", query.session), ("parent", query.parent)):
        if wanted is not None:
            clauses.append(f"{column} = ?")
            parameters.append(wanted)
    if query.statuses:
        clauses.append(f"status IN ({', '.join('?' * len(query.statuses))})")
        parameters += query.statuses
    for label, value in query.labels.items():
        clauses.append("contains(labels, ?)")
        parameters.append(_lines({label: value}))
    if query.after is not None:
        clauses.append("id < ?" if query.is_newest_first else "id > ?")
        parameters.append(query.after)
    return " AND ".join(clauses), parameters


def _lines(labels: dict[str, str]) -> str:
    """Return labels as lines with an empty one between each two: in JSON there is no bare line break."""
    return "".join(f"\n{encode(pair)}\n" for pair in labels.items())


def _stand_in(row: tuple[Any, ...], fault: Fault) -> RunRecord:
    run, _, tenant, principal, agent, model, session, parent, _, created_at, status, ended_at, steps, _ = row
    return RunRecord(
        id=RunId(run),
        tenant=tenant,
        principal=principal,
        agent=agent,
        model=ModelId(model),
        session=session,
        parent=None if parent is None else RunId(parent),
        created_at=created_at,
        status=status,
        ended_at=ended_at,
        steps=steps,
        fault=fault,
    )
