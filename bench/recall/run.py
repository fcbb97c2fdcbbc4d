"""Runs each system on each size, one after the other, and tells what came out."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.installed import CACHE
from bench.options import Options
from bench.recall.corpus import Corpus, make_corpus, nearest, save_corpus
from bench.recall.kept import load_sizes, save_sizes
from bench.recall.page import Row, write_page

PEERS = {"lancedb": "0.40.0", "chromadb": "1.5.9"}
SIZES = {"smoke": (5_000,), "quick": (10_000,), "full": (10_000, 100_000, 500_000)}
_INSTALL_LIMIT_S = 900.0
_RUN_LIMIT_S = 7200.0
_HERE = Path(__file__).parent
_KEPT = CACHE / "bench" / "recall.json"


class System(NamedTuple):
    """One of those compared."""

    name: str
    title: str
    command: tuple[str, ...]
    has_words: bool = True
    """Whether its hybrid looks at words at all."""


def run(options: Options) -> None:
    """Recall beside LanceDB and Chroma: ingestion, questions with and without a filter, memory, disk."""
    systems = [System("lar", "Lar", (sys.executable, "-m", "bench.recall.lar")), *_peers()]
    sizes = load_sizes(_KEPT)
    for count in options.chunks or SIZES[options.size]:
        corpus = make_corpus(count)
        exact = nearest(corpus, 10)
        with tempfile.TemporaryDirectory() as folder:
            save_corpus(Path(folder), corpus)
            sizes[count] = [_measure(system, count, Path(folder), corpus, exact) for system in systems]
        save_sizes(_KEPT, sizes)
    page = write_page([row for _, rows in sorted(sizes.items()) for row in rows])
    print(page)
    if options.page is not None:
        options.page.write_text(page, encoding="utf-8")
        print(f"  written to {options.page}")


def _measure(system: System, count: int, folder: Path, corpus: Corpus, exact: Sequence[Sequence[int]]) -> Row:
    with tempfile.TemporaryDirectory() as store:
        done = subprocess.run(
            [*system.command, str(folder), str(Path(store) / "store")],
            capture_output=True,
            text=True,
            timeout=_RUN_LIMIT_S,
            check=False,
        )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        print(f"  {system.title} failed at {count:,} chunks: {''.join(said)}", flush=True)
        return Row(system.title, count, None, {}, system.has_words, _today())

    told: Mapping[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    recalls = {
        "hybrid": recall(told["hybrid"]["found"], corpus.right),
        "vector": recall(told["vector"]["found"], exact),
    }
    print(
        f"  {count:>8,} {system.title:10} hybrid {told['hybrid']['p50_ms']:7.1f} ms, "
        f"recall@10 {recalls['hybrid']:.3f}",
        flush=True,
    )
    return Row(system.title, count, told, recalls, system.has_words, _today())


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def recall(found: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> float:
    """Return the mean share of what is right that was found."""
    shares = [len({*mine} & {*good}) / len(good) for mine, good in zip(found, right, strict=True)]
    return sum(shares) / len(shares)


def _peers() -> list[System]:
    folder = CACHE / "bench" / f"recall-{'-'.join(PEERS.values())}"
    python = folder / "bin" / "python"
    if not python.exists() and (problem := _install(folder, python)):
        print(f"  The peers are missing, Lar is shown alone: {problem}")
        return []

    return [
        System("lancedb", "LanceDB", (str(python), str(_HERE / "peer_lancedb.py"))),
        System("chroma", "Chroma", (str(python), str(_HERE / "peer_chroma.py")), has_words=False),
    ]


def _install(folder: Path, python: Path) -> str | None:
    """Install the peers; return what went wrong."""
    wanted = [f"{name}=={version}" for name, version in PEERS.items()]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--only-binary=:all:", *wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S, check=False)
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            return "".join((done.stderr or done.stdout).strip().splitlines()[-1:])
    return None
