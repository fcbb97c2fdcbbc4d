"""The vector arm: shards of vectors in memory, loaded when they are first searched, in step with the truth.

Before each search a shard asks the truth how far it has come, and reads what it has not followed. Nothing
of it is on disk but in the truth: a shard that was given up, or never was, is loaded again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.ids import ChunkId
from runtime.recall.parts import Allowed, Scored
from runtime.recall.shelf import Shelf
from runtime.recall.truth import Truth
from runtime.recall.vectors.choice import learn_cells, make_segment
from runtime.recall.vectors.learning import Learner
from runtime.recall.vectors.reading import Delta, Loaded, load_shard, read_delta
from runtime.recall.vectors.segment import Floats, MakeSegment, direction
from runtime.recall.vectors.shard import Shard

T = TypeVar("T")

DEFAULT_BUDGET_BYTES = 2 * 1024**3
"""Two million vectors of 384 dimensions."""
DEFAULT_CELLS_FROM = 1_000_000
"""Vectors of one namespace from which on the exact scan takes longer than 25 ms."""
_SCANS = 4
"""Threads that search side by side; each is busy for milliseconds."""
_LOADS = 2
_END_LIMIT_S = 5.0
"""For a thread that learns cells to come to its next block; one that does not ends with the process."""
_FLOAT_BYTES = 4


@dataclass(slots=True, eq=False)
class _Held:
    """A shard on the shelf."""

    shard: Shard
    followed: int
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by the one who brings it in step."""


class VectorIndex:
    """Fulfils `parts.VectorArm`."""

    def __init__(
        self,
        truth: Truth,
        *,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        cells_from: int = DEFAULT_CELLS_FROM,
        make_segment: MakeSegment = make_segment,
    ) -> None:
        self._truth = truth
        self._make_segment = make_segment
        self._learner = Learner(cells_from, learn_cells) if learn_cells is not None else None
        self._shelf: Shelf[tuple[int, int], _Held] = Shelf(
            self._load, lambda held: held.shard.memory_bytes, budget_bytes
        )
        self._scans = anyio.CapacityLimiter(_SCANS)
        self._loads = anyio.CapacityLimiter(_LOADS)

    @property
    def memory_bytes(self) -> int:
        """What all shards take."""
        return self._shelf.memory_bytes

    async def search(
        self, ns: int, space: int, vector: bytes, limit: int, allowed: Allowed | None
    ) -> list[Scored]:
        """Return the nearest chunks by cosine; none for a vector without direction. Raises RequestInvalid."""
        query = direction(vector)

        def _search(shard: Shard) -> list[Scored]:
            if query is None or not shard.count:
                return []
            return shard.search(query, limit, allowed)

        return await self._ask(ns, space, vector, _search)

    async def scores(
        self, ns: int, space: int, vector: bytes, chunks: Sequence[ChunkId]
    ) -> list[float | None]:
        """Return the cosine of the given chunks; None where a chunk has no vector. Raises RequestInvalid."""
        query = direction(vector)
        ids = np.array(chunks, np.int64)

        def _score(shard: Shard) -> list[float | None]:
            if query is None or not shard.count:
                return [None] * len(ids)
            return shard.scores(query, ids)

        return await self._ask(ns, space, vector, _score)

    async def vectors(self, ns: int, space: int, chunks: Sequence[ChunkId]) -> NDArray[np.float32]:
        """Return normalised vectors, one row each; zeros where a chunk has none."""
        ids = np.array(chunks, np.int64)

        def _take(shard: Shard) -> Floats:
            return shard.vectors(ids)

        return await self._ask(ns, space, None, _take)

    def forget(self, ns: int) -> None:
        """Give up all that is held of a namespace; it is loaded again when it is searched again."""
        self._shelf.forget(lambda key: key[0] == ns)

    async def aclose(self) -> None:
        """Give up everything, and end what goes on in threads; bounded."""
        self._shelf.forget(lambda _: True)
        if self._learner is not None:
            self._learner.end()
            await anyio.to_thread.run_sync(self._learner.join, _END_LIMIT_S)

    async def _ask(self, ns: int, space: int, vector: bytes | None, work: Callable[[Shard], T]) -> T:
        """Do `work` in a thread with a shard that is in step."""
        async with self._shelf.use((ns, space)) as held:
            await self._follow(held, ns, space)
            shard = held.shard
            if self._learner is not None:
                self._learner.look_at(shard)
            if vector is not None and shard.count:
                _check_length(vector, shard.dimensions)
            return await anyio.to_thread.run_sync(work, shard, limiter=self._scans)

    async def _load(self, key: tuple[int, int]) -> _Held:
        loaded = await self._read(key)
        ns, space = key
        self._shelf.forget(lambda other: other[0] == ns and other[1] < space)  # of a former embedding
        return _Held(loaded.shard, loaded.followed)

    async def _read(self, key: tuple[int, int]) -> Loaded:
        ns, space = key
        return await self._truth.database.read_snapshot(
            lambda cursor: load_shard(cursor, ns, space, self._make_segment), self._loads
        )

    async def _follow(self, held: _Held, ns: int, space: int) -> None:
        """Bring a shard to the newest commit before this call."""
        if self._truth.reached(ns) <= held.followed:
            return

        async with held.lock:
            if self._truth.reached(ns) <= held.followed:
                return

            delta = await self._delta(held, ns, space)
            if delta is None:
                held.shard, held.followed = await self._read((ns, space))
                return

            await anyio.to_thread.run_sync(
                held.shard.apply, delta.removed, delta.ids, delta.vectors, limiter=self._scans
            )
            held.followed = delta.followed

    async def _delta(self, held: _Held, ns: int, space: int) -> Delta | None:
        if not held.shard.count:
            # Nothing is known of the space yet, not even its dimensions.
            return None

        followed, dimensions = held.followed, held.shard.dimensions
        return await self._truth.database.read_snapshot(
            lambda cursor: read_delta(cursor, ns, space, dimensions, followed), self._loads
        )


def _check_length(vector: bytes, dimensions: int) -> None:
    given = len(vector) / _FLOAT_BYTES
    if given != dimensions:
        raise RequestInvalid(
            Fault(
                code="invalid_request",
                message=f"The query's vector has {given:g} dimensions, those of the collection have "
                f"{dimensions}. Embed the query with the collection's model and dimensions.",
                param="vector",
            )
        )
