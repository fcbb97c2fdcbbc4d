"""Small durable things by kind and key, in DuckDB: batches, stored chats, marks of triggers, templates."""

from typing import Any

import duckdb

from runtime.core.ids import TenantId
from runtime.recall.agents.common import conflict, first_row
from runtime.recall.database import Database

_IS_ONE = "kind = ? AND key = ? AND tenant = ?"


class DuckRecords:
    """Small durable things, as `core.agents.ports.Records`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, tenant: TenantId, kind: str, key: str, body: bytes, *, only_new: bool = False
    ) -> None:
        """Store or replace. Raises Conflict where `only_new` and it exists."""

        def _put(connection: duckdb.DuckDBPyConnection) -> None:
            if first_row(connection, f"SELECT 1 FROM record WHERE {_IS_ONE}", [kind, key, tenant]) is None:  # noqa: S608 - constants
                connection.execute("INSERT INTO record VALUES (?, ?, ?, ?)", [kind, key, tenant, body])
            elif only_new:
                raise conflict(f"There is a {kind} '{key}' already.")
            else:
                connection.execute(f"UPDATE record SET body = ? WHERE {_IS_ONE}", [body, kind, key, tenant])  # noqa: S608 - constants

        await self._database.write(_put)

    async def get(self, tenant: TenantId, kind: str, key: str) -> bytes | None:
        """Return it, None where it is not."""
        rows = await self._database.read(f"SELECT body FROM record WHERE {_IS_ONE}", [kind, key, tenant])  # noqa: S608 - constants
        return bytes(rows[0][0]) if rows else None

    async def list_records(
        self,
        tenant: TenantId | None,
        kind: str,
        *,
        after: str | None = None,
        limit: int = 100,
        is_newest_first: bool = False,
    ) -> list[tuple[TenantId, str, bytes]]:
        """Return tenant, key and body by key; all tenants where none is named.

        What shares its key with the last comes along: `after` could not tell it apart.
        """
        order, beyond = ("DESC", "<") if is_newest_first else ("ASC", ">")
        clauses, parameters = ["kind = ?"], list[Any]([kind])
        for clause, value in (("tenant = ?", tenant), (f"key {beyond} ?", after)):
            if value is not None:
                clauses.append(clause)
                parameters.append(value)
        where = " AND ".join(clauses)

        def _read(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
            page = connection.execute(
                f"SELECT key, tenant, body FROM record WHERE {where} ORDER BY key {order}, tenant {order} "  # noqa: S608 - constants
                "LIMIT ?",
                [*parameters, limit],
            ).fetchall()
            if tenant is not None or len(page) < limit or not page:
                return page

            rest = connection.execute(
                f"SELECT key, tenant, body FROM record WHERE kind = ? AND key = ? AND tenant {beyond} ? "  # noqa: S608 - constants
                f"ORDER BY tenant {order}",
                [kind, page[-1][0], page[-1][1]],
            ).fetchall()
            return page + rest

        rows = await self._database.read_snapshot(_read)
        return [(TenantId(owner), key, bytes(body)) for key, owner, body in rows]

    async def remove(self, tenant: TenantId, kind: str, key: str) -> bool:
        """Remove it; say whether it was there."""
        removed: list[bool] = []

        def _remove(connection: duckdb.DuckDBPyConnection) -> None:
            sql = f"DELETE FROM record WHERE {_IS_ONE} RETURNING 1"  # noqa: S608 - constants
            removed[:] = [first_row(connection, sql, [kind, key, tenant]) is not None]

        await self._database.write(_remove, is_making_room=True)
        return removed[0]
