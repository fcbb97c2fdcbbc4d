"""Rows of documents: written with a pen inside somebody's transaction, read here.

A document's row comes first (`insert_documents`), its text and chunks follow once it has been read
(`store_text`), and it ends with `finish`, `fail` or `cancel`. An item of memory is a document, too, whose
row says more (`ItemColumns`); listing and finding by name see documents of collections alone.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import duckdb
import msgspec

from runtime.core.clock import Clock
from runtime.core.errors import Fault, NotFound
from runtime.core.filters import Attributes
from runtime.core.ids import ChunkId, CollectionId, DocumentId, FileId, TenantId
from runtime.core.knowledge import Document, DocumentFault, DocumentStatus, StoredChunk
from runtime.recall.document_columns import CHUNK_COLUMNS, COLUMNS, as_json, chunk_of, document_of, values_of
from runtime.recall.marks import Marks, Shelfmark
from runtime.recall.recent import Recent
from runtime.recall.truth import NewChunk, Pen, Truth

Replaces = Literal["name", "uri", "nothing"]

_ALL_COLUMNS = (
    *("tenant", "replaces", "importance", "ended_at", "scope_user", "scope_agent", "scope_session"),
    *COLUMNS.split(", "),
)
_NUMBERED = tuple(enumerate(_ALL_COLUMNS, start=1))
_INSERT = f"INSERT INTO document ({', '.join(_ALL_COLUMNS)})"
_TYPES = {
    **dict.fromkeys(("ns", "size_bytes"), "BIGINT"),
    "chunks": "INTEGER",
    **dict.fromkeys(("importance", "ended_at", "created_at", "changed_at"), "DOUBLE"),
    **dict.fromkeys(("valid_from", "valid_to", "expires_at"), "DOUBLE"),
}
"""Of the columns that are no VARCHAR."""
_NO_ITEM = (None,) * 5
_LOOKED_UP = 200
"""Documents that one statement reads by their ids."""
_RECENT = 2048
"""Documents that hits name again and again; a row takes a kilobyte or two."""


class ItemColumns(NamedTuple):
    """What the row of an item of memory says beyond that of a document."""

    importance: float
    ended_at: float | None = None
    user: str | None = None
    agent: str | None = None
    session: str | None = None


class NewRow(NamedTuple):
    """A document's row to be stored."""

    document: Document
    replaces: Replaces = "nothing"
    """Is looked at by `replace_older`."""
    item: ItemColumns | None = None


class ReadText(NamedTuple):
    """What was read out of a document, cut into chunks."""

    text: str
    chunks: Sequence[NewChunk]
    title: str
    media_type: str
    language: str
    notes: tuple[str, ...]


def insert_document(
    pen: Pen,
    ns: int,
    tenant: TenantId,
    document: Document,
    *,
    replaces: Replaces = "nothing",
    item: ItemColumns | None = None,
) -> None:
    """Store a document's row; its text and chunks follow. `replaces` is looked at by `replace_older`."""
    insert_documents(pen, ns, tenant, [NewRow(document, replaces, item)])


def insert_documents(pen: Pen, ns: int, tenant: TenantId, rows: Sequence[NewRow]) -> None:
    """Store rows of documents in one statement: twenty take a sixth of the time that they take one by one."""
    if not rows:
        return

    values = [[tenant, row.replaces, *(row.item or _NO_ITEM), *values_of(ns, row.document)] for row in rows]
    if len(values) == 1:
        pen.execute(f"{_INSERT} VALUES ({', '.join('?' * len(_ALL_COLUMNS))})", values[0])
        return

    columns = [f"unnest(${place}::{_TYPES.get(name, 'VARCHAR')}[])" for place, name in _NUMBERED]
    pen.execute(f"{_INSERT} SELECT {', '.join(columns)}", [[*column] for column in zip(*values, strict=True)])


def store_text(pen: Pen, ns: int, document: DocumentId, read: ReadText, now: float) -> list[ChunkId]:
    """Store what was read of a document in place of what was there; return its chunks' ids in order."""
    pen.remove_chunks(ns, [document])
    pen.execute("INSERT OR REPLACE INTO body VALUES (?, ?, ?)", [document, ns, read.text])
    pen.execute(
        "UPDATE document SET title = ?, media_type = ?, language = ?, notes = ?, chunks = ?, "
        "text_bytes = strlen(?), changed_at = ? WHERE id = ?",
        [
            read.title,
            read.media_type,
            read.language,
            as_json(read.notes),
            len(read.chunks),
            read.text,
            now,
            document,
        ],
    )
    return pen.put_chunks(ns, document, read.chunks)


def finish(pen: Pen, ns: int, document: DocumentId, now: float) -> list[DocumentId]:
    """Note that a document has all its vectors; return the older ones that gave way to it."""
    _end(pen, document, "completed", None, now)
    return replace_older(pen, ns, document)


def fail(pen: Pen, document: DocumentId, fault: DocumentFault, now: float) -> None:
    """Note why a document could not be taken in; what is stored of it stays."""
    _end(pen, document, "failed", fault, now)


