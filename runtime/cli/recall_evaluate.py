"""`lar recall eval`: how well, and how fast, a collection with judged queries is found here.

It runs over a store of its own in a temporary folder, with the models of this home; the server is not asked.
"""

import argparse
import tempfile
from pathlib import Path

import anyio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from runtime.app import Launch, open_trial
from runtime.cli.output import EXIT_FAILED, EXIT_NO_MODEL, CommandFailed, notice, say, say_json, say_table
from runtime.cli.place import Place, find_place
from runtime.core.errors import LarError, ModelUnavailable, sole_cause
from runtime.core.ids import LOCAL_TENANT, ModelId
from runtime.recall.evaluate import ArmResult, Evaluation, Trial, evaluate

_NAMES = {"text": "words", "vector": "meaning", "hybrid": "both", "reranked": "both, reranked"}


def measure(chosen: argparse.Namespace) -> int:
    """Print the figures of each arm."""
    trial = Trial(
        model=None if chosen.model is None else ModelId(chosen.model),
        reranker=None if chosen.rerank is None else ModelId(chosen.rerank),
        is_whole=chosen.whole,
        language=chosen.language,
        limit=chosen.limit or None,
    )
    folder = Path(chosen.folder).expanduser()
    if not folder.is_dir():
        raise CommandFailed(f"{folder} is no folder. It holds corpus.jsonl, queries.jsonl and qrels.tsv.")

    result = _run(folder, trial)
    if chosen.json:
        say_json(result)
    else:
        _show(result)
    return 0


def _run(folder: Path, trial: Trial) -> Evaluation:
    place = find_place()
    try:
        with tempfile.TemporaryDirectory(prefix="lar-eval-") as store:
            return anyio.run(_measure, place, folder, Path(store), trial)
    except Exception as group:
        problem = sole_cause(group)
        if not isinstance(problem, LarError):
            raise
        code = EXIT_NO_MODEL if isinstance(problem, ModelUnavailable) else EXIT_FAILED
        raise CommandFailed(problem.fault.message, code) from problem


async def _measure(place: Place, folder: Path, store: Path, trial: Trial) -> Evaluation:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("opening", total=None)

        def report(phase: str, done: int, total: int) -> None:
            bars.update(bar, description=phase, completed=done, total=total)

        launch = Launch(home=place.home, settings=place.settings)
        wanted = [each for each in (trial.model, trial.reranker) if each is not None]
        async with open_trial(launch, store, wanted) as inside:
            return await evaluate(folder, inside, LOCAL_TENANT, trial, report)


def _show(result: Evaluation) -> None:
    say(
        f"{result.name}: {result.documents} documents in {result.chunks} chunks, {result.queries} queries, "
        f"{result.model}; taken in within {result.reading_s:.1f} s"
    )
    headers = ("ARM", "nDCG@10", "RECALL@10", "RECALL@100", "MRR@10", "P50", "P95")
    say_table(headers, [_row(_NAMES[name], arm) for name, arm in result.arms.items()])
    for note in result.notes:
        notice(f"! {note}")


def _row(name: str, arm: ArmResult) -> list[str]:
    quality = (arm.ndcg_10, arm.recall_10, arm.recall_100, arm.mrr_10)
    times = (arm.latency_p50_s, arm.latency_p95_s)
    return [name, *(f"{each:.4f}" for each in quality), *(f"{each * 1000:.1f} ms" for each in times)]
