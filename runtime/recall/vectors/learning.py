"""Learns the cells of a great shard in a thread aside, while the shard is searched exactly and changes.

The thread reads under the gate, a block at a time, and comes in as a writer only for the last few rows. A
compaction meanwhile makes its work worthless: it stops, and the next search starts another.
"""

import logging
import threading

import numpy as np

from runtime.recall.vectors.cells import SAMPLES_PER_CELL, Cells, LearnCells, cells_for
from runtime.recall.vectors.segment import Floats, Rows, best, widened
from runtime.recall.vectors.shard import Shard

logger = logging.getLogger(__name__)

_BLOCK_ROWS = 8192
"""Rows copied under one hold of the gate: milliseconds."""
_TRIALS = 48
"""Searches by which the number of probes is chosen."""
_TRIAL_LIMIT = 10
_WANTED_RECALL = 0.99
_CANDIDATES = 100
_NOISE = 0.75
"""Of the trial queries: cosine 0.8 to a stored vector. Stored vectors themselves would be too easy."""
_GROWTH = 2
"""The cells are learnt anew when there are so many times more vectors than they were learnt from."""


class Learner:
    """One thread at most per shard; all end early once told to."""

    def __init__(self, cells_from: int, learn: LearnCells) -> None:
        """Learn cells for shards of `cells_from` vectors and more."""
        self._cells_from = cells_from
        self._cells = learn
        self._is_ending = threading.Event()
        self._threads: dict[Shard, threading.Thread] = {}

    def look_at(self, shard: Shard) -> None:
        """Start learning the cells of a shard, if it needs any and they are not being learnt."""
        learnt_from = self._cells_from / _GROWTH if shard.cells is None else shard.cells.learnt_from
        is_due = shard.count >= max(self._cells_from, _GROWTH * learnt_from)
        if not is_due or shard in self._threads or self._is_ending.is_set():
            return

        thread = threading.Thread(target=self._learn, args=(shard,), name="vector-cells", daemon=True)
        self._threads[shard] = thread
        thread.start()

    def join(self, limit_s: float) -> None:
        """Wait until nothing is being learnt, or no longer; for worker threads."""
        for thread in list(self._threads.values()):
            thread.join(limit_s)

    def end(self) -> None:
        """Have all threads end at their next block."""
        self._is_ending.set()

    def _learn(self, shard: Shard) -> None:
        try:
            learn_cells(shard, self._cells, self._is_ending)
        except Exception:
            # The border of a thread of its own: the shard goes on being searched exactly.
            logger.exception("the cells of a namespace could not be learnt")
        finally:
            del self._threads[shard]


def learn_cells(shard: Shard, learn: LearnCells, is_ending: threading.Event) -> None:
    """Give a shard its cells; none when its rows were renumbered meanwhile, or the end was asked for."""
    try:
        _Learning(shard, is_ending).run(learn)
    except _Vain:
        logger.info("the cells of a namespace are not learnt to the end: it was compacted, or Lar stops")


class _Vain(Exception):
    """The cells would be of no use any more."""


class _Learning:
    """One learning of the cells of one shard."""

    def __init__(self, shard: Shard, is_ending: threading.Event) -> None:
        self._shard = shard
        self._generation = shard.generation
        self._is_ending = is_ending

    def run(self, learn: LearnCells) -> None:
        """Learn from a sample, put all rows in, choose the number of probes, hand the cells over."""
        count = self._shard.count
        sample = self._sample(cells_for(count) * SAMPLES_PER_CELL)
        cells = learn(sample, count)
        row = 0
        while (following := self._add_block(cells, row)) != row:
            row = following
        self._tune(cells, _trials(sample))
        with self._shard.gate.writing():
            self._check()
            rows = self._shard.alive_rows(row)
            cells.add(rows, widened(self._shard.segment.take(rows)))
            self._shard.cells = cells

    def _sample(self, wanted: int) -> Floats:
        with self._shard.gate.reading():
            self._check()
            rows = self._shard.alive_rows()
            if len(rows) > wanted:
                rows = np.sort(np.random.default_rng(len(rows)).choice(rows, wanted, replace=False))
            return widened(self._shard.segment.take(rows))

    def _add_block(self, cells: Cells, row: int) -> int:
        """Put the rows of a block into the cells; return where the next one begins, `row` at the end."""
        with self._shard.gate.reading():
            self._check()
            rows = self._shard.alive_rows(row)[:_BLOCK_ROWS]
            vectors = widened(self._shard.segment.take(rows))
        if len(rows):
            cells.add(rows, vectors)
        return int(rows[-1]) + 1 if len(rows) else row

    def _tune(self, cells: Cells, trials: Floats) -> None:
        """Probe as many cells as it takes to find what the exact search finds."""
        exact = [self._nearest(query) for query in trials]
        while cells.probes < cells.count and self._recall(cells, trials, exact) < _WANTED_RECALL:
            cells.probes = min(2 * cells.probes, cells.count)

    def _nearest(self, query: Floats) -> Rows:
        with self._shard.gate.reading():
            self._check()
            return self._shard.segment.nearest(query, _TRIAL_LIMIT, self._shard.alive_mask()).rows

    def _recall(self, cells: Cells, trials: Floats, exact: list[Rows]) -> float:
        found = 0
        for query, wanted in zip(trials, exact, strict=True):
            rows = cells.candidates(query, _CANDIDATES, None)
            with self._shard.gate.reading():
                self._check()
                scores = widened(self._shard.segment.take(rows)) @ query
            found += len(np.intersect1d(rows[best(scores, _TRIAL_LIMIT)], wanted))
        return found / max(1, sum(len(rows) for rows in exact))

    def _check(self) -> None:
        """For holders of the gate."""
        if self._is_ending.is_set() or self._shard.generation != self._generation:
            raise _Vain


def _trials(sample: Floats) -> Floats:
    chance = np.random.default_rng(len(sample))
    chosen = sample[chance.choice(len(sample), min(_TRIALS, len(sample)), replace=False)]
    noise = chance.standard_normal(chosen.shape).astype(np.float32)
    noisy = chosen + _NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    trials: Floats = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    return trials
