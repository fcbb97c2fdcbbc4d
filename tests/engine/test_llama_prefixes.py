"""Prefixes that are computed once: shared in the context, or brought back from memory and disk, unchanged.

Two computations of the same differ in the last digits, by what is computed beside them. So answers are
compared by their log probabilities, up to where they part, and there it must have been a close decision.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from runtime.backends.protocol import Generate, RawPrompt, Sampling, Tuning
from tests.kit.engine_laws import Account, Ledger
from tests.kit.remote_engine import Child, RemoteEngine, open_child

pytestmark = pytest.mark.engine

NOISE = 0.25
"""How far the logarithms of one token's probability may lie apart in two computations."""
NUMBERS = count(1)
PROSE = (
    "The harbour lay quiet under the morning fog, and the boats had not yet gone out. An old man mended his "
    "nets on the stones, as he had done each day for forty years, and counted the gulls on the wall. "
)
LONG = PROSE * 5
OTHER = (
    "Take four eggs, a spoon of sugar, and as much flour as the bowl will hold. Beat the eggs until they are "
    "white, then add the milk slowly, and never stop to stir while the pan is getting hot over the fire. "
) * 5
BIG = 1 << 28
FORCED = 17
"""How a call ends is forced by its grammar, and not computed any more: so many tokens at most."""
COUNT_TOOL = {
    "type": "function",
    "function": {
        "name": "tally",
        "parameters": {
            "type": "object",
            "properties": {"of": {"type": "string", "maxLength": 12}, "count": {"type": "integer"}},
            "required": ["of", "count"],
            "additionalProperties": False,
        },
    },
}

Load = Callable[[Tuning], RemoteEngine]


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def desk(child: Child, smollm2_path: Path) -> Iterator[RemoteEngine]:
    engine = child.create()
    engine.load(str(smollm2_path), Tuning(context_tokens=4096, sequences=8, threads=2), _ignore)
    yield engine
    engine.close()


@pytest.fixture
def load(child: Child, smollm2_path: Path) -> Iterator[Load]:
    """Load the weights with a tuning of one's own."""
    engines: list[RemoteEngine] = []

    def load_with(tuning: Tuning, path: Path = smollm2_path) -> RemoteEngine:
        engines.append(child.create())
        engines[-1].load(str(path), tuning, _ignore)
        return engines[-1]

    yield load_with
    for engine in engines:
        engine.close()


def _ignore(_: float) -> None:
    """Nobody watches the load."""


def tuned(context_tokens: int = 512, sequences: int = 1, **fields: Any) -> Tuning:
    return Tuning(context_tokens=context_tokens, sequences=sequences, threads=2, speculation=False, **fields)


def proceed(text: str, *, max_tokens: int = 8, logprobs: int | None = 2, **fields: Any) -> Generate:
    """Continue a raw text, greedily."""
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens, logprobs=logprobs, ignore_eos=True)
    return Generate(seq=next(NUMBERS), prompt=RawPrompt(text=text), sampling=sampling, **fields)


def play(engine: RemoteEngine, request: Generate) -> Account:
    return Ledger(engine).play(request)


def assert_alike(one: Account, other: Account, *, noise: float = NOISE) -> None:
    assert one.choices
    for mine, yours in zip(one.choices, other.choices, strict=True):
        if mine.chosen.data != yours.chosen.data:
            first, second = mine.top[:2]
            assert first.logprob - second.logprob < noise, "it was no close decision"
            break

        assert abs(mine.chosen.logprob - yours.chosen.logprob) < noise


def computed(engine: RemoteEngine) -> float:
    return engine.gauges()["prompt_tokens_computed"]


# ---- inside the context


def test_a_prompt_that_was_computed_is_found_and_answered_alike(desk: RemoteEngine) -> None:
    first = play(desk, proceed("A tale. " + LONG))
    before = computed(desk)
    again = play(desk, proceed("A tale. " + LONG))

    assert first.end.cached_tokens == 0
    assert again.end.cached_tokens == again.end.prompt_tokens - 1
    assert computed(desk) - before == 1
    assert_alike(first, again)


