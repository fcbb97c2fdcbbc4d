"""Splits a leading block of reasoning from the answer while both stream. Pure.

Only a block at the very beginning counts as reasoning: an answer may speak of the tags later on.
"""

from typing import Literal, NamedTuple


class Tags(NamedTuple):
    """What stands around a model's reasoning."""

    opener: str
    closer: str


THINK = Tags("<think>", "</think>")
KNOWN_TAGS = (THINK, Tags("[THINK]", "[/THINK]"))


def find_tags(template_source: str) -> Tags | None:
    """Return the tags that the template speaks of; None where it knows no reasoning."""
    return next(
        (tags for tags in KNOWN_TAGS if tags.opener in template_source or tags.closer in template_source),
        None,
    )


class Parts(NamedTuple):
    """What a piece of text turned out to be."""

    text: str
    reasoning: str


class ReasoningSplitter:
    """Text in, reasoning and answer out. The tags and the blank lines beside them belong to neither."""

    def __init__(self, *, is_inside: bool, tags: Tags = THINK) -> None:
        self._opener, self._closer = tags
        self._held = ""
        self._phase: Literal["before", "inside", "between", "after"] = "inside" if is_inside else "before"
        self._is_leading = True
        """Whether blanks at the beginning of the reasoning are still being dropped."""

    @property
    def is_inside(self) -> bool:
        """Whether the block is open."""
        return self._phase == "inside"

    def feed(self, text: str) -> Parts:
        """Take text; return what is decided."""
        self._held += text
        reasoning = ""
        if self._phase == "before":
            self._open()

        if self._phase == "inside":
            reasoning = self._read_inside()

        if self._phase == "between":
            self._skip_blanks()

        return Parts(text=self._take_rest() if self._phase == "after" else "", reasoning=reasoning)

    def flush(self) -> Parts:
        """Return what was held back, now that nothing follows."""
        held, self._held = self._held, ""
        if self._phase == "inside":
            return Parts(text="", reasoning=held.rstrip())

        return Parts(text="" if self._phase == "between" else held, reasoning="")

    def _open(self) -> None:
        start = self._held.lstrip()
        if start.startswith(self._opener):
            self._held = start[len(self._opener) :]
            self._phase = "inside"
        elif not self._opener.startswith(start):
            self._phase = "after"

    def _read_inside(self) -> str:
        if self._is_leading:
            self._held = self._held.lstrip()
            self._is_leading = not self._held

        reasoning, closer, rest = self._held.partition(self._closer)
        if closer:
            self._held = rest
            self._phase = "between"
            return reasoning.rstrip()

        kept = len(self._held) - _settled(self._held, self._closer)
        reasoning = self._held[: len(self._held) - kept]
        self._held = self._held[len(self._held) - kept :]
        return reasoning

    def _skip_blanks(self) -> None:
        self._held = self._held.lstrip()
        if self._held:
            self._phase = "after"

    def _take_rest(self) -> str:
        rest, self._held = self._held, ""
        return rest


def _settled(text: str, closer: str) -> int:
    """How much of the text cannot be the blanks and the beginning of a closing tag."""
    for size in range(min(len(text), len(closer) - 1), 0, -1):
        if text.endswith(closer[:size]):
            return len(text[:-size].rstrip())

    return len(text.rstrip())
