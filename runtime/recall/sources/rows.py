"""The rows of sources and of their entries: read beside the writer, changed with a pen.

A document that came from a place carries the source's id; an entry names the newest one that was made of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from runtime.core.errors import Conflict, Fault, NotFound
from runtime.core.ids import DocumentId, JobId, SourceId, TenantId
from runtime.core.knowledge import DocumentFault, NewSource, Source, SourceKind
from runtime.recall.documents import log_meta, remove_documents
from runtime.recall.marks import Marks, Shelfmark, no_collection
from runtime.recall.sources.kinds import same_place
from runtime.recall.sources.origin import Entry
from runtime.recall.sweeping import leave_source, sweep_source
from runtime.recall.truth import Pen, Truth

MOST_SOURCES = 1000
"""Of one tenant."""
_COLUMNS = (
    "id, ns, tenant, kind, told, created_at, is_paused, synced_at, next_at, failures, fault, notes, state"
)


class SourceRow(NamedTuple):
    """A source as it is stored."""

    id: SourceId
    ns: int
    tenant: TenantId
    kind: SourceKind
    told: NewSource
    created_at: float
    is_paused: bool = False
    synced_at: float | None = None
    next_at: float | None = None
    failures: int = 0
    fault: DocumentFault | None = None
    notes: tuple[str, ...] = ()
    state: str = ""


class _Live(NamedTuple):
    """What other tables say of a source."""

    documents: int
    job: JobId | None


class SourceRows:
    """Reads sources."""

    def __init__(self, truth: Truth, marks: Marks) -> None:
        self._truth = truth
        self._marks = marks

    async def find(self, tenant: TenantId, source: SourceId) -> SourceRow:
        """Return one. Raises NotFound."""
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM source WHERE id = ? AND tenant = ?",  # noqa: S608 - constants
            [source, tenant],
        )
        if not rows:
            raise no_source(source)
        return _row(rows[0])

    async def get(self, source: SourceId) -> SourceRow | None:
        """Return one of any tenant; None where it is gone."""
        rows = await self._truth.read(f"SELECT {_COLUMNS} FROM source WHERE id = ?", [source])  # noqa: S608 - constants
        return _row(rows[0]) if rows else None

    async def list_all(self, tenant: TenantId, ns: int | None) -> list[SourceRow]:
        """Return a tenant's sources by creation; of one collection or of all."""
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM source WHERE tenant = $1 AND ($2 IS NULL OR ns = $2) ORDER BY id",  # noqa: S608 - constants
            [tenant, ns],
        )
        return [_row(each) for each in rows]

    async def following(self) -> list[SourceRow]:
        """Return the sources of all tenants that are not paused, the one due first first."""
        rows = await self._truth.read(
            f"SELECT {_COLUMNS} FROM source WHERE NOT is_paused ORDER BY next_at, id"  # noqa: S608 - constants
        )
        return [_row(each) for each in rows]

    async def known(self, source: SourceId) -> dict[str, Entry]:
        """Return what is remembered of a source's entries, by their keys."""
        rows = await self._truth.read(
            "SELECT key, stamp, etag, last_modified, document, misses FROM source_entry WHERE source = ?",
            [source],
        )
        return {row[0]: _entry(row) for row in rows}

    async def describe(self, rows: Sequence[SourceRow]) -> list[Source]:
        """Return sources as they are shown; those of collections that are gone are left out."""
        live = await self._live([each.id for each in rows])
        shown = ((each, self._marks.by_ns(each.ns)) for each in rows)
        return [_shown(row, mark, live[row.id]) for row, mark in shown if mark is not None]

    async def _live(self, sources: Sequence[SourceId]) -> Mapping[SourceId, _Live]:
        if not sources:
            return {}
        counted = await self._truth.read(
            "SELECT e.source, count(DISTINCT d.id) FROM source_entry e JOIN document d ON d.id = e.document "
            "WHERE e.source IN (SELECT unnest($1::VARCHAR[])) GROUP BY e.source",
            [[*sources]],
        )
        at_work = await self._truth.read(
            "SELECT source, max(id) FROM job WHERE kind = 'sync' AND finished_at IS NULL "
            "AND source IN (SELECT unnest($1::VARCHAR[])) GROUP BY source",
            [[*sources]],
        )
        documents, jobs = dict(counted), dict(at_work)
        return {each: _Live(documents.get(each, 0), jobs.get(each)) for each in sources}