def test_what_many_ask_about_at_once_is_computed_once(desk: RemoteEngine) -> None:
    before = computed(desk)
    ledger = Ledger(desk)
    accounts = [
        ledger.submit(proceed(f"Recipe. {OTHER} Guest {name} said", max_tokens=2)) for name in "ABCDEFGH"
    ]
    ledger.drain()

    prompts = [account.end.prompt_tokens for account in accounts]
    assert min(prompts) > 200
    assert computed(desk) - before < max(prompts) + 8 * 8
    assert sum(account.end.cached_tokens for account in accounts) == sum(prompts) - (computed(desk) - before)
    assert sorted(account.end.cached_tokens > 200 for account in accounts) == [False] + [True] * 7


def test_what_others_share_changes_no_answer(desk: RemoteEngine) -> None:
    texts = [f"Song {number}. {PROSE}The {thing}" for number, thing in enumerate(("man", "fog", "boat"))]
    alone = [play(desk, proceed(text)) for text in texts]
    ledger = Ledger(desk)
    together = [ledger.submit(proceed(text)) for text in texts]
    ledger.drain()

    for one, other in zip(alone, together, strict=True):
        assert_alike(one, other)


def test_more_seqs_than_the_context_holds_all_end_well(load: Load) -> None:
    engine = load(tuned(512, 3))
    ledger = Ledger(engine)
    accounts = [
        ledger.submit(proceed(f"Chapter {number}. {PROSE}", max_tokens=120, logprobs=None))
        for number in range(7)
    ]
    ledger.drain()

    assert [account.end.reason for account in accounts] == ["length"] * 7
    assert {account.end.completion_tokens for account in accounts} == {120}
    assert sum(account.end.prompt_tokens for account in accounts) + 7 * 120 > 2 * 512


def test_a_seq_that_had_to_leave_comes_back_and_goes_on_alike(load: Load) -> None:
    engine = load(tuned(512, 2, cache_ram_bytes=BIG))
    text = "A tale. " + PROSE
    undisturbed = play(engine, proceed(text, max_tokens=40))
    ledger = Ledger(engine)
    night = ledger.submit(proceed(text, max_tokens=40, priority="batch"))
    while night.tokens < 8:
        ledger.step()

    urgent = ledger.submit(proceed(OTHER + OTHER[:200], max_tokens=200, logprobs=None))
    while not urgent.deltas:
        ledger.step()
    stood_at = night.tokens
    while not urgent.is_over:
        ledger.step()
        if not urgent.is_over:
            assert night.tokens == stood_at, "there was no room for both"
    ledger.drain()

    assert urgent.end.completion_tokens == 200
    assert stood_at < 40
    assert_alike(undisturbed, night)


def test_a_quantised_context_answers_and_shares(load: Load) -> None:
    exact, small = load(tuned()), load(tuned(kv_type="q8_0"))
    text = "A tale. " + PROSE

    first, again = play(small, proceed(text)), play(small, proceed(text))

    assert again.end.cached_tokens == again.end.prompt_tokens - 1
    assert_alike(first, again)
    assert_alike(play(exact, proceed(text)), first, noise=2 * NOISE)


# ---- beside the context


def test_a_prefix_that_left_the_context_comes_back_from_memory(load: Load) -> None:
    engine = load(tuned(256, cache_ram_bytes=BIG))
    first = play(engine, proceed("A tale. " + LONG))
    play(engine, proceed("Recipe. " + OTHER))
    before = computed(engine)
    again = play(engine, proceed("A tale. " + LONG))

    assert engine.gauges()["vault_hits"] == 1
    assert again.end.cached_tokens == again.end.prompt_tokens - 1
    assert computed(engine) - before == 1
    assert_alike(first, again)


def test_without_room_beside_the_context_it_is_computed_again(load: Load) -> None:
    engine = load(tuned(256))
    first = play(engine, proceed("A tale. " + LONG))
    play(engine, proceed("Recipe. " + OTHER))
    again = play(engine, proceed("A tale. " + LONG))

    assert again.end.cached_tokens < 8
    assert_alike(first, again)


