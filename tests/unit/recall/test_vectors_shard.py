"""A shard searches by the way that fits, leaves dead rows behind, and keeps what it knows apart from them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.core.ids import ChunkId
from runtime.recall.parts import Ids
from runtime.recall.vectors.faiss_segment import FaissSegment
from runtime.recall.vectors.numpy_segment import NumpySegment
from runtime.recall.vectors.segment import (
    Floats,
    MakeSegment,
    Mask,
    Nearest,
    Rows,
    direction,
    normalised,
    widened,
)
from runtime.recall.vectors.shard import Shard

both = pytest.mark.parametrize("make", [FaissSegment, NumpySegment])
DIMENSIONS = 16
NOTHING: Ids = np.empty(0, np.int64)


class Only:
    """Allows the chunks it is given."""

    is_everything = False

    def __init__(self, ids: Ids) -> None:
        self.ids = np.sort(ids)
        self.count = len(ids)

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        return np.isin(ids, self.ids)


class Counting:
    """A segment that tells how it was asked."""

    def __init__(self, dimensions: int, room: int = 0) -> None:
        self._inner = NumpySegment(dimensions, room)
        self.scans: list[Mask | None] = []

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    @property
    def count(self) -> int:
        return self._inner.count

    @property
    def memory_bytes(self) -> int:
        return self._inner.memory_bytes

    def append(self, vectors: NDArray[np.float16]) -> None:
        self._inner.append(vectors)

    def nearest(self, query: Floats, limit: int, mask: Mask | None) -> Nearest:
        self.scans.append(mask)
        return self._inner.nearest(query, limit, mask)

    def take(self, rows: Rows) -> NDArray[np.float16]:
        return self._inner.take(rows)

    def kept(self, rows: Rows) -> NumpySegment:
        return self._inner.kept(rows)


def some_vectors(count: int, seed: int = 1) -> NDArray[np.float16]:
    chance = np.random.default_rng(seed)
    return normalised(chance.standard_normal((count, DIMENSIONS)).astype(np.float16))[0]


def filled(make: MakeSegment, count: int) -> Shard:
    shard = Shard(make(DIMENSIONS))
    shard.apply(NOTHING, np.arange(100, 100 + count), some_vectors(count))
    return shard


def naive(shard: Shard, query: Floats, ids: Ids, limit: int) -> list[float]:
    return sorted((shard.vectors(ids) @ query).tolist(), reverse=True)[:limit]


@both
@pytest.mark.parametrize("share", [0.001, 0.04, 0.06, 0.5, 1.0])
def test_any_share_of_allowed_chunks_is_searched_exactly(make: MakeSegment, share: float) -> None:
    shard = filled(make, 3000)
    query = some_vectors(1, 9)[0].astype(np.float32)
    ids = np.random.default_rng(3).choice(np.arange(100, 3100), int(3000 * share), replace=False)
    unknown = np.array([1, 50_000])

    found = shard.search(query, 25, Only(np.concatenate([ids, unknown])))

    assert {each.chunk for each in found} <= set(ids.tolist())
    assert [each.score for each in found] == pytest.approx(naive(shard, query, ids, 25), abs=1e-5)


def test_few_allowed_chunks_are_gathered_and_not_scanned_for() -> None:
    segment = Counting(DIMENSIONS)
    shard = Shard(segment)
    shard.apply(NOTHING, np.arange(2000), some_vectors(2000))
    query = some_vectors(1, 9)[0].astype(np.float32)

    shard.search(query, 5, Only(np.arange(100)))
    gathered = len(segment.scans)
    shard.search(query, 5, Only(np.arange(101)))

    assert gathered == 0
    assert len(segment.scans) == 1


@both
def test_removed_and_replaced_vectors_are_never_found(make: MakeSegment) -> None:
    shard = filled(make, 500)
    query = some_vectors(1, 9)[0].astype(np.float32)
    replaced = np.arange(200, 260)

    shard.apply(np.array([100, 101, 7]), replaced, some_vectors(60, 5))

    rest = np.setdiff1d(np.arange(100, 600), [100, 101])
    found = shard.search(query, 600, None)
    assert shard.count == 498
    assert sorted(each.chunk for each in found) == rest.tolist()
    assert [each.score for each in found] == pytest.approx(naive(shard, query, rest, 600), abs=1e-5)
    assert np.array_equal(shard.vectors(replaced), widened(some_vectors(60, 5)))
    assert shard.scores(query, np.array([100, 102]))[0] is None


@both
@pytest.mark.parametrize("dead", [1, 64, 65, 99])
def test_dead_rows_take_no_place_in_the_answer(make: MakeSegment, dead: int) -> None:
    shard = filled(make, 1000)
    query = some_vectors(1, 9)[0].astype(np.float32)
    best = np.array([each.chunk for each in shard.search(query, dead, None)], np.int64)

    shard.apply(best, NOTHING, some_vectors(0))

    rest = np.setdiff1d(np.arange(100, 1100), best)
    assert [each.score for each in shard.search(query, 10, None)] == pytest.approx(
        naive(shard, query, rest, 10), abs=1e-5
    )


@both
def test_a_fifth_of_dead_rows_is_left_behind(make: MakeSegment) -> None:
    shard = filled(make, 1000)

    shard.apply(np.arange(100, 299), NOTHING, some_vectors(0))
    before = shard.segment.count, shard.generation
    shard.apply(np.array([299]), NOTHING, some_vectors(0))

    assert before == (1000, 0)
    assert (shard.segment.count, shard.generation) == (800, 1)
    query = some_vectors(1, 9)[0].astype(np.float32)
    rest = np.arange(300, 1100)
    assert [each.score for each in shard.search(query, 10, None)] == pytest.approx(
        naive(shard, query, rest, 10), abs=1e-5
    )


@both
def test_what_is_there_already_is_not_written_again(make: MakeSegment) -> None:
    shard = filled(make, 100)

    shard.apply(NOTHING, np.arange(100, 200), some_vectors(100))

    assert shard.segment.count == 100


@both
def test_a_filter_that_is_asked_again_sees_what_came_meanwhile(make: MakeSegment) -> None:
    shard = filled(make, 100)
    query = some_vectors(1, 5)[0]
    allowed = Only(np.concatenate([np.arange(100, 190), [5000]]))

    shard.search(query.astype(np.float32), 5, allowed)
    shard.apply(NOTHING, np.array([5000]), query[None, :])

    assert shard.search(query.astype(np.float32), 1, allowed)[0].chunk == ChunkId(5000)


def test_of_equal_scores_the_older_chunk_comes_first() -> None:
    shard = Shard(FaissSegment(DIMENSIONS))
    same = np.repeat(some_vectors(1), 5, axis=0)
    shard.apply(NOTHING, np.array([9, 3, 7, 1, 5]), same)

    assert [each.chunk for each in shard.search(same[0].astype(np.float32), 5, None)] == [1, 3, 5, 7, 9]


def test_every_finite_half_is_widened_to_the_same_number() -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]

    wide = widened(finite)

    assert np.array_equal(wide, finite.astype(np.float32))
    assert np.array_equal(np.signbit(wide), np.signbit(finite))


def test_normalising_keeps_unit_vectors_and_tells_those_without_direction() -> None:
    unit = some_vectors(1)[0]
    vectors = np.stack([unit, unit * np.float16(50), np.zeros_like(unit), unit * np.nan, unit * np.inf])

    result, has_direction = normalised(vectors)

    assert has_direction.tolist() == [True, True, False, False, False]
    assert np.array_equal(result[0], unit)
    assert np.linalg.norm(result[1].astype(np.float64)) == pytest.approx(1, abs=1e-3)
    assert direction(np.zeros(4, "<f4").tobytes()) is None
    assert direction(np.full(4, np.nan, "<f4").tobytes()) is None
    assert direction(np.full(4, 1e38, "<f4").tobytes()) == pytest.approx([0.5] * 4)
