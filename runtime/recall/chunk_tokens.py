"""An estimate of tokens for those who have no tokenizer at hand. Pure.

Made for all-MiniLM-L6-v2, whose vocabulary is English: what other languages need there is what is counted.
Real tokens over estimated ones, by windows of 900 characters: English 0.76 (at most 0.9), Portuguese 1.00
(1.1), German 1.1, source code 0.9, Chinese and Japanese 1.0, Russian and Arabic 1.0, Korean 0.9. An embedder
that knows more languages needs fewer. So 256 estimated tokens hardly exceed 256 real ones, and not 512.
"""

import re
from array import array
from bisect import bisect_left

_TOKEN = re.compile(r"[A-Z]?[a-z]{1,4}|[A-Z]{1,3}|\d{1,2}|[^\W\d_]|[^\w\s]|_")
"""Four letters, three capitals, two digits, each letter of another alphabet, each sign."""
_HANGUL = re.compile(r"[가-힣]")
"""The embedder sees a syllable as its two or three letters; the first of them is counted above."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, rather too many than too few."""
    count = len(_TOKEN.findall(text))
    return count if text.isascii() else count + len(_HANGUL.findall(text))


class Tally:
    """The same estimate for any range of one text, which is looked at only once."""

    def __init__(self, text: str) -> None:
        starts = [match.start() for match in _TOKEN.finditer(text)]
        if not text.isascii():
            starts += [match.start() for match in _HANGUL.finditer(text)]
            starts.sort()
        self._starts = array("q", starts)

    def count(self, start: int, end: int) -> int:
        """Return the tokens from `start` to `end`; one too many where `start` is inside of a token."""
        first = bisect_left(self._starts, start)
        last = bisect_left(self._starts, end, first)
        is_inside = first == len(self._starts) or self._starts[first] != start
        return last - first + (is_inside and start < end)
