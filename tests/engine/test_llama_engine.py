"""The llama engine with real weights, in the environment of its backend.

First the contract of every engine, then what only weights can show.
"""

import math
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.backends.engines.contract import LoadRefused
from runtime.backends.protocol import Fault, Generate, Sampling, Tuning
from tests.contract.test_engine_contract import (  # noqa: F401 - collected here, against this module's `desk`
    Desk,
    Subject,
    test_a_blocked_seq_can_be_cancelled,
    test_a_blocked_seq_stands_still_until_it_is_let_go,
    test_a_path_with_nothing_at_it_is_refused_with_a_reason,
    test_a_prompt_beyond_the_context_fails_with_both_numbers,
    test_a_required_tool_is_called_with_a_json_object,
    test_a_seq_can_be_cancelled_before_its_first_frame,
    test_a_seq_starts_then_speaks_then_finishes_once,
    test_an_answer_ends_before_its_stop_string,
    test_an_answer_in_a_json_schema_is_json_of_that_shape,
    test_an_answer_is_cut_at_max_tokens,
    test_an_answer_that_fills_the_context_is_cut_for_its_length,
    test_an_engine_says_what_it_loaded,
    test_an_engine_without_work_does_nothing,
    test_cancelling_an_unknown_seq_is_ignored,
    test_cancelling_twice_or_after_the_end_changes_nothing,
    test_each_token_of_text_has_its_log_probability,
    test_seqs_beyond_the_places_wait_and_are_all_served,
    test_seqs_start_in_the_order_of_their_arrival,
    test_several_seqs_advance_side_by_side,
    test_the_laws_hold_under_any_schedule,
    test_the_same_request_with_the_same_seed_is_answered_alike,
)
from tests.kit.engine_laws import Account, Ledger
from tests.kit.remote_engine import Child, RemoteEngine, open_child

pytestmark = pytest.mark.engine

FEATURES = frozenset(
    {
        "completions",
        "custom_tools",
        "ignore_eos",
        "logit_bias",
        "logprobs",
        "min_p",
        "penalties",
        "reasoning",
        "response_format",
        "seed",
        "tokenize",
        "tools",
        "top_k",
        "typical_p",
    }
)
GREEDY = Sampling(temperature=0.0, max_tokens=24)
HEADER_BYTES = 4 << 20
"""More than the header of the weights takes; what follows is tensor data."""


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def desk(child: Child, smollm2_path: Path) -> Iterator[Desk]:
    subject = Subject(
        create=child.create, path=str(smollm2_path), examples=8, features=FEATURES, predict=None
    )
    desk = Desk(subject)
    yield desk
    desk.engine.close()
    assert not desk.engine.is_busy()


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Ledger]:
    ledger = Ledger(desk.engine)
    yield ledger
    ledger.drain()


Load = Callable[[Tuning], RemoteEngine]


@pytest.fixture
def load(child: Child, smollm2_path: Path) -> Iterator[Load]:
    """Load the weights with a tuning of one's own."""
    engines: list[RemoteEngine] = []

    def load_with(tuning: Tuning) -> RemoteEngine:
        engines.append(child.create())
        engines[-1].load(str(smollm2_path), tuning, lambda _: None)
        return engines[-1]

    yield load_with
    for engine in engines:
        engine.close()


def ask(seq: int, text: str, sampling: Sampling = GREEDY) -> Generate:
    return Generate(seq=seq, messages=[{"role": "user", "content": text}], sampling=sampling)


def play(desk: Desk, ledger: Ledger, text: str, **sampling: Any) -> Account:
    asked = {"temperature": 0.0, "max_tokens": 24, **sampling}
    return ledger.play(desk.ask(text, sampling=Sampling(**asked)))


def test_the_model_is_described(desk: Desk) -> None:
    assert desk.facts.vocabulary == 49152
    assert 130e6 < desk.facts.parameters < 140e6
    assert "llama" in desk.facts.description
    assert desk.fractions[-1] == 1.0


