"""Where each collection stands: its namespace, its spaces and how its texts are cut, in memory.

Searches and ingestion look here instead of in the database. What is here mirrors the committed rows:
whoever changes the row of a collection or of its space calls `renew` with the same pen.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from runtime.core.errors import Fault, NotFound
from runtime.core.ids import CollectionId, ModelId, TenantId
from runtime.core.knowledge import Chunking, CollectionKind, Embedding
from runtime.recall.truth import Pen, Truth

_TOUCH_EVERY_S = 60.0
"""A use of a collection that follows another one sooner is not noted: its expiry counts in days."""
_SELECT = """
    SELECT c.id, c.tenant, c.ns, c.name, c.kind, c.language, c.chunking, c.last_active_at,
           now.id, now.model, now.dimensions, now.query_prefix, now.document_prefix,
           next.id, next.model, next.dimensions, next.query_prefix, next.document_prefix
    FROM collection c JOIN space now ON now.id = c.space LEFT JOIN space next ON next.id = c.next_space
"""


class Shelfmark(NamedTuple):
    """Where one collection stands, as of the newest commit."""

    collection: CollectionId
    tenant: TenantId
    ns: int
    name: str
    kind: CollectionKind
    language: str
    chunking: Chunking
    space: int
    """Where searches look."""
    embedding: Embedding
    next_space: int | None = None
    """Where vectors of another embedding are being gathered; None: nowhere."""
    next_embedding: Embedding | None = None


class Marks:
    """All collections of all tenants; made by `load_marks`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._by_ns: dict[int, Shelfmark] = {}
        self._by_id: dict[CollectionId, Shelfmark] = {}
        self._memories: dict[TenantId, Shelfmark] = {}
        self._active_at: dict[int, float] = {}
        self._unwritten: set[int] = set()

    def find_ns(self, tenant: TenantId, collection: CollectionId) -> Shelfmark:
        """Return where a collection of documents stands. Raises NotFound."""
        mark = self._by_id.get(collection)
        if mark is None or mark.tenant != tenant or mark.kind != "documents":
            raise no_collection(collection)
        return mark

    def by_ns(self, ns: int) -> Shelfmark | None:
        """Return the collection (or memory) of a namespace; None where it is gone."""
        return self._by_ns.get(ns)

    def memory_of(self, tenant: TenantId) -> Shelfmark | None:
        """Return where the tenant's memory stands; None until something was remembered."""
        return self._memories.get(tenant)

    def all_marks(self) -> list[Shelfmark]:
        """Return all collections and memories of all tenants."""
        return [*self._by_ns.values()]

    def active_at(self, ns: int) -> float:
        """Return when a collection was last used."""
        return self._active_at.get(ns, 0.0)

    def touch(self, ns: int, now: float) -> None:
        """Note that a collection was used. Costs nothing: `write_touched` stores it some time later."""
        if ns in self._by_ns and now - self._active_at.get(ns, 0.0) >= _TOUCH_EVERY_S:
            self._active_at[ns] = now
            self._unwritten.add(ns)

    async def write_touched(self) -> None:
        """Store when collections were last used, where that is not stored yet."""
        touched = [*self._unwritten]
        if not touched:
            return

        times = [self._active_at.get(ns, 0.0) for ns in touched]
        await self._truth.write(
            lambda pen: pen.execute(
                "UPDATE collection SET last_active_at = used.at FROM "
                "(SELECT unnest($1::BIGINT[]) AS ns, unnest($2::DOUBLE[]) AS at) used "
                "WHERE collection.ns = used.ns AND collection.last_active_at < used.at",
                [touched, times],
            )
        )
        self._unwritten.difference_update(touched)

    def renew(self, pen: Pen, ns: int) -> Shelfmark | None:
        """Mirror a namespace's row as this transaction leaves it, once it is committed; return it.

        None: the row is gone.
        """
        rows = pen.rows(f"{_SELECT} WHERE c.ns = $1", [ns])
        if not rows:
            pen.committed.append(lambda: self._forget(ns))
            return None

        pen.committed.append(lambda: self._put(rows[0]))
        return _mark(rows[0])

    def note_dimensions(self, pen: Pen, ns: int, space: int, dimensions: int) -> None:
        """Store how many dimensions a space's vectors have, once the first of them is known."""
        pen.execute(
            "UPDATE space SET dimensions = ? WHERE id = ? AND dimensions IS NULL", [dimensions, space]
        )
        self.renew(pen, ns)

    def begin_space(self, pen: Pen, ns: int, embedding: Embedding) -> int:
        """Make the space that a re-embedding fills, in place of one being filled; return its number."""
        self.abandon_space(pen, ns)
        space = add_space(pen, ns, embedding)
        pen.execute("UPDATE collection SET next_space = ? WHERE ns = ?", [space, ns])
        self.renew(pen, ns)
        return space

    def abandon_space(self, pen: Pen, ns: int) -> None:
        """Give up the space that a re-embedding fills; `Fills.sweep_spaces` removes what is in it."""
        rows = pen.rows("SELECT next_space FROM collection WHERE ns = ? AND next_space IS NOT NULL", [ns])
        if rows:
            pen.execute("UPDATE collection SET next_space = NULL WHERE ns = ?", [ns])
            self.renew(pen, ns)

    def swap_space(self, pen: Pen, ns: int) -> int | None:
        """Let searches look where a re-embedding has gathered; return the space that is left.

        None: there was nothing to swap. `Fills.sweep_spaces` removes what is in the former one.
        """
        rows = pen.rows("SELECT space FROM collection WHERE ns = ? AND next_space IS NOT NULL", [ns])
        if not rows:
            return None

        former = int(rows[0][0])
        pen.execute("UPDATE collection SET space = next_space, next_space = NULL WHERE ns = ?", [ns])
        self.renew(pen, ns)
        return former

    async def load(self) -> None:
        """Read where every collection stands."""
        for row in await self._truth.read(_SELECT):
            self._put(row)

    def _put(self, row: Sequence[Any]) -> None:
        mark = _mark(row)
        self._by_ns[mark.ns] = mark
        self._by_id[mark.collection] = mark
        if mark.kind == "memory":
            self._memories[mark.tenant] = mark
        self._active_at[mark.ns] = max(row[7], self._active_at.get(mark.ns, 0.0))

    def _forget(self, ns: int) -> None:
        mark = self._by_ns.pop(ns, None)
        if mark is not None:
            self._by_id.pop(mark.collection, None)
            if mark.kind == "memory":
                self._memories.pop(mark.tenant, None)
        self._active_at.pop(ns, None)


