"""What is measured, what is aimed at, and how Lar stands to the peer: always as a ratio of one run. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.inference.figures import Figures

LAR = "lar"
SLOTS8 = "slots8"


class Measure(NamedTuple):
    """One thing that is measured."""

    key: str
    title: str
    unit: str = "s"
    is_less_better: bool = True
    is_compared: bool = True
    """False: told for the reader alone, a ratio of it means nothing."""
    condition: str | None = None
    """Only servers where this is measured as 1 can be compared: the others did not do what was asked."""


class Workload(NamedTuple):
    """Measures that belong together."""

    name: str
    title: str
    measures: tuple[Measure, ...]


class Target(NamedTuple):
    """A ratio that Lar shall reach."""

    title: str
    key: str
    wanted: float
    against: str | None = None
    """One setting of the peer; None: the best of them."""


class Verdict(NamedTuple):
    """How a target came out."""

    target: Target
    ratio: float | None
    """None: Lar or the peer has no figure."""
    peer: str | None
    """The setting that it was compared with."""

    @property
    def is_met(self) -> bool | None:
        """None: there is nothing to compare with."""
        return None if self.ratio is None else self.ratio >= self.target.wanted


def load_measures(name: str) -> tuple[Measure, ...]:
    """Return what every workload of streams measures."""
    return (
        Measure(f"{name}.wall_s", "wall"),
        Measure(f"{name}.first_p50_s", "first token, median"),
        Measure(f"{name}.first_p95_s", "first token, 95 %"),
        Measure(f"{name}.gap_p50_s", "between tokens, median", "ms"),
        Measure(f"{name}.gap_p95_s", "between tokens, 95 %", "ms"),
        Measure(f"{name}.gap_max_s", "between tokens, worst", "ms"),
        Measure(f"{name}.tokens_per_s", "generated", "tokens/s", is_less_better=False),
        Measure(f"{name}.computed", "prompt tokens computed", "", is_compared=False),
        Measure(f"{name}.failed", "failed requests", "", is_compared=False),
    )


def list_workloads(crews: Sequence[tuple[int, int]], at_once: int) -> list[Workload]:
    """Return all workloads in the order of the page."""
    loads = [
        ("shared_cold", f"{at_once} requests at once over a cold shared prefix"),
        ("shared_warm", f"The same {at_once} over the prefix that is warm now"),
        *((f"agents_{agents}x{turns}", f"{agents} agents, {turns} turns each") for agents, turns in crews),
        ("unique", f"{at_once} long prompts at once, nothing shared"),
        ("decode_one", "Decode, 1 stream"),
        ("decode_many", f"Decode, {at_once} streams"),
    ]
    return [
        *(Workload(name, title, load_measures(name)) for name, title in loads),
        Workload(
            "intrusion",
            "A long prompt arrives while a stream runs",
            (
                Measure(
                    "intrusion.gap_max_s",
                    "the running stream's longest silence",
                    "ms",
                    condition="intrusion.beside",
                ),
                Measure("intrusion.first_s", "the newcomer's first token"),
                Measure("intrusion.beside", "served side by side", "yes", is_compared=False),
                Measure("intrusion.failed", "failed requests", "", is_compared=False),
            ),
        ),
        Workload(
            "objects",
            "Answers in the form of a JSON schema",
            (
                Measure("objects.each_s", "time per valid object"),
                Measure("objects.valid", "valid objects", "", is_compared=False),
                Measure("objects.invalid", "invalid or cut objects", "", is_compared=False),
                Measure("objects.generated", "tokens generated", "", is_compared=False),
            ),
        ),
        Workload(
            "memory",
            "Memory of the server with its children",
            tuple(
                Measure(f"memory.{name}_mib", f"after {title}", "MiB")
                for name, title in (
                    ("shared", "the shared prefix"),
                    ("agents", "the agents"),
                    ("unique", "the long prompts"),
                    ("decode", "decode"),
                    ("objects", "the objects"),
                )
            ),
        ),
    ]


def list_targets(crews: Sequence[tuple[int, int]]) -> list[Target]:
    """Return what is aimed at."""
    return [
        Target("cold shared prefix: wall", "shared_cold.wall_s", 1.4),
        Target("cold shared prefix: wall, 8 slots", "shared_cold.wall_s", 3.0, SLOTS8),
        *(
            Target(f"{agents} agents, {turns} turns each: wall", f"agents_{agents}x{turns}.wall_s", 1.8)
            for agents, turns in crews
        ),
        Target("decode, 1 stream: tokens/s", "decode_one.tokens_per_s", 1.0),
        Target("decode, many streams: tokens/s", "decode_many.tokens_per_s", 1.0),
        Target("longest silence of a stream while a long prompt arrives", "intrusion.gap_max_s", 5.0),
        Target("JSON schema: time per valid object", "objects.each_s", 1.3),
        Target("memory, after the agents", "memory.agents_mib", 1.0),
    ]


def ratio(measure: Measure, lar: Figures, peer: Figures) -> float | None:
    """Return how many times better Lar is; below 1 it is worse. None where either has no figure."""
    ours, theirs = lar.get(measure.key), peer.get(measure.key)
    if not measure.is_compared or not ours or not theirs:
        return None

    if measure.condition is not None and not lar.get(measure.condition) == peer.get(measure.condition) == 1:
        return None

    return theirs / ours if measure.is_less_better else ours / theirs


def best_ratio(measure: Measure, results: Mapping[str, Figures]) -> tuple[float | None, str | None]:
    """Return the ratio to the best of the peer's settings, and which that is."""
    found = [
        (against, name)
        for name, figures in results.items()
        if name != LAR and (against := ratio(measure, results[LAR], figures)) is not None
    ]
    return min(found) if found else (None, None)


def judge(target: Target, measures: Mapping[str, Measure], results: Mapping[str, Figures]) -> Verdict:
    """Compare one target with what was measured."""
    measure = measures[target.key]
    if target.against is None:
        return Verdict(target, *best_ratio(measure, results))

    peer = results.get(target.against)
    if peer is None:
        return Verdict(target, None, None)

    return Verdict(target, ratio(measure, results[LAR], peer), target.against)
