"""Estimates against the memory that real weights take in a real worker."""

from pathlib import Path

import psutil
import pytest

from runtime.backends.engines.llama.gguf import read_metadata
from runtime.backends.estimate import estimate
from runtime.backends.protocol import Finished, Generate, Sampling, Tuning
from tests.kit.remote_engine import open_child

pytestmark = pytest.mark.engine

WORDS = 1000
"""Enough to fill a good part of the context, so that what is computed with is in memory. The answer is JSON,
so that what grammars need is there as well."""


@pytest.mark.parametrize(
    "tuning",
    [
        Tuning(context_tokens=4096, threads=2),
        Tuning(context_tokens=16384, threads=2),
        Tuning(context_tokens=16384, threads=2, sequences=2, kv_type="q8_0"),
    ],
    ids=lambda tuning: f"{tuning.context_tokens}-{tuning.kv_type}",
)
def test_a_worker_takes_what_was_estimated(llama_python: str, smollm2_path: Path, tuning: Tuning) -> None:
    with open_child(llama_python, "llama") as child:
        engine = child.create()
        engine.load(str(smollm2_path), tuning, lambda _: None)
        text = "word " * WORDS
        engine.submit(
            Generate(
                seq=1,
                messages=[{"role": "user", "content": text}],
                sampling=Sampling(max_tokens=8),
                format_type="json_object",
            )
        )
        frames = []
        while engine.is_busy():
            frames += engine.step(frozenset())
        taken = psutil.Process(child._process.pid).memory_info().rss

    assert isinstance(frames[-1], Finished)
    needed = estimate(read_metadata(smollm2_path), tuning)
    assert 0.95 <= needed.total_bytes / taken <= 1.15