def insert_source(pen: Pen, row: SourceRow, mark: Shelfmark) -> None:
    """Store a source. Raises NotFound where its collection is gone, Conflict where the place is followed."""
    if not pen.rows("SELECT 1 FROM collection WHERE ns = ?", [row.ns]):
        raise no_collection(mark.collection)

    others = pen.rows("SELECT id, ns, uri FROM source WHERE tenant = ?", [row.tenant])
    place = same_place(row.told.uri)
    for source, ns, uri in others:
        if ns == row.ns and same_place(uri) == place:
            message = f"'{mark.name}' follows this place already: {source}. Sync, change or remove that one."
            raise Conflict(Fault(code="conflict", message=message, param="uri"))
    if len(others) >= MOST_SOURCES:
        message = f"{MOST_SOURCES} places are followed, and no more can be. Remove one that is not needed."
        raise Conflict(Fault(code="conflict", message=message, param="uri"))

    pen.execute(
        "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, false, NULL, ?, 0, NULL, '[]', '')",
        [
            row.id,
            row.ns,
            row.tenant,
            row.kind,
            row.told.uri,
            _json(row.told),
            row.created_at,
            row.next_at,
        ],
    )


def store_entry(pen: Pen, row: SourceRow, entry: Entry, uri: str) -> list[DocumentId]:
    """Remember an entry with the document that was just stored of it.

    Where its address is another one now, former documents get that, too, so that they give way once the new
    one was read; where it was read already, they are removed and returned. Does nothing where the source is
    gone.
    """
    if not pen.rows("SELECT 1 FROM source WHERE id = ?", [row.id]):
        return []

    removed = _move(pen, row, entry, uri)
    pen.execute(
        "INSERT OR REPLACE INTO source_entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            row.id,
            entry.key,
            uri,
            entry.stamp,
            entry.etag,
            entry.last_modified,
            entry.document,
            entry.misses,
        ],
    )
    # A person may have added the same bytes of the same address before: they are the place's from now on.
    if entry.document and pen.rows(
        "SELECT 1 FROM document WHERE id = ? AND source IS NULL", [entry.document]
    ):
        _hand_over(pen, row.ns, [entry.document], row.id)
    return removed


def note_misses(pen: Pen, source: SourceId, misses: Mapping[str, int]) -> None:
    """Store how often in a row entries were not found."""
    pen.execute(
        "UPDATE source_entry SET misses = told.misses FROM (SELECT unnest($2::VARCHAR[]) AS key, "
        "unnest($3::INTEGER[]) AS misses) told "
        "WHERE source_entry.source = $1 AND source_entry.key = told.key",
        [source, [*misses], [*misses.values()]],
    )


def remove_entries(pen: Pen, row: SourceRow, keys: Iterable[str]) -> list[DocumentId]:
    """Forget entries and remove their documents; those that another entry names stay."""
    gone = [*keys]
    if not gone:
        return []

    rows = pen.rows(_DOCUMENTS_OF, [row.id, gone, row.ns])
    pen.execute(
        "DELETE FROM source_entry WHERE source = $1 AND key IN (SELECT unnest($2::VARCHAR[]))", [row.id, gone]
    )
    return _remove_unnamed(pen, row.ns, [DocumentId(each[0]) for each in rows])


def remove_source(pen: Pen, row: SourceRow, *, is_keeping_documents: bool) -> list[DocumentId]:
    """Forget a source with its entries; return the documents that leave with it.

    The first of them are removed here; `sweep_source` is to be called until it finds no more.
    """
    found = pen.rows("SELECT id FROM document WHERE ns = ? AND source = ?", [row.ns, row.id])
    documents = [DocumentId(each[0]) for each in found]
    pen.execute("DELETE FROM source_entry WHERE source = ?", [row.id])
    pen.execute("DELETE FROM source WHERE id = ?", [row.id])
    leaving = [] if is_keeping_documents else _unnamed(pen, documents)
    gone = set(leaving)
    _pass_on(pen, row.ns, [each for each in documents if each not in gone])
    if leaving:
        leave_source(pen, row.ns, row.id)
        sweep_source(pen, row.ns, row.id)
    return leaving


def forget_sources(pen: Pen, mark: Shelfmark) -> None:
    """Forget the sources of a collection that is being removed; its documents go with it."""
    pen.execute(
        "DELETE FROM source_entry WHERE source IN (SELECT id FROM source WHERE ns = $1)",
        [mark.ns],
    )
    pen.execute("DELETE FROM source WHERE ns = $1", [mark.ns])


def update_source(pen: Pen, source: SourceId, **values: Any) -> None:
    """Set columns of a source; structs and lists are stored as JSON."""
    stored = [_json(each) if isinstance(each, (msgspec.Struct, tuple)) else each for each in values.values()]
    pen.execute(
        f"UPDATE source SET {', '.join(f'{column} = ?' for column in values)} WHERE id = ?",  # noqa: S608 - constants
        [*stored, source],
    )


