"""How the scripted engine cuts text into tokens, and nothing else.

A piece is up to 16 characters of white space followed by up to 16 letters, digits or underscores, or by one
other character; white space at the end of a text is a piece of its own. The pieces of a text, joined, are
that text.
"""

import re
from collections.abc import Iterator

_PIECE = re.compile(r"\s{0,16}(?:\w{1,16}|[^\w\s])|\s{1,16}")


def split_pieces(text: str) -> Iterator[str]:
    """Yield the pieces of a text in order; joined they are the text."""
    return (match.group() for match in _PIECE.finditer(text))


def count_pieces(text: str) -> int:
    """Return how many tokens a text takes."""
    return sum(1 for _ in _PIECE.finditer(text))
