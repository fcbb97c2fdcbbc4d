"""Every segment scans exactly, under any mask, and keeps what it is told to keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.recall.vectors.faiss_segment import FaissSegment
from runtime.recall.vectors.numpy_segment import NumpySegment
from runtime.recall.vectors.segment import MakeSegment, Segment, normalised

both = pytest.mark.parametrize("make", [FaissSegment, NumpySegment])
DIMENSIONS = 24


def some_vectors(count: int, seed: int = 1) -> NDArray[np.float16]:
    chance = np.random.default_rng(seed)
    return normalised(chance.standard_normal((count, DIMENSIONS)).astype(np.float16))[0]


def filled(make: MakeSegment, vectors: NDArray[np.float16], block: int = 7) -> Segment:
    segment = make(vectors.shape[1])
    for start in range(0, len(vectors), block):
        segment.append(vectors[start : start + block])
    return segment


def some_query(seed: int = 2) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    result: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype(np.float32)
    return result


@both
@given(
    count=st.integers(0, 700),
    block=st.integers(1, 300),
    limit=st.integers(1, 40),
    seed=st.integers(0, 99),
    share=st.sampled_from([None, 0.0, 0.01, 0.5, 1.0]),
)
def test_the_nearest_are_those_of_the_definition(
    make: MakeSegment, count: int, block: int, limit: int, seed: int, share: float | None
) -> None:
    vectors, query = some_vectors(count, seed), some_query(seed)
    mask = None if share is None else np.random.default_rng(seed).random(count) < share

    found = filled(make, vectors, block).nearest(query, limit, mask)

    exact = vectors.astype(np.float64) @ query.astype(np.float64)
    allowed = np.arange(count) if mask is None else np.flatnonzero(mask)
    best = np.sort(exact[allowed])[::-1][:limit]
    assert set(found.rows.tolist()) <= set(allowed.tolist())
    assert len(set(found.rows.tolist())) == len(best)
    assert np.allclose(found.scores, best, atol=1e-5)
    assert np.allclose(exact[found.rows], best, atol=1e-5)


@both
def test_rows_come_back_bit_by_bit(make: MakeSegment) -> None:
    vectors = some_vectors(100)

    segment = filled(make, vectors)

    assert segment.count == 100
    assert segment.dimensions == DIMENSIONS
    assert np.array_equal(segment.take(np.array([99, 0, 5, 5])), vectors[[99, 0, 5, 5]])


@both
def test_what_is_kept_is_searched_and_grows_on(make: MakeSegment) -> None:
    vectors, query = some_vectors(100), some_query()
    kept = filled(make, vectors).kept(np.arange(0, 100, 3))

    kept.append(vectors[:1])

    assert kept.count == 35
    assert np.array_equal(kept.take(np.arange(35)), np.concatenate([vectors[::3], vectors[:1]]))
    first = kept.nearest(query, 1, None)
    assert first.scores[0] == pytest.approx(float((vectors[::3].astype(np.float32) @ query).max()), abs=1e-5)


@both
def test_room_made_beforehand_is_not_searched(make: MakeSegment) -> None:
    vectors = some_vectors(10)
    segment = make(DIMENSIONS, 1000)
    segment.append(vectors)

    found = segment.nearest(-vectors[0].astype(np.float32), 50, None)

    assert sorted(found.rows.tolist()) == list(range(10))
    assert segment.memory_bytes >= 1000 * DIMENSIONS * 2


@both
def test_an_empty_segment_finds_nothing(make: MakeSegment) -> None:
    segment = make(DIMENSIONS)

    assert len(segment.nearest(some_query(), 5, None).rows) == 0
    assert len(segment.kept(np.empty(0, np.int64)).nearest(some_query(), 5, np.empty(0, np.bool_)).rows) == 0
