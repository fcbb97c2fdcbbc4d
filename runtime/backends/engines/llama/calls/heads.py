"""Recognises what stands before, between and after calls while it streams in. Pure.

Blanks do not count, neither in the text nor in what is looked for: models vary them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.backends.engines.llama.calls.forms import ANY


class Tool(NamedTuple):
    """What a reader has to know of a tool."""

    name: str
    is_custom: bool = False
    texts: frozenset[str] = frozenset()
    """Parameters that are text, where the form writes a tag for each."""


class Head(NamedTuple):
    """Something to look for; `tool` is whose call it begins, None for a mere mark."""

    text: str
    tool: Tool | None = None


class Found(NamedTuple):
    """Which head stands at the beginning of a text, and how long it is there."""

    head: Head
    size: int


def find_head(text: str, heads: Sequence[Head]) -> Found | bool:
    """Return the head that the text begins with; True where it may still become one, False where not."""
    alive = [(head, "".join(head.text.split())) for head in heads]
    seen = 0
    for at, letter in enumerate(text):
        if letter.isspace():
            continue

        alive = [(head, wanted) for head, wanted in alive if _fits(letter, wanted[seen])]
        seen += 1
        done = next((head for head, wanted in alive if len(wanted) == seen), None)
        if done is not None:
            return Found(done, at + 1)

        if not alive:
            return False

    return bool(alive)


def _fits(letter: str, wanted: str) -> bool:
    return letter == wanted or (wanted == ANY and letter.isalnum() and letter.isascii())
