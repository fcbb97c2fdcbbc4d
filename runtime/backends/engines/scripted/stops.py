"""Finds stop strings in text that arrives in pieces. Pure.

Text that may turn out to be the beginning of a stop string is held back until the next piece decides.
"""

from typing import NamedTuple


class Passed(NamedTuple):
    """What one piece let through."""

    text: str
    is_hit: bool
    """A stop string was found: `text` is what stood before it, and nothing follows."""


class Stops:
    """Watches the text of one answer."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.hit: str | None = None
        """The stop string that was found."""

    def feed(self, piece: str, *, is_last: bool) -> Passed:
        """Take a piece; return the text that is certain now. After the last piece nothing is held back."""
        text = self._held + piece
        found = [(start, stop) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            self._held = ""
            start, self.hit = min(found)
            return Passed(text[:start], is_hit=True)

        kept = 0 if is_last else self._doubtful(text)
        self._held = text[len(text) - kept :]
        return Passed(text[: len(text) - kept], is_hit=False)

    def _doubtful(self, text: str) -> int:
        """Return how many characters at the end may begin a stop string."""
        longest = max((len(stop) for stop in self._stops), default=0)
        for length in range(min(longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length

        return 0
