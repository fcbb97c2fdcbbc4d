"""Cuts Cedar text into its policies, so that what is wrong with one can be told with its line. Pure.

Only strings, comments and semicolons matter for it; all else is Cedar's own business.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|"|;|[^\s"/;]+|/', re.DOTALL)
"""A comment, a string, the start of a string without an end, the end of a policy, anything else."""
_TICKED = re.compile(r"`([^`]+)`|: (\w+)$")


class Piece(NamedTuple):
    """The text of one policy."""

    text: str
    """From its first sign to its semicolon."""
    line: int
    """Of its first sign, from 1."""


def split_policies(text: str) -> list[Piece]:
    """Return the policies of a file; what follows the last semicolon is one more if it is not empty."""
    pieces: list[Piece] = []
    start: int | None = None
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word.startswith("//"):
            continue
        if start is None:
            start = token.start()
        if word == ";":
            pieces.append(_piece(text, start, token.end()))
            start = None
        elif word == '"':
            break  # a string without an end: the rest belongs to it
    if start is not None:
        pieces.append(_piece(text, start, len(text)))
    return pieces


def _piece(text: str, start: int, end: int) -> Piece:
    return Piece(text[start:end].rstrip(), text.count("\n", 0, start) + 1)


def find_line(piece: Piece, message: str) -> int:
    """Return the line in the file that a message of Cedar is about: where the word that it names stands.

    The first line of the policy where it names none.
    """
    for found in _TICKED.finditer(message):
        word = found.group(1) or found.group(2)
        place = re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", piece.text)
        if place is not None:
            return piece.line + piece.text.count("\n", 0, place.start())

    return piece.line
