"""Waits for an install and shows what is done, how much of it, how fast, and how long it takes."""

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from runtime.api.client import LarClient
from runtime.cli.output import EXIT_NO_MODEL, CommandFailed
from runtime.core import events
from runtime.core.ids import ModelId
from runtime.core.states import ModelState

_POLL_S = 0.25


async def install_with_progress(client: LarClient, model: ModelId) -> ModelState:
    """Install what the model lacks, showing progress on stderr; returns once it could be loaded.

    Raises CommandFailed when the install fails; ServerRefused when the model is unknown.
    """
    state = await client.install(model)
    if not _is_installing(state):
        return _settled(state)

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[detail]}"))
    with Progress(*columns, console=console, transient=not console.is_terminal) as bars:
        bar = bars.add_task(f"installing {model}", total=None, detail="")
        phase = ""
        while _is_installing(state):
            if state.progress is not None:
                phase = _show(bars, bar, state.progress, phase, console)
            await anyio.sleep(_POLL_S)
            state = await find_model(client, model)
    return _settled(state)


async def find_model(client: LarClient, model: ModelId) -> ModelState:
    """Return a model of the server. Raises CommandFailed where it knows no such model."""
    known = (await client.state()).models
    for state in known:
        if state.id == model:
            return state

    names = ", ".join(each.id for each in known)
    raise CommandFailed(f"There is no model '{model}'. Known: {names}.", EXIT_NO_MODEL)


def tell_progress(progress: events.Progress) -> str:
    """Return the numbers of a progress in words: `74/220 · 34 % · 3m10 left`."""
    words: list[str] = []
    if progress.done is not None and progress.unit == "bytes":
        words.append(_bytes(progress.done) + (f"/{_bytes(progress.total)}" if progress.total else ""))
        if progress.rate_per_s:
            words.append(f"{_bytes(progress.rate_per_s)}/s")
    elif progress.done is not None and progress.total:
        words.append(f"{progress.done:.0f}/{progress.total:.0f}")
    if progress.done is not None and progress.total:
        words.append(f"{progress.done / progress.total:.0%}")
    if progress.left_s is not None:
        words.append(f"{tell_seconds(progress.left_s)} left")
    return " · ".join(words)


def tell_seconds(seconds: float) -> str:
    """Return a duration as people say it: `45s`, `3m10`, `2h05`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"

    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}"

    return f"{whole // 3600}h{whole % 3600 // 60:02}"


def _show(bars: Progress, bar: TaskID, progress: events.Progress, phase: str, console: Console) -> str:
    bars.update(
        bar,
        description=progress.phase,
        total=progress.total,
        completed=progress.done or 0,
        detail=tell_progress(progress),
    )
    if progress.phase != phase and not console.is_terminal:
        console.print(f"… {progress.phase}", highlight=False)
    return progress.phase


def _is_installing(state: ModelState) -> bool:
    return state.stage == "installing"


def _settled(state: ModelState) -> ModelState:
    if state.stage == "broken" and state.fault is not None and state.fault.code != "model_broken":
        raise CommandFailed(state.fault.message, EXIT_NO_MODEL)

    return state


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
