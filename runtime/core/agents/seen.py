"""What readers of a run were told before a crash, held against its steps: what of it is missing.

Steps are stored before happenings are told, and the deltas of a turn are told before its end is a step. So
after a crash readers may know less than the steps, or the beginning of a turn that no step holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from runtime.core.agents.fold import RunState
from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    ItemBegan,
    ItemEnded,
    TextGrew,
    ThoughtGrew,
)
from runtime.core.agents.items import AnyItem, Called, Said, Text, Thought
from runtime.core.agents.telling import begin_item, grow_item


@dataclass(slots=True)
class SeenItem:
    """One item as readers know it."""

    item: AnyItem
    pieces: list[str] = field(default_factory=list)
    is_ended: bool = False


def see(happenings: Sequence[AnyHappening]) -> dict[int, SeenItem]:
    """Return the items that readers know, by their places."""
    seen: dict[int, SeenItem] = {}
    for each in happenings:
        match each:
            case ItemBegan():
                seen[each.place] = SeenItem(item=each.item)
            case TextGrew() | ThoughtGrew() | ArgumentsGrew():
                seen[each.place].pieces.append(each.delta)
            case ItemEnded():
                seen[each.place] = SeenItem(item=each.item, pieces=seen[each.place].pieces, is_ended=True)
            case _:
                pass  # the others change no item
    return seen


def find_partial(seen: dict[int, SeenItem], places: int) -> tuple[AnyItem, ...]:
    """Return the items that no step holds, as they stay: what was not ended is incomplete."""
    later = sorted(place for place in seen if place >= places)
    return tuple(seen[place].item if seen[place].is_ended else _cut(seen[place]) for place in later)


def find_missing(seen: dict[int, SeenItem], state: RunState) -> list[AnyHappening]:
    """Return what readers must still be told so that they know what the steps say."""
    missing: list[AnyHappening] = []
    open_places = {each.place for each in state.open_calls}
    for number, place in enumerate(state.places):
        known = seen.get(number)
        if known is not None and known.is_ended:
            continue

        if known is None:
            missing += begin_item(number, place.item)
        else:
            missing += grow_item(number, place.item, len("".join(known.pieces)))
        if number not in open_places:
            missing.append(ItemEnded(place=number, item=place.item, result=place.result))
    return missing


def _cut(seen: SeenItem) -> AnyItem:
    text = "".join(seen.pieces)
    match seen.item:
        case Said():
            return msgspec.structs.replace(seen.item, parts=(Text(text=text),), status="incomplete")
        case Thought():
            return msgspec.structs.replace(seen.item, text=text, status="incomplete")
        case Called():
            return msgspec.structs.replace(seen.item, arguments=text, status="incomplete")
        case _:
            return seen.item
