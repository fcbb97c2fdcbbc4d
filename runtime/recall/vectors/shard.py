"""The vectors of one namespace in one space: ids over rows, what was removed, and the ways to search them.

    few allowed ──► their rows are gathered and multiplied
    all or many ──► the segment is scanned, masked where need be
    very many   ──► cells name candidates, the segment scores them again

All but the cells is exact. A replaced or removed vector leaves a dead row; when a fifth is dead, the others
move into a segment of their own. Methods may be called from any thread and take the gate themselves.
"""

import numpy as np

from runtime.core.ids import ChunkId
from runtime.recall.parts import Allowed, Ids, Scored
from runtime.recall.places import NOWHERE, Places, with_room
from runtime.recall.vectors.cells import Cells
from runtime.recall.vectors.gate import Gate
from runtime.recall.vectors.segment import Floats, Halves, Mask, Rows, Segment, best, widened

_GATHERED_SHARE = 20
"""Of fewer than one in twenty, gathering the rows is faster than scanning past the others."""
_SKIPPED_ROWS = 64
"""So many dead rows are asked for in addition and left out afterwards, rather than masked in the scan."""
_DEAD_SHARE = 5
_LEAST_DEAD = 64
_CANDIDATES = 100
"""That cells name at least, to be scored exactly."""
_CELLS_SHARE = 2
"""Cells serve where at least half is allowed; fewer may lie in cells that no probe reaches."""


