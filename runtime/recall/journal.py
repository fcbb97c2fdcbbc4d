"""Stored facts: the journal keeps every fact of the bus in DuckDB and reads them back.

`keep_forever` carries facts from the bus to the disk in batches. When the disk fails it goes on trying;
the subscription's buffer bounds what waits, and what falls out of it is told by a `bus.lagged`.
"""

import logging
from collections.abc import Sequence
from typing import Any

import anyio
import duckdb
import msgspec

from runtime.core.bus import Subscription
from runtime.core.clock import Clock
from runtime.core.errors import LarError, StoreUnavailable
from runtime.core.events import Envelope, Event
from runtime.core.ids import RunId, TenantId
from runtime.core.ports import EventQuery
from runtime.core.settings import JournalSettings
from runtime.recall.agents.schema import AGENT_TABLES
from runtime.recall.database import Database, Migration

logger = logging.getLogger(__name__)

MIGRATIONS = (
    Migration(
        1,
        """
        CREATE TABLE event (
            seq BIGINT PRIMARY KEY,
            told_at DOUBLE NOT NULL,
            kind VARCHAR NOT NULL,
            tenant VARCHAR NOT NULL,
            run_id VARCHAR,
            cause BIGINT,
            body VARCHAR NOT NULL
        )
        """,
    ),
    AGENT_TABLES,
)
"""Of the server's database, which the journal shares with what agents keep."""

_BATCH = 1024
"""Facts per write: what a busy server makes in a few seconds."""
_BLOCK = 4096
"""Numbers whose facts are weighed together when the oldest have to go."""
_GATHER_S = 0.25
"""Between two commits of facts that nobody waits for: a commit costs milliseconds, and a request makes ten
facts in as many moments. A crash loses no more than that."""
_RETRY_S = 1.0
_RETENTION_EVERY_S = 3600.0
_DAY_S = 86400.0

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class DuckJournal:
    """The journal, as `core.ports.Journal`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_healthy = True
        self._settled = 0
        self._awaited = 0
        self._moved = anyio.Event()
        self._kept: Subscription | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether facts can be stored; False from a failure until it works again."""
        return self._is_healthy

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        """Store facts in one transaction; returns once they are synced to disk.

        Raises StoreFull, StoreDamaged, duckdb.Error.
        """
        if not envelopes:
            return

        columns = _columns(envelopes)

        def _insert(connection: duckdb.DuckDBPyConnection) -> None:
            connection.execute(
                "INSERT INTO event SELECT unnest($1::BIGINT[]), unnest($2::DOUBLE[]), unnest($3::VARCHAR[]), "
                "unnest($4::VARCHAR[]), unnest($5::VARCHAR[]), unnest($6::BIGINT[]), unnest($7::VARCHAR[])",
                columns,
            )

        await self._database.write(_insert)

    async def settle(self, seq: int) -> None:
        """Return once every fact of the bus up to `seq` is stored; at once where no bus is kept.

        Waits as long as the disk refuses: whoever cannot wait for that sets a bound.
        """
        self._awaited = max(self._awaited, seq)
        while self._kept is not None and self._settled < seq:
            self._kept.rouse()
            await self._moved.wait()

    async def read(self, query: EventQuery) -> list[Envelope]:
        """Return stored facts, oldest first."""
        where, parameters = _condition(query)
        rows = await self._database.read(
            f"SELECT seq, told_at, tenant, run_id, cause, body FROM event WHERE {where} ORDER BY seq LIMIT ?",  # noqa: S608 - made of constants
            [*parameters, query.limit],
        )
        return [_envelope(row) for row in rows]

    async def last_seq(self) -> int:
        """Return the greatest stored seq, 0 when nothing is stored."""
        rows = await self._database.read("SELECT coalesce(max(seq), 0) FROM event")
        return int(rows[0][0])

    async def seq_before_newest(self, count: int) -> int:
        """Return the seq after which the newest `count` facts come, 0 when fewer are stored."""
        rows = await self._database.read("SELECT seq FROM event ORDER BY seq DESC LIMIT 1 OFFSET ?", [count])
        return int(rows[0][0]) if rows else 0

    async def keep_forever(self, subscription: Subscription) -> None:
        """Store what the bus publishes until it closes. For the app's task group."""
        self._kept = subscription
        try:
            while batch := await subscription.receive(_BATCH):
                while True:
                    if await self._store(batch):
                        break
                    await anyio.sleep(_RETRY_S)
                self._move_to(batch[-1].seq)
                if self._awaited <= self._settled:  # else somebody waits for what is still in the buffer
                    await subscription.linger(_GATHER_S)
        finally:
            self._kept = None
            self._move_to(self._settled)

    async def retain_forever(self, settings: JournalSettings, clock: Clock) -> None:
        """Remove what is too old or too much, now and every hour. For the app's task group."""
        while True:
            await self.retain(settings, clock.now())
            await anyio.sleep(_RETENTION_EVERY_S)

    async def retain(self, settings: JournalSettings, now: float) -> None:
        """Remove facts older than `keep_days` and, oldest first, what exceeds `keep_bytes` of text."""
        too_old = await self._database.read(
            "SELECT coalesce(max(seq), 0) FROM event WHERE told_at < ?", [now - settings.keep_days * _DAY_S]
        )
        newest_to_go = max(int(too_old[0][0]), await self._newest_beyond(settings.keep_bytes))
        if newest_to_go == 0:
            return

        await self._database.write(
            lambda connection: _execute(connection, "DELETE FROM event WHERE seq <= ?", [newest_to_go]),
            is_making_room=True,
        )

    def _move_to(self, seq: int) -> None:
        """Let those who wait look again."""
        self._settled = seq
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def _newest_beyond(self, keep_bytes: int) -> int:
        """Return the newest seq whose text, with all that is newer, exceeds `keep_bytes`; 0 if none does.

        Sums by blocks of numbers, then inside the one block where the limit falls: a running sum over all
        facts would hold the whole journal in memory.
        """
        blocks = await self._database.read(
            "SELECT seq // $1 AS block, sum(strlen(body)) FROM event GROUP BY block ORDER BY block DESC",
            [_BLOCK],
        )
        left = keep_bytes
        for block, size in blocks:
            if size > left:
                rows = await self._database.read(
                    "SELECT max(seq) FROM (SELECT seq, sum(strlen(body)) OVER (ORDER BY seq DESC) AS kept "
                    "FROM event WHERE seq >= $1 AND seq < $2) WHERE kept > $3",
                    [block * _BLOCK, (block + 1) * _BLOCK, left],
                )
                return int(rows[0][0])
            left -= size
        return 0

    async def _store(self, batch: Sequence[Envelope]) -> bool:
        try:
            await self.append(batch)
        except (duckdb.Error, LarError, StoreUnavailable):
            if self._is_healthy:
                logger.exception("facts cannot be stored; trying again until they are")
            self._is_healthy = False
            return False

        if not self._is_healthy:
            logger.info("facts are stored again")
        self._is_healthy = True
        return True


