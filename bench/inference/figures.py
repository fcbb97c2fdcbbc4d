"""From answers to figures, and from rounds to medians. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.inference.loadgen import Answer

Figures = Mapping[str, float]
"""Measured values by key, `workload.measure`; what failed is missing."""


class Outcome(NamedTuple):
    """What a workload brought."""

    wall_s: float
    """From the first request to the last byte."""
    answers: Sequence[Answer]


class Spread(NamedTuple):
    """A measure over the rounds."""

    median: float
    least: float
    most: float


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent lie, interpolated. Raises ValueError without values."""
    if not values:
        raise ValueError("there is no percentile of nothing")

    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def figure(workload: str, outcome: Outcome) -> dict[str, float]:
    """Return the figures of a workload; where an answer failed, only the number of failures."""
    failed = sum(1 for answer in outcome.answers if answer.error is not None)
    if failed:
        return {f"{workload}.failed": float(failed)}

    firsts = [answer.first_s for answer in outcome.answers]
    gaps = [gap for answer in outcome.answers for gap in answer.gaps_s]
    generated = sum(answer.completion_tokens for answer in outcome.answers)
    computed = sum(answer.prompt_tokens - answer.cached_tokens for answer in outcome.answers)
    found = {
        "wall_s": outcome.wall_s,
        "first_p50_s": percentile(firsts, 50),
        "first_p95_s": percentile(firsts, 95),
        "tokens_per_s": generated / outcome.wall_s,
        "computed": float(computed),
        "generated": float(generated),
    }
    if gaps:
        found |= {
            "gap_p50_s": percentile(gaps, 50),
            "gap_p95_s": percentile(gaps, 95),
            "gap_max_s": max(gaps),
        }
    return {f"{workload}.{name}": value for name, value in found.items()}


def merge_rounds(rounds: Sequence[Figures]) -> dict[str, Spread]:
    """Return each measure over the rounds; one that failed in any round is missing, its failures add up."""
    merged: dict[str, Spread] = {}
    for key in dict.fromkeys(key for each in rounds for key in each):
        values = [each[key] for each in rounds if key in each]
        if key.endswith(".failed"):
            total = sum(values)
            merged[key] = Spread(total, total, total)
        elif len(values) == len(rounds):
            merged[key] = Spread(statistics.median(values), min(values), max(values))
    return merged


def medians(merged: Mapping[str, Spread]) -> dict[str, float]:
    """Return the medians alone."""
    return {key: spread.median for key, spread in merged.items()}
