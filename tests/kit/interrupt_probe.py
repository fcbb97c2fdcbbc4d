"""Cuts steps of the llama engine short from another thread. Run by the interpreter of its backend.

Takes the path of the weights as its argument. A short seq streams all along; a long prompt comes beside it,
is interrupted again and again, and is cancelled. Writes to stdout what became of each, and what the short
one says when nobody disturbs it.
"""

import json
import sys
import threading
from typing import Any

from runtime.backends.engines.contract import Engine, StepFrame
from runtime.backends.engines.registry import create_engine
from runtime.backends.protocol import Delta, Failed, Finished, Generate, RawPrompt, Sampling, Tuning

UNDISTURBED, SHORT, LONG = 1, 2, 3
CUT_STEPS = 3
PAUSE_S = 0.001
STEP_LIMIT_S = 60.0


class Interrupter:
    """Interrupts on behalf of one seq for as long as it is entered."""

    def __init__(self, engine: Engine, seq: int) -> None:
        self._engine = engine
        self._seq = seq
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(STEP_LIMIT_S)

    def _run(self) -> None:
        while not self._is_over.wait(PAUSE_S):
            self._engine.interrupt(self._seq)


def ask(seq: int, text: str, max_tokens: int) -> Generate:
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens, logprobs=2, ignore_eos=True)
    return Generate(seq=seq, prompt=RawPrompt(text=text), sampling=sampling)


def computed(engine: Engine) -> float:
    return engine.gauges()["prompt_tokens_computed"]


def step_interrupted(engine: Engine, seq: int, frames: list[StepFrame]) -> float:
    """Take a step during which there are interrupts for the seq; return what was computed of prompts."""
    before = computed(engine)
    with Interrupter(engine, seq):
        frames += engine.step(frozenset())
    return computed(engine) - before


def drain(engine: Engine, frames: list[StepFrame]) -> None:
    while engine.is_busy():
        frames += engine.step(frozenset())


def play(path: str) -> dict[str, Any]:
    engine = create_engine("llama")
    engine.load(path, Tuning(context_tokens=2048, sequences=3, threads=2, speculation=False), lambda _: None)
    frames: list[StepFrame] = []
    engine.submit(ask(UNDISTURBED, "The harbour lay quiet under the", 16))
    drain(engine, frames)

    engine.submit(ask(SHORT, "The harbour lay quiet under the", 16))
    while len([frame for frame in frames if frame.seq == SHORT]) < 4:
        frames += engine.step(frozenset())

    engine.submit(ask(LONG, "word and " * 600, 16))
    seen = len(frames)
    cut = [step_interrupted(engine, LONG, frames) for _ in range(CUT_STEPS)]
    said_meanwhile = [frame for frame in frames[seen:] if isinstance(frame, Delta)]
    let_be = step_interrupted(engine, SHORT, frames)
    engine.cancel(LONG)
    drain(engine, frames)
    engine.close()
    return {
        "cut": cut,
        "said_meanwhile": len(said_meanwhile),
        "let_be": let_be,
        "ends": {frame.seq: frame.reason for frame in frames if isinstance(frame, Finished)},
        "failed": [frame.fault.message for frame in frames if isinstance(frame, Failed)],
        "undisturbed": chances(frames, UNDISTURBED),
        "disturbed": chances(frames, SHORT),
    }


def chances(frames: list[StepFrame], seq: int) -> list[tuple[str, float]]:
    deltas = [frame for frame in frames if isinstance(frame, Delta) and frame.seq == seq]
    return [(each.chosen.token, each.chosen.logprob) for delta in deltas for each in delta.logprobs]


if __name__ == "__main__":
    told = play(sys.argv[1])
    sys.stdout.write(json.dumps(told))
