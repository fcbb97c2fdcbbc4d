"""What was measured so far, kept on disk after each workload: a run may be cut short, and go on later.

Servers are compared within a workload, never across: all of them are measured on it one right after the
other. So workloads may come from different hours.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.inference.figures import Figures, Spread, merge_rounds

Rounds = dict[str, list[dict[str, float]]]
"""By server, one entry for each round."""


@dataclass(slots=True)
class Results:
    """Figures of one size, with one peer and one version of Lar."""

    label: str
    """Results with another label are of something else, and are begun anew."""
    workloads: dict[str, Rounds] = field(default_factory=dict)
    days: dict[str, str] = field(default_factory=dict)
    """When each workload was measured."""
    overhead: list[float] | None = None
    notes: list[str] = field(default_factory=list)

    def put(self, workload: str, rounds: Mapping[str, Sequence[Figures]], day: str) -> None:
        """Store a workload in place of what was measured of it before."""
        self.workloads[workload] = {name: [dict(each) for each in found] for name, found in rounds.items()}
        self.days[workload] = day

    def of_server(self, name: str) -> dict[str, Spread]:
        """Return the figures of all workloads of a server, each over its own rounds."""
        merged: dict[str, Spread] = {}
        for found in self.workloads.values():
            merged |= merge_rounds(found.get(name, ()))
        return merged


def load_results(path: Path, label: str) -> Results:
    """Return what the file holds under this label; nothing where it is another's, missing or cut."""
    try:
        results = Results(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Results(label)

    return results if results.label == label else Results(label)


def save_results(path: Path, results: Results) -> None:
    """Write the file anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(results), indent=1), encoding="utf-8")
    fresh.replace(path)
