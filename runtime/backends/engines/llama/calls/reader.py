"""What the decoded text of an answer turns out to be: text, reasoning, and tool calls. Pure.

Stop strings count in the text of the answer alone. What the model wrote is held against what was asked:
the schemas of the tools and of the answer, as the request spells them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from runtime.backends.engines.llama.calls.parser import CallParser, Event
from runtime.backends.engines.llama.reasoning import Parts as Split
from runtime.backends.engines.llama.text import StopCutter
from runtime.backends.protocol import Fault, ToolCallPiece


class Parts(NamedTuple):
    """What a piece of text turned out to be."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCallPiece, ...] = ()


class Splitter(Protocol):
    """Takes reasoning out of an answer."""

    @property
    def is_inside(self) -> bool:
        """Whether reasoning is being written."""

    def feed(self, text: str) -> Split:
        """Take text; return what is decided."""

    def flush(self) -> Split:
        """Return what was held back."""


class Law(Protocol):
    """What a finished text must satisfy."""

    def problem(self, text: str) -> str | None:
        """Return what is wrong with it; None where nothing is."""


class Laws(NamedTuple):
    """What this answer must satisfy."""

    tools: Mapping[str, Law] = {}
    """For the arguments of each tool."""
    answer: Law | None = None
    """For the text, where no tool is called."""
    must_call: bool = False


class Reader:
    """The text of one answer, as it streams in."""

    def __init__(
        self,
        *,
        splitter: Splitter | None = None,
        parser: CallParser | None = None,
        stops: Sequence[str] = (),
        laws: Laws = Laws(),  # noqa: B008 - a value
    ) -> None:
        self._splitter = splitter
        self._parser = parser
        self._cutter = StopCutter(stops)
        self._laws = laws
        self._text: list[str] = []
        self._shown_calls = 0
        self.fault: Fault | None = None
        """After the flush: why this is not what was asked for."""

    @property
    def is_reasoning(self) -> bool:
        """Whether the model is writing its reasoning."""
        return self._splitter is not None and self._splitter.is_inside

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was completed."""
        return self._cutter.is_stopped

    @property
    def stop(self) -> str | None:
        """The stop string that was completed."""
        return self._cutter.stop

    @property
    def has_calls(self) -> bool:
        """Whether at least one call is whole."""
        return self._parser is not None and min(len(self._parser.calls), self._shown_calls) > 0

    def feed(self, text: str) -> Parts:
        """Take text; return what is settled."""
        split = Split(text, "") if self._splitter is None else self._splitter.feed(text)
        events: list[Event] = [split.text] if self._parser is None else self._parser.feed(split.text)
        return self._parts(events, split.reasoning)

    def flush(self, *, is_cut: bool) -> Parts:
        """Return what was held back; `is_cut` where the model had more to say (length, cancelled)."""
        rest = Split("", "") if self._splitter is None else self._splitter.flush()
        events: list[Event] = [rest.text]
        if self._parser is not None:
            events = [*self._parser.feed(rest.text), *self._parser.flush(is_cut=is_cut)]

        parts = self._parts(events, rest.reasoning)
        held = self._cutter.flush()
        self._text.append(held)
        self.fault = self._fault_of_calls()
        if self.fault is None and not is_cut and not self.is_stopped:
            self.fault = self._fault_of_answer()

        return parts._replace(text=parts.text + held)

    def _parts(self, events: Sequence[Event], reasoning: str) -> Parts:
        texts: list[str] = []
        calls: list[ToolCallPiece] = []
        for event in events:
            if isinstance(event, str):
                texts.append(self._cutter.feed(event))
            elif not self.is_stopped:
                texts.append(self._cutter.flush())
                calls.append(event)
                self._shown_calls = event.index + 1

        self._text += texts
        return Parts("".join(texts), reasoning, tuple(calls))

    def _fault_of_calls(self) -> Fault | None:
        for call in [] if self._parser is None else self._parser.calls:
            law = self._laws.tools.get(call.tool.name)
            problem = None if law is None else law.problem(call.arguments)
            if problem is not None:
                return _fault(f"The model's call of {call.tool.name!r} breaks its schema: {problem}.")

        return None

    def _fault_of_answer(self) -> Fault | None:
        """Return what is wrong with an answer that the model ended by itself."""
        if self._parser is not None and self._parser.is_inside:
            return _fault("The model broke off inside a tool call.")

        if self._laws.must_call and not self.has_calls:
            return _fault("The model ended without the tool call that was required.")

        problem = None
        if self._laws.answer is not None and not self.has_calls:
            problem = self._laws.answer.problem("".join(self._text))

        return None if problem is None else _fault(f"The model's answer breaks response_format: {problem}.")


def _fault(what: str) -> Fault:
    return Fault(code="engine_failed", message=f"{what} Try again, or use an abler model.")
