from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.pace import ALONE_S, BESIDE_S, Budgets, Pace

speeds = st.floats(1, 100_000)


@given(speeds, st.integers(1, 512))
def test_slices_stay_within_the_batch_and_never_end(speed: float, most: int) -> None:
    budgets = Pace(most, speed).budgets
    assert 1 <= budgets.beside <= budgets.alone <= most


@given(speeds, st.lists(st.tuples(st.integers(0, 512), st.floats(0.001, 10)), max_size=20))
def test_a_step_is_as_short_as_the_speed_allows(speed: float, steps: list[tuple[int, float]]) -> None:
    pace = Pace(512, speed)
    for tokens, duration_s in steps:
        pace.measured(tokens, 0, duration_s)

    for _ in range(60):
        pace.measured(100, 0, 100 / speed)

    budgets = pace.budgets
    assert budgets.alone <= max(16, 64 if speed >= 31 else 0, speed * ALONE_S * 1.01)
    assert budgets.beside <= max(16, speed * BESIDE_S * 1.01)


def test_a_small_processor_computes_long_prompts_in_slices() -> None:
    assert Pace(512, 340).budgets == Budgets(alone=256, beside=64, whole=128)


def test_a_fast_machine_fills_its_batch() -> None:
    assert Pace(512, 5000).budgets == Budgets(alone=512, beside=512, whole=128)


def test_a_short_prompt_is_computed_whole_even_on_a_busy_machine() -> None:
    assert Pace(512, 40).budgets.alone == 64


def test_small_changes_of_speed_change_nothing() -> None:
    pace = Pace(512, 340)
    before = pace.budgets
    for speed in (300, 370, 310, 350):
        pace.measured(speed, 0, 1.0)

    assert pace.budgets == before


def test_a_machine_that_slows_down_gets_smaller_slices() -> None:
    pace = Pace(512, 340)
    for _ in range(20):
        pace.measured(20, 0, 1.0)

    assert pace.budgets == Budgets(alone=16, beside=16, whole=16)


def test_steps_with_hardly_any_prompt_teach_nothing() -> None:
    pace = Pace(512, 340)
    for _ in range(20):
        pace.measured(2, 0, 1.0)

    assert pace.budgets == Budgets(alone=256, beside=64, whole=128)


def test_what_generated_tokens_cost_is_not_laid_on_the_prompts_beside_them() -> None:
    pace = Pace(512, 340)
    for _ in range(60):
        pace.measured(0, 8, 0.4)
    for _ in range(20):
        pace.measured(136, 8, 0.8)

    assert pace.budgets == Budgets(alone=256, beside=64, whole=128)


def test_a_slow_machine_cuts_even_short_prompts_beside_streams() -> None:
    assert Pace(512, 50).budgets.whole == 40
