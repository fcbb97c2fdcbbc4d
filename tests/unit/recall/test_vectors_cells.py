"""Beyond a size, cells choose what is scored: nearly nothing is missed, and all else stays as it was."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.recall.parts import Ids
from runtime.recall.vectors.cells import Cells, cells_for
from runtime.recall.vectors.faiss_cells import FaissCells
from runtime.recall.vectors.faiss_segment import FaissSegment
from runtime.recall.vectors.learning import Learner, learn_cells
from runtime.recall.vectors.segment import Floats, normalised
from runtime.recall.vectors.shard import Shard
from tests.unit.recall.test_vectors_shard import NOTHING, Only

DIMENSIONS = 32
COUNT = 6000
LIMIT_S = 60.0


def clustered(count: int, seed: int = 1, clusters: int = 40) -> NDArray[np.float16]:
    """Vectors around middles, as texts lie around their subjects."""
    chance = np.random.default_rng(seed)
    middles = np.random.default_rng(0).standard_normal((clusters, DIMENSIONS))
    noisy = middles[chance.integers(0, clusters, count)] + 0.5 * chance.standard_normal((count, DIMENSIONS))
    return normalised((noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float16))[0]


def filled(count: int = COUNT) -> Shard:
    shard = Shard(FaissSegment(DIMENSIONS))
    shard.apply(NOTHING, np.arange(count), clustered(count))
    return shard


def learnt(shard: Shard) -> Shard:
    learn_cells(shard, FaissCells, threading.Event())
    assert shard.cells is not None
    return shard


def recall(shard: Shard, allowed: Only | None = None) -> float:
    """Return the share of the true ten nearest that is found, over queries that are no stored vectors."""
    alive = np.sort(
        np.array(
            [
                each
                for each in range(2 * COUNT)
                if shard.scores(np.ones(DIMENSIONS, np.float32), np.array([each]))[0] is not None
            ]
        )
    )
    ids = alive if allowed is None else np.intersect1d(alive, allowed.ids)
    vectors = shard.vectors(ids)
    found = 0
    for query in clustered(50, 77).astype(np.float32):
        exact = set(ids[np.argsort(-(vectors @ query))[:10]].tolist())
        found += len(exact & {each.chunk for each in shard.search(query, 10, allowed)})
    return found / 500


def test_cells_find_what_the_exact_search_finds() -> None:
    shard = learnt(filled())

    assert shard.cells is not None
    assert shard.cells.probes < shard.cells.count, "else nothing would be left out"
    assert recall(shard) >= 0.98


def test_scores_of_cells_are_those_of_the_exact_search() -> None:
    exact, shard = filled(), learnt(filled())
    query = clustered(1, 5)[0].astype(np.float32)

    assert [each.score for each in shard.search(query, 5, None)] == pytest.approx(
        [each.score for each in exact.search(query, 5, None)], abs=1e-6
    )


def test_what_comes_and_goes_after_the_learning_is_seen() -> None:
    shard = learnt(filled())
    query = clustered(1, 5)[0].astype(np.float32)
    best = np.array([each.chunk for each in shard.search(query, 20, None)], np.int64)

    shard.apply(best, np.arange(COUNT, COUNT + 500), clustered(500, 6))

    assert shard.cells is not None
    assert not {each.chunk for each in shard.search(query, 50, None)} & set(best.tolist())
    assert recall(shard) >= 0.98


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_filters_lose_nothing_to_the_cells(share: float) -> None:
    shard = learnt(filled())
    ids: Ids = np.random.default_rng(4).choice(COUNT, int(COUNT * share), replace=False)

    assert recall(shard, Only(ids)) >= 0.98


def test_more_than_the_probed_cells_hold_is_found_by_the_scan() -> None:
    shard = learnt(filled())

    assert len(shard.search(clustered(1, 5)[0].astype(np.float32), COUNT, None)) == COUNT


def test_a_compaction_ends_the_cells_and_they_are_learnt_again() -> None:
    shard = learnt(filled())

    shard.apply(np.arange(0, COUNT, 2), NOTHING, clustered(0))
    without = shard.cells
    learnt(shard)

    assert without is None
    assert recall(shard) >= 0.98


def test_learning_is_in_vain_when_rows_get_other_numbers_meanwhile() -> None:
    shard = filled()

    def _learn(sample: Floats, count: int) -> Cells:
        shard.apply(np.arange(0, COUNT, 2), NOTHING, clustered(0))
        return FaissCells(sample, count)

    learn_cells(shard, _learn, threading.Event())

    assert shard.cells is None


def test_what_comes_during_the_learning_is_in_the_cells() -> None:
    shard = filled()
    late = clustered(300, 8)

    def _learn(sample: Floats, count: int) -> Cells:
        shard.apply(NOTHING, np.arange(COUNT, COUNT + 300), late)
        return FaissCells(sample, count)

    learn_cells(shard, _learn, threading.Event())

    assert shard.cells is not None
    nearest = [shard.search(vector.astype(np.float32), 1, None)[0].chunk for vector in late[:50]]
    assert nearest == list(range(COUNT, COUNT + 50))


def test_learning_starts_at_its_size_once_and_again_at_the_double() -> None:
    made: list[int] = []

    def _learn(sample: Floats, count: int) -> Cells:
        made.append(count)
        return FaissCells(sample, count)

    learner = Learner(2000, _learn)
    shard = filled(1999)
    learner.look_at(shard)
    learner.join(LIMIT_S)
    small = list(made)
    for ids in (np.arange(1999, 2000), np.arange(2000, 3999), np.arange(3999, 4000)):
        shard.apply(NOTHING, ids, clustered(len(ids), int(ids[0])))
        learner.look_at(shard)
        learner.look_at(shard)
        learner.join(LIMIT_S)

    assert small == []
    assert made == [2000, 4000]
    assert shard.cells is not None


def test_a_failed_learning_leaves_the_exact_search(caplog: pytest.LogCaptureFixture) -> None:
    def _learn(sample: Floats, count: int) -> Cells:
        raise MemoryError

    learner, shard = Learner(1000, _learn), filled(1000)

    learner.look_at(shard)
    learner.join(LIMIT_S)

    assert shard.cells is None
    assert len(shard.search(clustered(1, 5)[0].astype(np.float32), 10, None)) == 10
    assert "could not be learnt" in caplog.text


def test_nothing_is_learnt_after_the_end() -> None:
    learner, shard = Learner(1000, FaissCells), filled(1000)

    learner.end()
    learner.look_at(shard)
    learner.join(LIMIT_S)

    assert shard.cells is None


def test_the_number_of_cells_follows_the_root() -> None:
    assert [cells_for(count) for count in (1, 100, 10_000, 1_000_000, 4_000_000)] == [1, 2, 256, 2048, 4096]
