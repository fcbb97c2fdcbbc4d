"""Lookup and gate together, on texts."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.drafts import Drafts
from runtime.backends.engines.llama.gain import CostCurve

GEMMA = CostCurve({1: 0.0138, 2: 0.030, 8: 0.055, 16: 0.077})
SMOLLM2 = CostCurve({1: 0.0077, 2: 0.0165, 4: 0.0238, 8: 0.038, 16: 0.068})


def generate(drafts: Drafts, answer: list[int], curve: CostCurve) -> float:
    """Let the model say `answer`; return the time by that without any drafts."""
    at, time_s = 0, 0.0
    while at < len(answer):
        proposed = drafts.propose(0, len(answer) - at - 1)
        accepted = 0
        while accepted < len(proposed) and proposed[accepted] == answer[at + accepted]:
            accepted += 1
        time_s += curve.step_s(1 + len(proposed))
        drafts.took(answer[at : at + accepted + 1])
        at += accepted + 1
    return time_s / (len(answer) * curve.step_s(1))


def test_an_answer_that_repeats_the_prompt_gets_faster() -> None:
    prompt = [Random(1).randrange(1000) for _ in range(300)]

    drafts = Drafts(prompt, GEMMA)

    assert generate(drafts, prompt[20:280], GEMMA) < 0.55
    assert drafts.accepted_tokens > 200


def test_an_answer_that_repeats_nothing_costs_nothing() -> None:
    random = Random(1)
    prompt, answer = ([random.randrange(1000) for _ in range(300)] for _ in range(2))

    drafts = Drafts(prompt, GEMMA)

    assert generate(drafts, answer, GEMMA) == pytest.approx(1.0)
    assert drafts.drafted_tokens == 0


def test_an_answer_that_often_misleads_costs_less_than_two_percent() -> None:
    random = Random(1)
    answer = [random.choice([1, 2, 3]) for _ in range(400)]

    drafts = Drafts([1, 2, 3] * 20, SMOLLM2)

    assert generate(drafts, answer, SMOLLM2) < 1.02


@given(
    st.lists(st.integers(0, 3), max_size=20),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6)), max_size=60),
)
def test_whatever_comes_the_counts_are_true(prompt: list[int], steps: list[tuple[int, int, int]]) -> None:
    drafts = Drafts(prompt, CostCurve({1: 1.0, 16: 1.1}))
    drafted = accepted = 0
    for token, room, allowed in steps:
        proposed = drafts.propose(0, room)
        assert len(proposed) <= room
        drafts.cut(allowed)
        del proposed[allowed:]
        met = len(proposed) // 2
        took = [*proposed[:met], token]
        drafted += len(proposed)
        accepted += met + (met < len(proposed) and proposed[met] == token)
        drafts.took(took)

    assert (drafts.drafted_tokens, drafts.accepted_tokens) == (drafted, accepted)
