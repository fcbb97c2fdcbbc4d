"""Tables as text: a line for each row, each value with its column's name, so that a row can stand alone.

Name: Ada; Born: 1815
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from runtime.recall.parse.draft import Draft, one_line
from runtime.recall.parse.limits import Limits

_VALUE_CHARACTERS = 20_000
_NAME_CHARACTERS = 100
_LOOKED_AT = 20
"""Rows at the beginning among which the one with the names of the columns is looked for."""


class Rows:
    """Writes the rows of a document's tables, within its limits."""

    def __init__(self, draft: Draft, limits: Limits) -> None:
        self._draft = draft
        self._limits = limits
        self._left = limits.rows

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Write a table: its values as text, empty where there is none."""
        filled = (row for row in self._cut(rows) if any(row))
        first = [row for _, row in zip(range(_LOOKED_AT), filled, strict=False)]
        above, names, below = _divided(first)
        for row in above:
            self._draft.add("; ".join(each for each in row if each))
        is_first = True
        for row in chain(below, filled):
            if self._left <= 0 or self._draft.is_full:
                self._draft.note(f"Only the first {self._limits.rows:,} rows of its tables were read.")
                break
            self._left -= 1
            self._draft.add(described(names, row), "\n\n" if is_first else "\n")
            is_first = False

    def _cut(self, rows: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        for row in rows:
            if len(row) > self._limits.columns:
                self._draft.note(f"Only the first {self._limits.columns:,} columns of its tables were read.")
            yield [one_line(each, _VALUE_CHARACTERS) for each in row[: self._limits.columns]]


def described(names: Sequence[str], row: Sequence[str]) -> str:
    """Return a row as one line: its values with their names, or its values alone where there are no names."""
    if not names:
        return " | ".join(row).strip(" |")
    named = [*names, *("" for _ in range(len(row) - len(names)))]
    return "; ".join(
        f"{name}: {value}" if name else value for name, value in zip(named, row, strict=False) if value
    )


def _divided(rows: list[list[str]]) -> tuple[list[list[str]], list[str], list[list[str]]]:
    """Return the lines above a table, the names of its columns (none: it has none), and its first rows.

    The names stand in the first row that is as wide as most: all words, no two alike, no numbers.
    """
    if len(rows) < 2:
        return [], [], rows

    widths = sorted(_width(row) for row in rows)
    usual = widths[len(widths) // 2]
    at = next(
        index for index, row in enumerate(rows) if _width(row) >= min(usual, 2) or index == len(rows) - 1
    )
    names = [each[:_NAME_CHARACTERS] for each in rows[at]]
    filled = [each for each in names if each]
    is_header = len(set(filled)) == len(filled) and not any(_is_number(each) for each in filled)
    if at < len(rows) - 1 and is_header and len(filled) >= usual * 0.5:
        return rows[:at], names, rows[at + 1 :]
    return [], [], rows


def _width(row: Sequence[str]) -> int:
    return sum(1 for each in row if each)


def _is_number(text: str) -> bool:
    """Tell whether a text is a number or a date rather than a name."""
    digits = sum(each.isdigit() for each in text)
    return digits > 0 and digits * 2 >= len(text)
