"""Degenerate repetition: a model that writes the same lines or the same segment over and over. Pure.

Small models fall into it and would write until their context is full. A text is looked at each time it has
grown by so many characters, counted from its own beginning and not by the pieces in which it came: a replay,
which hears it whole, comes to the same finding.
"""

_STRIDE = 512
"""Characters between two looks."""
_SEEN = 8192
"""Characters at the end of the text that are looked at."""
_TIMES = 12
"""The same segment so often, one right after the other, is no style."""
_MOST_SEGMENT = 640
_LEAST_CHARACTERS = 2400
"""What the copies take together: short ones must be dozens; rows of dashes and small tables pass."""
_PROBE = 48
_CANDIDATES = 8
_LINES = 48
"""So many lines in a row …"""
_LEAST_LETTERS = 8
"""… that say something …"""
_MOST_KINDS = 3
"""… and are only so many different ones."""


class RepetitionWatch:
    """One text as it grows."""

    def __init__(self) -> None:
        self.is_repeating = False
        """Whether it was found to repeat itself; it stays so."""
        self._length = 0
        self._tail = ""

    def hear(self, text: str) -> None:
        """Take what was added."""
        while text and not self.is_repeating:
            wanted = _STRIDE - self._length % _STRIDE
            piece, text = text[:wanted], text[wanted:]
            self._length += len(piece)
            self._tail = (self._tail + piece)[-_SEEN:]
            if len(piece) == wanted:
                self.is_repeating = is_degenerate(self._tail)


def is_degenerate(text: str) -> bool:
    """Say whether the end of a text is a segment, or a few lines, over and over."""
    return _ends_in_copies(text) or _ends_in_few_lines(text)


def _ends_in_copies(text: str) -> bool:
    """Whether the text ends in copies of one segment, without anything between them."""
    probe, end = text[-_PROBE:], len(text)
    found = end - len(probe)
    for _ in range(_CANDIDATES):
        found = text.rfind(probe, 0, found + len(probe) - 1)
        size = end - len(probe) - found
        if found < 0 or size > _MOST_SEGMENT:
            return False

        times = max(_TIMES, -(-_LEAST_CHARACTERS // size))
        if end >= size * times and text.endswith(text[-size:] * times):
            return True

    return False


def _ends_in_few_lines(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines()[:-1] if line.strip()][-_LINES:]
    if len(lines) < _LINES or len(set(lines)) > _MOST_KINDS:
        return False

    return any(sum(map(str.isalpha, line)) >= _LEAST_LETTERS for line in lines)
