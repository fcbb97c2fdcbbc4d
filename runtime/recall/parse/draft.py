r"""A text that grows: paragraphs, headings and notes in reading order, with offsets that stay true.

Text is cleaned before its length is counted: line ends are `\n`, composed characters (NFC), no control
characters, no lone surrogates. So offsets are those of the final text.
"""

import re
import unicodedata

from runtime.recall.parse.limits import Limits
from runtime.recall.parts import Parsed, Section

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\ud800-\udfff\ufeff\ufff9-\ufffc\ufffe\uffff]"
)
"""Controls, soft hyphens, surrogates, byte order marks, stand-ins for objects, characters that are none."""
_SPACES = re.compile(r"\s+")
_HEADING_CHARACTERS = 200
_PARAGRAPHS_APART = "\n\n"


def clean(text: str) -> str:
    """Return the text as it is stored. Cleaning twice changes nothing."""
    text = _UNWANTED.sub("", _LINE_ENDS.sub("\n", text))
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return text


def one_line(text: str, characters: int = _HEADING_CHARACTERS) -> str:
    """Return a text as one line of at most so many characters."""
    line = _SPACES.sub(" ", clean(text)).strip()
    return line if len(line) <= characters else f"{line[: characters - 1].rstrip()}…"


class Draft:
    """Collects a document's text."""

    def __init__(self, limits: Limits) -> None:
        self.notes: list[str] = []
        self.title = ""
        self._left = limits.characters
        self._limit = limits.characters
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[tuple[int, tuple[str, ...]]] = []
        self._open: list[tuple[int, str]] = []

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    @property
    def is_full(self) -> bool:
        """Whether no more text is taken."""
        return self._left <= 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing came yet."""
        return not self._parts

    def add(self, text: str, apart: str = _PARAGRAPHS_APART) -> None:
        """Add a paragraph; surrounding white space goes. `apart` is put before it."""
        kept = clean(text).strip()
        if not kept or self.is_full:
            return

        self._put((apart if self._parts else "") + kept)

    def line(self, text: str) -> None:
        """Add a line right under the one before."""
        self.add(text, "\n")

    def whole(self, text: str) -> None:
        """Add a text as it is, white space included."""
        if not self.is_full:
            self._put(clean(text))

    def heading(self, level: int, title: str, *, is_shown: bool = True) -> None:
        """Begin a section; ends those of the same or a deeper level. Shown: the title is part of the text."""
        name = one_line(title)
        if not name or self.is_full:
            return

        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, name))
        self.mark(tuple(each for _, each in self._open))
        if is_shown:
            self.add(title)

    def mark(self, heading: tuple[str, ...]) -> None:
        """Begin a section at the end of the text so far."""
        self._sections.append((self._length, heading))

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def parsed(self, media_type: str, *, keeps_lines: bool = False) -> Parsed:
        """Return the whole."""
        text = "".join(self._parts)
        return Parsed(
            text=text,
            title=one_line(self.title),
            sections=sections_of(self._sections, len(text)),
            media_type=media_type,
            notes=tuple(self.notes),
            keeps_lines=keeps_lines,
        )

    def _put(self, text: str) -> None:
        if len(text) > self._left:
            text = text[: self._left]
            self.note(f"Only the first {self._limit:,} characters were read.")
        self._parts.append(text)
        self._length += len(text)
        self._left -= len(text)


def sections_of(marks: list[tuple[int, tuple[str, ...]]], length: int) -> tuple[Section, ...]:
    """Return sections that cover a text without gaps, from ascending marks of where each begins."""
    if not any(heading for _, heading in marks):
        return ()

    starts = marks if marks[0][0] == 0 else [(0, ()), *marks]
    ends = [start for start, _ in starts[1:]] + [length]
    return tuple(
        Section(start, end, heading)
        for (start, heading), end in zip(starts, ends, strict=True)
        if start < end
    )