@pytest.fixture
def kept(load: Load, tmp_path: Path) -> tuple[Tuning, Account]:
    """A folder that a worker left its prefixes in, as a tuning, and what it had answered."""
    tuning = tuned(cache_disk_bytes=BIG, cache_folder=str(tmp_path / "cache"))
    engine = load(tuning)
    account = play(engine, proceed("A tale. " + LONG))
    engine.close()
    return tuning, account


def files_in(tuning: Tuning) -> list[Path]:
    assert tuning.cache_folder is not None
    files = [path for path in Path(tuning.cache_folder).rglob("*") if path.is_file()]
    assert files
    return files


def test_a_prefix_on_disk_outlives_its_engine(load: Load, kept: tuple[Tuning, Account]) -> None:
    tuning, account = kept
    again = play(load(tuning), proceed("A tale. " + LONG))

    assert again.end.cached_tokens == again.end.prompt_tokens - 1
    assert_alike(account, again)


@pytest.mark.parametrize("place", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_as_good_as_none(load: Load, kept: tuple[Tuning, Account], place: float) -> None:
    tuning, account = kept
    for path in files_in(tuning):
        data = bytearray(path.read_bytes())
        at = int(place * len(data))
        data[at] ^= 0xFF
        path.write_bytes(data)

    again = play(load(tuning), proceed("A tale. " + LONG))

    assert again.end.cached_tokens == 0
    assert_alike(account, again)


def test_a_short_file_is_as_good_as_none(load: Load, kept: tuple[Tuning, Account]) -> None:
    tuning, account = kept
    for path in files_in(tuning):
        path.write_bytes(path.read_bytes()[:-100])

    again = play(load(tuning), proceed("A tale. " + LONG))

    assert again.end.cached_tokens == 0
    assert_alike(account, again)


def test_what_another_model_or_kind_of_context_left_is_not_used(
    child: Child, smollm2_path: Path, kept: tuple[Tuning, Account], tmp_path: Path
) -> None:
    tuning, _ = kept
    twin = tmp_path / "another.gguf"
    twin.symlink_to(smollm2_path)
    other_kind = tuned(cache_disk_bytes=BIG, cache_folder=tuning.cache_folder, kv_type="q8_0")
    for path, mine in ((twin, tuning), (smollm2_path, other_kind)):
        engine = child.create()
        engine.load(str(path), mine, _ignore)
        account = play(engine, proceed("A tale. " + LONG))
        engine.close()
        assert account.end.cached_tokens == 0


# ---- over the turns of a conversation


def chat(messages: list[dict[str, Any]], **fields: Any) -> Generate:
    sampling = Sampling(temperature=1.2, seed=next(NUMBERS), max_tokens=48)
    return Generate(seq=next(NUMBERS), messages=messages, sampling=sampling, **fields)


def test_each_turn_finds_all_of_the_turns_before(desk: RemoteEngine) -> None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are a poet of the sea."}]
    known = 0
    for question in ("Write about ¿naïve? ships — in odd wörds.", "Now with whales 🐋.", "And a storm."):
        messages.append({"role": "user", "content": question})
        account = play(desk, chat(messages))
        assert account.end.cached_tokens >= known
        known = account.end.prompt_tokens + account.end.completion_tokens - 2
        messages.append({"role": "assistant", "content": account.text})


def test_a_turn_after_a_tool_call_finds_the_call(desk: RemoteEngine) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How many ships are in the harbour?"}]
    tools = {"tools": [COUNT_TOOL], "parallel_tool_calls": False}
    for _ in range(2):
        called = play(desk, chat(messages, tool_mode="required", **tools))
        assert called.end.reason == "tool_calls"
        ((call_id, name, arguments),) = called.calls().values()
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": "12"},
        ]
        told = play(desk, chat(messages, **tools))
        assert told.end.cached_tokens >= called.end.prompt_tokens + called.end.completion_tokens - FORCED - 1
        messages += [
            {"role": "assistant", "content": told.text or "Twelve."},
            {"role": "user", "content": "And now?"},
        ]
