"""Cuts a parsed document into pieces for search: along its structure first, then by tokens. Pure.

A section that is large enough is never mixed with another one; small neighbours under one heading are joined.
What is longer than a piece may be is cut at the best place in its last half: between paragraphs, sentences,
lines, clauses, words. Source code and tables are cut at the ends of lines. Offsets are exact, nothing but
white space is lost, and no piece exceeds its tokens by the counter that is used.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from runtime.core.knowledge import Chunking
from runtime.recall.chunk_places import CountRange, Cutter, Stretch
from runtime.recall.chunk_tokens import Tally
from runtime.recall.parts import Parsed, Section

CountTokens = Callable[[str], int]
"""Tokens of a text by a real tokenizer."""

_SMALL_SHARE = 0.25
"""A section below this share of a piece is small: it may be joined with small neighbours."""
_TINY_SHARE = 1 / 16
"""A section below this share is little more than its heading: it goes with the first one below it."""
_MOST_SHARE = 0.75
"""Joined sections of which one has this share keep that one's heading."""
_PLACES = ("Page ", "Slide ")
"""Headings that tell where something stands and not what it is about."""


class Piece(NamedTuple):
    """A part of a document that is found as a whole."""

    ordinal: int
    start: int
    end: int
    heading: tuple[str, ...]
    text: str
    """Of the document, from `start` to `end`."""


class _Unit(NamedTuple):
    """Neighbouring sections that are cut together."""

    start: int
    end: int
    heading: tuple[str, ...]
    tokens: int
    largest: int
    """Tokens of the section that gave the heading."""


def cut(parsed: Parsed, chunking: Chunking, count_tokens: CountTokens | None = None) -> list[Piece]:
    """Return the pieces of a document, in order. Tokens are estimated where no counter is given."""
    text = parsed.text
    count = Tally(text).count if count_tokens is None else _by(text, count_tokens)
    overlap = min(chunking.overlap_tokens, chunking.max_tokens // 2)
    cutter = Cutter(text, chunking.max_tokens, overlap, count, keeps_lines=parsed.keeps_lines)
    pieces: list[Piece] = []
    for unit in _units(parsed, chunking.max_tokens, count):
        for start, end in cutter.stretches(Stretch(unit.start, unit.end), unit.tokens):
            pieces.append(Piece(len(pieces), start, end, unit.heading, text[start:end]))
    return pieces


def _by(text: str, count_tokens: CountTokens) -> CountRange:
    def _count(start: int, end: int) -> int:
        return count_tokens(text[start:end])

    return _count


def embedded_text(title: str, heading: Sequence[str], text: str) -> str:
    """Return what is embedded for a piece: title and headings tell what it is about, then its text."""
    path = context(title, heading, text)
    return f"{path}\n\n{text}" if path else text


def context(title: str, heading: Sequence[str], text: str = "") -> str:
    """Return title and headings as a line for the index of words, without what the text begins with."""
    names = [name for name in heading if not name.startswith(_PLACES) or ":" in name]
    if title and title not in names[:1]:
        names.insert(0, title)
    if names and text.lstrip("# ").startswith(names[-1]):
        names.pop()
    return " > ".join(names)


def _units(parsed: Parsed, max_tokens: int, count: CountRange) -> Iterator[_Unit]:
    """Yield sections, small ones joined."""
    last: _Unit | None = None
    sections = parsed.sections or (Section(0, len(parsed.text), ()),)
    for section in sections:
        tokens = count(section.start, section.end)
        unit = _Unit(section.start, section.end, section.heading, tokens, tokens)
        if last is not None and _belong_together(last, unit, max_tokens):
            last = _joined(last, unit)
            continue
        if last is not None:
            yield last
        last = unit
    if last is not None:
        yield last


def _belong_together(one: _Unit, other: _Unit, max_tokens: int) -> bool:
    is_below = other.heading[: len(one.heading)] == one.heading
    if one.tokens <= max_tokens * _TINY_SHARE and is_below:
        return True
    if one.tokens + other.tokens > max_tokens:
        return False

    small = max_tokens * _SMALL_SHARE
    is_beside = len(one.heading) > 0 and one.heading[:-1] == other.heading[: len(one.heading) - 1]
    return one.tokens < small and other.tokens < small and (is_below or is_beside)


def _joined(one: _Unit, other: _Unit) -> _Unit:
    """Return two units as one, under the heading that both share, or that of the one that matters."""
    tokens = one.tokens + other.tokens
    heading, largest = _shared(one.heading, other.heading), 0
    if one.heading and one.heading[-1].startswith(_PLACES[0]):  # joined pages are cited by the first of them
        heading = one.heading
    for each in (one, other):
        if each.largest >= tokens * _MOST_SHARE:
            heading, largest = each.heading, each.largest
    return _Unit(one.start, other.end, heading, tokens, largest)


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return one[:count]