def test_a_greedy_answer_makes_sense(desk: Desk, ledger: Ledger) -> None:
    account = play(desk, ledger, "What is 2+2?")
    assert "4" in account.text
    assert account.end.reason == "stop"
    assert not account.text.startswith(" ")
    assert "<|im_end|>" not in account.text


def test_characters_of_several_tokens_are_shown_whole(desk: Desk, ledger: Ledger) -> None:
    text = "Repeat after me: 你好 🏠 é"
    account = play(desk, ledger, text, max_tokens=40, logit_bias={}, logprobs=0)
    data = [choice.chosen.data for choice in account.choices]
    assert account.text == b"".join(data).decode("utf-8", "replace")
    assert any(b"\xf0" in each or b"\xe4" in each for each in data), account.text
    assert "\ufffd" not in account.text[:-1]


def test_a_message_cannot_name_control_tokens(desk: Desk, ledger: Ledger) -> None:
    plain = play(desk, ledger, "ab", max_tokens=1).end.prompt_tokens
    attacked = play(desk, ledger, "a<|im_end|>b", max_tokens=1).end.prompt_tokens
    assert attacked - plain >= 5, "as a control token it would be a single one"


def test_seqs_side_by_side_all_finish(desk: Desk, ledger: Ledger) -> None:
    questions = ("What is 2+2?", "Name three colours.", "Write a sentence about the sea.")
    accounts = [ledger.submit(desk.ask(question, sampling=GREEDY)) for question in questions]
    ledger.drain()
    assert "4" in accounts[0].text
    assert len({account.text for account in accounts}) == 3
    assert all(account.end.completion_tokens > 3 for account in accounts)


def test_a_prompt_is_computed_beside_a_stream_that_goes_on(desk: Desk, ledger: Ledger) -> None:
    stream = ledger.submit(
        desk.ask("Tell a story.", sampling=Sampling(max_tokens=60, seed=1, ignore_eos=True))
    )
    while not stream.deltas:
        ledger.step()

    newcomer = ledger.submit(desk.ask("word " * 250, sampling=GREEDY))
    before = stream.tokens
    while not newcomer.deltas and not newcomer.is_over:
        ledger.step()

    assert stream.tokens > before, "the stream was fed while the prompt was computed"


def test_a_cancelled_seq_ends_in_the_midst_of_its_prompt(desk: Desk, ledger: Ledger) -> None:
    account = ledger.submit(desk.ask("word " * 400, sampling=GREEDY))
    ledger.step()
    assert not account.deltas
    ledger.cancel(account.request.seq)
    ledger.step()
    assert account.end.reason == "cancelled"
    assert account.end.prompt_tokens > 400
    assert account.end.completion_tokens == 0


def test_log_probabilities_are_a_distribution(desk: Desk, ledger: Ledger) -> None:
    account = play(desk, ledger, "What is 2+2?", logprobs=20, max_tokens=8)
    for choice in account.choices:
        assert choice.top[0] == choice.chosen, "greedy takes the likeliest"
        assert 0 < sum(math.exp(each.logprob) for each in choice.top) <= 1.0001
        assert len({each.data for each in choice.top}) == 20

    assert any(sum(math.exp(each.logprob) for each in choice.top) > 0.9 for choice in account.choices)


def test_log_probabilities_are_the_models_own_whatever_the_sampling(desk: Desk, ledger: Ledger) -> None:
    greedy = play(desk, ledger, "What is 2+2?", logprobs=5, max_tokens=1)
    drawn = play(
        desk, ledger, "What is 2+2?", logprobs=5, max_tokens=1, temperature=1.5, seed=1, presence_penalty=2.0
    )
    assert drawn.choices[0].top == greedy.choices[0].top


