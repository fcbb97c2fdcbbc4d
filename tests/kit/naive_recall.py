"""What filters and vector searches must return, said row by row; documents written straight to the truth."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from runtime.core.filters import Attributes, Comparison, Compound, Filter, Scalar
from runtime.core.ids import ChunkId, CollectionId, DocumentId, SourceId, TenantId
from runtime.core.knowledge import Document, Query
from runtime.core.memories import Scope
from runtime.recall.documents import ItemColumns, insert_document
from runtime.recall.truth import NewChunk, Pen

_ORDERS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A document as filters see it."""

    id: str
    attributes: Attributes = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    source: str | None = None
    created_at: float = 0.0
    valid_from: float | None = None
    valid_to: float | None = None
    expires_at: float | None = None
    ended_at: float | None = None
    importance: float | None = None
    scope: Scope = Scope()  # noqa: RUF009 - frozen


def write_row(pen: Pen, ns: int, row: Row) -> None:
    """Store a document's row."""
    document = Document(
        id=DocumentId(row.id),
        collection=CollectionId("c"),
        name=row.id,
        status="completed",
        attributes=row.attributes,
        tags=row.tags,
        source=None if row.source is None else SourceId(row.source),
        created_at=row.created_at,
        changed_at=row.created_at,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        expires_at=row.expires_at,
    )
    scope = row.scope
    item = ItemColumns(row.importance, row.ended_at, scope.user, scope.agent, scope.session)  # type: ignore[arg-type]  # the column may be empty, as it is for documents
    insert_document(pen, ns, TenantId("t"), document, item=item)


def write_document(pen: Pen, ns: int, row: Row, chunks: int) -> list[ChunkId]:
    """Store a document with so many chunks."""
    write_row(pen, ns, row)
    pieces = [NewChunk(ordinal, 0, 1, "[]", "text") for ordinal in range(chunks)]
    return pen.put_chunks(ns, DocumentId(row.id), pieces)


def rewrite_row(pen: Pen, ns: int, row: Row, chunks: Sequence[ChunkId]) -> None:
    """Change what filters look at of a document."""
    pen.execute("DELETE FROM document WHERE id = $1", [row.id])
    write_row(pen, ns, row)
    pen.log(ns, chunks, "meta")


def remove_document(pen: Pen, ns: int, document: str) -> None:
    """Remove a document with its chunks."""
    pen.remove_chunks(ns, [DocumentId(document)])
    pen.execute("DELETE FROM document WHERE id = $1", [document])


def is_seen(row: Row, query: Query, scope: Scope | None, now: float) -> bool:
    """Tell whether a query may see a document."""
    at = now if query.valid_at is None else query.valid_at
    conditions = [
        query.where is None or satisfies(row.attributes, query.where),
        set(query.tags) <= set(row.tags),
        not query.documents or row.id in query.documents,
        not query.sources or row.source in query.sources,
        query.since is None or row.created_at >= query.since,
        query.until is None or row.created_at < query.until,
        row.valid_from is None or row.valid_from <= at,
        row.valid_to is None or at < row.valid_to,
        row.expires_at is None or row.expires_at > now,
        _is_known(row, query.known_at),
        scope is None or _is_in(row.scope, scope),
    ]
    return all(conditions)


def satisfies(attributes: Mapping[str, Scalar], where: Filter) -> bool:
    """Tell whether one document's attributes satisfy a filter."""
    if isinstance(where, Comparison):
        return _compares(attributes, where)

    each = [satisfies(attributes, part) for part in where.filters]
    if where.type == "not":
        return not each[0]
    return all(each) if where.type == "and" else any(each)


def as_query(where: Filter | None = None, **more: object) -> Query:
    """Return a query that narrows so."""
    return Query(text="", collections=(), where=where, **more)  # type: ignore[arg-type]  # msgspec checks nothing here, the test does


def joined(kind: str, *filters: Filter) -> Compound:
    """Return a compound."""
    return Compound(type=kind, filters=filters)  # type: ignore[arg-type]  # a literal of the caller


def compare(kind: str, key: str, value: Scalar | tuple[Scalar, ...]) -> Comparison:
    """Return a comparison."""
    return Comparison(type=kind, key=key, value=value)  # type: ignore[arg-type]  # a literal of the caller


def cosines(
    vectors: Mapping[ChunkId, NDArray[np.float16]], query: NDArray[np.float32]
) -> dict[ChunkId, float]:
    """Return the cosine of each vector that has a direction."""
    wide = query.astype(np.float64)
    result: dict[ChunkId, float] = {}
    for chunk, vector in vectors.items():
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if np.isfinite(length) and length > 0:
            result[chunk] = float(vector.astype(np.float64) @ wide / length / np.linalg.norm(wide))
    return result


def changed(row: Row, attributes: Attributes, tags: Iterable[str]) -> Row:
    """Return a row with other attributes and tags."""
    return replace(row, attributes=attributes, tags=tuple(tags))


def _is_known(row: Row, at: float | None) -> bool:
    if at is None:
        return row.ended_at is None
    return row.created_at <= at and (row.ended_at is None or row.ended_at > at)


def _is_in(item: Scope, asked: Scope) -> bool:
    return all(
        own is None or own == wanted
        for own, wanted in (
            (item.user, asked.user),
            (item.agent, asked.agent),
            (item.session, asked.session),
        )
    )


def _compares(attributes: Mapping[str, Scalar], where: Comparison) -> bool:
    kind = where.type
    if kind == "exists":
        return (where.key in attributes) is where.value
    if kind in ("ne", "nin"):
        positive = Comparison(type="eq" if kind == "ne" else "in", key=where.key, value=where.value)
        return not _compares(attributes, positive)
    if where.key not in attributes:
        return False

    own = attributes[where.key]
    values = where.value if isinstance(where.value, tuple) else (where.value,)
    alike = [value for value in values if _kind(value) is _kind(own)]
    if kind in ("eq", "in"):
        return any(own == value for value in alike)
    if kind == "contains":
        return bool(alike) and isinstance(own, str) and str(alike[0]).casefold() in own.casefold()
    return bool(alike) and bool(_ORDERS[kind](own, alike[0]))


def _kind(value: Scalar) -> type:
    return {str: str, bool: bool}.get(type(value), float)
