"""From bytes that arrive token by token to text that may be shown. Pure.

A character is never split, and text that may turn out to be the beginning of a stop string is held back
until it is clear what it is.
"""

import codecs
from collections.abc import Sequence


class Utf8Decoder:
    """Joins bytes to characters. What arrives joined equals the joined bytes decoded with `replace`."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        """Take bytes; return the characters that are complete."""
        return self._decoder.decode(piece)

    def flush(self) -> str:
        """Return what an unfinished character becomes: U+FFFD, or nothing."""
        return self._decoder.decode(b"", final=True)


class StopCutter:
    """Lets text through up to the first stop string that completes; the stop string is not shown.

    Of two that complete at the same place, the longer one counts.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.stop: str | None = None
        """The stop string that was completed."""

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was completed."""
        return self.stop is not None

    def feed(self, text: str) -> str:
        """Take text; return what may be shown. Nothing after a stop string."""
        if self.is_stopped:
            return ""

        text = self._held + text
        found = self._first_match(text)
        if found is not None:
            self.stop = text[slice(*found)]
            self._held = ""
            return text[: found[0]]

        kept = self._may_be_stop(text)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def flush(self) -> str:
        """Return what was held back: no stop string came of it."""
        held, self._held = self._held, ""
        return held

    def _first_match(self, text: str) -> tuple[int, int] | None:
        """Where the first stop string to complete begins and ends."""
        starts = ((text.find(stop), len(stop)) for stop in self._stops)
        matches = [(start + length, start) for start, length in starts if start >= 0]
        return min(matches)[::-1] if matches else None

    def _may_be_stop(self, text: str) -> int:
        """How many of the last characters could be the beginning of a stop string."""
        return max((_overlap(text, stop) for stop in self._stops), default=0)


def _overlap(text: str, stop: str) -> int:
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
