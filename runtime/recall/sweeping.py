"""Removes in steps what is too much for one transaction: others write in between.

What leaves is named by a note in the transaction that removes its head (the collection, the source): from
then on nothing leads there, and whoever sweeps, now or after a restart, removes the rest.

    note "leaving namespace 7"          chunks, texts, documents, vectors, spaces of it
    note "leaving source src_…" = 7     the documents of the namespace that came from the source
"""

from functools import partial

from runtime.core.ids import DocumentId, SourceId
from runtime.recall.documents import remove_documents
from runtime.recall.truth import LEAVING_NAMESPACE, Pen, Truth

LEAVING_SOURCE = "leaving source "
DOCUMENTS_AT_ONCE = 250
"""Removed in one transaction, with their chunks and vectors; others wait for a fraction of a second."""
_CHUNKS_AT_ONCE = 2_500
"""Of documents that are removed together; a single one may have more."""
_ROWS_AT_ONCE = 5_000
_PARTS = (("chunk", "id"), ("body", "document"), ("document", "id"), ("vector", "chunk"))
"""Tables of a namespace with what names their rows: no vector is stored once its chunk is gone."""


async def sweep(truth: Truth) -> None:
    """Remove all that is named as leaving. Raises StoreDamaged."""
    for name, value in await truth.read("SELECT name, value FROM note WHERE starts_with(name, 'leaving ')"):
        if name.startswith(LEAVING_NAMESPACE):
            ns = int(name.removeprefix(LEAVING_NAMESPACE))
            while await truth.write(partial(_sweep_namespace, ns=ns), is_making_room=True):
                pass
        else:
            source = SourceId(name.removeprefix(LEAVING_SOURCE))
            while await truth.write(partial(sweep_source, ns=int(value), source=source), is_making_room=True):
                pass


def leave_source(pen: Pen, ns: int, source: SourceId) -> None:
    """Note that all documents of a source leave; `sweep_source` removes them."""
    pen.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", [LEAVING_SOURCE + source, str(ns)])


def sweep_source(pen: Pen, ns: int, source: SourceId) -> list[DocumentId]:
    """Remove some documents of a source that leaves; return them, none once there are no more."""
    rows = pen.rows(
        "SELECT id, chunks FROM document WHERE ns = ? AND source = ? LIMIT ?", [ns, source, DOCUMENTS_AT_ONCE]
    )
    documents: list[DocumentId] = []
    chunks = 0
    for document, count in rows:
        chunks += count
        if documents and chunks > _CHUNKS_AT_ONCE:
            break
        documents.append(DocumentId(document))
    remove_documents(pen, ns, documents)
    if not documents:
        pen.execute("DELETE FROM note WHERE name = ?", [LEAVING_SOURCE + source])
    return documents


def _sweep_namespace(pen: Pen, ns: int) -> bool:
    """Remove some rows of a namespace that leaves; return whether more may be left."""
    for table, key in _PARTS:
        rows = pen.rows(f"SELECT {key} FROM {table} WHERE ns = ? LIMIT ?", [ns, _ROWS_AT_ONCE])  # noqa: S608 - constants
        if rows:
            kind = "BIGINT" if table in ("chunk", "vector") else "VARCHAR"
            pen.execute(
                f"DELETE FROM {table} WHERE ns = $1 AND {key} IN (SELECT unnest($2::{kind}[]))",  # noqa: S608 - constants
                [ns, [row[0] for row in rows]],
            )
            return True

    pen.execute(
        "DELETE FROM space WHERE ns = ?", [ns]
    )  # until here it keeps the number from being given anew
    pen.execute("DELETE FROM note WHERE name = ?", [f"{LEAVING_NAMESPACE}{ns}"])
    return False
