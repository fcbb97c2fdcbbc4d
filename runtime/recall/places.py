"""Where each id stands: ascending ids beside the place of each, in arrays that readers may keep.

What a reader was given never changes under it: new ids are written behind its view, and a changed place is
written to a copy. A removed id stays, nowhere, until its owner begins anew.
"""

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int64]
RowNumbers: TypeAlias = NDArray[np.int32]

S = TypeVar("S", bound=np.generic)

NOWHERE = -1
"""The place of an id that is unknown or removed. As an index it means the last element."""
_ROOM = 1.25
"""How much greater a full array is made: appending costs little, and at most a fifth lies idle."""
_LEAST_ROOM = 256
_MANY_SHARE = 8
"""Of so many numbers between the first id and the last, one is asked for: then a table is faster."""


class Places:
    """Ids and their places, both int arrays."""

    def __init__(self) -> None:
        self._ids: Ids = np.empty(0, np.int64)
        self._places: RowNumbers = np.empty(0, np.int32)
        self._count = 0

    @property
    def ids(self) -> Ids:
        """All ids, ascending, the removed ones too."""
        return self._ids[: self._count]

    @property
    def places(self) -> RowNumbers:
        """The place of each id."""
        return self._places[: self._count]

    @property
    def memory_bytes(self) -> int:
        """What the arrays take."""
        return int(self._ids.nbytes + self._places.nbytes)

    def find(self, ids: Ids) -> RowNumbers:
        """Return the place of each id, NOWHERE for the unknown."""
        return find_places(self.ids, self.places, ids)

    def put(self, ids: Ids, places: RowNumbers) -> None:
        """Set the places of ids; each is named once, in any order."""
        order = np.argsort(ids, kind="stable")
        ids, places = ids[order], places[order]
        positions: NDArray[np.int64] = np.searchsorted(self.ids, ids)
        is_known = _is_at(self.ids, positions, ids)
        if is_known.any():
            self._places = self._places.copy()
            self._places[positions[is_known]] = places[is_known]
        if not is_known.all():
            self._add(ids[~is_known], places[~is_known], positions[~is_known])

    def _add(self, ids: Ids, places: RowNumbers, positions: NDArray[np.int64]) -> None:
        if positions[0] < self._count:
            self._ids = np.insert(self.ids, positions, ids)
            self._places = np.insert(self.places, positions, places)
            self._count = len(self._ids)
            return

        start, self._count = self._count, self._count + len(ids)
        self._ids = with_room(self._ids, start, self._count)
        self._places = with_room(self._places, start, self._count)
        self._ids[start : self._count] = ids
        self._places[start : self._count] = places


def find_places(known: Ids, places: RowNumbers, ids: Ids) -> RowNumbers:
    """Return the place of each id among the ascending `known`, NOWHERE for the others."""
    if not len(known):
        return np.full(len(ids), NOWHERE, np.int32)

    first, span = int(known[0]), int(known[-1] - known[0]) + 1
    if len(ids) * _MANY_SHARE >= span:
        return _look_up(known - first, places, ids - first, span)

    positions = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[positions] == ids, places[positions], np.int32(NOWHERE))


def _look_up(known: Ids, places: RowNumbers, ids: Ids, span: int) -> RowNumbers:
    """Find many ids that lie close together by a table of all numbers between."""
    table: RowNumbers = np.full(span, NOWHERE, np.int32)
    table[known] = places
    found: RowNumbers = table[np.clip(ids, 0, span - 1)]
    found[(ids < 0) | (ids >= span)] = NOWHERE
    return found


def with_room(array: NDArray[S], used: int, needed: int) -> NDArray[S]:
    """Return the array, or a greater copy of its used part, with room for `needed` elements."""
    if needed <= len(array):
        return array

    greater: NDArray[S] = np.empty(
        (max(_LEAST_ROOM, needed, int(used * _ROOM)), *array.shape[1:]), array.dtype
    )
    greater[:used] = array[:used]
    return greater


def _is_at(known: Ids, positions: NDArray[np.int64], ids: Ids) -> NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(ids), np.bool_)

    within = np.minimum(positions, len(known) - 1)
    is_at: NDArray[np.bool_] = known[within] == ids
    return is_at
