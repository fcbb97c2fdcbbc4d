"""Cells in faiss: an inverted file, its vectors 8-bit codes of how they differ from their cell's middle."""

import faiss
import numpy as np

from runtime.recall.vectors.cells import SAMPLES_PER_CELL, cells_for
from runtime.recall.vectors.faiss_segment import bitmap
from runtime.recall.vectors.segment import Floats, Mask, Rows

_PROBES = 32
_LEARNING_ROUNDS = 10


class FaissCells:
    """Fulfils `Cells`."""

    def __init__(self, sample: Floats, count: int) -> None:
        """Learn the cells for `count` vectors from a sample of them."""
        dimensions = sample.shape[1]
        faiss.omp_set_num_threads(1)
        self._middles = faiss.IndexFlatIP(dimensions)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._middles,
            dimensions,
            cells_for(count),
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
        )
        self._index.cp.niter = _LEARNING_ROUNDS
        self._index.cp.max_points_per_centroid = SAMPLES_PER_CELL
        self._index.cp.min_points_per_centroid = 1  # `cells_for` keeps the bound
        self._index.cp.spherical = True
        self._index.train(sample)
        self._learnt_from = count
        self.probes = min(_PROBES, self.count)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return int(self._index.nlist)

    @property
    def learnt_from(self) -> int:
        """How many vectors there were when the cells were learnt."""
        return self._learnt_from

    @property
    def memory_bytes(self) -> int:
        """What the codes, their row numbers and the cells take."""
        per_row = self._index.code_size + np.dtype(np.int64).itemsize
        return int(self._index.ntotal * per_row + self.count * self._index.d * np.dtype(np.float32).itemsize)

    def add(self, rows: Rows, vectors: Floats) -> None:
        """Put rows into their cells."""
        faiss.omp_set_num_threads(1)
        self._index.add_with_ids(vectors, rows)

    def candidates(self, query: Floats, limit: int, mask: Mask | None) -> Rows:
        """Return the rows that seem nearest, in no order, of those that the mask names; None: of all."""
        faiss.omp_set_num_threads(1)
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = self.probes
        if mask is not None:
            parameters.sel = bitmap(mask)
        _, rows = self._index.search(query[None, :], limit, params=parameters)
        found: Rows = rows[0][rows[0] >= 0]
        return found
