"""Finds the calls in an answer while it streams in. Pure.

    text ──trigger──► head ──whole──► arguments ──closed──► after ──matched──► between ──► head, or text
                        └── no call after all: it was text

What is settled comes out in order, and never changes. Blanks and marks around calls are nobody's.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from runtime.backends.engines.llama.calls.arguments import (
    JsonScanner,
    RawScanner,
    Scanner,
    TagScanner,
    overlap,
)
from runtime.backends.engines.llama.calls.forms import CUSTOM_TRIGGER, Form, custom_head
from runtime.backends.engines.llama.calls.heads import Found, Head, Tool, find_head
from runtime.backends.protocol import ToolCallPiece

Event = str | ToolCallPiece
"""Text of the answer, or a piece of a call."""


class Call(NamedTuple):
    """A call that is whole."""

    tool: Tool
    arguments: str


class CallParser:
    """Text in; text and pieces of calls out. `new_id` names each call."""

    def __init__(
        self, form: Form, tools: Sequence[Tool], new_id: Callable[[], str], *, is_eager: bool = False
    ) -> None:
        self._form = form
        self._is_eager = is_eager
        """Whether the answer can be nothing but calls: half a mark at a cut end is no text then."""
        self._new_id = new_id
        functions = [tool for tool in tools if not tool.is_custom]
        customs = [Head(custom_head(tool.name), tool) for tool in tools if tool.is_custom]
        self._leads = [Head(form.lead + form.head(tool.name, is_first=True), tool) for tool in functions]
        first = [Head(form.head(tool.name, is_first=True), tool) for tool in functions]
        later = [Head(form.head(tool.name, is_first=False), tool) for tool in functions]
        self._first = [*first, *customs]
        self._later = [*later, *first, *customs]
        if form.closing:
            self._later.append(Head(form.closing))

        triggers = [form.trigger] if form.trigger and functions else []
        self._triggers = [*triggers, CUSTOM_TRIGGER] if customs else triggers
        self._held = ""
        self._phase: Literal["text", "head", "arguments", "after", "between"] = "text"
        self._can_lead = bool(functions) and not form.trigger
        """Whether a call without a trigger may still begin the answer."""
        self._tool: Tool | None = None
        self._scanner: Scanner = JsonScanner()
        self._origin = ""
        """The text that began the current call."""
        self._is_announced = False
        self._arguments: list[str] = []
        self.index = -1
        """Of the current call."""
        self.calls: list[Call] = []
        """Those that are whole."""

    @property
    def is_inside(self) -> bool:
        """Whether a call was begun and is not whole."""
        return self._phase in ("arguments", "after")

    def feed(self, text: str) -> list[Event]:
        """Take text; return what is settled."""
        self._held += text
        events: list[Event] = []
        while self._advance(events):
            continue

        return [event for event in events if event != ""]

    def flush(self, *, is_cut: bool) -> list[Event]:
        """Return what was held back, now that nothing follows; `is_cut` where more was to come."""
        held, self._held = self._held, ""
        match self._phase:
            case "text":
                is_none = (self.calls and held.isspace()) or (self._is_eager and is_cut)
                return [held] if held and not is_none else []
            case "head":
                return [] if is_cut else [held]
            case "arguments":
                return self._flush_arguments(held, is_cut=is_cut)
            case "after":
                if not is_cut:
                    self._complete()
                return []
            case "between":
                return [] if held.isspace() or is_cut or not held else [held.lstrip()]

    def _advance(self, events: list[Event]) -> bool:
        """Do one step; return whether another may follow."""
        match self._phase:
            case "text":
                return self._read_text(events)
            case "head":
                return self._read_head(events)
            case "arguments":
                return self._read_arguments(events)
            case "after":
                return self._read_after()
            case "between":
                return self._read_between()

    def _read_text(self, events: list[Event]) -> bool:
        if self._can_lead:
            return self._read_lead()

        starts = [at for at in map(self._held.find, self._triggers) if at >= 0]
        if starts:
            settled = self._held[: min(starts)].rstrip()
            events.append(settled)
            self._held = self._held[len(settled) :]
            self._phase = "head"
            return True

        kept = max((overlap(self._held, trigger) for trigger in self._triggers), default=0)
        settled = self._held[: len(self._held) - kept]
        settled = settled.rstrip() if self._triggers else settled
        events.append(settled)
        self._held = self._held[len(settled) :]
        return False

    def _read_lead(self) -> bool:
        found = find_head(self._held, [*self._first, *self._leads] if self._form.lead else self._first)
        if found is True:
            return False

        self._can_lead = False
        if isinstance(found, Found) and found.head.tool is not None:
            self._begin(found.head.tool, found.size)
        elif self._form.lead:
            self._held = self._held.removeprefix(self._form.lead)

        return True

    def _read_head(self, events: list[Event]) -> bool:
        found = find_head(self._held, self._first)
        if found is True:
            return False

        if isinstance(found, Found) and found.head.tool is not None:
            self._begin(found.head.tool, found.size)
            return True

        start = len(self._held) - len(self._held.lstrip()) + 1
        events.append(self._held[:start])
        self._held = self._held[start:]
        self._phase = "text"
        return True

    def _begin(self, tool: Tool, size: int) -> None:
        self._origin = self._held[:size]
        self._held = self._held[size:]
        self._tool = tool
        self._is_announced = False
        self._arguments = []
        if tool.is_custom:
            self._scanner = RawScanner()
        else:
            self._scanner = TagScanner(tool.texts) if self._form.shape == "tags" else JsonScanner()

        self._phase = "arguments"

    def _read_arguments(self, events: list[Event]) -> bool:
        shown, rest = self._scanner.feed(self._held)
        self._held = rest
        if self._scanner.is_lost:
            events.append(self._origin)
            self._phase = "text"
            return True

        if shown or self._scanner.is_done:
            events.append(self._piece(shown))

        if self._scanner.is_done:
            self._phase = "after"

        return self._scanner.is_done

    def _piece(self, shown: str) -> ToolCallPiece:
        assert self._tool is not None
        self._arguments.append(shown)
        if self._is_announced:
            return ToolCallPiece(index=self.index, arguments=shown, type=self._type)

        self._is_announced = True
        self.index += 1
        return ToolCallPiece(
            index=self.index, id=self._new_id(), name=self._tool.name, arguments=shown, type=self._type
        )

    @property
    def _type(self) -> Literal["function", "custom"]:
        return "custom" if self._tool is not None and self._tool.is_custom else "function"

    def _read_after(self) -> bool:
        assert self._tool is not None
        after = "" if self._tool.is_custom else self._form.after
        if after:
            found = find_head(self._held, [Head(after)])
            if found is True:
                return False

            if isinstance(found, Found):
                self._held = self._held[found.size :]

        self._complete()
        return True

    def _complete(self) -> None:
        assert self._tool is not None
        self.calls.append(Call(self._tool, "".join(self._arguments)))
        self._phase = "between"

    def _read_between(self) -> bool:
        found = find_head(self._held, self._later)
        if found is True:
            return False

        if not isinstance(found, Found):
            self._held = self._held.lstrip()
            self._phase = "text"
            return True

        if found.head.tool is None:
            self._held = self._held[found.size :]
        else:
            self._begin(found.head.tool, found.size)

        return True

    def _flush_arguments(self, held: str, *, is_cut: bool) -> list[Event]:
        rest = self._scanner.flush(held)
        if self._is_announced or is_cut:
            return [self._piece(rest)] if rest else []

        return [self._origin + held]
