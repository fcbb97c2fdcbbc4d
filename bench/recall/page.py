"""The report as Markdown, `docs/benchmarks-recall.md`: figures, and how to read them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_MEASURES = (
    ("hybrid", "hybrid, 10 hits"),
    ("embedded", "hybrid, the question embedded as well"),
    ("vector", "by vectors alone"),
    ("text", "by words alone"),
    ("filtered", "hybrid, filtered to 1 %"),
)
_HOW = """## How to run it

```sh
make bench ARGS="recall --write docs/benchmarks-recall.md"   # this page
make bench ARGS="recall --quick"                             # 10,000 chunks
make bench ARGS="recall --chunks 10000 100000"               # sizes of your own
```

## Method

- Every system gets the same chunks of 60 words, the same vectors of 384 dimensions and the same 200
  questions, runs in a process of its own, alone, and is asked from Python in that process. Vectors of the
  questions are given, so what an embedder takes comes on top for each of them alike. What it is with Lar's
  own embedder, in its worker, is measured for Lar: *the question embedded as well*.
- Ten right chunks are planted for each question among thirty that only point where it points and thirty that
  only hold its words (`bench/recall/corpus.py`). *Recall@10, hybrid* is the share of the right ones among the
  first ten hits; *recall@10, vectors* is the share of the exact nearest ones.
- LanceDB: full-text and scalar index, from 50,000 chunks on also its IVF-HNSW-SQ index; hybrid with its own
  reranker (RRF). Chroma's local store ranks by vectors alone: what stands as its hybrid is that.
- Lar stores documents of 50 chunks with their attributes. What it takes from a fresh commit to the first
  answer (the text index follows, vectors are read into memory) is its *index*.
- Sizes may come from different hours, so systems are compared within a table, never across; the one of
  500,000 was made beside other work, which its latencies show.
- Ingestion is what the stores take when the vectors are there already; making them takes far longer and is
  the embedder's business."""


class Row(NamedTuple):
    """One system at one size."""

    title: str
    chunks: int
    told: Mapping[str, Any] | None
    """None: it failed."""
    recalls: Mapping[str, float]
    has_words: bool
    day: str


def write_page(rows: Sequence[Row]) -> str:
    """Return the page."""
    parts = ["# Benchmarks: Recall", "Written by a command, not by hand: see *How to run it*."]
    for count in dict.fromkeys(row.chunks for row in rows):
        here = [row for row in rows if row.chunks == count]
        parts += [f"## {count:,} chunks", f"Measured on {here[0].day}.", _table(here)]
    return "\n\n".join([*parts, _HOW]) + "\n"


def _table(rows: Sequence[Row]) -> str:
    titles = [f"{row.title} {row.told['version']}" if row.told else f"{row.title} (failed)" for row in rows]
    lines = [["", *titles], ["---"] * (len(rows) + 1)]
    for key, title in _MEASURES:
        lines.append([f"{title}: median (95 %)", *(_latency(row, key) for row in rows)])
    for key, title in (("hybrid", "recall@10, hybrid"), ("vector", "recall@10, vectors")):
        lines.append([title, *(f"{row.recalls[key]:.3f}" if row.told else "-" for row in rows)])
    lines.append(["ingestion, chunks/s", *(_rate(row, "ingest_s") for row in rows)])
    lines.append(["index", *(f"{row.told['index_s']:.1f} s" if row.told else "-" for row in rows)])
    lines.append(["memory, above an empty process", *(_memory(row) for row in rows)])
    lines.append(["disk", *(f"{row.told['disk_mib']:,.0f} MiB" if row.told else "-" for row in rows)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latency(row: Row, key: str) -> str:
    if row.told is None or key not in row.told or (key == "hybrid" and not row.has_words):
        return "-"

    return f"{row.told[key]['p50_ms']:.1f} ms ({row.told[key]['p95_ms']:.1f})"


def _rate(row: Row, key: str) -> str:
    return f"{row.chunks / row.told[key]:,.0f}" if row.told else "-"


def _memory(row: Row) -> str:
    return f"{row.told['memory_mib'] - row.told['memory_before_mib']:,.0f} MiB" if row.told else "-"
