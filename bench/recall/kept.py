"""What was measured so far, kept on disk after each size: large sizes may be measured at another hour.

Systems are compared within a size, never across: all of them are measured one right after the other.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.recall.page import Row

Sizes = dict[int, list[Row]]


def load_sizes(path: Path) -> Sizes:
    """Return the rows by size; nothing where the file is missing or cut."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {int(count): [Row(**row) for row in rows] for count, rows in kept.items()}
    except (OSError, ValueError, TypeError):
        return {}


def save_sizes(path: Path, sizes: Mapping[int, Sequence[Row]]) -> None:
    """Write the file anew, without the hits themselves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    told = {str(count): [_shortened(row) for row in rows] for count, rows in sorted(sizes.items())}
    fresh.write_text(json.dumps(told, indent=1), encoding="utf-8")
    fresh.replace(path)


def _shortened(row: Row) -> dict[str, Any]:
    told = row.told and {
        key: {name: each for name, each in value.items() if name != "found"}
        if isinstance(value, dict)
        else value
        for key, value in row.told.items()
    }
    return {**row._asdict(), "told": told, "recalls": dict(row.recalls)}
