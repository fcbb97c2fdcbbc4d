"""Storing an item: what is known counts as used, what is new comes with its links, in one transaction."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from runtime.core.ids import ItemId
from runtime.core.memories import Item, NewItem, Remembered
from runtime.core.minting import new_id
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.history import Diary
from runtime.recall.memory.likeness import NEAR_BITS, Print, features_of, is_near
from runtime.recall.memory.links import Wanted, check_links, make_links
from runtime.recall.memory.rows import (
    NewRow,
    add_uses,
    insert_items,
    item_of,
    live,
    rewrite_item,
    selection,
)
from runtime.recall.truth import Pen

NEAR_LIMIT = 8
"""Items that are told to be near, at most."""
_GATE_LIMIT = 64
"""Items of like simhashes whose words are compared."""
_ALIKE = (
    "kind = $2 AND scope_user IS NOT DISTINCT FROM $3 AND scope_agent IS NOT DISTINCT FROM $4 "
    f"AND scope_session IS NOT DISTINCT FROM $5 AND {live('$6')}"
)
"""Items in force of the same kind and the very same scope."""


class Prepared(NamedTuple):
    """What was worked out of an item's text before the transaction begins."""

    marks: Print
    near: tuple[ItemId, ...] = ()
    """Items whose vectors are near."""
    vector: bytes | None = None
    """Little-endian float16 in `space`; None: the backlog of vectors makes it."""
    space: int = 0


def item_of_new(new: NewItem, now: float) -> Item:
    """Return the item that is made of what was told, under a fresh id."""
    return Item(
        id=ItemId(new_id("item_")),
        kind=new.kind,
        text=new.text,
        scope=new.scope,
        provenance=new.provenance,
        created_at=now,
        valid_from=new.valid_from,
        valid_to=new.valid_to,
        expires_at=new.expires_at,
        importance=new.importance,
        confidence=new.confidence,
        is_pinned=new.is_pinned,
        tags=new.tags,
        attributes=new.attributes,
    )


def store(
    pen: Pen, home: Shelfmark, item: Item, wanted: Wanted, prepared: Prepared, now: float
) -> Remembered:
    """Store an item, or find that it is known. Raises NotFound, RequestInvalid, Conflict."""
    diary = Diary(pen, home.ns, now, item.provenance.by, item.provenance.run)
    check_links(pen, home.ns, None, wanted)
    alike = (home.ns, item.kind, *msgspec.structs.astuple(item.scope), now)
    named = frozenset(wanted.all_ids)
    twins = [each for each in _find_twins(pen, alike, prepared) if each.id not in named]
    twin = next((each for each in twins if _is_of_same_time(each, item, now)), None)
    if twin is not None:
        check_links(pen, home.ns, twin.id, wanted)
        return _note_known(pen, home, diary, twin, item, wanted)

    near = tuple(each for each in _find_near(pen, alike, item.text, prepared) if each not in named)
    put_new(pen, home, item, prepared)
    stored = make_links(pen, home, diary, item.id, wanted) if named else item
    diary.note("stored", stored)
    return Remembered(item=stored, outcome="similar" if near else "stored", near=near[:NEAR_LIMIT])


def put_new(pen: Pen, home: Shelfmark, item: Item, prepared: Prepared) -> None:
    """Store an item with its vector, without links."""
    (chunk,) = insert_items(pen, home, [NewRow(item, prepared.marks)])
    if prepared.vector is not None and _is_space(pen, home.ns, prepared.space):
        pen.put_vectors(home.ns, prepared.space, [(chunk, prepared.vector)])


def _find_near(pen: Pen, alike: Sequence[object], text: str, prepared: Prepared) -> list[ItemId]:
    """Return items that say much the same, those of near vectors first."""
    rows = pen.rows(
        f"SELECT id, text, list_contains($8::VARCHAR[], id) AS is_told FROM item WHERE ns = $1 AND {_ALIKE} "  # noqa: S608 - constants
        f"AND (is_told OR bit_count(xor(simhash, $7)) <= {NEAR_BITS}) "
        f"ORDER BY is_told DESC, bit_count(xor(simhash, $7)), id LIMIT {_GATE_LIMIT}",
        [*alike, prepared.marks.simhash, [*prepared.near]],
    )
    features = features_of(text)
    return [ItemId(item) for item, words, is_told in rows if is_told or is_near(features, features_of(words))]


def _find_twins(pen: Pen, alike: Sequence[object], prepared: Prepared) -> list[Item]:
    """Return items that say the very same, the oldest first."""
    query = selection(f"{_ALIKE} AND text_hash = $7 ORDER BY created_at, id LIMIT {_GATE_LIMIT}")
    return [item_of(row) for row in pen.rows(query, [*alike, prepared.marks.text_hash])]


def _is_of_same_time(known: Item, told: Item, now: float) -> bool:
    """Tell whether what is told holds when the known item does; told without a time, it holds now."""
    if told.valid_from is None and told.valid_to is None:
        has_begun = known.valid_from is None or known.valid_from <= now
        return has_begun and (known.valid_to is None or known.valid_to > now)

    return (known.valid_from, known.valid_to) == (told.valid_from, told.valid_to)


def _note_known(
    pen: Pen, home: Shelfmark, diary: Diary, twin: Item, told: Item, wanted: Wanted
) -> Remembered:
    """Count a use of the known item and let it gain what was told beside the text."""
    after = gained(twin, told)
    if after != twin:
        rewrite_item(pen, home, after, diary.at)
    add_uses(pen, {twin.id: (1, diary.at)})
    item = make_links(pen, home, diary, twin.id, wanted)
    diary.note("known", item)
    return Remembered(item=item, outcome="known")


def gained(kept: Item, told: Item) -> Item:
    """Return the item with what another one of the same text has beyond it; it loses nothing. Pure."""
    is_for_good = kept.expires_at is None or told.expires_at is None
    return msgspec.structs.replace(
        kept,
        expires_at=None if is_for_good else max(kept.expires_at or 0.0, told.expires_at or 0.0),
        importance=max(kept.importance, told.importance),
        confidence=max(kept.confidence, told.confidence),
        is_pinned=kept.is_pinned or told.is_pinned,
        tags=tuple(dict.fromkeys([*kept.tags, *told.tags])),
        attributes={**kept.attributes, **told.attributes},
    )


def _is_space(pen: Pen, ns: int, space: int) -> bool:
    """Tell whether searches still look into the space; a re-embedding may have put another in its place."""
    return pen.rows("SELECT space FROM collection WHERE ns = ?", [ns]) == [(space,)]
