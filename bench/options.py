"""What the command line of the benchmarks asked for."""

from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """Asked for by the person who runs them; only `inference` looks at it."""

    size: str = "full"
    rounds: int | None = None
    """How often each server is measured; None: as the size says."""
    only: tuple[str, ...] = ()
    """Workloads to measure now; empty: all. What was measured of the others before stays."""
    chunks: tuple[int, ...] = ()
    """Sizes of recall's stores; empty: as the size says."""
    page: Path | None = None
    """Where the report is written; None: it is only printed."""
    llama_server: Path | None = None
    """A llama-server of the user's own build, in place of the prebuilt one."""
