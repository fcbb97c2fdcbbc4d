"""Which texts say the same as one that is shown already. Pure, compares words.

Vectors do not decide: two texts that differ in one number are as near to each other as two copies, and just
that number is what somebody looks for.
"""

import re
from collections import defaultdict

LIKENESS = 0.9
"""Jaccard of three-word shingles from which on two texts are one. Chunks that overlap by half reach .33."""
_SHINGLE = 3

_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")


class Shown:
    """The texts that were let through so far."""

    def __init__(self) -> None:
        self._alike: dict[tuple[str, ...], str | _Alike] = {}
        """By their numbers: a single text as it is, several looked into."""

    def is_new(self, text: str) -> bool:
        """Tell whether no text before says the same; if so, it counts from now on.

        Texts whose numbers differ are never the same, so no word of them is compared.
        """
        numbers = tuple(_DIGITS.findall(text))
        alike = self._alike.get(numbers)
        if alike is None:
            self._alike[numbers] = text
            return True

        if isinstance(alike, str):
            first, alike = alike, _Alike()
            self._alike[numbers] = alike
            alike.is_new(_shingles(first))
        return alike.is_new(_shingles(text))


class _Alike:
    """Texts of the same numbers, as shingles."""

    def __init__(self) -> None:
        self._texts: list[frozenset[int]] = []
        self._by_shingle: defaultdict[int, list[int]] = defaultdict(list)

    def is_new(self, shingles: frozenset[int]) -> bool:
        """Tell whether none before says the same; if so, it counts from now on."""
        rare = _prefix(shingles)
        seen = {place for shingle in rare for place in self._by_shingle.get(shingle, ())}
        if any(_likeness(shingles, self._texts[place]) >= LIKENESS for place in seen):
            return False

        for shingle in rare:
            self._by_shingle[shingle].append(len(self._texts))
        self._texts.append(shingles)
        return True


def _shingles(text: str) -> frozenset[int]:
    """Return the text's runs of three words as numbers, which mean something in this process alone."""
    words = _WORD.findall(text.casefold())
    if not words:
        words = text.split() or [""]
    if len(words) < _SHINGLE:
        return frozenset([hash(tuple(words))])

    return frozenset(map(hash, zip(words, words[1:], words[2:], strict=False)))


def _prefix(shingles: frozenset[int]) -> list[int]:
    """Return so many of the least shingles that two sets as like as that must share one of them.

    Sets that share at least a part t of the greater one differ in less than 1 - t of it: of the least
    (1 - t) n + 1 shingles in one common order, one is in both.
    """
    return sorted(shingles)[: int((1.0 - LIKENESS) * len(shingles) + 1e-9) + 1]


def _likeness(one: frozenset[int], other: frozenset[int]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
