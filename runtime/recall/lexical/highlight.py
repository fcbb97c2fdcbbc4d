"""Where words of a question stand in a text: the same stems, pairs, beginnings and near spellings. Pure.

A text is looked at as it was indexed, in the language of its document, so that what lights up is what was
found. Offsets count code points of the text as it was given.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from runtime.core.knowledge import Span
from runtime.recall.lexical import scripts
from runtime.recall.lexical.query import Clause, parse
from runtime.recall.lexical.words import Analyzers, known

_QUESTIONS = 16
"""Whose words stay known, in one language each: those under way."""
_SPANS = 200
"""Of one text; more would light up all of it."""


def highlights(query: str, text: str, language: str, analyzers: Analyzers) -> tuple[Span, ...]:
    """Return where words of a question stand in a text, in order, spans that touch as one."""
    wanted = _wanted(query, known(language), analyzers)
    found = sorted([*_words(text, wanted), *_identifiers(text, wanted)])
    joined: list[Span] = []
    for start, end in found:
        if joined and start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(end, joined[-1].end))
        elif len(joined) < _SPANS:
            joined.append(Span(start, end))
    return tuple(joined)


def is_near(word: str, other: str, distance: int) -> bool:
    """Whether at most so many letters differ, are missing, too many, or changed places with a neighbour."""
    if abs(len(word) - len(other)) > distance:
        return False

    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(word, start=1):
        earlier, before, row = before, row, [place]
        for column, counterpart in enumerate(other, start=1):
            cost = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != counterpart))
            is_swapped = (
                column > 1 and place > 1 and word[place - 2 : place] == other[column - 2 : column][::-1]
            )
            row.append(min(cost, earlier[column - 2] + 1) if is_swapped else cost)
    return row[-1] <= distance


class _Wanted:
    """What a question looks for."""

    def __init__(self, clauses: Iterable[Clause], language: str, analyzers: Analyzers) -> None:
        self._analyzers = analyzers
        self._language = language
        self.pairs: set[str] = set()
        self.identifiers: set[str] = set()
        self._plain: set[str] = set()
        self._stems: set[str] = set()
        self._prefixes: tuple[str, ...] = ()
        self._near: list[tuple[str, int]] = []
        self._kept: dict[str, bool] = {}
        for clause in clauses:
            if clause.occur != "not":
                self._add(clause)

    def has(self, word: str) -> bool:
        """Whether a word of a text is looked for."""
        if word not in self._kept:
            self._kept[word] = self._has(word)
        return self._kept[word]

    @property
    def is_of_stems(self) -> bool:
        """Whether words are looked for by their stems alone."""
        return not (self._plain or self._prefixes or self._near)

    def stems_in(self, text: str) -> list[tuple[int, int]] | None:
        """Return where the stems stand; None where it takes a look at each word: they are cut all at once."""
        if not text.isascii() or scripts.humps(text):
            return None

        places = self._analyzers.places(text, self._language)
        return None if places is None else [(s, e) for s, e, stem in places if stem in self._stems]

    def _add(self, clause: Clause) -> None:
        self.pairs.update(pair for run in scripts.runs(clause.text) for pair in scripts.pairs(run))
        folded = self._analyzers.plain(clause.text)
        match clause.kind:
            case "prefix":
                self._prefixes += tuple(folded)
            case "fuzzy":
                self._near += [(each, clause.distance) for each in folded]
            case "phrase":
                self._plain.update(folded)
            case "words":
                stems = self._stems_of(clause.text)
                self._stems.update(stems)
                self.identifiers.update(scripts.identifiers(clause.text))
                if not stems:
                    self._plain.update(folded)

    def _stems_of(self, text: str) -> list[str]:
        found = self._analyzers.stems(text, self._language)
        if humps := scripts.humps(text):
            found += self._analyzers.stems(" ".join(humps), self._language)
        return found

    def _has(self, word: str) -> bool:
        if not self._stems.isdisjoint(self._stems_of(word)):
            return True

        if self.is_of_stems:
            return False

        return any(
            each in self._plain
            or each.startswith(self._prefixes)
            or any(is_near(each, other, distance) for other, distance in self._near)
            for each in self._analyzers.plain(word)
        )


@lru_cache(maxsize=_QUESTIONS)
def _wanted(query: str, language: str, analyzers: Analyzers) -> _Wanted:
    """Return what a question looks for, once for all of its hits: they share most of their words."""
    return _Wanted(parse(query), language, analyzers)


def _words(text: str, wanted: _Wanted) -> Iterator[tuple[int, int]]:
    if wanted.is_of_stems and (stems := wanted.stems_in(text)) is not None:
        yield from stems
        return

    is_spaced = text.isascii()
    for start, end, word in scripts.words(text):
        if is_spaced or not scripts.SPACELESS_RUN.match(text[start:end]):
            if wanted.has(word):
                yield start, end
            continue

        for pair in wanted.pairs:
            place = text.find(pair, start, end)
            while place >= 0:
                yield place, place + len(pair)
                place = text.find(pair, place + 1, end)


def _identifiers(text: str, wanted: _Wanted) -> Iterator[tuple[int, int]]:
    lowered = text.lower() if wanted.identifiers else ""
    if len(lowered) != len(text):
        return  # letters that are two in lower case would shift all offsets

    for each in wanted.identifiers:
        place = lowered.find(each)
        while place >= 0:
            yield place, place + len(each)
            place = lowered.find(each, place + 1)
