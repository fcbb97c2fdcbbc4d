"""Conversations and their items in DuckDB. Places only grow; an item that is there is not added again."""

from collections.abc import Sequence
from typing import Any

import duckdb
import msgspec

from runtime.core.agents.items import AnyItem
from runtime.core.agents.ports import Session, SessionItem
from runtime.core.errors import NotFound
from runtime.core.ids import TenantId
from runtime.recall.agents.common import Keys, conflict, decode, encode, first_row, not_found, places
from runtime.recall.database import Database

_COLUMNS = "id, tenant, created_at, metadata, agent, title, items"
_LAST_KEY = """
    SELECT greatest(
        (SELECT coalesce(max(key), 0) FROM session), (SELECT coalesce(max(session), 0) FROM session_item)
    )
"""
_ROWS_AT_ONCE = 500
"""Of one statement: its parameters are bound one by one."""

_items: msgspec.json.Decoder[AnyItem] = msgspec.json.Decoder(AnyItem)
_metadata = msgspec.json.Decoder(dict[str, str])


class DuckSessions:
    """Conversations, as `core.agents.ports.Sessions`. One for a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = Keys(_LAST_KEY)

    async def create(self, session: Session, items: Sequence[AnyItem] = ()) -> Session:
        """Store a new one; return it with the number of its items. Raises Conflict."""
        bodies = _bodies(items)

        def _create(connection: duckdb.DuckDBPyConnection) -> None:
            if first_row(connection, "SELECT 1 FROM session WHERE id = ?", [session.id]) is not None:
                raise conflict(f"There is a conversation '{session.id}' already.")

            key = self._keys.next(connection)
            row = [session.id, key, session.tenant, session.agent, session.title, session.created_at]
            connection.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [*row, encode(session.metadata), len(bodies), len(bodies)],
            )
            _insert(connection, key, 0, list(bodies.items()))

        await self._database.write(_create)
        return msgspec.structs.replace(session, items=len(bodies))

    async def find(self, tenant: TenantId, session: str) -> Session:
        """Return one. Raises NotFound, StoreDamaged."""
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM session WHERE id = ? AND tenant = ?",  # noqa: S608 - constants
            [session, tenant],
        )
        if not rows:
            raise _no_session(session)
        return _session(rows[0])

    async def list_sessions(
        self, tenant: TenantId, *, agent: str | None = None, after: str | None = None, limit: int = 50
    ) -> list[Session]:
        """Return sessions by id, which carries the time, the newest first. Raises StoreDamaged."""
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM session WHERE tenant = $1 AND ($2 IS NULL OR agent = $2) "  # noqa: S608 - constants
            "AND ($3 IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
            [tenant, agent, after, limit],
        )
        return [_session(row) for row in rows]

    async def change(self, tenant: TenantId, session: str, metadata: dict[str, str]) -> Session:
        """Set its metadata. Raises NotFound."""
        changed: list[Session] = []

        def _change(connection: duckdb.DuckDBPyConnection) -> None:
            row = first_row(
                connection,
                f"UPDATE session SET metadata = ? WHERE id = ? AND tenant = ? RETURNING {_COLUMNS}",  # noqa: S608 - constants
                [encode(metadata), session, tenant],
            )
            if row is None:
                raise _no_session(session)
            changed[:] = [_session(row)]

        await self._database.write(_change)
        return changed[0]

    async def remove(self, tenant: TenantId, session: str) -> None:
        """Forget it with its items; runs stay. Raises NotFound."""

        def _remove(connection: duckdb.DuckDBPyConnection) -> None:
            key = _located(connection, tenant, session)[0]
            connection.execute("DELETE FROM session_item WHERE session = ?", [key])
            connection.execute("DELETE FROM session WHERE id = ?", [session])

        await self._database.write(_remove, is_making_room=True)

    async def add(self, tenant: TenantId, session: str, items: Sequence[AnyItem]) -> list[SessionItem]:
        """Append items; return each given one once with its place, as it stands where it was there already.

        Raises NotFound.
        """
        bodies = _bodies(items)
        stood: dict[str, tuple[int, str]] = {}

        def _add(connection: duckdb.DuckDBPyConnection) -> None:
            key, count, next_place = _located(connection, tenant, session)
            stood.clear()
            stood.update(_standing(connection, key, list(bodies)))
            new = [(item, body) for item, body in bodies.items() if item not in stood]
            _insert(connection, key, next_place, new)
            stood.update({item: (place, body) for place, (item, body) in enumerate(new, next_place)})
            if new:
                connection.execute(
                    "UPDATE session SET items = ?, next_place = ? WHERE id = ?",
                    [count + len(new), next_place + len(new), session],
                )

        await self._database.write(_add)
        return [_item(session, stood[item][0], item, stood[item][1]) for item in bodies]

    async def items(
        self,
        tenant: TenantId,
        session: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        is_newest_first: bool = False,
    ) -> list[SessionItem]:
        """Return its items; `after` is an item's id. Raises NotFound, StoreDamaged."""
        order, beyond = ("DESC", "<") if is_newest_first else ("ASC", ">")

        def _read(connection: duckdb.DuckDBPyConnection) -> list[SessionItem]:
            key = _located(connection, tenant, session)[0]
            clauses, parameters = ["session = ?"], [key]
            if after is not None:
                clauses.append(f"place {beyond} ?")
                parameters.append(_find_item(connection, key, session, after)[0])
            rows = connection.execute(
                f"SELECT place, id, body FROM session_item WHERE {' AND '.join(clauses)} "  # noqa: S608 - constants
                f"ORDER BY place {order} LIMIT ?",
                [*parameters, 2**31 if limit is None else limit],
            ).fetchall()
            return [_item(session, *row) for row in rows]

        return await self._database.read_snapshot(_read)

    async def item(self, tenant: TenantId, session: str, item: str) -> AnyItem:
        """Return one item. Raises NotFound, StoreDamaged."""

        def _read(connection: duckdb.DuckDBPyConnection) -> AnyItem:
            key = _located(connection, tenant, session)[0]
            place, body = _find_item(connection, key, session, item)
            return _item(session, place, item, body).item

        return await self._database.read_snapshot(_read)

    async def remove_item(self, tenant: TenantId, session: str, item: str) -> None:
        """Remove one item; its place stays empty. Raises NotFound."""

        def _remove(connection: duckdb.DuckDBPyConnection) -> None:
            key, count, _ = _located(connection, tenant, session)
            place, _ = _find_item(connection, key, session, item)
            connection.execute("DELETE FROM session_item WHERE session = ? AND place = ?", [key, place])
            connection.execute("UPDATE session SET items = ? WHERE id = ?", [count - 1, session])

        await self._database.write(_remove, is_making_room=True)


