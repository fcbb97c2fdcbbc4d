"""What every system does with the corpus, and what is measured of it.

Runs in the systems' own environments, so it needs the standard library and numpy alone.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LIMIT = 10

Ask = Callable[[str, Any], list[int]]
"""A question and its vector; the rows of the best chunks."""


class Loaded(NamedTuple):
    """The corpus as a system's process reads it."""

    texts: list[str]
    tenants: list[str]
    vectors: Any
    questions: list[str]
    question_vectors: Any


def load(folder: Path) -> Loaded:
    """Read what `corpus.save_corpus` wrote."""
    told = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    return Loaded(
        told["texts"],
        told["tenants"],
        np.load(folder / "vectors.npy"),
        told["questions"],
        np.load(folder / "questions.npy"),
    )


def time_each(ask: Ask, corpus: Loaded) -> dict[str, Any]:
    """Ask every question once, after a few for warmth; return milliseconds and what was found."""
    for number in range(5):
        ask(corpus.questions[number], corpus.question_vectors[number])
    taken, found = [], []
    for question, vector in zip(corpus.questions, corpus.question_vectors, strict=True):
        began = time.perf_counter()
        found.append(ask(question, vector))
        taken.append((time.perf_counter() - began) * 1e3)
    taken.sort()
    return {
        "p50_ms": statistics.median(taken),
        "p95_ms": taken[int(len(taken) * 0.95)],
        "found": found,
    }


def memory_mib() -> float:
    """Return what this process holds in main memory."""
    status = Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def disk_mib(folder: Path) -> float:
    """Return what the files of a folder take."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) / 2**20


def tell(result: dict[str, Any]) -> None:
    """Hand the result to the benchmark."""
    sys.stdout.write("\n" + json.dumps(result) + "\n")
