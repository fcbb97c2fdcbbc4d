"""How readers are told of an item that is there already: as if it came about, so all readers fold alike."""

import msgspec

from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    ItemBegan,
    ItemEnded,
    TextGrew,
    ThoughtGrew,
)
from runtime.core.agents.items import Answered, AnyItem, Called, Said, Text, Thought


def begin_item(place: int, item: AnyItem) -> list[AnyHappening]:
    """Return what is told of an item whose end is still to come."""
    return [ItemBegan(place=place, item=_begun(item)), *grow_item(place, item, 0)]


def whole_item(place: int, item: AnyItem, result: Answered | None = None) -> list[AnyHappening]:
    """Return what is told of an item that is as it stays."""
    return [*begin_item(place, item), ItemEnded(place=place, item=item, result=result)]


def grow_item(place: int, item: AnyItem, had: int) -> list[AnyHappening]:
    """Return how an item goes on after so many characters."""
    match item:
        case Said() if item.role == "assistant" and item.text[had:]:
            return [TextGrew(place=place, item_id=item.id, part=0, delta=item.text[had:])]
        case Thought() if item.text[had:]:
            return [ThoughtGrew(place=place, item_id=item.id, delta=item.text[had:])]
        case Called() if item.arguments[had:]:
            return [ArgumentsGrew(place=place, item_id=item.id, delta=item.arguments[had:])]
        case _:
            return []


def _begun(item: AnyItem) -> AnyItem:
    match item:
        case Said() if item.role == "assistant":
            return msgspec.structs.replace(item, parts=(Text(text=""),), status="in_progress", phase=None)
        case Thought():
            return msgspec.structs.replace(item, text="", status="in_progress")
        case Called():
            return msgspec.structs.replace(item, arguments="", status="in_progress")
        case _:
            return item
