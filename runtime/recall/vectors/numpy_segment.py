"""A segment of numpy alone, for machines where faiss cannot be loaded: exact as well, some times slower."""

import numpy as np

from runtime.recall.places import with_room
from runtime.recall.vectors.segment import Floats, Halves, Mask, Nearest, Rows, best, widened

_BLOCK_ROWS = 512
"""Rows made float32 at a time: 0.8 MB at 384 dimensions, which stay in the processor's cache."""


class NumpySegment:
    """Fulfils `Segment`."""

    def __init__(self, dimensions: int, room: int = 0) -> None:
        self._vectors: Halves = np.empty((room, dimensions), np.float16)
        self._count = 0

    @property
    def dimensions(self) -> int:
        """Parts of each vector."""
        return int(self._vectors.shape[1])

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def memory_bytes(self) -> int:
        """What the rows take."""
        return int(self._vectors.nbytes)

    def append(self, vectors: Halves) -> None:
        """Add rows behind the others."""
        start, self._count = self._count, self._count + len(vectors)
        self._vectors = with_room(self._vectors, start, self._count)
        self._vectors[start : self._count] = vectors

    def nearest(self, query: Floats, limit: int, mask: Mask | None) -> Nearest:
        """Return the rows nearest to a query, of those that the mask names; None: of all."""
        scores: Floats = np.empty(self._count, np.float32)
        for start in range(0, self._count, _BLOCK_ROWS):
            end = min(start + _BLOCK_ROWS, self._count)
            np.matmul(widened(self._vectors[start:end]), query, out=scores[start:end])
        if mask is None:
            rows = best(scores, limit)
            return Nearest(rows, scores[rows])

        named = np.flatnonzero(mask)
        rows = named[best(scores[named], limit)]
        return Nearest(rows, scores[rows])

    def take(self, rows: Rows) -> Halves:
        """Return a copy of rows."""
        return self._vectors[rows]

    def kept(self, rows: Rows) -> "NumpySegment":
        """Return a segment of these rows alone."""
        segment = NumpySegment(self.dimensions)
        segment._vectors = self._vectors[rows]
        segment._count = len(rows)
        return segment
