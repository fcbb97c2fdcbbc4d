"""Links between items: which may be made, and making them.

An item supersedes items that are still in force or have only expired; it contradicts both ways; it is derived
from items that are not derived from it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from runtime.core.ids import ItemId
from runtime.core.memories import Item, LinkKind
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.checks import conflict, invalid
from runtime.recall.memory.history import SELECT_CHAIN, Diary
from runtime.recall.memory.rows import find_item, find_items, no_item, rewrite_item
from runtime.recall.truth import Pen

_ORIGINS = """
    WITH RECURSIVE origin(id) AS (
        SELECT unnest($2::VARCHAR[])
        UNION
        SELECT other FROM item_link JOIN origin ON item_link.item = origin.id
        WHERE item_link.ns = $1 AND item_link.kind = 'derived_from'
    )
    SELECT id FROM origin
"""


class Wanted(NamedTuple):
    """Links that an item is to have."""

    supersedes: tuple[ItemId, ...] = ()
    contradicts: tuple[ItemId, ...] = ()
    derived_from: tuple[ItemId, ...] = ()

    @property
    def all_ids(self) -> tuple[ItemId, ...]:
        """Every item that is named."""
        return (*self.supersedes, *self.contradicts, *self.derived_from)


def check_links(pen: Pen, ns: int, item: ItemId | None, wanted: Wanted) -> None:
    """Look whether links can be made from an item, None: from a new one.

    Raises NotFound or RequestInvalid naming the field, Conflict.
    """
    found = find_items(pen, ns, wanted.all_ids)
    for name, ids in zip(Wanted._fields, wanted, strict=True):
        for place, other in enumerate(ids):
            param = f"{name}[{place}]"
            if other not in found:
                raise no_item(other, param)
            if other == item:
                raise invalid(f"'{param}': an item cannot be linked with itself.", param)

    for place, other in enumerate(wanted.supersedes):
        successor = found[other].superseded_by
        if successor is not None and successor != item:
            message = f"Item '{other}' was superseded by '{successor}'. Supersede that one."
            raise conflict(message, f"supersedes[{place}]")

    if item is not None:
        _check_origins(pen, ns, item, wanted.derived_from)


def is_origin(pen: Pen, ns: int, item: ItemId, *, of: ItemId) -> bool:
    """Tell whether the one item was derived from the other, also by way of others."""
    return any(row[0] == item for row in pen.rows(_ORIGINS, [ns, [of]]))


def is_predecessor(pen: Pen, ns: int, item: ItemId, *, of: ItemId) -> bool:
    """Tell whether the one item was superseded by the other, also by way of others."""
    return any(row[0] == item for row in pen.rows(SELECT_CHAIN, [ns, of]))


def _check_origins(pen: Pen, ns: int, item: ItemId, derived_from: Sequence[ItemId]) -> None:
    for place, other in enumerate(derived_from):
        if is_origin(pen, ns, item, of=other):
            message = f"Item '{other}' is itself derived from '{item}'."
            raise conflict(message, f"derived_from[{place}]")


def make_links(pen: Pen, home: Shelfmark, diary: Diary, item: ItemId, wanted: Wanted) -> Item:
    """Make links that were checked; note in the history of the others what it means for them.

    Return the item with all its links.
    """
    found = find_items(pen, home.ns, wanted.all_ids)
    for other in wanted.supersedes:
        supersede(pen, home, diary, found[other], item)
    for other in wanted.contradicts:
        if add_link(pen, home.ns, item, "contradicts", other):
            add_link(pen, home.ns, other, "contradicts", item)
            diary.note("contradicted", find_item(pen, home.ns, other))
    for other in wanted.derived_from:
        add_link(pen, home.ns, item, "derived_from", other)
    return find_item(pen, home.ns, item)


def supersede(
    pen: Pen,
    home: Shelfmark,
    diary: Diary,
    older: Item,
    newer: ItemId,
    *,
    is_former: bool = False,
) -> None:
    """End an item in favour of another one. `is_former`: of another wording of itself."""
    if older.superseded_by is not None:
        return

    ended_at = diary.at if older.ended_at is None else older.ended_at
    after = msgspec.structs.replace(older, ended_at=ended_at, superseded_by=newer)
    rewrite_item(pen, home, after, diary.at)
    if is_former:
        pen.execute("UPDATE item SET is_former = true WHERE id = ?", [older.id])
    diary.note("superseded", after)


def add_link(pen: Pen, ns: int, item: ItemId, kind: LinkKind, other: ItemId) -> bool:
    """Store a link; return whether it is new."""
    known = pen.rows("SELECT 1 FROM item_link WHERE item = ? AND kind = ? AND other = ?", [item, kind, other])
    if not known:
        pen.execute(
            "INSERT INTO item_link (item, kind, other, ns) VALUES (?, ?, ?, ?)", [item, kind, other, ns]
        )
    return not known
