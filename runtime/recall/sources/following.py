"""Follows places behind the scenes: begins syncs that are due or asked for, two side by side at most.

What is due is told by the rows, so a restart forgets nothing; what was asked for comes first.
"""

import logging
import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import duckdb
from anyio.abc import TaskGroup, TaskStatus

from runtime.core.errors import LarError, StoreUnavailable
from runtime.core.ids import JobId, SourceId
from runtime.core.knowledge import Job
from runtime.recall.ingest.live import Bell
from runtime.recall.sources.kinds import path_of
from runtime.recall.sources.rows import SourceRow, update_source
from runtime.recall.sources.schedule import after_restart
from runtime.recall.sources.sync import Given, Sync
from runtime.recall.truth import Pen

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 2
LONGEST_REST_S = 60.0
"""Between two looks at what is due: the machine may have slept, or its clock may have been set."""
_LEAST_REST_S = 0.05
QUIET_S = 2.0
"""After a change in a folder, for others that come with it."""
_STOP_LIMIT_S = 10.0
"""For a look that is being cut short."""
_TROUBLE = (LarError, StoreUnavailable, duckdb.Error, OSError)

Watch = Callable[[Path, anyio.Event], AsyncGenerator[None, None]]
"""Yields whenever something below a folder has changed, until the event is set."""


