"""Vectors in cells, as a port: a first look at very many of them, in which few are scanned.

What the cells name are rows of the exact segment, to be scored there: their own scores only choose.
"""

import math
from typing import Protocol

from runtime.recall.vectors.segment import Floats, Mask, Rows

SAMPLES_PER_CELL = 64
"""Vectors per cell that the cells are learnt from; more make them little better."""
_FEWEST_PER_CELL = 39
"""With fewer, cells mean nothing."""


class Cells(Protocol):
    """Made from a sample; rows are added afterwards."""

    probes: int
    """Cells that a search looks into."""

    @property
    def count(self) -> int:
        """How many cells there are."""

    @property
    def learnt_from(self) -> int:
        """How many vectors there were when the cells were learnt."""

    @property
    def memory_bytes(self) -> int:
        """What the codes, their row numbers and the cells take."""

    def add(self, rows: Rows, vectors: Floats) -> None:
        """Put rows into their cells."""

    def candidates(self, query: Floats, limit: int, mask: Mask | None) -> Rows:
        """Return the rows that seem nearest, in no order, of those that the mask names; None: of all."""


class LearnCells(Protocol):
    """Makes cells."""

    def __call__(self, sample: Floats, count: int) -> Cells:
        """Learn the cells for `count` vectors from a sample of them; takes minutes for millions."""


def cells_for(count: int) -> int:
    """Return into how many cells so many vectors go: twice the root, a power of two."""
    wanted = 2 ** round(math.log2(max(2 * math.sqrt(count), 1)))
    return int(max(1, min(wanted, count // _FEWEST_PER_CELL)))
