"""The report as Markdown, `docs/benchmarks.md`: machine, targets, ratios, figures, how to read them. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.inference.compare import LAR, Measure, Target, Verdict, Workload, best_ratio, judge, ratio
from bench.inference.figures import Spread, medians
from bench.inference.overhead import Overhead

OVERHEAD_LIMIT_S = 0.003
_OPENING = (
    "Written by a command, not by hand: see *How to run it*. A ratio is how many times better Lar is; "
    "below 1 it is worse."
)
_HOW = """## How to run it

```sh
make bench ARGS="inference --write docs/benchmarks.md"    # this page: half an hour a round on two cores
make bench ARGS="inference --only decode --write PAGE"    # one workload anew, the others as they are
make bench ARGS="inference --quick"                       # smaller workloads, about ten minutes
make bench ARGS="inference --llama-server PATH"           # against a llama-server that you built yourself
make bench                                                # every benchmark
```

Nothing else should run on the machine meanwhile. What was measured is kept after each workload, so a run
may be cut short and go on later."""
_METHOD = """## Method

- **Servers.** Lar as it is installed, with the catalogue's settings of the model. The peer is llama-server,
  whose scheduler is also what Ollama and LocalAI run, on the same weights with as many threads, started in
  three ways: its defaults (4 slots over one cache), 8 slots over one cache of 16,384 tokens, and 1 slot with
  a context of 4,096 and `-b 512 -ub 512`, as Ollama starts it.
- **One at a time.** A workload is put to all servers, one right after the other; each runs alone and is
  started afresh for it, without any stored cache. The order rotates from round to round. Figures are medians
  over the rounds, with the least and the most where there was more than one round. Servers are compared
  within a workload, never across: a shared machine is not equally fast all day.
- **Requests** are streamed chats at temperature 0, a connection each. All servers of a round get the same
  words; each round has new ones, so that a cold prefix is cold. Answers have a fixed length (`ignore_eos`),
  except those in the form of a schema. Times are taken at the client, tokens are each server's own count.
- **Between tokens** is the time from one piece of a stream to the next; a server that sends several tokens
  in one piece has fewer and longer ones.
- **Prompt tokens computed** are those that the server does not report as cached.
- **The intruder.** One stream runs; then a long prompt of another client arrives. The longest silence of
  the stream from then on counts. A server with one slot lets the newcomer wait until the stream is over: it
  has no silence and does not serve both, so its figures are shown, but not compared.
- **JSON schema.** Each answer is checked with `jsonschema`. The wall time is divided by the number of
  valid objects, so that an invalid or cut one costs its time.
- **Memory** is the proportional set size (PSS) of the server with its children where the system knows it,
  else the resident one. The weights are mapped files and count. The peer's includes the interpreter that
  starts it.
- **The server's own time** is the median difference of pairs: a chat of one token over HTTP, and the same
  from a second worker that the benchmark drives itself through the worker protocol, in turn, each while the
  other is idle. It includes the client's share, so it is an upper bound.

## Limits

- Differences below 15 % are within the noise of a small shared machine.
- One small model on a processor: a graphics card shifts every proportion.
- The prebuilt llama-server is not compiled for this very processor, as Lar's llama.cpp is: decode takes it
  longer than one that is (`--llama-server` takes your own). Prefill is about equal.