class Following:
    """The syncs that are under way, and those that are next."""

    def __init__(self, given: Given, watch: Watch, quiet_s: float = QUIET_S) -> None:
        self._given = given
        self._watch = watch
        self._quiet_s = quiet_s
        self._bell = Bell()
        self._asking = anyio.Lock()
        self._asked: dict[SourceId, JobId] = {}
        self._looking: dict[SourceId, JobId] = {}
        self._scopes: dict[SourceId, anyio.CancelScope] = {}
        self._again: set[SourceId] = set()
        """Changed while they were looked at."""
        self._watched: dict[SourceId, anyio.Event] = {}
        self._held: set[SourceId] = set()
        """Not to be looked at: they are being removed."""

    async def run_forever(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Go on with what a former process left, then do what comes. Cancelling it loses nothing."""
        await anyio.to_thread.run_sync(_empty, self._given.folder)
        await self._spread_overdue()
        task_status.started()
        async with anyio.create_task_group() as tasks:
            while True:
                rung = self._bell.next
                try:
                    rest_s = await self._go_on(tasks)
                except _TROUBLE:
                    # The border of what is done on the side: it is tried again in a minute.
                    logger.exception("sources could not be followed")
                    rest_s = LONGEST_REST_S
                with anyio.move_on_after(rest_s):
                    await rung.wait()

    def wake(self) -> None:
        """Look at what is due; for whoever has changed the rows or the clock."""
        self._bell.ring()

    async def ask(self, row: SourceRow) -> Job:
        """Begin a sync, or return the one under way."""
        jobs = self._given.ingestion.jobs
        async with self._asking:
            job = self._looking.get(row.id) or self._asked.get(row.id)
            if job is not None and jobs.is_live(job):
                return await jobs.find(row.tenant, job)

            mark = self._given.stores.marks.by_ns(row.ns)
            collection = None if mark is None else mark.collection
            now = self._given.clock.now()
            # Whatever becomes of this process, it is due until the sync has said how it went.
            await self._given.stores.truth.write(lambda pen: _note_due(pen, row.id, now))
            begun = await jobs.begin(row.tenant, "sync", collection, row.id)
            self._asked[row.id] = begun.id
        self._bell.ring()
        return begun

    async def stop(self, source: SourceId) -> None:
        """Cut short what goes on with a source; what was found so far is still taken in."""
        asked = self._asked.pop(source, None)
        if asked is not None:
            await self._given.ingestion.jobs.end(asked)
        self._again.discard(source)
        if source in self._scopes:
            self._scopes[source].cancel()
        with anyio.move_on_after(_STOP_LIMIT_S):
            while source in self._looking:
                rung = self._bell.next
                if source in self._looking:
                    await rung.wait()

    async def hold(self, source: SourceId) -> None:
        """Stop, and begin nothing new until `let_go`."""
        self._held.add(source)
        await self.stop(source)

    def let_go(self, source: SourceId) -> None:
        """Allow again what `hold` forbade."""
        self._held.discard(source)
        self._bell.ring()

    async def _go_on(self, tasks: TaskGroup) -> float:
        """Begin what there is room for; return how long to rest if nothing rings."""
        rows = [each for each in await self._given.rows.following() if each.id not in self._held]
        self._follow_watches(tasks, rows)
        now = self._given.clock.now()
        at_work = self._looking.keys() | self._asked.keys()
        waiting = [each for each in rows if each.id not in at_work and each.next_at is not None]
        for row in waiting[: max(SIDE_BY_SIDE - len(at_work), 0)]:
            if (row.next_at or 0.0) <= now:
                await self.ask(row)
        while self._asked and len(self._looking) < SIDE_BY_SIDE:
            source = next((each for each in self._asked if each not in self._looking), None)
            if source is None:
                break
            self._looking[source] = self._asked.pop(source)
            tasks.start_soon(self._look, source)
        if len(self._looking) >= SIDE_BY_SIDE:
            return LONGEST_REST_S
        due = [each.next_at or 0.0 for each in waiting if each.id not in self._looking]
        return min(max(min(due, default=now + LONGEST_REST_S) - now, _LEAST_REST_S), LONGEST_REST_S)

    async def _look(self, source: SourceId) -> None:
        scope = self._scopes[source] = anyio.CancelScope()
        row: SourceRow | None = None
        try:
            row = await self._given.rows.get(source)
            if row is not None:
                await Sync(self._given, row, self._looking[source]).run(scope)
        except _TROUBLE:
            logger.exception("a sync could not be written", extra={"source": source})
            await anyio.sleep(LONGEST_REST_S)  # its row still says that it is due
        finally:
            self._looking.pop(source, None)
            self._scopes.pop(source, None)
            self._bell.ring()
        if row is not None and source in self._again:
            self._again.discard(source)
            await self._nudge(source)

    async def _nudge(self, source: SourceId) -> None:
        """Sync a source that has changed, now or right after the look under way."""
        if source in self._looking:
            self._again.add(source)
            return
        row = await self._given.rows.get(source)
        if row is not None and not row.is_paused and source not in self._held:
            await self.ask(row)

    def _follow_watches(self, tasks: TaskGroup, rows: list[SourceRow]) -> None:
        """Watch the folders that are followed, and no others."""
        wanted = {each.id: Path(path_of(each.told.uri)) for each in rows if each.kind == "folder"}
        for source in [each for each in self._watched if each not in wanted]:
            self._watched.pop(source).set()
        for source, path in wanted.items():
            if source not in self._watched:
                stopped = self._watched[source] = anyio.Event()
                tasks.start_soon(self._watch_one, source, path, stopped)

    async def _watch_one(self, source: SourceId, path: Path, stopped: anyio.Event) -> None:
        """Sync a folder soon after each change. Where it cannot be watched, its interval still serves."""
        try:
            async for _ in self._watch(path, stopped):
                with anyio.move_on_after(self._quiet_s):
                    await stopped.wait()
                if stopped.is_set():
                    break
                await self._nudge(source)
        except Exception:
            # The border of a watcher's native code: whatever ails it must not stop the others.
            logger.warning("a folder could not be watched", extra={"source": source}, exc_info=True)
        with anyio.move_on_after(LONGEST_REST_S):  # a folder that is gone may come back
            await stopped.wait()
        if self._watched.get(source) is stopped:
            del self._watched[source]

    async def _spread_overdue(self) -> None:
        """Let what should have been looked at meanwhile be looked at once, one after the other."""
        now = self._given.clock.now()
        overdue = [each for each in await self._given.rows.following() if (each.next_at or 0.0) <= now]
        due = [
            (each.id, after_restart(now, place, len(overdue), self._given.dice()))
            for place, each in enumerate(overdue)
        ]
        if due:
            await self._given.stores.truth.write(lambda pen: _note_all_due(pen, due))


def _note_due(pen: Pen, source: SourceId, now: float) -> None:
    pen.execute("UPDATE source SET next_at = ? WHERE id = ? AND NOT is_paused", [now, source])


def _note_all_due(pen: Pen, due: list[tuple[SourceId, float]]) -> None:
    for source, at in due:
        update_source(pen, source, next_at=at)


def _empty(folder: Path) -> None:
    """Remove what a former process was fetching."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
