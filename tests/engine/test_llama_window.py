"""A model with a sliding window, past its window: what is shared must not cost it what it still looks at."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.backends.protocol import Generate, RawPrompt, Sampling, Tuning
from tests.kit.engine_laws import Account, Ledger
from tests.kit.gemma import gemma_weights
from tests.kit.remote_engine import Child, RemoteEngine, open_child

pytestmark = pytest.mark.engine

WINDOW = 512
"""Gemma 3 looks back so far in five of six layers."""
NOISE = 0.5
"""What batches of other shapes change in a log probability; a lost window changes it by several."""
WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school")
SHARED = " ".join(random.Random(5).choices(WORDS, k=WINDOW + 120))
ENDINGS = (" The capital of France is", " One two three four")
TUNING = Tuning(context_tokens=4096, sequences=2, threads=2, cache_ram_bytes=64 << 20)


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def weights(engine_home: Path) -> Path:
    return gemma_weights(engine_home / "models" / "gemma-3-270m")


def load(child: Child, weights: Path, tuning: Tuning = TUNING) -> tuple[RemoteEngine, Ledger]:
    engine = child.create()
    engine.load(str(weights), tuning, lambda _: None)
    return engine, Ledger(engine)


def ask(seq: int, text: str) -> Generate:
    sampling = Sampling(temperature=0.0, max_tokens=1, logprobs=8, ignore_eos=True)
    return Generate(seq=seq, prompt=RawPrompt(text=text), sampling=sampling)


def alone(child: Child, weights: Path, text: str) -> Account:
    engine, ledger = load(child, weights)
    account = ledger.play(ask(1, text))
    engine.close()
    return account


def assert_alike(left: Account, right: Account) -> None:
    """The likeliest next tokens are the same ones, but for the noise."""
    one, other = ({rival.data: rival.logprob for rival in each.choices[0].top} for each in (left, right))
    common = one.keys() & other.keys()
    assert len(common) >= 5
    assert all(abs(one[token] - other[token]) < NOISE for token in common)


def test_prompts_that_part_past_the_window_are_answered_as_if_alone(child: Child, weights: Path) -> None:
    engine, ledger = load(child, weights)
    together = [ledger.submit(ask(seq, SHARED + ending)) for seq, ending in enumerate(ENDINGS, 1)]
    ledger.drain()
    later = ledger.play(ask(3, SHARED + ENDINGS[0]))
    engine.close()

    first, second = together
    assert first.started is not None
    assert first.started.prompt_tokens > WINDOW
    assert (first.end.cached_tokens, second.end.cached_tokens > WINDOW) == (0, True)
    assert later.end.cached_tokens > WINDOW
    for account, ending in zip(together, ENDINGS, strict=True):
        assert_alike(account, alone(child, weights, SHARED + ending))
    assert_alike(later, first)


def test_a_conversation_goes_on_past_the_window(child: Child, weights: Path) -> None:
    engine, ledger = load(child, weights)
    first = ledger.play(ask(1, SHARED))
    longer = SHARED + first.text + ENDINGS[1]
    second = ledger.play(ask(2, longer))
    engine.close()

    assert second.end.cached_tokens > WINDOW
    assert_alike(second, alone(child, weights, longer))