- A workload that failed, in any round, has no figures and is told as such; it never counts as a win."""


class Report(NamedTuple):
    """All that the page tells."""

    facts: Sequence[tuple[str, str]]
    """About machine, versions and this run."""
    titles: Mapping[str, str]
    """The servers in the order of the columns, Lar first."""
    results: Mapping[str, Mapping[str, Spread]]
    workloads: Sequence[Workload]
    targets: Sequence[Target]
    overhead: Overhead | None
    notes: Sequence[str] = ()
    """What the reader must know of this run: a peer that is missing, a machine that was not idle."""


def write_page(report: Report) -> str:
    """Return the page."""
    parts = [
        "# Benchmarks: inference",
        _OPENING,
        _table(("", ""), [list(fact) for fact in report.facts]),
        *(f"> **Note.** {note}" for note in report.notes),
        "## Targets",
        _targets(report),
        "## Ratios",
        _ratios(report),
        "## Figures",
        *(_workload(workload, report) for workload in report.workloads),
        _HOW,
        _METHOD,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _targets(report: Report) -> str:
    measures = {measure.key: measure for workload in report.workloads for measure in workload.measures}
    results = {name: medians(spreads) for name, spreads in report.results.items()}
    rows = [_verdict(judge(target, measures, results), report.titles) for target in report.targets]
    rows.append(_overhead(report.overhead))
    return _table(("Aim", "Compared with", "Wanted", "Measured", "Met"), rows)


def _verdict(verdict: Verdict, titles: Mapping[str, str]) -> list[str]:
    best = "" if verdict.target.against else "the best: "
    return [
        verdict.target.title,
        f"{best}{titles[verdict.peer]}" if verdict.peer else "-",
        f"≥ {verdict.target.wanted:.1f}",
        tell_ratio(verdict.ratio),
        tell_claim(verdict.is_met),
    ]


def _overhead(overhead: Overhead | None) -> list[str]:
    row = ["the server's own time per request", "Lar's own engine", f"≤ {OVERHEAD_LIMIT_S * 1e3:.0f} ms"]
    if overhead is None:
        return [*row, "-", "-"]

    told = (
        f"{overhead.difference_s * 1e3:.1f} ms "
        f"({overhead.over_http_s * 1e3:.1f} over HTTP, {overhead.engine_s * 1e3:.1f} in the engine)"
    )
    return [*row, told, tell_claim(overhead.difference_s <= OVERHEAD_LIMIT_S)]


def _ratios(report: Report) -> str:
    peers = [name for name in report.results if name != LAR]
    if not peers:
        return "There is nothing to compare with in this run."

    results = {name: medians(spreads) for name, spreads in report.results.items()}
    rows = []
    for workload in report.workloads:
        for measure in workload.measures:
            if not measure.is_compared:
                continue

            each = [ratio(measure, results[LAR], results[name]) for name in peers]
            best, _ = best_ratio(measure, results)
            told = [tell_ratio(value) for value in (best, *each)]
            rows.append([f"{workload.title}: {measure.title}", *told])
    return _table(("Measure", "The best of them", *(report.titles[name] for name in peers)), rows)


def _workload(workload: Workload, report: Report) -> str:
    rows = []
    for measure in workload.measures:
        cells = [_cell(measure, spreads.get(measure.key)) for spreads in report.results.values()]
        if any(cell != "-" for cell in cells):
            rows.append([measure.title, *cells])
    columns = ("", *(report.titles[name] for name in report.results))
    return f"### {workload.title}\n\n{_table(columns, rows)}" if rows else ""


def _cell(measure: Measure, spread: Spread | None) -> str:
    if spread is None:
        return "-"

    if measure.unit == "yes":
        return tell_claim(spread.median == 1)

    told = tell_value(measure, spread.median)
    if spread.least == spread.most:
        return told

    return f"{told} ({tell_number(measure, spread.least)} to {tell_number(measure, spread.most)})"


def tell_value(measure: Measure, value: float) -> str:
    """Return a figure with its unit."""
    return f"{tell_number(measure, value)} {measure.unit}".strip()


def tell_number(measure: Measure, value: float) -> str:
    """Return a figure with as many digits as it is good for."""
    if measure.unit == "ms":
        value *= 1e3
    if measure.unit in ("", "MiB") or value >= 100:
        return f"{value:,.0f}"

    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def tell_ratio(value: float | None) -> str:
    """Return a ratio; a dash where there is none."""
    return "-" if value is None else f"{value:.2f}x"


def tell_claim(value: bool | None) -> str:
    """Return whether something is so."""
    return {None: "-", True: "yes", False: "**no**"}[value]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
