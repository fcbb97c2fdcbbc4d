"""The lines of an export, and what is wrong with lines that somebody brings. Pure.

A line holds one item with its history. Every field but `version` and `item.text` may be missing, so that
lines can be written by hand; unknown fields are refused, since a misspelt scope would show an item to
everybody.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from runtime.core.ids import ItemId
from runtime.core.memories import HistoryEntry, Item, NewItem, Provenance, Scope
from runtime.recall.memory.checks import check_told, flaw_of

VERSION: Literal[1] = 1
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Scope(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scope without other fields."""


class _Provenance(Provenance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provenance without other fields."""


class _Item(Item, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item, most of it optional."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    id: ItemId = ItemId("")
    kind: Literal["fact", "preference", "episode", "procedure", "summary"] = "fact"
    scope: _Scope = _Scope()
    provenance: _Provenance = _Provenance()
    created_at: float | None = None  # type: ignore[assignment]  # filled in when it is stored


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Literal[1]
    item: _Item
    history: tuple[HistoryEntry, ...] = ()
    is_former: bool = False


class Line(NamedTuple):
    """One item as it was exported."""

    item: Item
    history: tuple[HistoryEntry, ...] = ()
    is_former: bool = False


class Wrong(NamedTuple):
    """Why a line cannot be taken in."""

    message: str


def line_of(item: Item, history: Sequence[HistoryEntry], *, is_former: bool) -> dict[str, Any]:
    """Return the line of an item, ready to be written as JSON."""
    return {
        "version": VERSION,
        "item": msgspec.to_builtins(item),
        "history": [msgspec.to_builtins(each) for each in history],
        "is_former": is_former,
    }


def read_line(told: Mapping[str, Any], now: float) -> Line | Wrong:
    """Return what a line says. A missing id is made of what the item says: it is the same next time."""
    try:
        line = msgspec.convert(told, _Line)
    except msgspec.ValidationError as problem:
        return Wrong(str(problem).replace("`$.", "`"))

    if reason := flaw_of(told) or _contradiction(line):
        return Wrong(reason)

    item = line.item
    values = msgspec.structs.asdict(item)
    values["scope"] = Scope(**msgspec.structs.asdict(item.scope))
    values["provenance"] = Provenance(**msgspec.structs.asdict(item.provenance))
    values["created_at"] = now if item.created_at is None else item.created_at
    values["id"] = item.id or _id_of(item)
    return Line(Item(**values), line.history, line.is_former)


def other_id(ns: int, item: ItemId) -> ItemId:
    """Return the id that an item gets where its own is taken by another tenant; always the same one."""
    return ItemId(f"item_{hashlib.sha256(f'{ns} {item}'.encode()).hexdigest()[:27]}")


def ids_in(line: Line) -> set[ItemId]:
    """Return every item that a line names."""
    items = [line.item, *(each.item for each in line.history)]
    after = [each.superseded_by for each in items if each.superseded_by is not None]
    return {*(each.id for each in items), *(link.to for each in items for link in each.links), *after}


def _id_of(item: _Item) -> ItemId:
    told = msgspec.json.encode([item.kind, msgspec.structs.astuple(item.scope), item.text])
    return ItemId(f"item_{hashlib.sha256(told).hexdigest()[:27]}")


def _contradiction(line: _Line) -> str | None:
    """Return what cannot be true of a line's parts together."""
    item = line.item
    if item.id and not _ID.fullmatch(item.id):
        return "`item.id` has characters other than letters, digits, '_' and '-', or more than 64"

    if item.superseded_by is not None and item.ended_at is None:
        return "`item.superseded_by` is given, but not when it ended: `item.ended_at`"

    if any(entry.item.id != item.id for entry in line.history):
        return "`history` is that of another item"

    told = NewItem(text=item.text, tags=item.tags, attributes=item.attributes)
    return check_told(told)
