"""Shows on stderr how far jobs of recall are: what is read now, how much is done, what holds it up."""

from types import TracebackType
from typing import Self

import anyio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from runtime.api.remote.knowledge import Taken
from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import notice
from runtime.cli.recall_calls import TENANT, one_line
from runtime.core.knowledge import Job

_POLL_S = 0.2
_NAME_WIDTH = 40


class JobsView:
    """A bar over all jobs of one command; silent where it is not shown."""

    def __init__(self, total: int, *, is_shown: bool) -> None:
        console = Console(stderr=True)
        self._is_shown = is_shown
        self._is_live = is_shown and console.is_terminal
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[current]}", markup=False),
        )
        self._bars = Progress(*columns, console=console, transient=True, disable=not self._is_live)
        self._bar = self._bars.add_task("sending", total=total or None, current="")
        self._total = total
        self._sent = 0
        self._ended = 0
        self._note = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        if kind is not None and not issubclass(kind, Exception):
            notice("The server goes on with what it has. 'lar recall jobs' shows it, and can end it.")

    def sending(self, count: int) -> None:
        """Tell that files are on their way."""
        self._bars.update(self._bar, description=f"sending {count}", completed=self._sent)

    def sent(self, taken: Taken) -> None:
        """Tell that the server has them."""
        self._sent += len(taken.documents)

    def show(self, job: Job) -> None:
        """Show how far a job is."""
        done = self._ended + job.done + job.failed
        total = max(self._total, self._ended + job.total) or None
        failed = f" · {job.failed} failed" if job.failed else ""
        current = f"{one_line(job.current or '', _NAME_WIDTH)}{failed}"
        words = {"sync": "fetching", "reembed": "embedding"}.get(job.kind, "reading")
        self._bars.update(self._bar, description=words, completed=done, total=total, current=current)
        if job.note and job.note != self._note:
            self._note = job.note
            if self._is_shown:
                self._bars.console.print(f"… {one_line(job.note, 200)}", markup=False, highlight=False)

    def end(self, job: Job) -> None:
        """Tell that a job has ended."""
        self._ended += job.done + job.failed


async def follow(recall: RemoteRecall, job: Job, view: JobsView) -> Job:
    """Return a job once it has ended, showing it meanwhile. Raises NotFound."""
    now = await recall.jobs.find(TENANT, job.id)
    while now.status in ("queued", "running"):
        view.show(now)
        await anyio.sleep(_POLL_S)
        now = await recall.jobs.find(TENANT, job.id)
    view.show(now)
    view.end(now)
    return now