def cancel(pen: Pen, document: DocumentId, now: float) -> None:
    """Note that a document is not to be read on."""
    _end(pen, document, "cancelled", None, now)


def restart(pen: Pen, document: DocumentId, now: float) -> None:
    """Note that a document that had ended is taken in again."""
    _end(pen, document, "in_progress", None, now)


def replace_older(pen: Pen, ns: int, document: DocumentId) -> list[DocumentId]:
    """Remove older documents of the same name (or uri, as its row says); return their ids."""
    rows = pen.rows(
        "SELECT older.id FROM document older, document newer WHERE newer.id = $1 AND older.ns = $2 "
        "AND older.id < newer.id AND (newer.replaces = 'name' AND older.name = newer.name "
        "OR newer.replaces = 'uri' AND older.uri = newer.uri)",
        [document, ns],
    )
    older = [DocumentId(row[0]) for row in rows]
    remove_documents(pen, ns, older)
    return older


def remove_documents(pen: Pen, ns: int, documents: Sequence[DocumentId]) -> None:
    """Remove documents with their texts, chunks and vectors, and log it."""
    if not documents:
        return

    pen.remove_chunks(ns, documents)
    for sql in (
        "DELETE FROM body WHERE document IN (SELECT unnest($1::VARCHAR[]))",
        "DELETE FROM document WHERE id IN (SELECT unnest($1::VARCHAR[]))",
    ):
        pen.execute(sql, [[*documents]])


def log_meta(pen: Pen, ns: int, documents: Sequence[DocumentId]) -> None:
    """Log that what filters look at has changed in the rows of documents."""
    rows = pen.rows(
        "SELECT id FROM chunk WHERE ns = $1 AND document IN (SELECT unnest($2::VARCHAR[])) ORDER BY id",
        [ns, [*documents]],
    )
    pen.log(ns, [ChunkId(row[0]) for row in rows], "meta")


