"""Collections of documents, as `core.recall.Collections`; and the one collection that a tenant's memory is.

A name is unique within its tenant: it is looked for inside the writer's transaction. What other parts keep
of a collection (sources, jobs) goes in the same transaction that removes it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

import msgspec

from runtime.core.clock import Clock
from runtime.core.errors import Conflict, Fault, RequestInvalid
from runtime.core.fact import Fact
from runtime.core.ids import CollectionId, ModelId, TenantId
from runtime.core.knowledge import (
    Chunking,
    Collection,
    CollectionChange,
    CollectionKind,
    Embedding,
    Expiry,
    NewCollection,
)
from runtime.core.minting import new_id
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.counting import Numbers, count_contents
from runtime.recall.marks import Marks, Shelfmark, add_space, no_collection
from runtime.recall.truth import Pen, Truth

MAX_NAME = 256
"""Characters of a collection's name."""
_MEMORY_NAME = "memory"
_COLUMNS = "id, ns, name, kind, description, language, chunking, metadata, expiry, created_at"
_DAY_S = 86400.0


class Prefixes(NamedTuple):
    """What a model wants before a question and before a text."""

    query: str = ""
    document: str = ""


class EmbeddingDefaults(NamedTuple):
    """The embedding of collections that name none, and the prefixes of known models."""

    model: ModelId
    prefixes: Mapping[ModelId, Prefixes] = {}

    def embedding(self, new: NewCollection) -> Embedding:
        """Return the embedding of a new collection."""
        model = new.embedding_model or self.model
        prefixes = self.prefixes.get(model, Prefixes())
        return Embedding(
            model=model,
            dimensions=new.dimensions,
            query_prefix=prefixes.query if new.query_prefix is None else new.query_prefix,
            document_prefix=prefixes.document if new.document_prefix is None else new.document_prefix,
        )


Follow = Callable[[Pen, Shelfmark], None]
"""Writes, in the same transaction, what a part of Recall has to write when a collection changes or goes."""


