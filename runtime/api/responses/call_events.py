"""How a call comes about in a response's stream: its arguments as they are written, then its stages.

arguments.delta* ─ arguments.done ─ [the call is made] ─ completed │ failed
"""

import re
from typing import Any, NamedTuple

import msgspec

from runtime.api.responses.calls_out import shown_form
from runtime.api.responses.item_events import Event, Move, Spot, Words, rest_of
from runtime.core.agents.happenings import ArgumentsGrew, CallMoved
from runtime.core.agents.items import Answered, AnyItem, Called, CallForm


class _Written(NamedTuple):
    """How arguments are streamed: the events' name, and what the last of them calls the whole."""

    name: str
    whole: str


_WRITTEN: dict[CallForm, _Written] = {
    "function": _Written("function_call_arguments", "arguments"),
    "custom": _Written("custom_tool_call_input", "input"),
    "mcp": _Written("mcp_call_arguments", "arguments"),
    "code_interpreter": _Written("code_interpreter_call_code", "code"),
}
"""Of other forms, arguments are shown only with the whole item."""
_STAGES: dict[CallForm, str] = {
    "mcp": "",
    "file_search": "searching",
    "web_search": "searching",
    "code_interpreter": "interpreting",
    "image_generation": "generating",
}
"""Forms whose calls go through stages, and the name of the middle one."""
_CODE_BEGINS = re.compile(r'"code"\s*:\s*"')
_CODE = re.compile(
    r"(?:"
    r'[^"\\]'
    r'|\\["\\/bfnrt]'
    r"|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r")*"
)
"""The whole characters of a JSON string; the two escapes of one that takes two stay together."""


class CallTeller:
    """A call, whoever carries it out, in the form in which it is shown."""

    def __init__(self, index: int, called: Called, words: Words) -> None:
        self._spot = Spot(index, called.id)
        self._called = called
        self._form = shown_form(called)
        self._words = words
        self._arguments: list[str] = []
        self._code = CodeReader()
        self._is_written = False
        self._is_made = False

    def begin(self) -> list[Event]:
        """Show the call without arguments, then those that it has already."""
        bare = msgspec.structs.replace(self._called, arguments="", status="in_progress")
        events = [self._spot.added(self._words.item(bare))]
        if self._form in _STAGES:
            events.append(self._stage("in_progress"))
        return [*events, *self._grow(self._called.arguments)]

    def move(self, move: Move) -> list[Event]:
        """Tell of more arguments, or that the call is made; a call is made only once it is written."""
        match move:
            case ArgumentsGrew(delta=delta):
                return [] if self._is_written else self._grow(delta)
            case CallMoved(stage="started" | "progress"):
                return [*self._finish_writing("".join(self._arguments)), *self._make()]
            case _:
                return []

    def end(self, item: AnyItem, result: Answered | None) -> list[Event]:
        """Tell what is left of the arguments, how the call came out, and show it with its result."""
        assert isinstance(item, Called)
        shown = self._words.item(item, result)
        events = [] if item.status == "incomplete" else self._finish_writing(item.arguments)
        if self._form == "shell":
            events += self._commands(shown)
        if self._form in _STAGES and result is not None:
            events += [*self._make(), *self._outcome(result)]
        return [*events, self._spot.done(shown)]

    def _grow(self, delta: str) -> list[Event]:
        self._arguments.append(delta)
        told = self._code.read(delta) if self._form == "code_interpreter" else delta
        written = _WRITTEN.get(self._form)
        return [self._spot.event(f"{written.name}.delta", delta=told)] if written and told else []

    def _finish_writing(self, arguments: str) -> list[Event]:
        """Say once that the arguments are whole."""
        written = _WRITTEN.get(self._form)
        if self._is_written or written is None:
            return []

        self._is_written = True
        events = self._grow(rest_of(arguments, "".join(self._arguments)))
        whole = arguments
        if self._form == "code_interpreter":
            whole = self._shown_code(arguments)
            if rest := rest_of(whole, "".join(self._code.told)):
                events.append(self._spot.event(f"{written.name}.delta", delta=rest))
        done = self._spot.event(f"{written.name}.done", **{written.whole: whole})
        if self._form == "function":
            done["name"] = self._called.name  # older clients demand it
        return [*events, done]

    def _shown_code(self, arguments: str) -> str:
        shown = self._words.item(msgspec.structs.replace(self._called, arguments=arguments))
        return shown.get("code") or ""

    def _make(self) -> list[Event]:
        stage = _STAGES.get(self._form)
        if self._is_made or not stage:
            return []

        self._is_made = True
        return [self._stage(stage)]

    def _outcome(self, result: Answered) -> list[Event]:
        """Only calls of MCP have a word for failure; of others, the item's status says it."""
        if not result.is_error:
            return [self._stage("completed")]

        return [self._stage("failed")] if self._form == "mcp" else []

    def _stage(self, stage: str) -> Event:
        return self._spot.event(f"{self._form}_call.{stage}")

    def _commands(self, shown: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        for number, command in enumerate(shown.get("action", {}).get("commands", ())):
            at = {"output_index": self._spot.index, "command_index": number}
            events += [
                {"type": "response.shell_call_command.added", **at, "command": ""},
                {"type": "response.shell_call_command.delta", **at, "delta": command},
                {"type": "response.shell_call_command.done", **at, "command": command},
            ]
        return events


class CodeReader:
    """Reads the value of `code` out of JSON text that comes in pieces."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._waiting = ""
        self._is_inside = False

    def read(self, piece: str) -> str:
        """Return what a piece adds to the code."""
        self._waiting += piece
        if not self._is_inside:
            found = _CODE_BEGINS.search(self._waiting)
            if found is None:
                return ""
            self._is_inside = True
            self._waiting = self._waiting[found.end() :]

        whole = _CODE.match(self._waiting)
        assert whole is not None, "it matches nothing, too"
        self._waiting = self._waiting[whole.end() :]
        code: str = msgspec.json.decode(f'"{whole[0]}"')
        self.told.append(code)
        return code