class DocumentRows:
    """Reads documents and changes single ones; each call names the tenant that owns what is touched."""

    def __init__(self, truth: Truth, marks: Marks, clock: Clock) -> None:
        self._truth = truth
        self._marks = marks
        self._clock = clock
        self._recent: Recent[tuple[int, DocumentId], Document] = Recent(_RECENT)

    async def list_all(
        self,
        tenant: TenantId,
        collection: CollectionId,
        *,
        limit: int = 100,
        after: DocumentId | None = None,
        before: DocumentId | None = None,
        is_newest_first: bool = True,
        status: DocumentStatus | None = None,
    ) -> list[Document]:
        """Return documents in the order of their ids; those right before `before`, if only that is given.

        Raises NotFound where there is no such collection.
        """
        mark = self._marks.find_ns(tenant, collection)
        above, below = (before, after) if is_newest_first else (after, before)
        is_backwards = before is not None and after is None
        is_descending = is_newest_first != is_backwards
        rows = await self._truth.read(
            f"SELECT {COLUMNS} FROM document WHERE ns = $1 AND ($2 IS NULL OR id > $2) "  # noqa: S608 - constants
            "AND ($3 IS NULL OR id < $3) AND ($4 IS NULL OR status = $4) "
            f"ORDER BY id {'DESC' if is_descending else 'ASC'} LIMIT $5",
            [mark.ns, above, below, status, limit],
        )
        documents = [document_of(row, mark) for row in rows]
        return documents[::-1] if is_backwards else documents

    async def find(self, tenant: TenantId, document: DocumentId) -> Document:
        """Return a document of one of the tenant's collections. Raises NotFound."""
        found = await self._find(tenant, document)
        if found is None:
            raise _no_document(document)
        return found

    async def find_many(self, ns: int, documents: Sequence[DocumentId]) -> dict[DocumentId, Document]:
        """Return those of the documents that are in a namespace, items of memory included, by their ids."""
        if not documents:
            return {}

        return await self._truth.database.use_cursor(lambda cursor: self.find_with(cursor, ns, documents))

    def find_with(
        self, cursor: duckdb.DuckDBPyConnection, ns: int, documents: Sequence[DocumentId]
    ) -> dict[DocumentId, Document]:
        """Return what `find_many` does, read in the thread of a cursor's user."""
        mark = self._marks.by_ns(ns)
        if mark is None or not documents:
            return {}

        commits = self._truth.database.commits
        self._recent.at(commits)
        found = self._recent.find((ns, document) for document in documents)
        missing = [document for document in documents if (ns, document) not in found]
        if missing:
            read = {(ns, each.id): each for each in _read_many(cursor, mark, missing)}
            self._recent.keep(read, commits)
            found |= read
        return {document: each for (_, document), each in found.items()}

    async def find_by_name(self, tenant: TenantId, collection: CollectionId, name: str) -> Document | None:
        """Return the newest document of that name. Raises NotFound where there is no such collection."""
        return await self._newest(tenant, collection, "name", name)

    async def find_by_uri(self, tenant: TenantId, collection: CollectionId, uri: str) -> Document | None:
        """Return the newest document of that uri. Raises NotFound where there is no such collection."""
        return await self._newest(tenant, collection, "uri", uri)

    async def find_by_file(self, tenant: TenantId, collection: CollectionId, file: FileId) -> Document | None:
        """Return the newest document made of the file. Raises NotFound where there is no such collection."""
        return await self._newest(tenant, collection, "file", file)

    async def text(self, tenant: TenantId, document: DocumentId) -> str:
        """Return the whole text as it was read. Raises NotFound, also where nothing was read yet."""
        found = await self.find(tenant, document)
        rows = await self._truth.read("SELECT text FROM body WHERE document = $1", [document])
        if not rows:
            message = f"Document '{document}' has no text: it is {found.status.replace('_', ' ')}."
            raise NotFound(Fault(code="not_found", message=message))
        return str(rows[0][0])

    async def chunks(self, tenant: TenantId, document: DocumentId) -> list[StoredChunk]:
        """Return its chunks in order. Raises NotFound."""
        await self.find(tenant, document)
        rows = await self._truth.read(
            f"SELECT {CHUNK_COLUMNS} FROM chunk WHERE document = $1 ORDER BY ordinal",  # noqa: S608 - constants
            [document],
        )
        return [chunk_of(row) for row in rows]

    async def change_attributes(
        self, tenant: TenantId, document: DocumentId, attributes: Attributes
    ) -> Document:
        """Set its attributes in place of the former ones. Raises NotFound."""
        now = self._clock.now()

        def _change(pen: Pen) -> Document:
            mark, row = self._own(tenant, pen.rows(_ONE, [document, tenant]), document)
            pen.execute(
                "UPDATE document SET attributes = ?, changed_at = ? WHERE id = ?",
                [as_json(attributes), now, document],
            )
            log_meta(pen, mark.ns, [document])
            return msgspec.structs.replace(document_of(row, mark), attributes=attributes, changed_at=now)

        return await self._truth.write(_change)

    async def remove(self, tenant: TenantId, document: DocumentId) -> Document:
        """Remove a document everywhere; return what it was. Raises NotFound."""

        def _remove(pen: Pen) -> Document:
            mark, row = self._own(tenant, pen.rows(_ONE, [document, tenant]), document)
            remove_documents(pen, mark.ns, [document])
            return document_of(row, mark)

        return await self._truth.write(_remove)

    async def _find(self, tenant: TenantId, document: DocumentId) -> Document | None:
        rows = await self._truth.read(_ONE, [document, tenant])
        mark = self._marks.by_ns(rows[0][1]) if rows else None
        return document_of(rows[0], mark) if mark is not None and mark.kind == "documents" else None

    async def _newest(
        self, tenant: TenantId, collection: CollectionId, column: Literal["name", "uri", "file"], value: str
    ) -> Document | None:
        mark = self._marks.find_ns(tenant, collection)
        rows = await self._truth.read(
            f"SELECT {COLUMNS} FROM document WHERE ns = $1 AND {column} = $2 ORDER BY id DESC LIMIT 1",  # noqa: S608 - constants
            [mark.ns, value],
        )
        return document_of(rows[0], mark) if rows else None

    def _own(
        self, tenant: TenantId, rows: list[tuple[Any, ...]], document: DocumentId
    ) -> tuple[Shelfmark, tuple[Any, ...]]:
        """Return the row of a collection's document with its collection. Raises NotFound."""
        mark = self._marks.by_ns(rows[0][1]) if rows else None
        if mark is None or mark.tenant != tenant or mark.kind != "documents":
            raise _no_document(document)
        return mark, rows[0]


_ONE = f"SELECT {COLUMNS} FROM document WHERE id = $1 AND tenant = $2"  # noqa: S608 - constants


def _read_many(
    cursor: duckdb.DuckDBPyConnection, mark: Shelfmark, documents: Sequence[DocumentId]
) -> list[Document]:
    rows: list[tuple[Any, ...]] = []
    # A list of values is looked up in the primary key; a subquery of more than fifty reads the table.
    for start in range(0, len(documents), _LOOKED_UP):
        some = documents[start : start + _LOOKED_UP]
        rows += cursor.execute(
            f"SELECT {COLUMNS} FROM document WHERE id IN ({', '.join('?' * len(some))})",  # noqa: S608 - constants
            some,
        ).fetchall()
    return [document_of(row, mark) for row in rows if row[1] == mark.ns]


def _end(
    pen: Pen, document: DocumentId, status: DocumentStatus, fault: DocumentFault | None, now: float
) -> None:
    pen.execute(
        "UPDATE document SET status = ?, fault = ?, changed_at = ? WHERE id = ?",
        [status, None if fault is None else as_json(fault), now, document],
    )


def _no_document(document: DocumentId) -> NotFound:
    return NotFound(Fault(code="not_found", message=f"There is no document '{document}'."))
