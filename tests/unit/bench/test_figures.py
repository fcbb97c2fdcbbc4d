"""From answers to figures: percentiles, what a failure does, medians over rounds."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.inference.figures import Outcome, Spread, figure, medians, merge_rounds, percentile
from bench.inference.loadgen import Answer
from bench.inference.overhead import Overhead, summarise

VALUES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1)


def answered(*arrivals: float, sent_at: float = 0.0) -> Answer:
    answer = Answer(sent_at=sent_at, arrivals=list(arrivals))
    answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens = 100, 80, len(arrivals)
    answer.close(arrivals[-1])
    return answer


def test_a_percentile_is_interpolated_between_its_neighbours() -> None:
    assert percentile([4, 1, 3, 2], 50) == 2.5
    assert percentile([0, 10], 95) == 9.5
    assert percentile([7], 95) == 7


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        percentile([], 50)


@given(VALUES)
def test_percentiles_lie_between_the_least_and_the_most_and_the_fiftieth_is_the_median(
    values: list[float],
) -> None:
    assert percentile(values, 0) == min(values)
    assert percentile(values, 100) == max(values)
    assert percentile(values, 50) == pytest.approx(statistics.median(values))


def test_the_figures_of_a_workload_come_from_all_its_answers() -> None:
    found = figure(
        "load", Outcome(2.0, [answered(1.0, 1.1, 1.4), answered(1.5, 2.0, sent_at=0.5), answered(2.0)])
    )

    assert found == pytest.approx(
        {
            "load.wall_s": 2.0,
            "load.first_p50_s": 1.0,
            "load.first_p95_s": 1.9,
            "load.tokens_per_s": 3.0,
            "load.computed": 60,
            "load.generated": 6,
            "load.gap_p50_s": 0.3,
            "load.gap_p95_s": 0.48,
            "load.gap_max_s": 0.5,
        }
    )


def test_a_workload_with_a_failed_answer_has_no_figures_but_their_number() -> None:
    failed = Answer(sent_at=0.0, error="HTTP 500")

    assert figure("load", Outcome(2.0, [answered(1.0), failed])) == {"load.failed": 1.0}


def test_rounds_are_told_by_their_median_least_and_most() -> None:
    merged = merge_rounds([{"a": 3.0}, {"a": 1.0}, {"a": 2.0}])

    assert merged == {"a": Spread(2.0, 1.0, 3.0)}
    assert medians(merged) == {"a": 2.0}


def test_what_failed_in_one_round_has_no_median_and_its_failures_add_up() -> None:
    merged = merge_rounds([{"a.wall_s": 3.0}, {"a.failed": 2.0}, {"a.failed": 1.0}])

    assert merged == {"a.failed": Spread(3.0, 3.0, 3.0)}


def test_the_servers_own_time_is_the_median_of_differences_within_pairs() -> None:
    assert summarise([(0.5, 0.25), (1.0, 0.875), (0.75, 0.25)]) == Overhead(0.25, 0.75, 0.25)
