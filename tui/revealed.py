"""Foreign texts as a person must see them: what cannot be seen is named, and differences are marked. Pure."""

import difflib
import unicodedata
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec

_FILLERS = "\u115f\u1160\u3164\uffa0\u2800"
"""Letters that no font shows."""
MOST_LETTERS = 20_000
"""Of one text on the screen: a longer one would hold up the drawing, and nobody reads it there."""

LineKind = Literal["same", "gone", "new", "place"]


class Shown(NamedTuple):
    """A text as it is shown."""

    text: str
    more: int
    """How many letters were left out."""


class DiffLine(NamedTuple):
    """One line of a difference."""

    kind: LineKind
    text: str


def reveal(text: str) -> str:
    """Return a text in which nothing is hidden or steers a terminal: `⟨200B⟩` for what has no shape."""
    whole = text.replace("\r\n", "\n")
    if whole.isascii() and whole.isprintable():
        return whole
    return "".join(f"⟨{ord(each):04X}⟩" if _is_hidden(each) else each for each in whole)


def pretty(value: Any) -> str:
    """Return a value as indented JSON in which nothing is hidden."""
    return reveal(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


@lru_cache(maxsize=16)
def shown(text: str) -> Shown:
    """Return as much of a text as is shown, with nothing hidden in it."""
    return Shown(reveal(text[:MOST_LETTERS]), max(0, len(text) - MOST_LETTERS))


@lru_cache(maxsize=16)
def differences(before: str, now: str) -> tuple[DiffLine, ...]:
    """Return what has changed between two texts, with three lines around each change.

    What lies beyond `MOST_LETTERS` is not compared; a line at the end says so.
    """
    old, new = shown(before), shown(now)
    found: list[DiffLine] = []
    told = list(difflib.unified_diff(old.text.split("\n"), new.text.split("\n"), lineterm="", n=3))
    for line in told[2:]:  # the first two name files
        kind: LineKind = _KINDS.get(line[:1], "same")
        found.append(DiffLine(kind, line if kind != "place" else line.strip("@ ")))
    if old.more or new.more:
        found.append(DiffLine("gone", f"… {max(old.more, new.more)} letters more are not compared here"))
    return tuple(found)


_KINDS: dict[str, LineKind] = {"-": "gone", "+": "new", "@": "place"}


def _is_hidden(character: str) -> bool:
    if character in "\n\t":
        return False
    number = ord(character)
    is_selector = 0xFE00 <= number <= 0xFE0F or 0xE0100 <= number <= 0xE01EF
    is_formless = unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")
    return is_formless or is_selector or character in _FILLERS
