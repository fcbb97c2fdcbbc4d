"""The words in which one item of a response's stream is told, and the items that come at once.

    output_item.added ─ [content_part.added ─ …delta* ─ …done ─ content_part.done]* ─ output_item.done

What an item looks like is asked of `Words`, so that an event never says it differently from the response.
An item ends with all that its deltas did not say: whoever adds the deltas up has the whole item.
"""

from typing import Any, Protocol

import msgspec

from runtime.core.agents.happenings import ArgumentsGrew, CallMoved, TextCited, TextGrew, ThoughtGrew
from runtime.core.agents.items import Answered, AnyItem, Compacted, Listed

Event = dict[str, Any]
"""An event of the stream as JSON has it; `type` comes first."""
Move = TextGrew | TextCited | ThoughtGrew | ArgumentsGrew | CallMoved
"""What happens to an item between its beginning and its end."""


class Words(Protocol):
    """How items are shown."""

    def item(self, item: AnyItem, result: Answered | None = None) -> dict[str, Any]:
        """Return an item of the output as JSON has it; a call that Lar carried out with its result."""


class Teller(Protocol):
    """Tells of one item, from its beginning to its end."""

    def begin(self) -> list[Event]:
        """Show the item as it is before anything was added to it."""

    def move(self, move: Move) -> list[Event]:
        """Tell what was added, or how far it is."""

    def end(self, item: AnyItem, result: Answered | None) -> list[Event]:
        """Tell what no delta has told, and show the item as it stays; that event is the last one."""


class Spot:
    """Where an item stands in the output."""

    def __init__(self, index: int, item_id: str) -> None:
        self.index = index
        self._item_id = item_id

    def event(self, name: str, **rest: Any) -> Event:
        """Return an event about the item."""
        return {"type": f"response.{name}", "output_index": self.index, "item_id": self._item_id, **rest}

    def added(self, shown: dict[str, Any]) -> Event:
        """Return the event that shows the item for the first time."""
        return {"type": "response.output_item.added", "output_index": self.index, "item": shown}

    def done(self, shown: dict[str, Any]) -> Event:
        """Return the event that shows it as it stays."""
        return {"type": "response.output_item.done", "output_index": self.index, "item": shown}


class WholeTeller:
    """An item that comes at once: a list of tools, a question to the asker, a summary."""

    def __init__(self, index: int, item: AnyItem, words: Words) -> None:
        self._spot = Spot(index, item.id)
        self._item = item
        self._words = words

    def begin(self) -> list[Event]:
        """Show it; a list of tools without its tools."""
        match self._item:
            case Listed():
                bare = msgspec.structs.replace(self._item, tools=(), error=None)
                shown = self._words.item(bare)
                return [self._spot.added(shown), self._spot.event("mcp_list_tools.in_progress")]
            case Compacted():
                shown = self._words.item(self._item)
                return [self._spot.added(shown), self._spot.event("compaction.compacting")]
            case _:
                return [self._spot.added(self._words.item(self._item))]

    def move(self, move: Move) -> list[Event]:  # noqa: ARG002 - the word of a Teller
        """Tell nothing: such an item does not grow."""
        return []

    def end(self, item: AnyItem, result: Answered | None) -> list[Event]:
        """Show it as it stays."""
        done = self._spot.done(self._words.item(item, result))
        if isinstance(item, Listed):
            state = "completed" if item.error is None else "failed"
            return [self._spot.event(f"mcp_list_tools.{state}"), done]
        return [done]


def rest_of(whole: str, told: str) -> str:
    """Return what deltas have not told; nothing where the whole is another text than they began."""
    return whole[len(told) :] if whole.startswith(told) else ""
