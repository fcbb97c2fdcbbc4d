"""Removing items everywhere: rows, words, vectors, history, and every mention of them in others' history.

Former wordings of an item go with it: they are its history. What an item superseded on purpose is an item of
its own and stays.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.core.ids import ItemId
from runtime.core.memories import Forgotten
from runtime.recall.memory.history import strike
from runtime.recall.memory.rows import find_items, no_item, remove_items
from runtime.recall.truth import Pen

_WORDINGS = """
    WITH RECURSIVE wording(id) AS (
        SELECT unnest($2::VARCHAR[])
        UNION
        SELECT item.id FROM item JOIN wording ON item.superseded_by = wording.id
        WHERE item.ns = $1 AND item.is_former
    )
    SELECT id FROM wording ORDER BY id
"""
_MENTIONS = """
    SELECT item, kind = 'derived_from' FROM item_link
    WHERE ns = $1 AND other IN (SELECT unnest($2::VARCHAR[]))
    UNION ALL
    SELECT other, false FROM item_link WHERE ns = $1 AND item IN (SELECT unnest($2::VARCHAR[]))
    UNION ALL
    SELECT superseded_by, true FROM item
    WHERE ns = $1 AND superseded_by IS NOT NULL AND id IN (SELECT unnest($2::VARCHAR[]))
    UNION ALL
    SELECT id, false FROM item WHERE ns = $1 AND superseded_by IN (SELECT unnest($2::VARCHAR[]))
"""
"""Items whose rows or history name one of $2, and whether they stand on it."""


class _Mention(NamedTuple):
    item: ItemId
    stands_on_it: bool


def forget(pen: Pen, ns: int, items: Sequence[ItemId]) -> Forgotten:
    """Remove items with their former wordings. Raises NotFound before anything goes."""
    wanted = list(dict.fromkeys(items))
    found = find_items(pen, ns, wanted)
    for place, item in enumerate(wanted):
        if item not in found:
            raise no_item(item, f"items[{place}]")

    earlier = [ItemId(row[0]) for row in pen.rows(_WORDINGS, [ns, wanted])]
    going = list(dict.fromkeys([*wanted, *earlier]))
    gone = frozenset(going)
    mentions = [_Mention(ItemId(row[0]), row[1]) for row in pen.rows(_MENTIONS, [ns, going])]
    left = [each for each in mentions if each.item not in gone]
    strike(pen, ns, {each.item for each in left}, gone)
    remove_items(pen, ns, going)
    depended = sorted({each.item for each in left if each.stands_on_it})
    return Forgotten(items=tuple(going), depended=tuple(depended))
