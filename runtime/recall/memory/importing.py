"""Storing what an export brought: items first, in steps, then what they say of each other.

Nothing that is there is changed but for links that are missing, so an import that was cut short is simply
done again. An id that another tenant has is given up for another one, always the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from runtime.core.ids import ItemId
from runtime.core.memories import HistoryEntry, Item
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.exchange import Line, ids_in, other_id
from runtime.recall.memory.history import add_entries, mapped
from runtime.recall.memory.likeness import Print
from runtime.recall.memory.links import add_link, is_origin, is_predecessor
from runtime.recall.memory.rows import NewRow, find_items, insert_items, rewrite_item
from runtime.recall.truth import Pen


class Arrival(NamedTuple):
    """A line with what was worked out of it."""

    number: int
    line: Line
    marks: Print


class Relation(NamedTuple):
    """What a line says of other items, under the ids that they have here."""

    number: int
    item: Item


class Arrived(NamedTuple):
    """What a step has stored."""

    stored: int
    relations: list[Relation]


def store_arrivals(pen: Pen, home: Shelfmark, arrivals: Sequence[Arrival], now: float) -> Arrived:
    """Store items that are not here yet, without their links."""
    ids = _ids_here(pen, home.ns, set().union(*(ids_in(each.line) for each in arrivals)))
    here = set(find_items(pen, home.ns, (ids[each.line.item.id] for each in arrivals)))
    new: list[NewRow] = []
    entries: list[HistoryEntry] = []
    relations: list[Relation] = []
    for number, line, marks in arrivals:
        item = mapped(line.item, ids)
        if item.links or item.superseded_by is not None:
            relations.append(Relation(number, item))
        if item.id in here:
            continue

        here.add(item.id)
        alone = msgspec.structs.replace(item, links=(), superseded_by=None)
        new.append(NewRow(alone, marks, line.is_former))
        told = [msgspec.structs.replace(each, item=mapped(each.item, ids)) for each in line.history]
        entries += told or [HistoryEntry(at=now, action="imported", item=item)]
    insert_items(pen, home, new)
    add_entries(pen, home.ns, entries)
    return Arrived(len(new), relations)


def store_relations(pen: Pen, home: Shelfmark, relations: Sequence[Relation], now: float) -> list[str]:
    """Make the links of imported items; return what was wrong with some."""
    named = {each.item.id for each in relations}
    for _, item in relations:
        named.update(link.to for link in item.links)
        if item.superseded_by is not None:
            named.add(item.superseded_by)
    here = find_items(pen, home.ns, named)
    wrong: list[str] = []
    for number, told in relations:
        if told.id in here:
            wrong += [f"line {number}: {reason}" for reason in _relate(pen, home, told, here, now)]
    return wrong


def _relate(pen: Pen, home: Shelfmark, told: Item, here: dict[ItemId, Item], now: float) -> list[str]:
    wrong: list[str] = []
    if told.superseded_by is not None and here[told.id].superseded_by is None:
        wrong += _give_way(pen, home, told, told.superseded_by, here, now)
    for link in told.links:
        if link.to not in here:
            wrong.append(f"item '{told.id}' is linked with '{link.to}', which is not here; left out")
        elif link.kind == "contradicts" and link.to != told.id:
            add_link(pen, home.ns, told.id, link.kind, link.to)
            add_link(pen, home.ns, link.to, link.kind, told.id)
        elif link.kind == "derived_from":
            if is_origin(pen, home.ns, told.id, of=link.to):
                wrong.append(f"item '{told.id}' would be derived from itself by way of '{link.to}'; left out")
            else:
                add_link(pen, home.ns, told.id, link.kind, link.to)
        # `supersedes` is told by the line of the item that gave way.
    return wrong


def _give_way(
    pen: Pen, home: Shelfmark, told: Item, newer: ItemId, here: dict[ItemId, Item], now: float
) -> list[str]:
    present = here[told.id]
    if newer not in here:
        return [f"item '{told.id}' was superseded by '{newer}', which is not here; left out"]

    if present.ended_at != told.ended_at:
        return []  # it was here before and is another version

    if newer == told.id or is_predecessor(pen, home.ns, newer, of=told.id):
        return [f"item '{told.id}' would supersede itself by way of '{newer}'; left out"]

    rewrite_item(pen, home, msgspec.structs.replace(present, superseded_by=newer), now)
    return []


def _ids_here(pen: Pen, ns: int, ids: Iterable[ItemId]) -> dict[ItemId, ItemId]:
    """Return the id that each item has here: its own unless it is taken by another tenant."""
    others = {each: other_id(ns, each) for each in ids}
    rows = pen.rows(
        "SELECT id, ns FROM document WHERE id IN (SELECT unnest($1::VARCHAR[]))",
        [[*others, *others.values()]],
    )
    owners = dict(rows)
    return {
        each: other if (each in owners and owners[each] != ns) or owners.get(other) == ns else each
        for each, other in others.items()
    }
