"""Reads the arguments of one call while they stream in, as far as they go. Pure.

A scanner is given all text that is not read yet. It returns the arguments that are settled, and the text
that it has not read; `is_done` tells that the arguments are whole and the text after them is another's.
"""

import json
import re
from collections.abc import Set
from typing import NamedTuple, Protocol

from runtime.backends.engines.llama.calls.forms import CUSTOM_AFTER


class Scanned(NamedTuple):
    """What a scanner made of the text."""

    arguments: str
    rest: str


class Scanner(Protocol):
    """One way to write arguments."""

    is_done: bool
    is_lost: bool
    """Whether this cannot be arguments; only before the first of them was returned."""

    def feed(self, text: str) -> Scanned:
        """Read on."""

    def flush(self, text: str) -> str:
        """Return what the unread text adds, now that nothing follows and the arguments are cut."""


_TURNS = re.compile(r'["\\{}\[\]]')


class JsonScanner:
    """A JSON object, shown as it is written."""

    def __init__(self) -> None:
        self.is_done = False
        self.is_lost = False
        self._depth = 0
        self._is_text = False
        self._is_escaped = False

    def feed(self, text: str) -> Scanned:
        """Read up to the brace that closes the object."""
        if not self._depth:
            text = text.lstrip()
            self.is_lost = bool(text) and text[0] != "{"
            if self.is_lost or not text:
                return Scanned("", text)

        end = self._end(text)
        self.is_done = end is not None
        return Scanned(text[:end], "" if end is None else text[end:])

    def flush(self, text: str) -> str:  # noqa: ARG002 - nothing is ever held back
        """Return nothing: all was shown."""
        return ""

    def _end(self, text: str) -> int | None:
        at = 0
        while at < len(text):
            if self._is_escaped:
                self._is_escaped = False
                at += 1
                continue

            found = _TURNS.search(text, at)
            if found is None:
                return None

            at = found.end()
            self._turn(found[0])
            if not self._depth:
                return at

        return None

    def _turn(self, letter: str) -> None:
        if self._is_text:
            self._is_escaped = letter == "\\"
            self._is_text = letter != '"'
        elif letter == '"':
            self._is_text = True
        elif letter in "{[":
            self._depth += 1
        elif letter in "}]":
            self._depth -= 1


class RawScanner:
    """The input of a custom tool: everything up to the closing mark."""

    is_lost = False

    def __init__(self) -> None:
        self.is_done = False
        self._is_begun = False

    def feed(self, text: str) -> Scanned:
        """Read up to the mark, which is dropped."""
        if not self._is_begun and text:
            self._is_begun = True
            text = text.removeprefix("\n")
            if text.startswith(CUSTOM_AFTER[1:]):
                self.is_done = True
                return Scanned("", text[len(CUSTOM_AFTER) - 1 :])

        shown, mark, rest = text.partition(CUSTOM_AFTER)
        if mark:
            self.is_done = True
            return Scanned(shown, rest)

        kept = overlap(text, CUSTOM_AFTER)
        return Scanned(text[: len(text) - kept], text[len(text) - kept :])

    def flush(self, text: str) -> str:
        """Return what might have been the mark."""
        return text


class TagScanner:
    """One `<parameter=key>` tag per argument, shown as a JSON object.

    Parameters of the names in `texts` stream as they come; any other is JSON where it can be read as that,
    which shows at its end, and text where it cannot.
    """

    is_lost = False

    def __init__(self, texts: Set[str] = frozenset()) -> None:
        self.is_done = False
        self._texts = texts
        self._count = 0
        self._is_open = False
        self._key: str | None = None
        self._is_value_begun = False

    def feed(self, text: str) -> Scanned:
        """Read tag after tag."""
        shown = "" if self._is_open else "{"
        self._is_open = True
        while True:
            before = text
            part, text = self._read_tag(text) if self._key is None else self._read_value(text)
            shown += part
            if self.is_done or (text == before and not part):
                return Scanned(shown, text)

    def flush(self, text: str) -> str:
        """Return nothing: half a value is no JSON."""
        del text
        return ""

    def _read_tag(self, text: str) -> Scanned:
        stripped = text.lstrip()
        if stripped.startswith(_CLOSE_FUNCTION):
            self.is_done = True
            return Scanned("}", stripped)

        found = _OPEN_PARAMETER.match(stripped)
        if found is None:
            self.is_done = not _may_open(stripped)
            return Scanned("}" if self.is_done else "", stripped)

        self._key, self._is_value_begun = found[1], False
        comma = ", " if self._count else ""
        self._count += 1
        return Scanned(f"{comma}{_quote(self._key)}: ", stripped[found.end() :])

    def _read_value(self, text: str) -> Scanned:
        is_text = self._key in self._texts
        at = text.find(_CLOSE_PARAMETER)
        if at < 0:
            return self._stream(text) if is_text else Scanned("", text)

        value, rest = text[:at].removesuffix("\n"), text[at + len(_CLOSE_PARAMETER) :]
        if not self._is_value_begun:
            value = value.removeprefix("\n")

        self._key = None
        if is_text:
            start = "" if self._is_value_begun else '"'
            return Scanned(f'{start}{_quote(value)[1:-1]}"', rest)

        return Scanned(_json_or_text(value), rest)

    def _stream(self, text: str) -> Scanned:
        start = ""
        if not self._is_value_begun:
            if _may_close(text.removeprefix("\n")):
                return Scanned("", text)

            self._is_value_begun = True
            start, text = '"', text.removeprefix("\n")

        kept = max(overlap(text, _CLOSE_PARAMETER), overlap(text, f"\n{_CLOSE_PARAMETER}"))
        settled = text[: len(text) - kept]
        return Scanned(start + _quote(settled)[1:-1], text[len(text) - kept :])


_CLOSE_FUNCTION, _CLOSE_PARAMETER = "</function", "</parameter>"
_OPEN_PARAMETER = re.compile(r"<parameter=([^>\n]+)>")


def _may_open(text: str) -> bool:
    """Whether the text can become a tag that opens a parameter, or closes the function."""
    start = "<parameter="
    return (
        start.startswith(text)
        or _CLOSE_FUNCTION.startswith(text)
        or (text.startswith(start) and not any(each in text for each in ">\n"))
    )


def _may_close(text: str) -> bool:
    return f"\n{_CLOSE_PARAMETER}".startswith(text) or _CLOSE_PARAMETER.startswith(text)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _json_or_text(value: str) -> str:
    try:
        return json.dumps(json.loads(value), ensure_ascii=False)
    except ValueError:
        return _quote(value)


def overlap(text: str, mark: str) -> int:
    """How many of the last characters of the text could be the beginning of the mark."""
    longest = min(len(text), len(mark) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(mark[:size])), 0)
