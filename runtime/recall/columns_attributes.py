"""Attributes of documents as columns: of each key, which kind of value stands in which row, and the value.

Texts are numbers of a dictionary, numbers are float64, true and false are 1 and 0 of a kind of their own. A
whole number that no float64 holds is kept beside its column as it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.core.filters import Scalar
from runtime.recall.places import with_room

ABSENT, TEXT, NUMBER, BOOL = 0, 1, 2, 3
"""Kinds of what stands in a row."""
_TEXT_BYTES = 150
"""About what a text of a dictionary takes, besides its characters."""


class Dictionary:
    """Texts and the number of each, in the order of their first coming."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.memory_bytes = 0
        """About what it takes; counted as texts come, since it is asked for after every search."""
        self._codes: dict[str, int] = {}

    def code(self, text: str) -> int:
        """Return the number of a text, a new one where it is new."""
        code = self._codes.setdefault(text, len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
            self.memory_bytes += _TEXT_BYTES + len(text)
        return code

    def find(self, text: str) -> int | None:
        """Return the number of a text that has one."""
        return self._codes.get(text)


class AttributeColumn:
    """The values of one key."""

    def __init__(self) -> None:
        self._kinds: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._numbers: NDArray[np.float64] = np.zeros(0)
        self._codes: NDArray[np.int32] = np.zeros(0, np.int32)
        self._rows = 0
        self.dictionary = Dictionary()
        self.exact: dict[int, int] = {}
        """Rows whose whole number is not its float64; there stands NaN."""
        self._folded: list[str] = []

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """What kind of value stands in each row."""
        return self._kinds[: self._rows]

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The number, or truth, of each row that has one."""
        return self._numbers[: self._rows]

    @property
    def codes(self) -> NDArray[np.int32]:
        """The number in the dictionary of each row that has a text."""
        return self._codes[: self._rows]

    @property
    def folded(self) -> list[str]:
        """The texts of the dictionary without regard to case."""
        self._folded += [text.casefold() for text in self.dictionary.texts[len(self._folded) :]]
        return self._folded

    @property
    def memory_bytes(self) -> int:
        """About what it takes."""
        arrays = self._kinds.nbytes + self._numbers.nbytes + self._codes.nbytes
        return int(arrays) + self.dictionary.memory_bytes

    def grow(self, rows: int) -> None:
        """Make it so many rows long; the new ones are absent."""
        used, self._rows = self._rows, rows
        self._kinds = with_room(self._kinds, used, rows)
        self._kinds[used:rows] = ABSENT
        self._numbers = with_room(self._numbers, used, rows)
        self._codes = with_room(self._codes, used, rows)

    def clear(self, rows: NDArray[np.int64]) -> None:
        """Take out what stands in rows."""
        self._kinds[rows] = ABSENT
        for row in rows.tolist() if self.exact else ():
            self.exact.pop(row, None)

    def put(self, rows: Sequence[int], values: Sequence[Scalar]) -> None:
        """Put values into rows that are absent."""
        for row, value in zip(rows, values, strict=True):
            match value:
                case str():
                    self._kinds[row] = TEXT
                    self._codes[row] = self.dictionary.code(value)
                case bool():
                    self._kinds[row] = BOOL
                    self._numbers[row] = value
                case _:
                    self._kinds[row] = NUMBER
                    self._numbers[row] = self._as_float(row, value)

    def _as_float(self, row: int, value: int | float) -> float:
        number = as_float(value)
        if number is None:
            assert isinstance(value, int), "a float is always its own float"
            self.exact[row] = value
            return float("nan")
        return number


def as_float(value: int | float) -> float | None:
    """Return the float64 that is equal to a number; None where there is none."""
    if isinstance(value, float):
        return value
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number == value else None
