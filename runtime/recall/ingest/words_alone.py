"""Documents whose model does not come: they end with their words alone, say so, and get their vectors later.

A note at the document is all that is kept of it. By it a restart finds the namespaces that a fill has to go
through, and whoever has filled one takes the notes away.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from runtime.core.ids import DocumentId
from runtime.recall.ingest.keeping import Finished, Kept, tell_kept
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.tasks import end_tasks
from runtime.recall.truth import Pen, Truth

AT_ONCE = 250
"""Documents that are ended in one transaction."""
_MARK = "Found by its words alone until its vectors are made:"
_LIKE = f"%{_MARK}%"
_WAITING = (
    "SELECT d.id, d.ns, d.name, d.chunks, d.notes FROM work w JOIN document d ON d.id = w.document "
    "WHERE w.stage = 'vectors' AND w.ns IN (SELECT unnest($1::BIGINT[])) ORDER BY w.number LIMIT $2"
)
_FILLED = (
    "SELECT d.id, d.notes FROM document d JOIN collection c ON c.ns = d.ns "
    "WHERE d.ns = $1 AND d.notes LIKE $2 AND NOT EXISTS (SELECT 1 FROM chunk k WHERE k.document = d.id "
    "AND NOT EXISTS (SELECT 1 FROM vector v WHERE v.chunk = k.id AND v.space = c.space))"
)


class _Waiting(NamedTuple):
    document: str
    ns: int
    name: str
    chunks: int
    notes: str


async def end_with_words(stores: Stores, namespaces: Sequence[int], why: str) -> list[Finished]:
    """Complete the documents that wait for vectors in these namespaces, with a note why they have none."""
    ended: list[Finished] = []
    while kept := (await _end_some(stores, namespaces, f"{_MARK} {why}")).finished:
        ended += kept
    return ended


async def take_notes_away(stores: Stores, ns: int) -> None:
    """Take the notes from the documents of a namespace that have all their vectors by now."""
    now = stores.clock.now()

    def _work(pen: Pen) -> None:
        for document, notes in pen.rows(_FILLED, [ns, _LIKE]):
            pen.execute(
                "UPDATE document SET notes = ?, changed_at = ? WHERE id = ?",
                [_encoded(_others(notes)), now, document],
            )

    if await stores.truth.read("SELECT 1 FROM document WHERE ns = ? AND notes LIKE ? LIMIT 1", [ns, _LIKE]):
        await stores.truth.write(_work)


async def namespaces_to_fill(truth: Truth) -> list[int]:
    """Return those in which documents ended with their words alone."""
    return [
        int(row[0])
        for row in await truth.read("SELECT DISTINCT ns FROM document WHERE notes LIKE ?", [_LIKE])
    ]


async def _end_some(stores: Stores, namespaces: Sequence[int], note: str) -> Kept:
    now = stores.clock.now()

    def _work(pen: Pen) -> Kept:
        found = [_Waiting(*row) for row in pen.rows(_WAITING, [[*namespaces], AT_ONCE])]
        for each in found:
            pen.execute(
                "UPDATE document SET status = 'completed', fault = NULL, notes = ?, changed_at = ? "
                "WHERE id = ?",
                [_encoded([*_others(each.notes), note]), now, each.document],
            )
        finished = [Finished(DocumentId(each.document), each.ns, each.name, each.chunks) for each in found]
        return Kept(finished, end_tasks(pen, [each.document for each in finished], "done", now))

    return await stores.write(_work, lambda kept: tell_kept(stores, kept))


def _others(notes: str) -> list[str]:
    """Return a document's notes of other things."""
    return [each for each in msgspec.json.decode(notes, type=list[str]) if not each.startswith(_MARK)]


def _encoded(notes: Sequence[str]) -> str:
    return msgspec.json.encode(notes).decode()
