"""Cues: directives such as `[[slow: 50ms]]` in the last message of the user, and how they are read.

    [[name]]   [[name: value]]   [[call: tool {"json": "object"}]]   [[call: tool "text"]]

Square brackets inside a value come in pairs; the first `]]` outside of them ends it. In `call` the JSON
decides where it ends. What does not look like a cue (`[[1, 2], [3, 4]]`, `[[two words]]`) is text.
Reading is pure: who acts on cues is elsewhere.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from runtime.backends.engines.scripted.chat import Refused
from runtime.backends.protocol import Fault

MAX_WORDS = 100_000
"""The longest answer that `[[long: n]]` gives, and the last delta that an `-after` cue can name."""
MAX_DELAY_S = 60.0

_OPENING = re.compile(r"\[\[ *([A-Za-z][\w-]*) *(?=:|\]\])")
_BRACKET = re.compile(r"[\[\]]")
_TOOL_NAME = re.compile(r":\s*([\w.-]+)\s*")
_CALL_END = re.compile(r"\s*\]\]")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")


class CalledTool(msgspec.Struct, frozen=True, kw_only=True):
    """A `call` cue: this tool, with these arguments as they were written."""

    name: str
    arguments: str = "{}"
    input: str | None = None
    """The text for a custom tool, where the cue gives a text in place of an object."""


class Cues(msgspec.Struct, frozen=True, kw_only=True):
    """What the cues of one message ask for."""

    text: str = ""
    """The message without its cues."""
    say: str | None = None
    words: int | None = None
    rounds: tuple[tuple[CalledTool, ...], ...] = ()
    """What is called, round by round: the next round comes after the results of the one before."""
    reason: str = ""
    delay_s: float = 0.0
    fail: str | None = None
    fail_after: int | None = None
    crash_after: int | None = None
    """Deltas before the process dies; 0: before the seq starts."""
    is_hanging: bool = False
    is_freezing: bool = False
    is_noisy: bool = False


def _read_exact(value: str | None) -> str:
    if value is None:
        raise ValueError

    return value.removeprefix(" ")


def _read_text(value: str | None) -> str:
    text = (value or "").strip()
    if not text:
        raise ValueError

    return text


def _read_duration(value: str | None) -> float:
    match = _DURATION.fullmatch(_read_text(value))
    if match is None:
        raise ValueError

    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1)
    if not 0 < seconds <= MAX_DELAY_S:
        raise ValueError

    return seconds


def _read_count(value: str | None) -> int:
    text = _read_text(value)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_WORDS))):
        raise ValueError

    if not 1 <= int(text) <= MAX_WORDS:
        raise ValueError

    return int(text)


def _read_flag(value: str | None) -> bool:
    if value is not None:
        raise ValueError

    return True


def _read_now(value: str | None) -> int:
    _read_flag(value)
    return 0


class _Kind(NamedTuple):
    field: str
    read: Callable[[str | None], object]
    """Takes the text after the colon, None where there is no colon. Raises ValueError if malformed."""
    form: str
    """How the cue is written, for error messages."""


_KINDS = {
    "say": _Kind("say", _read_exact, "[[say: the exact answer]]"),
    "long": _Kind("words", _read_count, f"[[long: 500]], a number of words from 1 to {MAX_WORDS}"),
    "reason": _Kind("reason", _read_text, "[[reason: a thought]]"),
    "slow": _Kind("delay_s", _read_duration, "[[slow: 50ms]] or [[slow: 1.5s]], up to 60s"),
    "fail": _Kind("fail", _read_text, "[[fail: the message]]"),
    "fail-after": _Kind("fail_after", _read_count, "[[fail-after: 3]], a number of deltas"),
    "crash": _Kind("crash_after", _read_now, "[[crash]]"),
    "crash-after": _Kind("crash_after", _read_count, "[[crash-after: 3]], a number of deltas"),
    "hang": _Kind("is_hanging", _read_flag, "[[hang]]"),
    "freeze": _Kind("is_freezing", _read_flag, "[[freeze]]"),
    "noise": _Kind("is_noisy", _read_flag, "[[noise]]"),
}
_CALL, _THEN = "call", "then"
_CALL_FORM = (
    '[[call: tool_name {"argument": "value"}]], the arguments a JSON object, '
    'or [[call: tool_name "input"]] for a custom tool'
)
_FORMS = {_CALL: _CALL_FORM, _THEN: "[[then]] between the calls of one turn and those of the next"}

CUE_NAMES = tuple(sorted([*_KINDS, _CALL, _THEN]))
"""Every cue there is."""


def read_cues(text: str, param: str) -> Cues:
    """Return what the cues in a user's message ask for; `param` is where the message stands in the request.

    Raises Refused (invalid_request) for an unknown, malformed, repeated or contradicting cue.
    """
    fields: dict[str, Any] = {}
    rounds: list[list[CalledTool]] = [[]]
    plain: list[str] = []
    position = 0
    while opening := _OPENING.search(text, position):
        plain.append(text[position : opening.start()].rstrip())
        name = opening[1]
        try:
            if name == _CALL:
                call, position = _read_call(text, opening.end())
                rounds[-1].append(call)
            elif name == _THEN:
                position = _read_then(rounds, text, opening.end())
            else:
                position = _read_one(fields, name, text, opening.end())
        except ValueError as error:
            form = _FORMS[name] if name in _FORMS else _KINDS[name].form
            raise _refusal(f"The cue [[{name}]] is malformed. Write it as {form}.", param) from error
        except KeyError as error:
            known = ", ".join(CUE_NAMES)
            message = f"The cue [[{name}]] is not known. Known cues: {known}."
            raise _refusal(message, param) from error
        except _Contradiction as error:
            raise _refusal(str(error), param) from error

    plain.append(text[position:])
    called = tuple(map(tuple, rounds)) if rounds[0] else ()
    return Cues(text="".join(plain).strip(), rounds=called, **fields)


class _Contradiction(Exception):
    """Two cues that cannot both be followed."""


def _read_one(fields: dict[str, Any], name: str, text: str, start: int) -> int:
    """Read the cue whose name ends at `start` into the fields; return where it ends."""
    kind = _KINDS[name]
    end = _find_end(text, start)
    value = text[start + 1 : end] if text[start] == ":" else None
    if kind.field in fields:
        raise _Contradiction(f"The cue [[{name}]] meets another one of its kind. Keep one of them.")

    fields[kind.field] = kind.read(value)
    if fields.keys() >= {"say", "words"}:
        raise _Contradiction("The cues [[say]] and [[long]] both give the answer. Keep one of them.")

    return end + len("]]")


def _read_then(rounds: list[list[CalledTool]], text: str, start: int) -> int:
    """Begin another round of calls; return where the cue ends. Raises ValueError where none came before."""
    if not text.startswith("]]", start) or not rounds[-1]:
        raise ValueError

    rounds.append([])
    return start + len("]]")


def _find_end(text: str, start: int) -> int:
    """Return where the `]]` that ends a value begins. Raises ValueError where there is none."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        if bracket[0] == "[":
            depth += 1
        elif depth:
            depth -= 1
        elif text.startswith("]]", bracket.start()):
            return bracket.start()

    raise ValueError


def _read_call(text: str, start: int) -> tuple[CalledTool, int]:
    name = _TOOL_NAME.match(text, start)
    if name is None:
        raise ValueError

    end, called = name.end(), CalledTool(name=name[1])
    if text.startswith(("{", '"'), end):
        try:
            value, end = _DECODER.raw_decode(text, end)
        except RecursionError as error:
            raise ValueError from error
        if isinstance(value, str):
            called = CalledTool(name=name[1], input=value)
        else:
            called = CalledTool(name=name[1], arguments=text[name.end() : end])

    closing = _CALL_END.match(text, end)
    if closing is None:
        raise ValueError

    return called, closing.end()


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _refusal(message: str, param: str) -> Refused:
    return Refused(Fault(code="invalid_request", message=message, param=param))
