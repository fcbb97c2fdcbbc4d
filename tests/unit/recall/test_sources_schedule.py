"""When places are due: laws of the schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.recall.sources.schedule import (
    JITTER,
    LONGEST_REST_S,
    SPREAD_S,
    STEP_S,
    after_failure,
    after_restart,
    after_success,
)

NOW = 1_700_000_000.0
INTERVALS = st.floats(60, 366 * 86400)
DICE = st.floats(0, 1, exclude_max=True)


@given(INTERVALS, DICE)
def test_the_next_look_lies_within_a_tenth_of_the_interval(interval_s: float, dice: float) -> None:
    rest_s = after_success(NOW, interval_s, dice) - NOW

    assert interval_s * (1 - JITTER) - 1e-3 <= rest_s <= interval_s * (1 + JITTER) + 1e-3


@given(INTERVALS, st.integers(1, 10_000), st.none() | st.floats(0, 1e12), DICE)
def test_after_failures_the_rest_is_positive_and_bounded(
    interval_s: float, failures: int, retry_after_s: float | None, dice: float
) -> None:
    rest_s = after_failure(NOW, interval_s, failures, retry_after_s, dice) - NOW
    longest_s = max(interval_s, LONGEST_REST_S)

    assert 50 <= rest_s <= longest_s * (1 + JITTER) + 1e-3
    if retry_after_s is not None:
        assert rest_s >= min(retry_after_s, longest_s) - 1e-3


@given(INTERVALS, st.integers(1, 40), DICE)
def test_each_failure_doubles_the_rest_until_the_longest(
    interval_s: float, failures: int, dice: float
) -> None:
    one = after_failure(NOW, interval_s, failures, None, dice) - NOW
    next_one = after_failure(NOW, interval_s, failures + 1, None, dice) - NOW

    assert one - 1e-3 <= next_one <= 2 * one + 1e-3
    if 2 * one < LONGEST_REST_S * (1 - JITTER):
        assert next_one == pytest.approx(2 * one, abs=1e-3)


@given(st.integers(1, 5000), st.data())
def test_a_restart_spreads_what_is_overdue_in_order_and_within_bounds(
    overdue: int, data: st.DataObject
) -> None:
    dice = data.draw(st.lists(DICE, min_size=2, max_size=2))
    place = data.draw(st.integers(0, overdue - 1))
    due = after_restart(NOW, place, overdue, dice[0]) - NOW
    following = after_restart(NOW, place + 1, overdue, dice[1]) - NOW

    assert 0 <= due <= min(SPREAD_S, STEP_S * overdue) + 1e-3
    assert due <= following + 1e-3
