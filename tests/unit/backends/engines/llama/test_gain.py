"""Guessing ahead is on where it pays and off where it does not, on curves that were measured."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.gain import MOST_DRAFTED, CostCurve, Gate

SMOLLM2 = {1: 0.0077, 2: 0.0165, 4: 0.0238, 8: 0.038, 16: 0.068}
"""SmolLM2-135M Q4_1 on two cores: every row costs half a step."""
GEMMA = {1: 0.0138, 2: 0.030, 8: 0.055, 16: 0.077}
"""Gemma 3 270M Q4_K_M on the same."""
FLAT = {1: 0.006, 2: 0.0062, 4: 0.0064, 8: 0.0069, 16: 0.008}
"""As where reading the weights is all that takes time."""


def replay(curve: CostCurve, rate: float, *, rows_beside: int = 0, seed: int = 0, tokens: int = 400) -> float:
    """Return the time of an answer with a gate, by that without; guesses are right by `rate`."""
    random, gate = Random(seed), Gate(curve)
    plain_s = curve.step_s(rows_beside + 1)
    time_s, done = 0.0, 0
    while done < tokens:
        length = gate.length(rows_beside)
        drafted = length or 8
        accepted = 0
        while accepted < drafted and random.random() < rate:
            accepted += 1
        time_s += curve.step_s(rows_beside + 1 + length) if length else plain_s * (accepted + 1)
        done += accepted + 1
        gate.seen(drafted, accepted)
    return time_s / (done * plain_s)


def taught(curve: CostCurve, drafted: int, accepted: int, times: int = 20) -> Gate:
    gate = Gate(curve)
    for _ in range(times):
        gate.seen(drafted, accepted)
    return gate


def test_a_gate_is_off_until_it_was_shown_something() -> None:
    assert [Gate(CostCurve(curve)).length(0) for curve in (SMOLLM2, GEMMA)] == [0, 0]


@pytest.mark.parametrize("rate", [0.0, 0.19, 0.4, 0.57, 0.7])
def test_bad_guesses_cost_less_than_two_percent_on_a_steep_curve(rate: float) -> None:
    ratios = [replay(CostCurve(SMOLLM2), rate, seed=seed) for seed in range(20)]

    assert max(ratios) < 1.02


@pytest.mark.parametrize("curve", [SMOLLM2, GEMMA, FLAT])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0])
def test_on_average_no_guesses_cost_two_percent(curve: dict[int, float], rate: float) -> None:
    ratios = [replay(CostCurve(curve), rate, seed=seed) for seed in range(20)]

    assert sum(ratios) / len(ratios) < 1.02


def test_good_guesses_fill_eight_to_sixteen_rows() -> None:
    gate = taught(CostCurve(GEMMA), 10, 9)

    assert gate.rate == pytest.approx(0.9, abs=0.02)
    assert 8 <= gate.length(0) + 1 <= 17
    assert replay(CostCurve(GEMMA), 0.9) < 0.85


def test_where_rows_are_nearly_free_middling_guesses_pay() -> None:
    assert taught(CostCurve(FLAT), 2, 1).length(0) > 0
    assert replay(CostCurve(FLAT), 0.5) < 0.7


def test_a_wide_batch_turns_guessing_off() -> None:
    gate = taught(CostCurve(GEMMA), 10, 9)

    assert gate.length(0) > 0
    assert gate.length(15) == 0


def test_it_turns_on_when_a_text_begins_to_repeat_and_off_when_it_ends() -> None:
    gate = taught(CostCurve(GEMMA), 8, 1)
    assert gate.length(0) == 0

    repeated = 0
    while not gate.length(0):
        gate.seen(8, 8)
        repeated += 1
    assert repeated <= 6

    failed = 0
    while gate.length(0):
        gate.seen(8, 0)
        failed += 1
    assert failed <= 6


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(0, 16)), max_size=30), st.integers(0, 30))
def test_the_length_is_within_bounds_and_the_same_again(
    seen: list[tuple[int, int]], rows_beside: int
) -> None:
    one, other = Gate(CostCurve(GEMMA), most=5), Gate(CostCurve(GEMMA), most=5)
    for drafted, accepted in seen:
        one.seen(drafted, min(accepted, drafted))
        other.length(rows_beside)
        other.seen(drafted, min(accepted, drafted))

    assert one.length(rows_beside) == other.length(rows_beside) == one.length(rows_beside)
    assert 0 <= one.length(rows_beside) <= 5
    assert 0.0 <= one.rate <= 1.0


@given(
    st.dictionaries(st.integers(1, 64), st.floats(1e-6, 10), min_size=1),
    st.integers(1, 200),
    st.integers(0, 200),
)
def test_more_rows_never_cost_less(times: dict[int, float], rows: int, more: int) -> None:
    curve = CostCurve(times)

    assert 0 < curve.step_s(rows) <= curve.step_s(rows + more) * (1 + 1e-9)


def test_the_curve_goes_through_what_was_measured_and_on_beyond() -> None:
    curve = CostCurve(SMOLLM2)

    assert [curve.step_s(rows) for rows in SMOLLM2] == pytest.approx(list(SMOLLM2.values()))
    assert curve.step_s(3) == pytest.approx((0.0165 + 0.0238) / 2)
    assert curve.step_s(24) == pytest.approx(0.098)


def test_a_single_measurement_promises_nothing_for_more_rows() -> None:
    curve = CostCurve({1: 0.01})

    assert curve.step_s(8) == pytest.approx(0.08)
    assert not curve.is_worth_forcing(8, 0)


def test_forced_tokens_are_computed_at_once_where_that_is_faster() -> None:
    steep, flat = CostCurve(SMOLLM2), CostCurve(FLAT)

    assert not steep.is_worth_forcing(1, 0)
    assert steep.is_worth_forcing(4, 0)
    assert not steep.is_worth_forcing(4, 15)
    assert flat.is_worth_forcing(1, 0)
    assert not flat.is_worth_forcing(0, 0)


def test_most_drafted_is_what_a_certain_text_gets() -> None:
    assert taught(CostCurve(FLAT), 8, 8).length(0) == MOST_DRAFTED
