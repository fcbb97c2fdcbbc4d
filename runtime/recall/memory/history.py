"""What happened to items: entries with the item as it was afterwards, in the order of writes."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from runtime.core.ids import ItemId, RunId
from runtime.core.memories import HistoryEntry, Item, Link
from runtime.recall.truth import Pen

Action = Literal["stored", "known", "revised", "superseded", "contradicted", "linked", "imported"]

_COLUMNS = "happened_at, action, by_whom, run, snapshot"
SELECT_HISTORY = (
    f"SELECT item, {_COLUMNS} FROM item_history WHERE ns = $1 AND item IN "  # noqa: S608 - constants
    "(SELECT unnest($2::VARCHAR[])) ORDER BY number"
)
"""Entries of items of the namespace $1 with ids in the list $2, the oldest first; for `entry_of`."""
SELECT_CHAIN = """
    WITH RECURSIVE chain(id) AS (
        SELECT id FROM item WHERE ns = $1 AND id = $2
        UNION
        SELECT item.id FROM item JOIN chain ON item.superseded_by = chain.id WHERE item.ns = $1
    )
    SELECT id FROM chain
"""
"""The item $2 of the namespace $1 and all that it superseded, also by way of others."""

_item = msgspec.json.Decoder(Item)


class Diary:
    """Writes the history within one transaction, in the name of one principal and run."""

    def __init__(self, pen: Pen, ns: int, at: float, by: str | None, run: RunId | None = None) -> None:
        self._pen = pen
        self._ns = ns
        self.at = at
        """When it happens."""
        self.by = by
        self._run = run

    def note(self, action: Action, item: Item) -> None:
        """Note what happened to an item; it is given as it is now."""
        entry = HistoryEntry(at=self.at, action=action, by=self.by, run=self._run, item=item)
        add_entries(self._pen, self._ns, [entry])


def add_entries(pen: Pen, ns: int, entries: Sequence[HistoryEntry]) -> None:
    """Store entries after all that are there."""
    if not entries:
        return

    first = int(pen.rows("SELECT coalesce(max(number), 0) FROM item_history")[0][0]) + 1
    pen.execute(
        f"INSERT INTO item_history (number, ns, item, {_COLUMNS}) SELECT unnest($1::BIGINT[]), $2, "
        "unnest($3::VARCHAR[]), unnest($4::DOUBLE[]), unnest($5::VARCHAR[]), unnest($6::VARCHAR[]), "
        "unnest($7::VARCHAR[]), unnest($8::VARCHAR[])",
        [
            list(range(first, first + len(entries))),
            ns,
            [each.item.id for each in entries],
            [each.at for each in entries],
            [each.action for each in entries],
            [each.by for each in entries],
            [each.run for each in entries],
            [msgspec.json.encode(each.item).decode() for each in entries],
        ],
    )


def entry_of(row: Sequence[Any]) -> HistoryEntry:
    """Return the entry of a row that `SELECT_HISTORY` gave."""
    _, at, action, by, run, snapshot = row
    return HistoryEntry(at=at, action=action, by=by, run=run, item=_item.decode(snapshot))


def without(item: Item, gone: frozenset[ItemId]) -> Item:
    """Return the item without links to what is gone."""
    return msgspec.structs.replace(
        item,
        links=tuple(link for link in item.links if link.to not in gone),
        superseded_by=None if item.superseded_by in gone else item.superseded_by,
    )


def mapped(item: Item, ids: dict[ItemId, ItemId]) -> Item:
    """Return the item under other ids, its own and those that it names."""
    after = item.superseded_by
    return msgspec.structs.replace(
        item,
        id=ids.get(item.id, item.id),
        links=tuple(Link(kind=link.kind, to=ids.get(link.to, link.to)) for link in item.links),
        superseded_by=None if after is None else ids.get(after, after),
    )


def strike(pen: Pen, ns: int, readers: Iterable[ItemId], gone: frozenset[ItemId]) -> None:
    """Remove what is gone from the history of the items that were linked with it."""
    rows = pen.rows(
        "SELECT number, snapshot FROM item_history WHERE ns = $1 AND item IN (SELECT unnest($2::VARCHAR[]))",
        [ns, [*readers]],
    )
    for number, snapshot in rows:
        before = _item.decode(snapshot)
        after = without(before, gone)
        if after != before:
            pen.execute(
                "UPDATE item_history SET snapshot = ? WHERE number = ?",
                [msgspec.json.encode(after).decode(), number],
            )
