"""One row of words that gives way when it is narrow: the least important words go first."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.content import Content

GAP = "  "


class Word(NamedTuple):
    """A piece of the row. Those with the greatest rank go first."""

    text: str
    style: str = ""
    rank: int = 0


def fit(words: Sequence[Word], width: int, gap: str = GAP) -> list[Word]:
    """Return the words that fit into a width, in their order; the first one always stays, cut if need be."""
    kept = [word for word in words if word.text]
    while len(kept) > 1 and _width(kept, gap) > width:
        # The rightmost of equals goes: what stands left is what the eye expects to find.
        del kept[max(range(1, len(kept)), key=lambda index: (kept[index].rank, index))]

    if kept and cell_len(kept[0].text) > width:
        kept[0] = kept[0]._replace(text=set_cell_size(kept[0].text, max(0, width)))
    return kept


def content(words: Sequence[Word], width: int, gap: str = GAP) -> Content:
    """Return the row as it is drawn."""
    pieces: list[Content | str] = []
    for word in fit(words, width, gap):
        if pieces:
            pieces.append(gap)
        pieces.append(Content.styled(word.text, word.style))
    return Content("").join(pieces)


def _width(words: Sequence[Word], gap: str) -> int:
    return sum(cell_len(word.text) for word in words) + len(gap) * (len(words) - 1)