async def load_marks(truth: Truth) -> Marks:
    """Return where every collection of an open database stands."""
    marks = Marks(truth)
    await marks.load()
    return marks


def add_space(pen: Pen, ns: int, embedding: Embedding) -> int:
    """Store an embedding as a new space of a namespace; return its number."""
    space = pen.next_space()
    pen.execute(
        "INSERT INTO space (id, ns, model, dimensions, query_prefix, document_prefix) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [
            space,
            ns,
            embedding.model,
            embedding.dimensions,
            embedding.query_prefix,
            embedding.document_prefix,
        ],
    )
    return space


def no_collection(collection: CollectionId) -> NotFound:
    """Return the error that says so."""
    return NotFound(Fault(code="not_found", message=f"There is no collection '{collection}'."))


def _mark(row: Sequence[Any]) -> Shelfmark:
    return Shelfmark(
        collection=CollectionId(row[0]),
        tenant=TenantId(row[1]),
        ns=row[2],
        name=row[3],
        kind=row[4],
        language=row[5],
        chunking=msgspec.json.decode(row[6], type=Chunking),
        space=row[8],
        embedding=_embedding(row[9:13]),
        next_space=row[13],
        next_embedding=None if row[13] is None else _embedding(row[14:18]),
    )


def _embedding(row: Sequence[Any]) -> Embedding:
    model, dimensions, query_prefix, document_prefix = row
    return Embedding(
        model=ModelId(model),
        dimensions=dimensions,
        query_prefix=query_prefix,
        document_prefix=document_prefix,
    )
