"""The arithmetic of fusion, as laws."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.recall import fuse

NOTHING = math.nan
bm25 = st.floats(0, 50) | st.just(NOTHING)
cosine = st.floats(-1, 1) | st.just(NOTHING)
share = st.floats(0, 1)


def candidates(
    text: list[float], vector: list[float], group: list[int] | None = None, ids: list[int] | None = None
) -> fuse.Candidates:
    return fuse.Candidates(
        np.array(ids if ids is not None else range(1, len(text) + 1), dtype=np.int64),
        np.array(text, dtype=np.float64),
        np.array(vector, dtype=np.float64),
        np.array(group if group is not None else [0] * len(text), dtype=np.int64),
    )


@st.composite
def columns(draw: st.DrawFn) -> fuse.Candidates:
    count = draw(st.integers(1, 12))
    return candidates(
        draw(st.lists(bm25, min_size=count, max_size=count)),
        draw(st.lists(cosine, min_size=count, max_size=count)),
        draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)),
    )


@given(columns(), share, share)
def test_scores_lie_between_nothing_and_one(found: fuse.Candidates, first: float, second: float) -> None:
    fused = fuse.fuse(found, [first, second])

    for column in fused:
        assert np.all((column >= 0.0) & (column <= 1.0))


@given(columns(), share, share, st.randoms())
def test_the_order_of_candidates_changes_nothing(
    found: fuse.Candidates, first: float, second: float, random: Random
) -> None:
    places = list(range(len(found.ids)))
    random.shuffle(places)
    shuffled = np.array(places)
    turned = fuse.Candidates(*(column[shuffled] for column in found))

    straight, mixed = fuse.fuse(found, [first, second]).scores, fuse.fuse(turned, [first, second]).scores

    assert np.allclose(straight[shuffled], mixed)
    best = found.ids[fuse.best_first(straight, found.ids)]
    assert best.tolist() == turned.ids[fuse.best_first(straight[shuffled], turned.ids)].tolist()


@given(columns(), share)
def test_who_is_better_in_both_arms_is_not_behind(found: fuse.Candidates, weight: float) -> None:
    one_group = found._replace(group=np.zeros(len(found.ids), dtype=np.int64))
    scores = fuse.fuse(one_group, [weight]).scores

    for one in range(len(scores)):
        for other in range(len(scores)):
            if found.text[one] >= found.text[other] and found.vector[one] >= found.vector[other]:
                assert scores[one] >= scores[other] - 1e-12


@given(columns(), share, st.floats(0.1, 10), st.floats(0.1, 10))
def test_the_scale_of_an_arm_does_not_matter(
    found: fuse.Candidates, weight: float, louder: float, wider: float
) -> None:
    if np.isnan(found.text).all():
        return  # the cosine itself is the score then

    scaled = found._replace(text=found.text * louder, vector=found.vector * wider)
    one, other = fuse.fuse(found, [weight, weight]), fuse.fuse(scaled, [weight, weight])

    assert np.allclose(one.scores, other.scores, atol=1e-6)


def test_the_best_of_both_arms_is_one_and_what_neither_likes_is_nothing() -> None:
    fused = fuse.fuse(candidates([12.0, 6.0, 0.0], [0.8, 0.5, 0.2]), [0.5])

    assert fused.scores.tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_a_chunk_without_a_vector_yet_ranks_by_its_words() -> None:
    fused = fuse.fuse(candidates([10.0, 5.0, 0.0], [NOTHING, 0.9, 0.1]), [0.5])

    assert fused.scores.tolist() == pytest.approx([1.0, 0.75, 0.0])


def test_without_words_the_cosine_itself_is_the_score() -> None:
    fused = fuse.fuse(candidates([NOTHING] * 3, [0.9, 0.4, -0.2]), [1.0])

    assert fused.scores.tolist() == pytest.approx([0.9, 0.4, 0.0])


def test_vectors_of_two_embeddings_are_not_compared_with_each_other() -> None:
    fused = fuse.fuse(candidates([0.0] * 4, [0.95, 0.9, 0.3, 0.2], [0, 0, 1, 1]), [1.0, 1.0])

    assert fused.scores.tolist() == pytest.approx([1.0, 0.0, 1.0, 0.0])


def test_nothing_at_all_is_no_problem() -> None:
    fused = fuse.fuse(candidates([], []), [0.5])

    assert fused.scores.tolist() == []
    assert fuse.best_first(fused.scores, candidates([], []).ids).tolist() == []
    assert fuse.reranked(fused.scores, fused.scores).tolist() == []


def test_words_that_do_not_cover_the_question_leave_it_to_the_vectors() -> None:
    assert fuse.vector_weight(0.5, 1.0) == fuse.EVEN_WEIGHT
    assert fuse.vector_weight(0.04, 1.0) == fuse.UNCOVERED_WEIGHT


@given(share, share, share)
def test_the_less_an_embedder_knows_the_language_the_less_it_counts(
    coverage: float, little: float, much: float
) -> None:
    little, much = sorted((little, much))

    assert fuse.vector_weight(coverage, 0.0) == fuse.FOREIGN_WEIGHT
    assert fuse.vector_weight(coverage, little) <= fuse.vector_weight(coverage, much)


def test_recency_halves_with_every_half_life_and_the_future_is_now() -> None:
    found = fuse.recency(np.array([1000.0, 900.0, 800.0, 2000.0]), 1000.0, 100.0)

    assert found.tolist() == [1.0, 0.5, 0.25, 1.0]


@given(st.lists(share, min_size=1), st.lists(share, min_size=1), share)
def test_a_prior_lowers_and_never_lifts(scores: list[float], prior: list[float], weight: float) -> None:
    count = min(len(scores), len(prior))
    before, by = np.array(scores[:count]), np.array(prior[:count])

    after = fuse.with_prior(before, by, weight)

    assert np.all(after <= before)
    assert np.all(after >= before * (1 - weight) - 1e-12)


def test_the_cross_encoder_decides_among_the_hits_that_it_read() -> None:
    after = fuse.reranked(np.array([0.9, 0.8, 0.7]), np.array([-4.0, 1.0, 7.0]))

    assert after.argsort().tolist() == [0, 1, 2]


@given(st.lists(share, min_size=1, max_size=8), st.data())
def test_what_was_read_again_stays_above_what_was_not(scores: list[float], data: st.DataObject) -> None:
    judged = data.draw(st.lists(st.floats(-20, 20), min_size=len(scores), max_size=len(scores)))

    after = fuse.reranked(np.array(scores), np.array(judged))

    assert np.all(after >= min(scores))
    assert np.all(after <= 1.0)


def test_of_equals_the_older_comes_first_and_the_threshold_itself_is_enough() -> None:
    scores, ids = np.array([0.5, 0.9, 0.5, 0.1]), np.array([7, 8, 3, 1])

    assert fuse.best_first(scores, ids, 0.5).tolist() == [1, 2, 0]


def test_ranks_count_from_one_and_skip_who_has_no_score() -> None:
    assert fuse.ranks(np.array([0.2, NOTHING, 0.9]), np.array([1, 2, 3])) == [2, None, 1]
