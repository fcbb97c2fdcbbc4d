"""Who is served when, what is cut short, and what a prompt is scored as: with real weights."""

import json
import math
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from runtime.backends.protocol import Choice, Delta, Finished, Generate, RawPrompt, Sampling, Started, Tuning
from tests.kit.engine_laws import Ledger
from tests.kit.remote_engine import ROOT, Child, RemoteEngine, open_child

pytestmark = pytest.mark.engine

NOISE = 0.25
"""How far the logarithms of one token's probability may lie apart in two computations of the same."""
PROBE_S = 120.0
MOST_STEPS = 200
NUMBERS = count(1)
TEXT = "The harbour lay quiet under the morning fog, and the boats had not yet gone"


@pytest.fixture(scope="module")
def child(llama_python: str) -> Iterator[Child]:
    with open_child(llama_python, "llama") as child:
        yield child


@pytest.fixture(scope="module")
def single(child: Child, smollm2_path: Path) -> Iterator[RemoteEngine]:
    """An engine with room for one seq at a time."""
    engine = child.create()
    tuning = Tuning(context_tokens=512, sequences=1, threads=2, speculation=False)
    engine.load(str(smollm2_path), tuning, lambda _: None)
    yield engine
    engine.close()


def proceed(
    text: str | tuple[int, ...] = TEXT,
    *,
    is_echoed: bool = False,
    sampling: dict[str, Any] | None = None,
    **fields: Any,
) -> Generate:
    prompt = (
        RawPrompt(text=text, is_echoed=is_echoed)
        if isinstance(text, str)
        else RawPrompt(tokens=text, is_echoed=is_echoed)
    )
    asked = {"temperature": 0.0, "max_tokens": 8, "ignore_eos": True, **(sampling or {})}
    return Generate(seq=next(NUMBERS), prompt=prompt, sampling=Sampling(**asked), **fields)


# ---- what is cut short


@pytest.fixture(scope="module")
def probed(llama_python: str, smollm2_path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [llama_python, "-m", "tests.kit.interrupt_probe", str(smollm2_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PROBE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def test_a_step_is_cut_short_for_the_seq_that_it_works_for(probed: dict[str, Any]) -> None:
    assert probed["cut"] == [0.0] * 3, "nothing was computed of the prompt"
    assert probed["said_meanwhile"] == 0
    assert probed["let_be"] > 0, "for a seq beside it no step is cut short"


def test_who_is_cancelled_after_an_interrupt_ends_and_the_others_go_on_alike(probed: dict[str, Any]) -> None:
    assert probed["ends"] == {"1": "length", "2": "length", "3": "cancelled"}
    assert probed["failed"] == []
    for (mine, chance), (yours, other) in zip(probed["disturbed"], probed["undisturbed"], strict=True):
        assert mine == yours
        assert abs(chance - other) < NOISE


# ---- who is served when


def test_a_seq_that_waits_past_its_deadline_is_told_so(single: RemoteEngine) -> None:
    ledger = Ledger(single)
    first = ledger.submit(proceed(deadline_s=0.0))
    late = ledger.submit(proceed(deadline_s=0.0))
    patient = ledger.submit(proceed(deadline_s=600.0))
    ledger.drain()

    assert first.end.completion_tokens == 8, "a place was free, so it did not wait"
    assert late.fault is not None
    assert (late.fault.code, late.fault.param) == ("queue_timeout", "deadline_s")
    assert late.started is None
    assert patient.end.completion_tokens == 8


def test_a_person_goes_before_an_agent_and_an_agent_before_the_night(single: RemoteEngine) -> None:
    ledger = Ledger(single)
    running = ledger.submit(proceed("A. " + TEXT, priority="batch", sampling={"max_tokens": 30}))
    while not running.deltas:
        ledger.step()

    kinds = ("batch", "agent", "interactive")
    accounts = {kind: ledger.submit(proceed(f"{kind}. {TEXT}", priority=kind)) for kind in kinds}
    ended: list[str] = []
    while single.is_busy():
        ledger.step()
        ended += [kind for kind, each in accounts.items() if each.is_over and kind not in ended]

    assert ended == ["interactive", "agent", "batch"]
    assert running.end.completion_tokens == 30


def test_no_principal_is_kept_waiting_by_the_many_seqs_of_another(single: RemoteEngine) -> None:
    ledger = Ledger(single)
    many = [ledger.submit(proceed(f"{number}. {TEXT}", principal="busy")) for number in range(4)]
    one = ledger.submit(proceed("Once. " + TEXT, principal="modest"))
    while not one.is_over:
        ledger.step()

    assert [each.is_over for each in many] == [True, False, False, False]
    ledger.drain()


# ---- what a prompt is scored as


def run(engine: RemoteEngine, request: Generate) -> tuple[str, list[Choice], Finished]:
    """Play a request whose first token has no score, which the ledger's law of scores does not know."""
    engine.submit(request)
    frames = [frame for _ in range(MOST_STEPS) if engine.is_busy() for frame in engine.step(frozenset())]
    assert isinstance(frames[0], Started)
    finished = frames[-1]
    assert isinstance(finished, Finished)
    deltas = [frame for frame in frames if isinstance(frame, Delta)]
    return "".join(each.text for each in deltas), [one for each in deltas for one in each.logprobs], finished


def test_a_prompt_alone_is_scored_token_by_token(single: RemoteEngine) -> None:
    text, choices, end = run(single, proceed(is_echoed=True, sampling={"max_tokens": 0, "logprobs": 2}))

    assert text == TEXT
    assert end.completion_tokens == 0
    assert len(choices) == end.prompt_tokens
    assert math.isnan(choices[0].chosen.logprob)
    assert choices[0].top == []
    assert all(choice.chosen.logprob <= 0 and len(choice.top) == 2 for choice in choices[1:])
    assert all(choice.chosen.logprob <= choice.top[0].logprob for choice in choices[1:])
    assert b"".join(choice.chosen.data for choice in choices) == TEXT.encode()


def test_an_answer_is_scored_alike_as_answer_and_as_prompt(single: RemoteEngine) -> None:
    said, chosen, _ = run(single, proceed(sampling={"logprobs": 1}))
    text, echoed, end = run(
        single, proceed(TEXT + said, is_echoed=True, sampling={"max_tokens": 2, "logprobs": 1})
    )

    assert text.startswith(TEXT + said)
    assert len(echoed) == end.prompt_tokens + 2
    scored = echoed[end.prompt_tokens - len(chosen) : end.prompt_tokens]
    assert [each.chosen.data for each in scored] == [each.chosen.data for each in chosen]
    one, other = (sum(each.chosen.logprob for each in path) for path in (chosen, scored))
    assert abs(one - other) < NOISE
    assert all(each.chosen == each.top[0] for each in chosen), "the best path, step by step"


def test_the_narrowest_typical_sampling_leaves_no_choice(single: RemoteEngine) -> None:
    ledger = Ledger(single)
    ledger.play(proceed())  # a prompt that is known is computed alike

    def draw(seed: int, typical_p: float) -> str:
        return ledger.play(
            proceed(sampling={"temperature": 1.5, "typical_p": typical_p, "top_k": 0, "seed": seed})
        ).text

    assert len({draw(seed, 1e-9) for seed in range(3)}) == 1
    assert len({draw(seed, 1.0) for seed in range(3)}) > 1
