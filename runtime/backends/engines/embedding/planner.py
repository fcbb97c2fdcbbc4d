"""Which inputs are computed together in one step. Pure.

Every step begins with the seq whose turn it is: by priority, then by who asks and had least, then the seq
that had least. So a short query never waits for somebody's thousand documents. Room that is left is filled
with inputs of similar length, whoever they belong to:

    width   ┌──────────────┐
    row 0   │ head         │   the longest input of the seq whose turn it is
    row 1   │ others   ▒▒▒▒│   at least half as long, where padding costs as much as tokens
    row 2   │ …      ▒▒▒▒▒▒│
            └──────────────┘   rows times width ≤ area
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import NamedTuple

NARROW = 32
"""Up to this width a batch may be wider than its head: a fuller batch is worth the padding."""


class Piece(NamedTuple):
    """One input that waits to be computed."""

    seq: int
    place: int
    """Which input of its seq."""
    length: int
    """Tokens."""


class Turn(NamedTuple):
    """A seq that may go on, with what it still has to compute."""

    rank: int
    """Of its priority; smaller goes first."""
    spent: int
    """Tokens computed for all seqs of whoever asks; less goes first."""
    computed: int
    """Tokens computed for it so far."""
    pieces: Sequence[Piece]
    """Not empty; longest first."""


def plan_batch(turns: Sequence[Turn], area: int, *, is_padded: bool) -> list[Piece]:
    """Choose the inputs of one step, longest first; none where there are no turns.

    Modifies nothing. At least one input is chosen, and what is chosen takes no more than `area` tokens
    unless that one input alone does.
    """
    if not turns:
        return []

    order = sorted(turns, key=lambda turn: (turn.rank, turn.spent, turn.computed))
    head = order[0].pieces[0]
    limit = max(head.length, NARROW)
    chosen, width, used = [head], head.length, head.length
    for piece in _longest_first(order, limit):
        if is_padded and 2 * piece.length < head.length:
            break

        width = max(width, piece.length)
        needed = width * (len(chosen) + 1) if is_padded else used + piece.length
        if piece is not head and needed <= area:
            chosen.append(piece)
            used += piece.length
        elif used >= area:
            break

    return chosen


def _longest_first(turns: Sequence[Turn], limit: int) -> Iterator[Piece]:
    """Yield the pieces up to a length; of equal lengths the one whose turn comes first."""
    parts = [islice(turn.pieces, bisect_left(turn.pieces, -limit, key=_falling), None) for turn in turns]
    return merge(*parts, key=_falling)


def _falling(piece: Piece) -> int:
    return -piece.length