def _bodies(items: Sequence[AnyItem]) -> dict[str, str]:
    """Return the JSON of items by id; of several with one id the first."""
    bodies: dict[str, str] = {}
    for item in items:
        if item.id not in bodies:
            bodies[item.id] = encode(item)
    return bodies


def _located(connection: duckdb.DuckDBPyConnection, tenant: TenantId, session: str) -> tuple[int, int, int]:
    """Return a session's number, how many items it has, and the place of the next. Raises NotFound."""
    row = first_row(
        connection,
        "SELECT key, items, next_place FROM session WHERE id = ? AND tenant = ?",
        [session, tenant],
    )
    if row is None:
        raise _no_session(session)
    return int(row[0]), int(row[1]), int(row[2])


def _standing(
    connection: duckdb.DuckDBPyConnection, key: int, items: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Return which of these items are there: place and body by id."""
    rows = connection.execute(
        "SELECT id, place, body FROM session_item "
        "WHERE session = $1 AND id IN (SELECT unnest($2::VARCHAR[]))",
        [key, list(items)],
    ).fetchall()
    return {row[0]: (int(row[1]), row[2]) for row in rows}


def _insert(
    connection: duckdb.DuckDBPyConnection, key: int, first: int, bodies: Sequence[tuple[str, str]]
) -> None:
    for start in range(0, len(bodies), _ROWS_AT_ONCE):
        part = bodies[start : start + _ROWS_AT_ONCE]
        values: list[Any] = []
        for place, (item, body) in enumerate(part, first + start):
            values += [key, place, item, body]
        connection.execute(f"INSERT INTO session_item VALUES {places(len(part), 4)}", values)  # noqa: S608 - constants


def _find_item(connection: duckdb.DuckDBPyConnection, key: int, session: str, item: str) -> tuple[int, str]:
    """Return an item's place and body. Raises NotFound."""
    row = first_row(
        connection, "SELECT place, body FROM session_item WHERE session = ? AND id = ?", [key, item]
    )
    if row is None:
        raise not_found(f"There is no item '{item}' in the conversation '{session}'.")
    return int(row[0]), str(row[1])


def _item(session: str, place: int, item: str, body: str) -> SessionItem:
    return SessionItem(place, decode(_items, body, f"the conversation '{session}', item '{item}',"))


def _session(row: tuple[Any, ...]) -> Session:
    session, tenant, created_at, metadata, agent, title, items = row
    return Session(
        id=session,
        tenant=TenantId(tenant),
        created_at=created_at,
        metadata=decode(_metadata, metadata, f"the conversation '{session}', its metadata,"),
        agent=agent,
        title=title,
        items=items,
    )


def _no_session(session: str) -> NotFound:
    return not_found(f"There is no conversation '{session}'.")
