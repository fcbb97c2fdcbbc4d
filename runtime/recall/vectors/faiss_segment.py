"""A segment in faiss: a flat index of float16 codes, scanned by its vector instructions.

The codes are written straight into the index: they are float16 as they stand, so nothing is converted, and
the index's array is the only copy. One thread serves one query: more threads waiting for each other made
single queries many times slower on a busy machine.
"""

import faiss
import numpy as np

from runtime.recall.vectors.segment import Floats, Halves, Mask, Nearest, Rows

_ROOM = 1.125
"""How much greater a full array is made."""
_LEAST_ROOM = 64
_HALF_BYTES = 2


class FaissSegment:
    """Fulfils `Segment`."""

    def __init__(self, dimensions: int, room: int = 0) -> None:
        self._index = faiss.IndexScalarQuantizer(
            dimensions, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        self._room = 0
        self._make_room(room)

    @property
    def dimensions(self) -> int:
        """Parts of each vector."""
        return int(self._index.d)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self._index.ntotal)

    @property
    def memory_bytes(self) -> int:
        """What the rows take."""
        return self._room * self.dimensions * _HALF_BYTES

    def append(self, vectors: Halves) -> None:
        """Add rows behind the others."""
        start, end = self.count, self.count + len(vectors)
        if end > self._room:
            self._make_room(max(end, int(start * _ROOM), _LEAST_ROOM))
        self._codes()[start:end] = vectors
        self._index.ntotal = end

    def nearest(self, query: Floats, limit: int, mask: Mask | None) -> Nearest:
        """Return the rows nearest to a query, of those that the mask names; None: of all."""
        if not self.count:
            return Nearest(np.empty(0, np.int64), np.empty(0, np.float32))

        faiss.omp_set_num_threads(1)  # a setting of the calling thread alone
        scores, rows = self._index.search(query[None, :], min(limit, self.count), params=selecting(mask))
        is_found = rows[0] >= 0
        return Nearest(rows[0][is_found], scores[0][is_found])

    def take(self, rows: Rows) -> Halves:
        """Return a copy of rows."""
        return self._codes()[rows]

    def kept(self, rows: Rows) -> "FaissSegment":
        """Return a segment of these rows alone."""
        segment = FaissSegment(self.dimensions, len(rows))
        np.take(self._codes(), rows, axis=0, out=segment._codes()[: len(rows)])
        segment._index.ntotal = len(rows)
        return segment

    def _make_room(self, rows: int) -> None:
        self._index.codes.resize(rows * self._index.code_size)
        self._room = rows

    def _codes(self) -> Halves:
        """Return the index's own array; good until room is made."""
        size = self._room * self._index.code_size
        flat = faiss.rev_swig_ptr(self._index.codes.data(), size) if size else np.empty(0, np.uint8)
        return flat.view(np.float16).reshape(self._room, self.dimensions)


def selecting(mask: Mask | None) -> faiss.SearchParameters | None:
    """Return the parameters of a search among the rows that the mask names."""
    if mask is None:
        return None

    parameters = faiss.SearchParameters()
    parameters.sel = bitmap(mask)
    return parameters


def bitmap(mask: Mask) -> faiss.IDSelectorBitmap:
    """Return a selector of the rows that the mask names; it keeps its bits alive."""
    bits = np.packbits(mask, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
    selector.bits = bits  # type: ignore[attr-defined]  # else they are freed under it
    return selector