class Shard:
    """Vectors by chunk id."""

    def __init__(self, segment: Segment) -> None:
        """Begin with a segment that is empty."""
        self.gate = Gate()
        self.segment = segment
        self.generation = 0
        """Grows when rows get other numbers."""
        self.cells: Cells | None = None
        self._places = Places()
        self._ids: Ids = np.empty(0, np.int64)
        """The chunk of each row; both arrays have room for more."""
        self._is_alive: Mask = np.empty(0, np.bool_)
        self._alive = 0
        self._mask_of: tuple[Allowed, Mask] | None = None
        """The mask made last; a cached filter comes again and again."""

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return self._alive

    @property
    def dimensions(self) -> int:
        """Parts of each vector."""
        return self.segment.dimensions

    @property
    def memory_bytes(self) -> int:
        """What all of it takes."""
        own = self._places.memory_bytes + self._ids.nbytes + self._is_alive.nbytes
        return int(own + self.segment.memory_bytes + (self.cells.memory_bytes if self.cells else 0))

    def apply(self, removed: Ids, ids: Ids, vectors: Halves) -> None:
        """Take out what was removed and put in normalised vectors; each id is named once."""
        with self.gate.writing():
            self._mask_of = None
            ids, vectors = self._changed(ids, vectors)
            self._remove(np.concatenate([removed, ids]))
            self._append(ids, vectors)
            dead = self.segment.count - self._alive
            if dead >= _LEAST_DEAD and dead * _DEAD_SHARE >= self.segment.count:
                self._compact()

    def search(self, query: Floats, limit: int, allowed: Allowed | None) -> list[Scored]:
        """Return the nearest chunks to a query of length 1."""
        with self.gate.reading():
            rows, scores = self._search(query, limit, allowed)
            ids = self._ids[rows]
        # Rounding can make a cosine a hair greater than 1.
        order = np.lexsort((ids, -scores))
        shown = np.minimum(scores, np.float32(1))
        found = zip(ids[order].tolist(), shown[order].tolist(), strict=True)
        return [Scored(ChunkId(chunk), score) for chunk, score in found]

    def scores(self, query: Floats, chunks: Ids) -> list[float | None]:
        """Return the cosine of chunks; None where there is no vector."""
        with self.gate.reading():
            places = self._places.find(chunks)
            rows = np.flatnonzero(places != NOWHERE)
            found = np.minimum(self._exact(query, places[rows].astype(np.int64)), np.float32(1))
        result: list[float | None] = [None] * len(chunks)
        for row, score in zip(rows.tolist(), found.tolist(), strict=True):
            result[row] = score
        return result

    def vectors(self, chunks: Ids) -> Floats:
        """Return vectors of chunks, zeros where there is none."""
        result: Floats = np.zeros((len(chunks), self.dimensions), np.float32)
        with self.gate.reading():
            places = self._places.find(chunks)
            is_found = places != NOWHERE
            result[is_found] = widened(self.segment.take(places[is_found]))
        return result

    def alive_rows(self, start: int = 0) -> Rows:
        """Return the rows from `start` on that are not dead. For holders of the gate."""
        return start + np.flatnonzero(self._is_alive[start : self.segment.count])

    def alive_mask(self) -> Mask | None:
        """Tell of each row whether it is not dead; None: all of them. For holders of the gate."""
        return None if self._alive == self.segment.count else self._is_alive[: self.segment.count]

    def _search(self, query: Floats, limit: int, allowed: Allowed | None) -> tuple[Rows, Floats]:
        if not self._alive or limit < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)

        if allowed is None or allowed.is_everything:
            return self._search_all(query, limit)

        if allowed.count * _GATHERED_SHARE <= self._alive:
            places = self._places.find(allowed.ids)
            return self._among(query, limit, places[places != NOWHERE])

        mask = self._mask(allowed)
        if self.cells is not None and allowed.count * _CELLS_SHARE >= self._alive:
            return self._search_cells(self.cells, query, limit, mask)
        return self.segment.nearest(query, limit, mask)

    def _search_all(self, query: Floats, limit: int) -> tuple[Rows, Floats]:
        dead = self.segment.count - self._alive
        if self.cells is not None:
            return self._search_cells(self.cells, query, limit, self.alive_mask())
        if dead > _SKIPPED_ROWS:
            return self.segment.nearest(query, limit, self.alive_mask())

        rows, scores = self.segment.nearest(query, limit + dead, None)
        is_alive = self._is_alive[rows]
        return rows[is_alive][:limit], scores[is_alive][:limit]

    def _search_cells(
        self, cells: Cells, query: Floats, limit: int, mask: Mask | None
    ) -> tuple[Rows, Floats]:
        wanted = max(_CANDIDATES, 2 * limit)
        rows = cells.candidates(query, wanted, mask)
        if len(rows) < min(limit, self._alive):
            return self.segment.nearest(query, limit, mask)
        return self._among(query, limit, rows)

    def _among(self, query: Floats, limit: int, rows: Rows) -> tuple[Rows, Floats]:
        scores = self._exact(query, rows)
        top = best(scores, limit)
        return rows[top], scores[top]

    def _exact(self, query: Floats, rows: Rows) -> Floats:
        return widened(self.segment.take(rows)) @ query

    def _mask(self, allowed: Allowed) -> Mask:
        known = self._mask_of
        if known is not None and known[0] is allowed:
            return known[1]

        count = self.segment.count
        mask = self._is_alive[:count] & allowed.contains(self._ids[:count])
        self._mask_of = (allowed, mask)
        return mask

    def _changed(self, ids: Ids, vectors: Halves) -> tuple[Ids, Halves]:
        """Leave out what is here already, bit by bit: a log entry may concern another space."""
        places = self._places.find(ids)
        known = np.flatnonzero(places != NOWHERE)
        is_same = (self.segment.take(places[known].astype(np.int64)) == vectors[known]).all(axis=1)
        is_new: Mask = np.ones(len(ids), np.bool_)
        is_new[known[is_same]] = False
        return ids[is_new], vectors[is_new]

    def _remove(self, ids: Ids) -> None:
        places = self._places.find(ids)
        is_here = places != NOWHERE
        if is_here.any():
            self._is_alive[places[is_here]] = False
            self._places.put(ids[is_here], np.full(int(is_here.sum()), NOWHERE, np.int32))
            self._alive -= int(is_here.sum())

    def _append(self, ids: Ids, vectors: Halves) -> None:
        if not len(ids):
            return

        start, end = self.segment.count, self.segment.count + len(ids)
        self.segment.append(vectors)
        self._ids = with_room(self._ids, start, end)
        self._is_alive = with_room(self._is_alive, start, end)
        self._ids[start:end] = ids
        self._is_alive[start:end] = True
        self._places.put(ids, np.arange(start, end, dtype=np.int32))
        self._alive += len(ids)
        if self.cells is not None:
            self.cells.add(np.arange(start, end), widened(vectors))

    def _compact(self) -> None:
        rows = self.alive_rows()
        self.segment = self.segment.kept(rows)
        self._ids = self._ids[rows]
        self._is_alive = np.ones(len(rows), np.bool_)
        self._places = Places()
        self._places.put(self._ids, np.arange(len(rows), dtype=np.int32))
        # The cells know rows by their old numbers; they are learnt anew, the segment serves meanwhile.
        self.cells = None
        self.generation += 1
