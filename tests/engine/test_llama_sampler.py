"""The llama engine's sampler against the definition of each setting, written down plainly."""

import json
import math
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.remote_engine import ROOT

pytestmark = pytest.mark.engine

Draw = Callable[..., list[int]]
OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 1}


@pytest.fixture
def draw(llama_python: str) -> Draw:
    def draw_tokens(logits: list[float], count: int, *, asked: dict[str, Any], **case: Any) -> list[int]:
        cases = json.dumps([{"logits": logits, "count": count, "sampling": {**OFF, **asked}, **case}])
        command = [llama_python, "-m", "tests.kit.sampler_probe"]
        done = subprocess.run(
            command, cwd=ROOT, input=cases, capture_output=True, text=True, timeout=60, check=True
        )
        [tokens] = json.loads(done.stdout)
        return [int(token) for token in tokens]

    return draw_tokens


def expected(logits: list[float], asked: dict[str, Any]) -> dict[int, float]:
    """The probabilities that remain, by sorting everything."""
    settings = {**OFF, **asked}
    weights = {token: math.exp(logit / settings["temperature"]) for token, logit in enumerate(logits)}
    ranked = sorted(weights, key=lambda token: -weights[token])
    kept = [token for token in ranked if weights[token] >= settings["min_p"] * weights[ranked[0]]]
    kept = kept[: settings["top_k"] or None]
    total, share = sum(weights[token] for token in kept), 0.0
    nucleus: list[int] = []
    for token in kept:
        nucleus.append(token)
        share += weights[token] / total
        if share >= settings["top_p"]:
            break

    total = sum(weights[token] for token in nucleus)
    return {token: weights[token] / total for token in nucleus}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0, "top_k": 4},
        {"top_p": 0.7},
        {"min_p": 0.2},
        {"temperature": 1.5, "top_k": 6, "top_p": 0.9, "min_p": 0.05},
    ],
)
def test_tokens_are_drawn_with_the_probabilities_that_the_settings_define(
    draw: Draw, asked: dict[str, Any]
) -> None:
    dice = random.Random(7)
    logits = [dice.uniform(-2, 2) for _ in range(12)]
    wanted = expected(logits, asked)

    counts = Counter(draw(logits, 6000, asked=asked))

    assert counts.keys() == wanted.keys()
    distance = sum(abs(counts[token] / 6000 - wanted[token]) for token in wanted) / 2
    assert distance < 0.03


@pytest.mark.parametrize("asked", [{"top_k": 7}, {"top_p": 0.05}, {"top_p": 0.6}, {"min_p": 0.5}])
def test_a_large_flat_vocabulary_is_narrowed_as_by_sorting_it(draw: Draw, asked: dict[str, Any]) -> None:
    dice = random.Random(7)
    logits = [dice.gauss(0, 0.5) for _ in range(6000)]
    wanted = expected(logits, asked)

    drawn = set(draw(logits, 4000, asked=asked))

    assert drawn <= wanted.keys()
    assert len(drawn) > min(6, len(wanted) - 1)


def test_the_presence_penalty_counts_a_token_once_and_the_frequency_penalty_each_time(draw: Draw) -> None:
    logits = [3.0, 2.0, 0.5]
    greedy = {"temperature": 0.0}
    assert draw(logits, 4, asked={**greedy, "presence_penalty": 1.5}) == [0, 1, 0, 0]
    assert draw(logits, 6, asked={**greedy, "frequency_penalty": 0.75}) == [0, 0, 1, 0, 1, 0]


def test_the_repeat_penalty_shrinks_what_is_positive_and_sinks_what_is_negative(draw: Draw) -> None:
    asked = {"temperature": 0.0, "repeat_penalty": 2.0}
    assert draw([3.0, 2.0, 1.0], 2, asked=asked, prompt=[0]) == [1, 0]
    assert draw([-1.0, -1.5], 1, asked=asked, prompt=[0]) == [1]


def test_tokens_that_end_an_answer_are_never_drawn_where_they_are_to_be_ignored(draw: Draw) -> None:
    logits = [9.0, 1.0, 0.0]
    assert set(draw(logits, 500, asked={"ignore_eos": True}, ends=[0])) == {1, 2}
    assert 0 in draw(logits, 5, asked={}, ends=[0])


def test_a_bias_is_added_before_anything_else(draw: Draw) -> None:
    asked = {"temperature": 0.0, "logit_bias": {"2": 5.0}}
    assert draw([3.0, 2.0, 0.5], 1, asked=asked) == [2]
    assert draw([3.0, 2.0, 0.5], 1, asked={"temperature": 0.0, "logit_bias": {"0": -100.0}}) == [1]


def test_typical_sampling_keeps_what_surprises_about_as_much_as_expected(draw: Draw) -> None:
    logits = [3.0, 2.0, 1.5, 1.0, 0.0, -1.0]
    asked = {"typical_p": 0.6}
    chances = expected(logits, {})
    entropy = -sum(chance * math.log(chance) for chance in chances.values())
    kept: set[int] = set()
    for token in sorted(chances, key=lambda token: abs(-math.log(chances[token]) - entropy)):
        kept.add(token)
        if sum(chances[each] for each in kept) >= asked["typical_p"]:
            break

    assert set(draw(logits, 400, asked=asked)) == kept