def no_source(source: SourceId) -> NotFound:
    """Return the error that says so."""
    return NotFound(Fault(code="not_found", message=f"There is no source '{source}'."))


_DOCUMENTS_OF = """
    SELECT d.id FROM source_entry e JOIN document d ON d.id = e.document
    WHERE e.source = $1 AND e.key IN (SELECT unnest($2::VARCHAR[])) AND d.ns = $3
    UNION
    SELECT d.id FROM source_entry e JOIN document d ON d.uri = e.uri AND d.source = e.source
    WHERE e.source = $1 AND e.key IN (SELECT unnest($2::VARCHAR[])) AND d.ns = $3
"""
"""The newest of each entry, and an older one that stands as long as the newest could not be read."""


def _move(pen: Pen, row: SourceRow, entry: Entry, uri: str) -> list[DocumentId]:
    """Let an entry's former documents follow it to another address, or remove them; return the removed."""
    key = [row.id, entry.key, uri]
    if not pen.rows("SELECT 1 FROM source_entry WHERE source = ? AND key = ? AND uri <> ?", key):
        return []
    rows = pen.rows(_DOCUMENTS_OF, [row.id, [entry.key], row.ns])
    former = [DocumentId(each[0]) for each in rows if each[0] != entry.document]
    pen.execute("DELETE FROM source_entry WHERE source = ? AND key = ?", [row.id, entry.key])
    status = pen.rows("SELECT status FROM document WHERE id = ?", [entry.document])
    if not status or status[0][0] == "completed":
        return _remove_unnamed(pen, row.ns, former)
    pen.execute("UPDATE document SET uri = $2 WHERE id IN (SELECT unnest($1::VARCHAR[]))", [former, uri])
    return []


def _remove_unnamed(pen: Pen, ns: int, documents: Sequence[DocumentId]) -> list[DocumentId]:
    """Remove documents that no entry names; return them."""
    removed = _unnamed(pen, documents)
    remove_documents(pen, ns, removed)
    return removed


def _unnamed(pen: Pen, documents: Sequence[DocumentId]) -> list[DocumentId]:
    """Return the documents that no entry names."""
    if not documents:
        return []
    rows = pen.rows(
        "SELECT document FROM source_entry WHERE document IN (SELECT unnest($1::VARCHAR[]))", [[*documents]]
    )
    named = {row[0] for row in rows}
    return [each for each in documents if each not in named]


def _pass_on(pen: Pen, ns: int, documents: Sequence[DocumentId]) -> None:
    """Let documents belong to another source that has them too, or to nobody."""
    if not documents:
        return
    rows = pen.rows(
        "SELECT document, min(source) FROM source_entry WHERE document IN (SELECT unnest($1::VARCHAR[])) "
        "GROUP BY document",
        [[*documents]],
    )
    owners: dict[SourceId | None, list[DocumentId]] = {}
    named = dict(rows)
    for each in documents:
        owners.setdefault(named.get(each), []).append(each)
    for source, theirs in owners.items():
        _hand_over(pen, ns, theirs, source)


def _hand_over(pen: Pen, ns: int, documents: Sequence[DocumentId], source: SourceId | None) -> None:
    pen.execute(
        "UPDATE document SET source = $2 WHERE id IN (SELECT unnest($1::VARCHAR[]))", [[*documents], source]
    )
    log_meta(pen, ns, documents)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _row(row: Sequence[Any]) -> SourceRow:
    return SourceRow(
        id=SourceId(row[0]),
        ns=row[1],
        tenant=TenantId(row[2]),
        kind=row[3],
        told=msgspec.json.decode(row[4], type=NewSource),
        created_at=row[5],
        is_paused=row[6],
        synced_at=row[7],
        next_at=row[8],
        failures=row[9],
        fault=None if row[10] is None else msgspec.json.decode(row[10], type=DocumentFault),
        notes=msgspec.json.decode(row[11], type=tuple[str, ...]),
        state=row[12],
    )


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(
        key=row[0],
        stamp=row[1],
        etag=row[2],
        last_modified=row[3],
        document=None if row[4] is None else DocumentId(row[4]),
        misses=row[5],
    )


def _shown(row: SourceRow, mark: Shelfmark, live: _Live) -> Source:
    return Source(
        id=row.id,
        collection=mark.collection,
        kind=row.kind,
        uri=row.told.uri,
        interval_s=row.told.interval_s,
        is_paused=row.is_paused,
        created_at=row.created_at,
        synced_at=row.synced_at,
        next_at=row.next_at,
        documents=live.documents,
        fault=row.fault,
        notes=row.notes,
        job=live.job,
    )