class StoredCollections:
    """Makes, changes and removes collections.

    `reembed` writes the job that fills `next_space`; each of `removed` removes the rows that another part
    has of a collection; `publish` tells the bus a fact of a tenant and never waits.
    """

    def __init__(
        self,
        truth: Truth,
        marks: Marks,
        clock: Clock,
        *,
        defaults: EmbeddingDefaults,
        reembed: Follow,
        removed: Sequence[Follow] = (),
        publish: Callable[[Fact, TenantId], object],
    ) -> None:
        self._truth = truth
        self._marks = marks
        self._clock = clock
        self._defaults = defaults
        self._reembed = reembed
        self._removed = removed
        self._publish = publish

    async def create(self, tenant: TenantId, new: NewCollection) -> Collection:
        """Make a collection. Raises Conflict where the name is taken, RequestInvalid."""
        _check_name(new.name)
        _check_chunking(new.chunking or Chunking())

        def _create(pen: Pen) -> Shelfmark:
            _check_free(pen, tenant, new.name)
            return self._insert(pen, tenant, new, "documents")

        mark = await self._truth.write(_create)
        return await self.find(tenant, mark.collection)

    async def list_all(self, tenant: TenantId) -> list[Collection]:
        """Return all of the tenant's collections of documents, by creation."""
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM collection WHERE tenant = ? AND kind = 'documents' ORDER BY id",  # noqa: S608 - constants
            [tenant],
        )
        return await self._collections(rows)

    async def find(self, tenant: TenantId, collection: CollectionId) -> Collection:
        """Return one. Raises NotFound."""
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM collection WHERE id = ? AND tenant = ? AND kind = 'documents'",  # noqa: S608 - constants
            [collection, tenant],
        )
        found = await self._collections(rows)
        if not found:
            raise no_collection(collection)
        return found[0]

    async def find_by_name(self, tenant: TenantId, name: str) -> Collection | None:
        """Return the collection of that name; None where there is none."""
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM collection WHERE tenant = ? AND name = ? AND kind = 'documents'",  # noqa: S608 - constants
            [tenant, name],
        )
        found = await self._collections(rows)
        return found[0] if found else None

    async def change(
        self, tenant: TenantId, collection: CollectionId, change: CollectionChange
    ) -> Collection:
        """Change what is told; another embedding begins a job. Raises NotFound, Conflict, RequestInvalid."""
        if change.name is not msgspec.UNSET:
            _check_name(change.name)

        await self._truth.write(lambda pen: self._change(pen, tenant, collection, change))
        return await self.find(tenant, collection)

    async def remove(self, tenant: TenantId, collection: CollectionId) -> None:
        """Remove the collection with its documents, sources and indexes' entries. Raises NotFound."""
        documents = await self.drop(tenant, collection)
        self._publish(RecallForgotten(collection=collection, documents=documents), tenant)

    async def drop(self, tenant: TenantId, collection: CollectionId) -> int:
        """Remove as `remove` does; return how many documents went. Raises NotFound."""
        return await self._truth.write(
            lambda pen: self._drop(pen, self._mark(pen, tenant, collection, "documents"))
        )

    async def memory_of(self, tenant: TenantId) -> Shelfmark:
        """Return where the tenant's memory stands; makes it on first use."""
        known = self._marks.memory_of(tenant)
        if known is not None:
            return known

        def _make(pen: Pen) -> Shelfmark:
            rows = pen.rows("SELECT ns FROM collection WHERE tenant = ? AND kind = 'memory'", [tenant])
            made = self._marks.renew(pen, rows[0][0]) if rows else None
            return made or self._insert(pen, tenant, NewCollection(name=_MEMORY_NAME), "memory")

        return await self._truth.write(_make)

    async def change_memory_embedding(self, tenant: TenantId, model: ModelId) -> Shelfmark:
        """Let the tenant's memory use another embedding, where it does not yet: a job makes the vectors."""
        mark = await self.memory_of(tenant)

        def _change(pen: Pen) -> Shelfmark:
            self._change_embedding(pen, mark.ns, CollectionChange(embedding_model=model))
            return self._marks.renew(pen, mark.ns) or mark

        return await self._truth.write(_change)

    async def remove_expired(self) -> list[tuple[TenantId, CollectionId, int]]:
        """Remove collections whose time is over; return their tenants, ids and numbers of documents."""
        now = self._clock.now()
        rows = await self._truth.read(
            "SELECT tenant, id, ns, expiry FROM collection WHERE expiry IS NOT NULL AND kind = 'documents'"
        )
        removed: list[tuple[TenantId, CollectionId, int]] = []
        for tenant, collection, ns, expiry in rows:
            if self._is_over(ns, expiry, now):
                documents = await self._truth.write(partial(self._drop_expired, ns=ns, now=now))
                if documents is not None:
                    removed.append((TenantId(tenant), CollectionId(collection), documents))
        return removed

    def _is_over(self, ns: int, expiry: str, now: float) -> bool:
        days = msgspec.json.decode(expiry, type=Expiry).days
        return self._marks.active_at(ns) + days * _DAY_S <= now

    def _drop_expired(self, pen: Pen, ns: int, now: float) -> int | None:
        """Remove a collection unless it was changed or used since it was found to be over."""
        rows = pen.rows("SELECT expiry FROM collection WHERE ns = ? AND expiry IS NOT NULL", [ns])
        mark = self._marks.by_ns(ns)
        if not rows or mark is None or not self._is_over(ns, rows[0][0], now):
            return None
        return self._drop(pen, mark)

    def _insert(self, pen: Pen, tenant: TenantId, new: NewCollection, kind: CollectionKind) -> Shelfmark:
        ns = pen.next_ns()
        now = self._clock.now()
        pen.execute(
            "INSERT INTO collection (id, ns, tenant, name, kind, description, language, chunking, metadata, "
            "expiry, created_at, last_active_at, space) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                new_id("vs_" if kind == "documents" else "mem_"),
                ns,
                tenant,
                new.name,
                kind,
                new.description,
                new.language,
                _json(new.chunking or Chunking()),
                _json(new.metadata),
                None if new.expiry is None else _json(new.expiry),
                now,
                now,
                add_space(pen, ns, self._defaults.embedding(new)),
            ],
        )
        mark = self._marks.renew(pen, ns)
        assert mark is not None
        return mark

    def _change(self, pen: Pen, tenant: TenantId, collection: CollectionId, change: CollectionChange) -> None:
        mark = self._mark(pen, tenant, collection, "documents")
        values: dict[str, Any] = {"last_active_at": self._clock.now()}
        if change.name is not msgspec.UNSET and change.name != mark.name:
            _check_free(pen, tenant, change.name)
            values["name"] = change.name
        if change.description is not msgspec.UNSET:
            values["description"] = change.description
        if change.metadata is not msgspec.UNSET:
            values["metadata"] = _json(change.metadata)
        if change.expiry is not msgspec.UNSET:
            values["expiry"] = None if change.expiry is None else _json(change.expiry)

        pen.execute(
            f"UPDATE collection SET {', '.join(f'{column} = ?' for column in values)} WHERE ns = ?",  # noqa: S608 - constants
            [*values.values(), mark.ns],
        )
        self._change_embedding(pen, mark.ns, change)
        self._marks.renew(pen, mark.ns)

    def _change_embedding(self, pen: Pen, ns: int, change: CollectionChange) -> None:
        """Begin to make vectors of another embedding, or give that up where the old one is wanted again."""
        mark = self._marks.renew(pen, ns)
        assert mark is not None
        wanted = self._wanted(mark, change)
        if wanted is None or wanted == mark.next_embedding:
            return

        if _is_same(wanted, mark.embedding):
            self._marks.abandon_space(pen, ns)
            return

        self._marks.begin_space(pen, ns, wanted)
        if not pen.rows("SELECT 1 FROM chunk WHERE ns = ? LIMIT 1", [ns]):
            self._marks.swap_space(pen, ns)
            return

        begun = self._marks.renew(pen, ns)
        assert begun is not None
        self._reembed(pen, begun)

    def _wanted(self, mark: Shelfmark, change: CollectionChange) -> Embedding | None:
        """Return the embedding that a change asks for; None where it asks for none."""
        if change.embedding_model is msgspec.UNSET and change.dimensions is msgspec.UNSET:
            return None

        latest = mark.next_embedding or mark.embedding
        model = latest.model if change.embedding_model is msgspec.UNSET else change.embedding_model
        dimensions = None if change.dimensions is msgspec.UNSET else change.dimensions
        if model == mark.embedding.model:
            return msgspec.structs.replace(mark.embedding, dimensions=dimensions)

        prefixes = self._defaults.prefixes.get(model, Prefixes())
        return Embedding(
            model=model,
            dimensions=dimensions,
            query_prefix=prefixes.query,
            document_prefix=prefixes.document,
        )

    def _drop(self, pen: Pen, mark: Shelfmark) -> int:
        documents = int(pen.rows("SELECT count(*) FROM document WHERE ns = ?", [mark.ns])[0][0])
        for follow in self._removed:
            follow(pen, mark)
        pen.drop_namespace(mark.ns)
        pen.execute("DELETE FROM collection WHERE ns = ?", [mark.ns])
        self._marks.renew(pen, mark.ns)
        return documents

    def _mark(self, pen: Pen, tenant: TenantId, collection: CollectionId, kind: CollectionKind) -> Shelfmark:
        """Return where a collection stands inside this transaction. Raises NotFound."""
        rows = pen.rows(
            "SELECT ns FROM collection WHERE id = ? AND tenant = ? AND kind = ?", [collection, tenant, kind]
        )
        mark = self._marks.renew(pen, rows[0][0]) if rows else None
        if mark is None:
            raise no_collection(collection)
        return mark

    async def _collections(self, rows: Sequence[tuple[Any, ...]]) -> list[Collection]:
        numbers = await count_contents(self._truth, [row[1] for row in rows])
        return [self._collection(row, numbers.get(row[1], Numbers())) for row in rows]

    def _collection(self, row: Sequence[Any], numbers: Numbers) -> Collection:
        mark = self._marks.by_ns(row[1])
        if mark is None:  # removed since its row was read
            raise no_collection(CollectionId(row[0]))
        return Collection(
            id=mark.collection,
            name=row[2],
            kind=row[3],
            description=row[4],
            language=row[5],
            embedding=mark.embedding,
            chunking=msgspec.json.decode(row[6], type=Chunking),
            metadata=msgspec.json.decode(row[7], type=dict[str, str]),
            created_at=row[9],
            last_active_at=self._marks.active_at(mark.ns),
            expiry=None if row[8] is None else msgspec.json.decode(row[8], type=Expiry),
            counts=numbers.counts,
            chunks=numbers.chunks,
            usage_bytes=numbers.usage_bytes,
            is_reembedding=mark.next_space is not None,
        )


