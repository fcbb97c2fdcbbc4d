"""Reads from the truth what filters look at: all of a namespace, or what changed since.

Works on a cursor whose reads all see one commit (`Database.read_snapshot`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import msgspec
import numpy as np

from runtime.core.filters import Attributes
from runtime.recall.columns_table import DocumentRow, Table
from runtime.recall.following import changes_after, newest_seq
from runtime.recall.parts import Ids
from runtime.recall.places import RowNumbers

_PAGE_ROWS = 2048
"""Rows made Python objects at a time."""
_COLUMNS = (
    "document.rowid, document.id, document.attributes, document.tags, document.source, document.scope_user, "
    "document.scope_agent, document.scope_session, document.created_at, "
    "coalesce(document.valid_from, '-infinity'::DOUBLE), coalesce(document.valid_to, 'infinity'::DOUBLE), "
    "coalesce(document.expires_at, 'infinity'::DOUBLE), coalesce(document.ended_at, 'infinity'::DOUBLE), "
    "coalesce(document.importance, 0.5)"
)
_attributes = msgspec.json.Decoder(Attributes)
_tags = msgspec.json.Decoder(list[str])


class Loaded(NamedTuple):
    """A table as of a commit."""

    table: Table
    followed: int


class Delta(NamedTuple):
    """What changed in a table until a commit."""

    documents: Sequence[DocumentRow]
    chunks: Ids
    documents_of_chunks: Sequence[str]
    removed: Ids
    followed: int

    @property
    def touches_something(self) -> bool:
        """Whether the table is another one afterwards; new vectors alone touch nothing."""
        return bool(len(self.chunks) or len(self.removed))


def load_table(cursor: duckdb.DuckDBPyConnection, ns: int) -> Loaded:
    """Read all documents and chunks of a namespace."""
    followed = newest_seq(cursor)
    table = Table()
    row_ids: list[int] = []
    cursor.execute(f"SELECT {_COLUMNS} FROM document WHERE ns = $1", [ns])  # noqa: S608 - a constant
    for rows in _pages(cursor):
        row_ids += [row[0] for row in rows]
        table.put_documents([_document(row) for row in rows])
    # Numbers instead of names: half a million of them never become Python objects.
    found = cursor.execute(
        "SELECT chunk.id AS chunk, document.rowid AS place FROM chunk JOIN document "
        "ON document.id = chunk.document WHERE chunk.ns = $1 AND document.ns = $1",
        [ns],
    ).fetchnumpy()
    chunks = np.asarray(found["chunk"], np.int64)
    if len(chunks):
        table.put_chunks(chunks, _rows_of(row_ids, np.asarray(found["place"], np.int64)))
    return Loaded(table, followed)


def read_delta(cursor: duckdb.DuckDBPyConnection, ns: int, followed: int) -> Delta | None:
    """Read what changed after a seq, as it is now; None where the table has to be loaded anew."""
    changes = changes_after(cursor, ns, followed, ("put", "remove", "meta"))
    if changes is None:
        return None

    document_of = _documents_of(cursor, changes.chunks)
    documents = _documents(cursor, sorted(set(document_of.values())))
    known = {each.id for each in documents}
    alive = [(chunk, document) for chunk, document in document_of.items() if document in known]
    chunks = np.array([chunk for chunk, _ in alive], np.int64)
    removed = np.setdiff1d(np.array(changes.chunks, np.int64), chunks, assume_unique=True)
    return Delta(documents, chunks, [document for _, document in alive], removed, changes.newest)


def _documents_of(cursor: duckdb.DuckDBPyConnection, chunks: Sequence[int]) -> dict[int, str]:
    if not chunks:
        return {}
    rows = cursor.execute(
        "SELECT id, document FROM chunk WHERE id IN (SELECT unnest($1::BIGINT[]))", [[*chunks]]
    ).fetchall()
    return dict(rows)


def _documents(cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[DocumentRow]:
    if not ids:
        return []
    cursor.execute(
        f"SELECT {_COLUMNS} FROM document WHERE id IN (SELECT unnest($1::VARCHAR[]))",  # noqa: S608 - a constant
        [[*ids]],
    )
    return [_document(row) for rows in _pages(cursor) for row in rows]


def apply_delta(table: Table, delta: Delta) -> None:
    """Bring a table to the commit that a delta was read from."""
    table.put_documents(delta.documents)
    rows = [table.row_of[document] for document in delta.documents_of_chunks]
    table.put_chunks(delta.chunks, np.array(rows, np.int32))
    table.remove_chunks(delta.removed)


def _pages(cursor: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(_PAGE_ROWS):
        yield rows


def _document(row: tuple[Any, ...]) -> DocumentRow:
    return DocumentRow(row[1], _attributes.decode(row[2]), _tags.decode(row[3]), row[4:8], row[8:])


def _rows_of(row_ids: Sequence[int], places: Ids) -> RowNumbers:
    """Return the table's row of documents by their place in the database."""
    known = np.array(row_ids, np.int64)
    order = np.argsort(known)
    return order[np.searchsorted(known[order], places)].astype(np.int32)
