"""The truth of Recall: its database, and the numbers that all writers share.

Whoever changes what can be found does it through a `Pen`, inside one transaction with the change's entry in
the log. Indexes are derived: they ask how far the log has come (`reached`) and read what they miss
(`changes`), in one statement, so that they never see half of a commit.

    write(work) ── one transaction: rows + change(seq) ──► committed ──► reached(ns) grows
                                                                           │
    text index, vectors, columns ◄── changes(after seq), joined with the rows as they are now
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import duckdb

from runtime.core.ids import ChunkId, DocumentId
from runtime.recall.database import Database

T = TypeVar("T")
Op = Literal["put", "remove", "vector", "meta", "drop"]
WHOLE_NAMESPACE = ChunkId(0)
LEAVING_NAMESPACE = "leaving namespace "
"""Begins the name of the note that says which namespace is gone but for its rows; see `sweeping.py`."""
_DROPPED_AT_ONCE = 5_000
"""Chunks up to which a namespace goes in one transaction; others wait for it for a fifth of a second."""


class NewChunk(NamedTuple):
    """A chunk to be stored; its id is given by the pen."""

    ordinal: int
    start: int
    end: int
    heading: str
    """JSON: a list of titles."""
    text: str


class Change(NamedTuple):
    """That something about a chunk changed; what it is now is to be read in the tables."""

    seq: int
    ns: int
    chunk: ChunkId
    op: Op


class Pen:
    """Writes inside one transaction of the writer thread. Never kept beyond it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, numbers: "_Numbers") -> None:
        self.connection = connection
        self._numbers = numbers
        self._logged: list[Change] = []
        """What is still to be written into the log."""
        self.touched: dict[int, int] = {}
        """The newest change of each namespace that this transaction writes to."""
        self.committed: list[Callable[[], None]] = []
        """Called in the writer's thread right after the commit, in the order of commits, before who waits for
        it goes on; not called where it fails. For what mirrors rows in memory: it must not raise."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement."""
        self.connection.execute(sql, list(parameters))

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query; sees what this transaction has written."""
        return self.connection.execute(sql, list(parameters)).fetchall()

    def next_ns(self) -> int:
        """Return a number for a new namespace."""
        self._numbers.ns += 1
        return self._numbers.ns

    def next_space(self) -> int:
        """Return a number for a new space."""
        self._numbers.space += 1
        return self._numbers.space

    def put_chunks(self, ns: int, document: DocumentId, chunks: Sequence[NewChunk]) -> list[ChunkId]:
        """Store a document's chunks and log them; return their ids in order."""
        return self.put_chunks_of(ns, [(document, chunk) for chunk in chunks])

    def put_chunks_of(self, ns: int, chunks: Sequence[tuple[DocumentId, NewChunk]]) -> list[ChunkId]:
        """Store chunks of any documents and log them; return their ids in order."""
        first = self._numbers.chunk + 1
        self._numbers.chunk += len(chunks)
        ids = [ChunkId(first + offset) for offset in range(len(chunks))]
        if chunks:
            self.execute(
                "INSERT INTO chunk SELECT unnest($1::BIGINT[]), $2, unnest($3::VARCHAR[]), "
                "unnest($4::INTEGER[]), unnest($5::INTEGER[]), unnest($6::INTEGER[]), "
                "unnest($7::VARCHAR[]), unnest($8::VARCHAR[])",
                [
                    ids,
                    ns,
                    [document for document, _ in chunks],
                    [each.ordinal for _, each in chunks],
                    [each.start for _, each in chunks],
                    [each.end for _, each in chunks],
                    [each.heading for _, each in chunks],
                    [each.text for _, each in chunks],
                ],
            )
        self.log(ns, ids, "put")
        return ids

    def remove_chunks(self, ns: int, documents: Sequence[DocumentId]) -> None:
        """Remove the chunks of documents with their vectors and log it."""
        found = self.rows(
            "SELECT id FROM chunk WHERE ns = $1 AND document IN (SELECT unnest($2::VARCHAR[]))",
            [ns, [*documents]],
        )
        ids = [ChunkId(row[0]) for row in found]
        if ids:
            self.execute("DELETE FROM vector WHERE chunk IN (SELECT unnest($1::BIGINT[]))", [ids])
            self.execute("DELETE FROM chunk WHERE id IN (SELECT unnest($1::BIGINT[]))", [ids])
        self.log(ns, ids, "remove")

    def put_vectors(self, ns: int, space: int, vectors: Sequence[tuple[ChunkId, bytes]]) -> None:
        """Store vectors (little-endian float16) of chunks that still exist, and log them."""
        ids = [chunk for chunk, _ in vectors]
        alive = self._among("SELECT id FROM chunk WHERE id IN", ids)
        kept = [(chunk, vector) for chunk, vector in vectors if chunk in alive]
        known = self._among(f"SELECT chunk FROM vector WHERE space = {int(space)} AND chunk IN", ids)  # noqa: S608 - a number
        # Looking for what to replace takes three times as long as storing what is new.
        self._insert_vectors("INSERT", ns, space, [each for each in kept if each[0] not in known])
        self._insert_vectors("INSERT OR REPLACE", ns, space, [each for each in kept if each[0] in known])
        self.log(ns, [chunk for chunk, _ in kept], "vector")

    def _among(self, select: str, ids: Sequence[ChunkId]) -> set[int]:
        return {row[0] for row in self.rows(f"{select} (SELECT unnest($1::BIGINT[]))", [[*ids]])}

    def _insert_vectors(
        self, verb: str, ns: int, space: int, vectors: Sequence[tuple[ChunkId, bytes]]
    ) -> None:
        if vectors:
            self.execute(
                f"{verb} INTO vector SELECT unnest($1::BIGINT[]), $2, $3, unnest($4::BLOB[])",
                [[chunk for chunk, _ in vectors], space, ns, [vector for _, vector in vectors]],
            )

    def drop_namespace(self, ns: int) -> None:
        """Remove every row of a namespace and log it; rows of collections and jobs are the caller's.

        The rows of a large one are removed later, by `sweeping.sweep`; nothing leads to them until then.
        """
        found = self.rows(
            "SELECT count(*) FROM (SELECT id FROM chunk WHERE ns = $1 UNION ALL "
            "SELECT 0 FROM document WHERE ns = $1)",
            [ns],
        )
        if found[0][0] > _DROPPED_AT_ONCE:
            self.execute("INSERT OR REPLACE INTO note VALUES (?, '')", [f"{LEAVING_NAMESPACE}{ns}"])
        else:
            for table in ("vector", "chunk", "body", "document", "space"):
                self.execute(f"DELETE FROM {table} WHERE ns = $1", [ns])  # noqa: S608 - constants
        self.log(ns, [WHOLE_NAMESPACE], "drop")

    def log(self, ns: int, chunks: Sequence[ChunkId], op: Op) -> None:
        """Log that chunks changed; the entries are stored together when the work is done."""
        if not chunks:
            return

        first = self._numbers.seq + 1
        self._numbers.seq += len(chunks)
        self._logged += [Change(seq, ns, chunk, op) for seq, chunk in enumerate(chunks, first)]
        self.touched[ns] = self._numbers.seq

    def end(self) -> None:
        """Store what was logged, in one statement. For `Truth.write`, once the work is done."""
        if self._logged:
            self.execute(
                "INSERT INTO change SELECT unnest($1::BIGINT[]), unnest($2::BIGINT[]), "
                "unnest($3::BIGINT[]), unnest($4::VARCHAR[])",
                [[*column] for column in zip(*self._logged, strict=True)],
            )
            self._logged = []


