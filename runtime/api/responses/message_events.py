"""How a message and a thought come about in a response's stream: parts, their text, citations."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from runtime.api.responses.item_events import Event, Move, Spot, Words, rest_of
from runtime.core.agents.happenings import TextCited, TextGrew, ThoughtGrew
from runtime.core.agents.items import Answered, AnyItem, Part, Refusal, Said, Text, Thought

_BARE = Text(text="")


@dataclass(slots=True)
class _Piece:
    """A part as far as it was told."""

    is_refusal: bool
    grown: list[str] = field(default_factory=list)
    annotations: int = 0

    @property
    def text(self) -> str:
        return "".join(self.grown)


class MessageTeller:
    """A message of the assistant."""

    def __init__(self, index: int, said: Said, words: Words) -> None:
        self._spot = Spot(index, said.id)
        self._said = said
        self._words = words
        self._pieces: list[_Piece] = []

    def begin(self) -> list[Event]:
        """Show the message without content, then the parts that it has already."""
        shown = self._words.item(msgspec.structs.replace(self._said, parts=()))
        events = [self._spot.added({**shown, "content": []})]
        for number, part in enumerate(self._said.parts):
            events += self._open(number, part)
            events += self._grow(number, _text_of(part), [])
        return events

    def move(self, move: Move) -> list[Event]:
        """Tell of more text, or of a citation."""
        match move:
            case TextGrew(part=number, delta=delta, logprobs=logprobs):
                shown = self._shown(Text(text=delta, logprobs=logprobs)) if logprobs else {}
                return self._grow(number, delta, shown.get("logprobs", []))
            case TextCited(part=number, citation=citation):
                shown = self._shown(Text(text="", citations=(citation,)))
                return self._cite(number, shown.get("annotations", []))
            case _:
                return []

    def end(self, item: AnyItem, result: Answered | None) -> list[Event]:
        """Close every part, then the message."""
        assert isinstance(item, Said)
        shown = self._words.item(item, result)
        events: list[Event] = []
        for number, (part, content) in enumerate(zip(item.parts, shown["content"], strict=False)):
            events += self._open(number, part)
            events += self._grow(number, rest_of(_text_of(part), self._pieces[number].text), [])
            events += self._cite(number, content.get("annotations", [])[self._pieces[number].annotations :])
            events.append(self._closed(number, _text_of(part), content))
            events.append(self._spot.event("content_part.done", content_index=number, part=content))
        return [*events, self._spot.done(shown)]

    def _open(self, number: int, part: Part) -> list[Event]:
        """Open the parts up to this one; those between are text."""
        events: list[Event] = []
        while len(self._pieces) <= number:
            at = len(self._pieces)
            is_refusal = at == number and isinstance(part, Refusal)
            self._pieces.append(_Piece(is_refusal))
            bare = self._shown(Refusal(text="") if is_refusal else _BARE)
            events.append(self._spot.event("content_part.added", content_index=at, part=bare))
        return events

    def _grow(self, number: int, delta: str, logprobs: list[Any]) -> list[Event]:
        if not delta:
            return []

        events = self._open(number, _BARE)
        piece = self._pieces[number]
        piece.grown.append(delta)
        more = {} if piece.is_refusal else {"logprobs": logprobs}
        name = "refusal" if piece.is_refusal else "output_text"
        return [*events, self._spot.event(f"{name}.delta", content_index=number, delta=delta, **more)]

    def _cite(self, number: int, annotations: list[dict[str, Any]]) -> list[Event]:
        events = self._open(number, _BARE)
        piece = self._pieces[number]
        for annotation in annotations:
            events.append(
                self._spot.event(
                    "output_text.annotation.added",
                    content_index=number,
                    annotation_index=piece.annotations,
                    annotation=annotation,
                )
            )
            piece.annotations += 1
        return events

    def _closed(self, number: int, text: str, content: dict[str, Any]) -> Event:
        if self._pieces[number].is_refusal:
            return self._spot.event("refusal.done", content_index=number, refusal=text)

        logprobs = content.get("logprobs", [])
        return self._spot.event("output_text.done", content_index=number, text=text, logprobs=logprobs)

    def _shown(self, part: Part) -> dict[str, Any]:
        shown: dict[str, Any] = self._words.item(msgspec.structs.replace(self._said, parts=(part,)))[
            "content"
        ][0]
        return shown


class ThoughtTeller:
    """What a reasoning model wrote before its answer."""

    def __init__(self, index: int, thought: Thought, words: Words) -> None:
        self._spot = Spot(index, thought.id)
        self._thought = thought
        self._words = words
        self._grown: list[str] = []

    def begin(self) -> list[Event]:
        """Show the item empty, then the text that it has already."""
        shown = self._words.item(msgspec.structs.replace(self._thought, text="", summary=()))
        shown.pop("content", None)
        return [self._spot.added(shown), *self._grow(self._thought.text)]

    def move(self, move: Move) -> list[Event]:
        """Tell of more text."""
        return self._grow(move.delta) if isinstance(move, ThoughtGrew) else []

    def end(self, item: AnyItem, result: Answered | None) -> list[Event]:
        """Close the text, tell of summaries, close the item."""
        assert isinstance(item, Thought)
        shown = self._words.item(item, result)
        events = self._grow(rest_of(item.text, "".join(self._grown)))
        if self._grown:
            part = {"type": "reasoning_text", "text": item.text}
            events += [
                self._spot.event("reasoning_text.done", content_index=0, text=item.text),
                self._spot.event("content_part.done", content_index=0, part=part),
            ]
        for number, summary in enumerate(shown.get("summary", ())):
            events += self._summarise(number, summary["text"])
        return [*events, self._spot.done(shown)]

    def _grow(self, delta: str) -> list[Event]:
        if not delta:
            return []

        events: list[Event] = []
        if not self._grown:
            bare = {"type": "reasoning_text", "text": ""}
            events.append(self._spot.event("content_part.added", content_index=0, part=bare))
        self._grown.append(delta)
        return [*events, self._spot.event("reasoning_text.delta", content_index=0, delta=delta)]

    def _summarise(self, number: int, text: str) -> list[Event]:
        bare, part = {"type": "summary_text", "text": ""}, {"type": "summary_text", "text": text}
        return [
            self._spot.event("reasoning_summary_part.added", summary_index=number, part=bare),
            self._spot.event("reasoning_summary_text.delta", summary_index=number, delta=text),
            self._spot.event("reasoning_summary_text.done", summary_index=number, text=text),
            self._spot.event("reasoning_summary_part.done", summary_index=number, part=part),
        ]


def _text_of(part: Part) -> str:
    return part.text if isinstance(part, Text | Refusal) else ""