def _execute(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any]) -> None:
    connection.execute(sql, list(parameters))


def _columns(envelopes: Sequence[Envelope]) -> list[list[Any]]:
    return [
        [each.seq for each in envelopes],
        [each.at for each in envelopes],
        [each.kind for each in envelopes],
        [each.tenant for each in envelopes],
        [each.run_id for each in envelopes],
        [each.cause for each in envelopes],
        [_encoder.encode(each.event).decode() for each in envelopes],
    ]


def _condition(query: EventQuery) -> tuple[str, list[Any]]:
    """Return the WHERE clause of a query and its parameters."""
    clauses: list[str] = ["seq > ?"]
    parameters: list[Any] = [query.after]
    groups = sorted(kind.removesuffix("*") for kind in query.kinds if kind.endswith(".*"))
    kinds = sorted(kind for kind in query.kinds if not kind.endswith(".*"))
    if query.kinds:
        alternatives = [*("starts_with(kind, ?)" for _ in groups), *("kind = ?" for _ in kinds)]
        clauses.append(f"({' OR '.join(alternatives)})")
        parameters += [*groups, *kinds]
    if query.run_id is not None:
        clauses.append("run_id = ?")
        parameters.append(query.run_id)
    return " AND ".join(clauses), parameters


def _envelope(row: tuple[Any, ...]) -> Envelope:
    seq, at, tenant, run_id, cause, body = row
    return Envelope(
        seq=seq,
        at=at,
        tenant=TenantId(tenant),
        run_id=None if run_id is None else RunId(run_id),
        cause=cause,
        event=_decoder.decode(body),
    )