class _Numbers:
    """The last numbers given out; only the writer thread counts on."""

    def __init__(self, ns: int, space: int, chunk: int, seq: int) -> None:
        self.ns = ns
        self.space = space
        self.chunk = chunk
        self.seq = seq


class Truth:
    """Reads and writes of Recall's database; made by `load_truth`."""

    def __init__(self, database: Database, numbers: _Numbers, reached: dict[int, int]) -> None:
        self.database = database
        self._numbers = numbers
        self._reached = reached

    def reached(self, ns: int) -> int:
        """Return the seq of the newest committed change of a namespace, 0 where there is none."""
        return self._reached.get(ns, 0)

    @property
    def newest(self) -> int:
        """The seq of the newest committed change of all."""
        return max(self._reached.values(), default=0)

    async def write(self, work: Callable[[Pen], T], *, is_making_room: bool = False) -> T:
        """Run `work` in a transaction; return what it returned, once it is committed and synced.

        `work` may run twice (a neighbour in its group may fail), so it must build its result anew each time.
        Raises what `work` raises, and StoreFull where the disk has no room, unless the work makes room.
        """
        results: list[T] = []
        pens: list[Pen] = []

        def _run(connection: duckdb.DuckDBPyConnection) -> None:
            pen = Pen(connection, self._numbers)
            results[:] = [work(pen)]
            pen.end()
            pens[:] = [pen]

        def _note() -> None:
            # In the writer's thread: a caller that is cancelled while it waits must not hide its commit.
            self._reached.update(pens[0].touched)
            for callback in pens[0].committed:
                callback()

        await self.database.write(_run, _note, is_making_room=is_making_room)
        return results[0]

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query beside the writer; sees what is committed."""
        return await self.database.read(sql, parameters)

    async def changes(self, after: int, limit: int, ns: int | None = None) -> list[Change]:
        """Return logged changes after a seq, the oldest first; of one namespace or of all."""
        rows = await self.read(
            "SELECT seq, ns, chunk, op FROM change WHERE seq > $1 AND ($3 IS NULL OR ns = $3) "
            "ORDER BY seq LIMIT $2",
            [after, limit, ns],
        )
        return [Change(*row) for row in rows]

    async def trim(self, up_to: int) -> None:
        """Remove the log up to a seq that every durable index has passed. The newest entry always stays."""
        await self.write(
            lambda pen: pen.execute(
                "DELETE FROM change WHERE seq <= $1 AND seq < (SELECT max(seq) FROM change)", [up_to]
            ),
            is_making_room=True,
        )


async def load_truth(database: Database) -> Truth:
    """Return the truth of an open database."""
    rows = await database.read(
        "SELECT (SELECT coalesce(max(ns), 0) FROM collection), (SELECT coalesce(max(id), 0) FROM space), "
        "(SELECT coalesce(max(id), 0) FROM chunk), (SELECT coalesce(max(seq), 0) FROM change), "
        "(SELECT coalesce(max(chunk), 0) FROM change), (SELECT coalesce(max(ns), 0) FROM change), "
        "(SELECT coalesce(max(ns), 0) FROM space)"
    )
    ns, space, chunk, seq, logged_chunk, logged_ns, leaving_ns = rows[0]
    reached = await database.read("SELECT ns, max(seq) FROM change GROUP BY ns")
    # A removed chunk or namespace may still be in an index that lags behind: its number is not given again.
    numbers = _Numbers(max(ns, logged_ns, leaving_ns), space, max(chunk, logged_chunk), seq)
    return Truth(database, numbers, dict(reached))
