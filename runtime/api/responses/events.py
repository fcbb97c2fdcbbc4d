"""From what a run tells its followers to the events of a response's stream: a pure, deterministic fold.

    created ─ [queued] ─ in_progress ─ items … ─ completed │ incomplete │ error, failed

The same happenings always give the same events with the same numbers, so a reader that comes back is served
by folding anew and leaving out what it has.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from runtime.api.errors import Refusal, refusal_of
from runtime.api.responses.call_events import CallTeller
from runtime.api.responses.errors import in_words_of_responses
from runtime.api.responses.item_events import Event, Teller, WholeTeller, Words
from runtime.api.responses.message_events import MessageTeller, ThoughtTeller
from runtime.core.agents.happenings import (
    AnyHappening,
    ArgumentsGrew,
    CallMoved,
    ItemBegan,
    ItemEnded,
    RunOver,
    StatusChanged,
    TextCited,
    TextGrew,
    ThoughtGrew,
    TurnClosed,
    TurnOpened,
)
from runtime.core.agents.items import Answered, AnyItem, Called, Said, Thought
from runtime.core.agents.steps import RunRecord, RunStatus
from runtime.core.errors import Fault

NO_REASON = Fault(code="internal_error", message="The run failed, and nothing says why.")


class Face(Words, Protocol):
    """How a response and its items are shown."""

    def response(
        self, status: RunStatus, output: list[dict[str, Any]], record: RunRecord | None
    ) -> dict[str, Any]:
        """Return the response as JSON has it; `record` is the run's once it has ended."""


class StreamFold:
    """The stream of one response. Give it every happening of the run, from the first."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._next = 0
        self._has_begun = False
        self._is_in_progress = False
        self._open: dict[int, Teller] = {}
        self._shown: dict[int, dict[str, Any]] = {}
        self.is_over = False

    @property
    def output(self) -> list[dict[str, Any]]:
        """The items that have ended, in order."""
        return [self._shown[index] for index in sorted(self._shown)]

    def take(self, happening: AnyHappening) -> list[Event]:
        """Return the events that a happening makes, numbered."""
        if self.is_over:
            return []

        events = self._events(happening)
        for event in events:
            event["sequence_number"] = self._next
            self._next += 1
        return events

    def _events(self, happening: AnyHappening) -> list[Event]:
        match happening:
            case StatusChanged(status=status):
                return self._move_to(status)
            case RunOver(record=record):
                return [*self._move_to("in_progress"), *self._finish(record)]
            case TurnOpened() | TurnClosed():
                return self._move_to("in_progress")
            case _:
                return [*self._move_to("in_progress"), *self._item_events(happening)]

    def _move_to(self, status: RunStatus) -> list[Event]:
        """Tell that the response exists, waits, or is worked at: each once."""
        events: list[Event] = []
        is_queued = status == "queued"
        if not self._has_begun:
            self._has_begun = True
            events.append(self._lifecycle("created", "queued" if is_queued else "in_progress"))
            if is_queued:
                events.append(self._lifecycle("queued", "queued"))
        if not is_queued and not self._is_in_progress:
            self._is_in_progress = True
            events.append(self._lifecycle("in_progress", "in_progress"))
        return events

    def _lifecycle(self, name: str, status: RunStatus) -> Event:
        return {"type": f"response.{name}", "response": self._face.response(status, self.output, None)}

    def _item_events(self, happening: AnyHappening) -> list[Event]:
        match happening:
            case ItemBegan(place=place, item=item):
                return self._begin(place, item)
            case ItemEnded(place=place, item=item, result=result):
                return self._end(place, item, result if isinstance(result, Answered) else None)
            case TextGrew() | TextCited() | ThoughtGrew() | ArgumentsGrew() | CallMoved():
                teller = self._open.get(happening.place)
                return [] if teller is None else teller.move(happening)
            case _:
                return []

    def _begin(self, place: int, item: AnyItem) -> list[Event]:
        if place in self._open or place in self._shown:
            return []

        self._open[place] = _teller_of(place, item, self._face)
        return self._open[place].begin()

    def _end(self, place: int, item: AnyItem, result: Answered | None) -> list[Event]:
        if place in self._shown:
            return []

        events = self._begin(place, item)
        events += self._open.pop(place).end(item, result)
        self._shown[place] = events[-1]["item"]
        return events

    def _finish(self, record: RunRecord) -> list[Event]:
        self.is_over = True
        response = self._face.response(record.status, self.output, record)
        if record.status == "failed":
            refusal = in_words_of_responses(refusal_of(record.fault or NO_REASON))
            return [error_event(refusal), {"type": "response.failed", "response": response}]

        name = "completed" if record.status == "completed" else "incomplete"
        return [{"type": f"response.{name}", "response": response}]


def _teller_of(index: int, item: AnyItem, words: Words) -> Teller:
    match item:
        case Said():
            return MessageTeller(index, item, words)
        case Thought():
            return ThoughtTeller(index, item, words)
        case Called():
            return CallTeller(index, item, words)
        case _:
            return WholeTeller(index, item, words)


def error_event(refusal: Refusal) -> Event:
    """Tell a failure in both shapes at once: flat as OpenAI does, nested as Open Responses does."""
    flat = {"code": refusal.code, "message": refusal.message, "param": refusal.param}
    return {"type": "error", **flat, "error": {"type": refusal.type, **flat}}


def fold_stream(happenings: Iterable[AnyHappening], face: Face) -> list[Event]:
    """Return the whole stream of a run that has ended."""
    fold = StreamFold(face)
    return [event for happening in happenings for event in fold.take(happening)]