def _is_same(wanted: Embedding, used: Embedding) -> bool:
    """Whether vectors of the one are vectors of the other; a size that was not told is the model's own."""
    return wanted == used or (
        wanted.dimensions is None and wanted == msgspec.structs.replace(used, dimensions=None)
    )


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or not _is_text(name):
        _refuse("name", f"The name of a collection has 1 to {MAX_NAME} characters of text; here {len(name)}.")


def _is_text(name: str) -> bool:
    return "\0" not in name and not any("\ud800" <= character <= "\udfff" for character in name)


def _check_chunking(chunking: Chunking) -> None:
    if chunking.overlap_tokens > chunking.max_tokens // 2:
        _refuse("chunking.overlap_tokens", "Chunks overlap by half of 'max_tokens' at most. Lower it.")


def _check_free(pen: Pen, tenant: TenantId, name: str) -> None:
    taken = pen.rows(
        "SELECT id FROM collection WHERE tenant = ? AND name = ? AND kind = 'documents'", [tenant, name]
    )
    if taken:
        message = (
            f"There is a collection named '{name}' already: {taken[0][0]}. Use it, or choose another name."
        )
        raise Conflict(Fault(code="conflict", message=message, param="name"))


def _refuse(param: str, message: str) -> NoReturn:
    raise RequestInvalid(Fault(code="invalid_request", message=message, param=param))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