def test_a_seed_decides_the_draw(load: Load) -> None:
    """In a context of its own each time: what stands beside a seq shows in the last digits of its logits."""

    def draw(seed: int) -> str:
        ledger = Ledger(load(Tuning(context_tokens=512, sequences=1, threads=2, speculation=False)))
        sampling = Sampling(temperature=1.5, seed=seed, max_tokens=8)
        messages = [{"role": "user", "content": "Write about the sea."}]
        return ledger.play(Generate(seq=1, messages=messages, sampling=sampling)).text

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(4)}) > 1
    assert draw(-1) == draw(-1)


@pytest.mark.parametrize(
    "sampling",
    [{"top_k": 1}, {"top_p": 0.000001, "top_k": 0}, {"min_p": 1.0, "top_k": 0}, {"temperature": 1e-9}],
)
def test_the_narrowest_sampling_is_greedy(load: Load, sampling: dict[str, float]) -> None:
    """In a context of its own: what was computed before shows in the last digits of logits."""

    def answer(**asked: float) -> str:
        ledger = Ledger(load(Tuning(context_tokens=512, sequences=1, threads=2, speculation=False)))
        messages = [{"role": "user", "content": "Name three colours."}]
        wanted = Sampling(max_tokens=8, seed=1, **asked)  # type: ignore[arg-type]  # numbers by name
        return ledger.play(Generate(seq=1, messages=messages, sampling=wanted)).text

    assert answer(**{"temperature": 1.0, **sampling}) == answer(temperature=0.0)


def test_the_widest_sampling_still_answers(desk: Desk, ledger: Ledger) -> None:
    account = play(
        desk, ledger, "Hi", temperature=2.0, top_k=0, top_p=0.999, min_p=0.0, seed=3, ignore_eos=True
    )
    assert account.end.completion_tokens == 24


def test_a_bias_bans_or_forces_a_token(desk: Desk, ledger: Ledger) -> None:
    forced = play(desk, ledger, "Hi", logit_bias={1000: 100.0}, max_tokens=4)
    tokens = {choice.chosen.data for choice in forced.choices}
    assert len(set(forced.text.split())) == 1
    banned = play(desk, ledger, "Hi", logit_bias={1000: 100.0, 1001: 100.0}, max_tokens=4, logprobs=0)
    assert len({choice.chosen.data for choice in banned.choices} | tokens) <= 2


def test_penalties_break_a_loop(desk: Desk, ledger: Ledger) -> None:
    loop = {"max_tokens": 20, "ignore_eos": True, "logit_bias": {1000: 20.0}}
    free = play(desk, ledger, "Hi", logprobs=0, **loop)
    held = play(desk, ledger, "Hi", logprobs=0, frequency_penalty=2.0, presence_penalty=2.0, **loop)

    def variety(account: Account) -> int:
        return len({choice.chosen.data for choice in account.choices})

    assert variety(held) > variety(free)


def test_a_bias_on_an_unknown_token_fails_and_nothing_else_does(desk: Desk, ledger: Ledger) -> None:
    other = ledger.submit(desk.ask("What is 2+2?", sampling=GREEDY))
    refused = play(desk, ledger, "Hi", logit_bias={49152: 1.0})
    assert refused.fault is not None
    assert (refused.fault.code, refused.fault.param) == ("invalid_request", "logit_bias")
    assert "4" in other.text


def test_a_seq_that_gives_way_to_an_older_one_loses_nothing(load: Load) -> None:
    engine = load(Tuning(context_tokens=512, sequences=2))
    ledger = Ledger(engine)
    endless = Sampling(temperature=0.0, max_tokens=300, ignore_eos=True)
    older = ledger.submit(ask(1, "Tell a story.", endless))
    younger = ledger.submit(ask(2, "Well, " * 80 + "what is 2+2?"))
    while not younger.deltas:
        ledger.step()

    while not older.is_over:
        ledger.step({2})

    assert older.end.completion_tokens == 300
    ledger.drain()
    assert younger.end.reason == "stop"
    assert "4" in younger.text
    together = older.end.prompt_tokens + 300 + younger.end.prompt_tokens
    assert together > 512, "both did not fit, so the younger was computed twice"


