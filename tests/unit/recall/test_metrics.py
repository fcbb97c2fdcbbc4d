"""The measures, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.recall.metrics import mean, ndcg, percentile, recall, reciprocal_rank


def test_ndcg_of_graded_judgements_is_the_textbook_value() -> None:
    # Grades 3 2 3 0 1 2 in the order found, one more document of grade 3 and one of 2 not found.
    found = ["d1", "d2", "d3", "d4", "d5", "d6"]
    judged = {"d1": 3, "d2": 2, "d3": 3, "d4": 0, "d5": 1, "d6": 2, "d7": 3, "d8": 2}

    gained = 3 + 2 / math.log2(3) + 3 / 2 + 0 + 1 / math.log2(6) + 2 / math.log2(7)
    greatest = 3 + 3 / math.log2(3) + 3 / 2 + 2 / math.log2(5) + 2 / math.log2(6) + 2 / math.log2(7)

    assert gained == pytest.approx(6.861, abs=0.001)
    assert ndcg(found, judged, 6) == pytest.approx(gained / greatest)
    assert ndcg(found, judged, 6) == pytest.approx(0.785, abs=0.001)


def test_ndcg_of_one_document_falls_with_its_rank() -> None:
    judged = {"x": 1}

    assert ndcg(["x"], judged, 10) == 1.0
    assert ndcg(["a", "x"], judged, 10) == pytest.approx(0.6309, abs=0.0001)
    assert ndcg(["a", "b", "x"], judged, 10) == 0.5
    assert ndcg(["a"] * 10 + ["x"], judged, 10) == 0.0


def test_recall_counts_what_belongs_to_the_answer() -> None:
    judged = {"a": 1, "b": 2, "c": 0, "d": 1}

    assert recall(["c", "a", "e", "b"], judged, 10) == pytest.approx(2 / 3)
    assert recall(["c", "a", "e", "b"], judged, 2) == pytest.approx(1 / 3)
    assert recall(["a"], {"c": 0}, 10) == 0.0


def test_the_reciprocal_rank_is_that_of_the_first() -> None:
    assert reciprocal_rank(["x", "a", "b"], {"a": 1, "b": 1}, 10) == 0.5
    assert reciprocal_rank(["x", "y", "a"], {"a": 1}, 2) == 0.0


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(each) for each in range(1, 21)]

    assert percentile(values, 0.5) == 10.0
    assert percentile(values, 0.95) == 19.0
    assert percentile([7.0], 0.95) == 7.0
    assert percentile([], 0.5) == 0.0
    assert mean([]) == 0.0


ids = st.sampled_from([f"d{number}" for number in range(8)])


@given(st.lists(ids, unique=True), st.dictionaries(ids, st.integers(0, 3)), st.integers(1, 10))
def test_measures_lie_between_nothing_and_one(found: list[str], judged: dict[str, int], k: int) -> None:
    for measure in (ndcg, recall, reciprocal_rank):
        assert 0.0 <= measure(found, judged, k) <= 1.0 + 1e-12


@given(st.dictionaries(ids, st.integers(0, 3), min_size=1))
def test_the_order_of_the_grades_is_the_best_there_is(judged: dict[str, int]) -> None:
    best = sorted(judged, key=lambda each: -judged[each])

    assert ndcg(best, judged, 8) == (1.0 if any(judged.values()) else 0.0)
