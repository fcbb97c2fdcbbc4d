"""Chooses what scans vectors here: faiss, or numpy alone where faiss cannot be loaded.

faiss is a dependency, but a shared library: on a processor or a system that its wheel was not made for it
does not load. Then searches are slower, not impossible.
"""

import logging

from runtime.recall.vectors.cells import LearnCells
from runtime.recall.vectors.numpy_segment import NumpySegment
from runtime.recall.vectors.segment import MakeSegment

logger = logging.getLogger(__name__)

make_segment: MakeSegment
learn_cells: LearnCells | None
"""None: there are no cells, everything is searched exactly."""
try:
    from runtime.recall.vectors.faiss_cells import FaissCells
    from runtime.recall.vectors.faiss_segment import FaissSegment
except (ImportError, OSError):
    logger.warning("faiss cannot be loaded; vectors are searched by numpy", exc_info=True)
    make_segment, learn_cells = NumpySegment, None
else:
    make_segment, learn_cells = FaissSegment, FaissCells