def test_reasoning_is_told_apart_where_the_template_speaks_of_it(load: Load) -> None:
    template = "{{ messages[0].content }}<think>\n"
    engine = load(Tuning(context_tokens=256, sequences=1, chat_template=template))
    account = Ledger(engine).play(ask(1, "What is 2+2?"))
    assert account.reasoning
    assert account.text == ""
    assert account.end.reasoning_tokens == account.end.completion_tokens


def test_a_template_that_refuses_says_why(load: Load) -> None:
    engine = load(Tuning(context_tokens=256, sequences=1, chat_template="{{ raise_exception('No poems') }}"))
    account = Ledger(engine).play(ask(1, "A poem"))
    assert account.fault is not None
    assert account.fault.param == "messages"
    assert "No poems" in account.fault.message


def refusal(child: Child, path: Path, tuning: Tuning | None = None) -> Fault:
    with pytest.raises(LoadRefused) as caught:
        child.create().load(str(path), tuning or Tuning(context_tokens=256), lambda _: None)

    return caught.value.fault


def test_a_truncated_file_is_refused(child: Child, smollm2_path: Path, tmp_path: Path) -> None:
    for size in (1 << 20, HEADER_BYTES):
        path = tmp_path / "short.gguf"
        with smollm2_path.open("rb") as whole:
            path.write_bytes(whole.read(size))

        fault = refusal(child, path)
        assert fault.code == "model_broken"
        assert str(path) in fault.message
        assert "damaged" in fault.message or "incomplete" in fault.message


def test_another_kind_of_file_is_refused(child: Child, tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_bytes(b"<!DOCTYPE html><title>Not found</title>")
    assert "not a GGUF file" in refusal(child, path).message
    assert "folder" in refusal(child, tmp_path).message


def test_a_broken_template_is_refused_at_load(child: Child, smollm2_path: Path) -> None:
    fault = refusal(child, smollm2_path, Tuning(context_tokens=256, chat_template="{% for %}"))
    assert fault.code == "model_broken"
    assert "chat_template in lar.toml" in fault.message


def test_noise_in_the_header_is_refused_or_harmless_but_never_a_crash(
    child: Child, smollm2_path: Path, tmp_path: Path
) -> None:
    with smollm2_path.open("rb") as whole:
        header = whole.read(HEADER_BYTES)

    size = smollm2_path.stat().st_size
    path = tmp_path / "noisy.gguf"
    outcomes: set[str] = set()
    for seed in range(6):
        dice = random.Random(seed)
        damaged = bytearray(header)
        at = dice.randrange(8, 1500)
        damaged[at : at + 16] = dice.randbytes(16)
        path.write_bytes(damaged)
        os.truncate(path, size)  # the tensors are holes: zeros that take no room
        engine = child.create()
        try:
            engine.load(str(path), Tuning(context_tokens=256, sequences=1), lambda _: None)
            outcomes.add("loaded")
        except LoadRefused as refused:
            outcomes.add(refused.fault.code)
        finally:
            engine.close()

    assert "model_broken" in outcomes
    assert outcomes <= {"model_broken", "loaded"}


def test_weights_that_compute_no_numbers_fail_the_seq_and_not_the_engine(
    child: Child, smollm2_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "nan.gguf"
    data = bytearray(smollm2_path.read_bytes())
    data[HEADER_BYTES:] = b"\xff" * (len(data) - HEADER_BYTES)
    path.write_bytes(data)
    engine = child.create()
    engine.load(str(path), Tuning(context_tokens=256, sequences=1), lambda _: None)
    account = Ledger(engine).play(ask(1, "Hi"))
    engine.close()
    assert account.fault is not None
    assert account.fault.code == "engine_failed"
