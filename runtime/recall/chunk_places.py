"""Where a stretch of text is best cut so that no part exceeds its tokens. Pure; any token counter will do."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

CountRange = Callable[[int, int], int]
"""Tokens of a text from one place to another; more text has no fewer, or hardly."""

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_CLOSING = r"[\"'\u201d\u2019\u00bb)\]\u300d\u300f\uff09]*"
_SENTENCE = re.compile(
    rf"[.!?\u2026]{_CLOSING}\s+|[\u3002\uff01\uff1f\uff1b]{_CLOSING}\s*|\n(?=\s*(?:[-*\u2022#|>]|\d+[.)]))"
)
"""Also the end of a line before an item of a list, a row of a table or a heading."""
_LINE = re.compile(r"\n")
_CLAUSE = re.compile(r"[,;:)\]}\u2014\u2013]\s+|[\uff0c\u3001\uff1a\uff09]")
_WORD = re.compile(r"\s+")
_JOINT = re.compile(r"[-/\\_.,;:&|]+")
_FOR_TEXT: tuple[re.Pattern[str], ...] = (_PARAGRAPH, _SENTENCE, _LINE, _CLAUSE, _WORD, _JOINT)
_FOR_LONG_LINES: tuple[re.Pattern[str], ...] = (_SENTENCE, _CLAUSE, _WORD, _JOINT)
_NEXT_STARTS = (_SENTENCE, _LINE, _WORD)
_JOINER = "\u200d"
_CLUSTER = 32
"""Characters that a cut moves back at most, so as not to part what is one letter or one emoji."""

_AIM = 0.97
"""Share of its tokens that a part is first tried with: texts vary, and too many cost another try."""
_GOOD_ENOUGH = 0.94
"""A part that has this share of its tokens needs no search for a longer one."""
_FIRST_GUESS = 3.0
"""Characters for each token, before the text has shown its own."""
_TAIL = 1.5
"""Less than so many full parts left: it is cut in two even ones, rather than a full one and a crumb."""


class Stretch(NamedTuple):
    """A range of characters."""

    start: int
    end: int


class Cutter:
    """Cuts stretches of one text."""

    def __init__(
        self, text: str, max_tokens: int, overlap: int, count: CountRange, *, keeps_lines: bool
    ) -> None:
        self._text = text
        self._max = max_tokens
        self._overlap = overlap
        self._count = count
        self._keeps_lines = keeps_lines
        self._per_token = _FIRST_GUESS

    def stretches(self, whole: Stretch, tokens: int) -> Iterator[Stretch]:
        """Yield parts of a stretch that has so many tokens; none exceeds the maximum, all is covered."""
        at, end = self._trimmed(whole.start, whole.end)
        if tokens <= self._max and at < end:
            yield Stretch(at, end)
            return

        done = at
        while at < end:
            stop = self._stop(at, end, done)
            part = self._trimmed(at, stop)
            if part.start < part.end:
                yield part
            if stop >= end:
                return
            done, at = stop, self._next_start(at, stop)

    def _stop(self, at: int, end: int, done: int) -> int:
        """Return where the part that begins at `at` ends; beyond `done`."""
        furthest = self._stretched(at, self._furthest(at, end, self._max), end)
        if furthest >= end:
            return end

        limit, least = furthest, at + (furthest - at) // 2
        if end - at < (furthest - at) * _TAIL:
            limit = at + int((end - at) * 0.55)
            least = max(at + (limit - at) // 2, end - int((furthest - at) * 0.95))
        low = max(at, done) + 1
        stop = self._place(low, max(least, low), max(limit, least + 1, low), furthest)
        while stop > at + 1 and self._count(at, stop) > self._max:  # a counter that is not steady
            stop = self._unparted(at, at + (stop - at) * 9 // 10)
        return stop

    def _stretched(self, at: int, furthest: int, end: int) -> int:
        """Return an end a little further on, if the text or the line ends there and the part still fits."""
        near = min(end, furthest + (furthest - at) // 8 + _CLUSTER)
        line_end = self._text.find("\n", furthest, near) + 1 if self._keeps_lines else 0
        for place in (end, line_end):
            is_near = furthest < place and (place - at) * _GOOD_ENOUGH**2 <= furthest - at
            if (is_near or place == line_end > 0) and self._count(at, place) <= self._max:
                return place
        return furthest

    def _place(self, low: int, least: int, limit: int, furthest: int) -> int:
        """Return the best place for a cut between `least` and `limit`; never before `low`.

        Where lines matter, any end of a line up to `furthest` is better than a cut inside of one.
        """
        places = _FOR_TEXT
        if self._keeps_lines:
            line = self._last(_PARAGRAPH, least, limit) or self._last(_LINE, low, furthest)
            if line:
                return line
            places = _FOR_LONG_LINES
        for pattern in places:
            found = self._last(pattern, least, limit)
            if found:
                return found
        return self._unparted(low, max(min(limit, furthest), low))

    def _last(self, pattern: re.Pattern[str], low: int, high: int) -> int:
        """Return where the last match between two places ends, 0 for none."""
        found = 0
        for match in pattern.finditer(self._text, low, high):
            found = match.end()
        return found

    def _next_start(self, at: int, stop: int) -> int:
        """Return where the next part begins: at `stop`, or before it where parts overlap."""
        if not self._overlap:
            return stop

        low = max(self._nearest(at, stop), at + 1)
        for pattern in (_LINE,) if self._keeps_lines else _NEXT_STARTS:
            match = pattern.search(self._text, low, stop)
            if match and match.end() < stop:
                return match.end()
        return stop if self._keeps_lines else self._unparted(at, low)

    def _nearest(self, at: int, stop: int) -> int:
        """Return the earliest place whose text up to `stop` has no more tokens than parts may overlap."""
        good, bad = stop, at
        guess = stop - int(self._overlap * self._per_token)
        for _ in range(8):
            guess = min(max(guess, bad + 1), good - 1)
            if guess <= bad or guess >= good:
                break
            tokens = self._count(guess, stop)
            if tokens > self._overlap:
                bad = guess
            else:
                good = guess
                if tokens >= self._overlap * _GOOD_ENOUGH:
                    break
            guess = (good + bad) // 2
        return good

    def _furthest(self, at: int, end: int, limit: int) -> int:
        """Return about the furthest end of a part that keeps the limit; never one that exceeds it."""
        good, bad = at, end + 1
        guess = min(end, at + max(int(limit * self._per_token * _AIM), 1))
        while good < guess < bad:
            tokens = self._count(at, guess)
            self._per_token = max((guess - at) / max(tokens, 1), 0.1)
            if tokens > limit:
                bad = guess
                estimate = at + int((guess - at) * limit / tokens * _AIM)
            else:
                good = guess
                if guess == end or tokens >= limit * _GOOD_ENOUGH:
                    break
                estimate = at + int((guess - at) * limit / max(tokens, 1) * _AIM)
            guess = min(max(estimate, good + 1), bad - 1, end)
            if estimate <= good or estimate >= bad:
                guess = (good + bad) // 2
        return max(good, min(at + 1, end))

    def _trimmed(self, start: int, end: int) -> Stretch:
        """Return a stretch without white space around it; where lines matter, the first keeps its indent."""
        piece = self._text[start:end]
        kept = piece.rstrip()
        first = len(kept) - len(kept.lstrip())
        if self._keeps_lines and kept:
            first = kept.rfind("\n", 0, first) + 1
        return Stretch(start + first, start + len(kept))

    def _unparted(self, at: int, stop: int) -> int:
        """Return a place for a cut at `stop` or a little before it that parts no letter from its marks."""
        text = self._text
        place = stop
        while place > at and stop - place < _CLUSTER and place < len(text):
            if not _is_mark(text[place]) and text[place - 1] != _JOINER:
                return place
            place -= 1
        return stop


def _is_mark(character: str) -> bool:
    """Tell whether a character belongs to the one before it."""
    code = ord(character)
    if code < 0x300:
        return False
    return (
        character == _JOINER
        or unicodedata.combining(character) > 0
        or 0xFE00 <= code <= 0xFE0F
        or 0x1F3FB <= code <= 0x1F3FF
        or unicodedata.category(character) in ("Mn", "Mc", "Me")
    )
