"""Changing an item: a new text makes a successor, anything else is changed in place and noted."""

from typing import Any

import msgspec

from runtime.core.ids import ItemId
from runtime.core.memories import Item, ItemChange
from runtime.core.minting import new_id
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.checks import check_span, conflict
from runtime.recall.memory.history import Diary
from runtime.recall.memory.links import Wanted, check_links, make_links, supersede
from runtime.recall.memory.remembering import Prepared, put_new
from runtime.recall.memory.rows import find_item, rewrite_item
from runtime.recall.truth import Pen


def change_in_place(pen: Pen, home: Shelfmark, item: ItemId, change: ItemChange, diary: Diary) -> Item:
    """Change everything but the text. Raises NotFound, Conflict, RequestInvalid."""
    before = find_item(pen, home.ns, item)
    check_is_open(before)
    wanted = Wanted(contradicts=_contradicts(change))
    check_links(pen, home.ns, item, wanted)
    after = msgspec.structs.replace(before, **_changes(change))
    check_span(after)
    if after != before:
        rewrite_item(pen, home, after, diary.at)
    linked = make_links(pen, home, diary, item, wanted)
    if linked != before:
        diary.note("revised", linked)
    return linked


def put_successor(
    pen: Pen,
    home: Shelfmark,
    item: ItemId,
    change: ItemChange,
    prepared: Prepared,
    diary: Diary,
) -> Item:
    """Store an item in place of another, which ends. Raises NotFound, Conflict, RequestInvalid."""
    before = find_item(pen, home.ns, item)
    check_is_open(before)
    # What it was derived from, it still is; whether it contradicts something is to be said anew.
    origins = tuple(link.to for link in before.links if link.kind == "derived_from")
    wanted = Wanted(contradicts=_contradicts(change), derived_from=origins)
    check_links(pen, home.ns, before.id, wanted)
    after = _successor(before, change, diary)
    put_new(pen, home, after, prepared)
    supersede(pen, home, diary, before, after.id, is_former=True)
    stored = make_links(pen, home, diary, after.id, wanted)
    diary.note("revised", stored)
    return stored


def _successor(before: Item, change: ItemChange, diary: Diary) -> Item:
    """Return the item that takes another's place. Raises RequestInvalid, Conflict. Pure."""
    by = diary.by
    after = msgspec.structs.replace(
        before,
        **_changes(change),
        id=ItemId(new_id("item_")),
        text=change.text,
        provenance=before.provenance if by is None else msgspec.structs.replace(before.provenance, by=by),
        created_at=diary.at,
        links=(),
    )
    check_span(after)
    if not after.is_pinned and after.expires_at is not None and after.expires_at <= diary.at:
        raise conflict(f"Item '{before.id}' has expired. Give it another 'expires_at', too.", "expires_at")
    return after


def check_is_open(item: Item) -> None:
    """Raise Conflict where an item has ended, naming the one to look at."""
    if item.superseded_by is not None:
        raise conflict(f"Item '{item.id}' was superseded by '{item.superseded_by}'. Revise that one.")

    if item.ended_at is not None:
        raise conflict(f"Item '{item.id}' has ended. Remember it anew.")


def _contradicts(change: ItemChange) -> tuple[ItemId, ...]:
    return () if isinstance(change.contradicts, msgspec.UnsetType) else change.contradicts


def _changes(change: ItemChange) -> dict[str, Any]:
    """Return what is told to change, by field, beside the text and links."""
    fields = msgspec.structs.asdict(change)
    return {
        name: value
        for name, value in fields.items()
        if name not in ("text", "contradicts") and not isinstance(value, msgspec.UnsetType)
    }
