"""Tidying a memory without a model: what has expired ends, what is said twice becomes one.

Only items in force that nobody pinned are touched, and of them only those of the same kind, scope and time
whose words are the same but for case, punctuation and articles. Each step is a transaction of its own and
finds out anew what there is to do, so a job that was cut short is simply begun again.
"""

from collections.abc import Sequence
from itertools import chain

import msgspec

from runtime.core.ids import ItemId
from runtime.core.memories import Item
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.history import Diary
from runtime.recall.memory.links import Wanted, add_link, is_origin, make_links, supersede
from runtime.recall.memory.remembering import gained
from runtime.recall.memory.rows import add_uses, find_item, find_items, item_of, live, rewrite_item, selection
from runtime.recall.truth import Pen

STEP_ITEMS = 128
"""Items that one transaction ends at most."""
SELECT_REPEATED = f"""
    SELECT list(id ORDER BY id) FROM item
    WHERE ns = $1 AND {live("$2")} AND NOT is_pinned AND sayings_hash <> ''
    GROUP BY kind, scope_user, scope_agent, scope_session, valid_from, valid_to, sayings_hash
    HAVING count(*) > 1 ORDER BY min(id)
"""  # noqa: S608 - constants
"""Items of the namespace $1 that say the same, at $2."""
_EXPIRED = "ended_at IS NULL AND NOT is_pinned AND expires_at <= $2"
_SOME_EXPIRED = selection(f"{_EXPIRED} ORDER BY id LIMIT {STEP_ITEMS}")


def count_expired(pen: Pen, ns: int, now: float) -> int:
    """Return how many items have expired and not ended."""
    return int(pen.rows(f"SELECT count(*) FROM item WHERE ns = $1 AND {_EXPIRED}", [ns, now])[0][0])  # noqa: S608 - constants


def end_expired(pen: Pen, home: Shelfmark, now: float) -> int:
    """End items that have expired, so many at most; return how many they were."""
    diary = Diary(pen, home.ns, now, None)
    expired = [item_of(row) for row in pen.rows(_SOME_EXPIRED, [home.ns, now])]
    for item in expired:
        after = msgspec.structs.replace(item, ended_at=item.expires_at)
        rewrite_item(pen, home, after, now)
        diary.note("revised", after)
    return len(expired)


def merge_repeated(pen: Pen, home: Shelfmark, group: Sequence[ItemId], now: float) -> int:
    """Make one of the items that say the same and do not disagree otherwise; return how many ended."""
    diary = Diary(pen, home.ns, now, None)
    found = find_items(pen, home.ns, group).values()
    kept: list[ItemId] = []
    ended = 0
    for item in sorted((each for each in found if _is_free(each, now)), key=_rank):
        survivor = next(
            (each for each in (find_item(pen, home.ns, id_) for id_ in kept) if _agree(each, item)), None
        )
        if survivor is None:
            kept.append(item.id)
        else:
            _merge(pen, home, diary, survivor, find_item(pen, home.ns, item.id))
            ended += 1
    return ended


def _merge(pen: Pen, home: Shelfmark, diary: Diary, kept: Item, given: Item) -> None:
    """Let one item take the other's place, with all that it has beyond the text."""
    rewrite_item(pen, home, gained(kept, given), diary.at)
    if given.uses:
        add_uses(pen, {kept.id: (given.uses, given.last_used_at or given.created_at)})
    disputed = (link.to for link in given.links if link.kind == "contradicts")
    make_links(pen, home, diary, kept.id, Wanted(contradicts=tuple(disputed)))
    if not is_origin(pen, home.ns, kept.id, of=given.id):
        add_link(pen, home.ns, kept.id, "derived_from", given.id)
    supersede(pen, home, diary, given, kept.id, is_former=True)
    diary.note("linked", find_item(pen, home.ns, kept.id))


def _is_free(item: Item, now: float) -> bool:
    """Tell whether an item may be merged still; it may have changed since the group was read."""
    is_over = item.ended_at is not None or (item.expires_at is not None and item.expires_at <= now)
    return not is_over and not item.is_pinned


def _rank(item: Item) -> tuple[int, float, ItemId]:
    """Return what puts the more used first, then the older."""
    return (-item.uses, item.created_at, item.id)


def _agree(one: Item, other: Item) -> bool:
    """Tell whether nothing but the text tells two items apart that could matter."""
    linked = chain(one.links, other.links)
    is_disputed = any(link.kind == "contradicts" and link.to in (one.id, other.id) for link in linked)
    shared = one.attributes.keys() & other.attributes.keys()
    is_same = all(
        (type(one.attributes[key]), one.attributes[key])
        == (type(other.attributes[key]), other.attributes[key])
        for key in shared
    )
    is_same_time = (one.valid_from, one.valid_to) == (other.valid_from, other.valid_to)
    return is_same and is_same_time and not is_disputed
