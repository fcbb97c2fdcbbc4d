"""The runs that live in this server or wait for their place in it, and how they begin, end and are left.

    enter ─► a place? ── yes ─► live ─► ended
               └─ no ─► waits, on disk ─┘
A run that another run called for has that one's place; one that waits for a person gives its own back.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from runtime.core.agents.children import Children
from runtime.core.agents.moves import CancelAsked
from runtime.core.agents.places import Places
from runtime.core.agents.plans import CANCELLED_BY_CLIENT
from runtime.core.agents.ports import Lent, RunQuery
from runtime.core.agents.runner import Runner, RunnerParts
from runtime.core.agents.steps import TERMINAL, AnyStep, RunRecord
from runtime.core.agents.stopwatch import Span, waits
from runtime.core.agents.stream import RunStream
from runtime.core.errors import Conflict, Fault, LarError
from runtime.core.ids import RunId, TenantId
from runtime.core.messages import Priority
from runtime.core.settings import AgentSettings

logger = logging.getLogger(__name__)

RESTARTED = "the server was restarted"
STOPPING = "the server is stopping"
_CANCEL_S = 8.0
"""For a turn to be stopped, longer than a worker may take for it; after that the run ends without."""
_LEAVE_S = 5.0


@dataclass(slots=True)
class Entry:
    """A run that lives here, or waits for its place."""

    record: RunRecord
    priority: Priority
    stream: RunStream
    steps: Sequence[AnyStep] | None
    """None: they are read from the store when it begins."""
    lent: Lent | None = None
    has_loan: bool = False
    """Whether something is kept of servers that were lent to it."""
    is_revived: bool = False
    is_idle: bool = False
    """Whether it, or the runs that it called for, do nothing but wait for persons."""
    cancelled: str | None = None
    """Why it is to end before it begins."""
    runner: Runner | None = None
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by whoever changes a run that has not begun."""
    over: anyio.Event = field(default_factory=anyio.Event)

    @property
    def newest(self) -> RunRecord:
        """The run as it is stored."""
        return self.record if self.runner is None else self.runner.record


class Living:
    """The runs of this server that have no end yet."""

    def __init__(
        self, parts: RunnerParts, children: Children, tasks: TaskGroup, settings: AgentSettings
    ) -> None:
        self.is_stopping = False
        self.places = Places(settings.live_runs)
        self._parts = parts
        self._store = parts.store
        self._children = children
        self._tasks = tasks
        self._settings = settings
        self._entries: dict[RunId, Entry] = {}
        self._claims: dict[tuple[str, str], RunId] = {}

    async def resume_all(self) -> int:
        """Take up what an earlier server has left; return how many runs go on.

        Runs in the background go on where they were, others are ended: whoever read them is gone.
        """
        unfinished = await self._store.unfinished()
        if self._parts.loans is not None:
            await self._parts.loans.sweep({each.id for each in unfinished})
        found = [each for each in unfinished if each.fault is None]
        entries: list[Entry] = []
        for record in found:
            has_begun = record.is_background and record.status != "queued"
            told = await self._store.happenings(record.id) if has_begun else []
            entry = self.enter(record, "agent", None, first=told[-1].number + 1 if told else 0)
            entry.is_revived = entry.has_loan = record.is_background
            if record.session is not None:
                self._claims.setdefault((record.tenant, record.session), record.id)
            entries.append(entry)
        for entry in entries:
            if not entry.record.is_background:
                entry.cancelled = RESTARTED
                self._tasks.start_soon(self._live, entry)
            else:
                self.admit(entry)
        return sum(each.record.is_background for each in entries)

    async def stop(self, grace_s: float) -> None:
        """Take no more runs. Those in the background are left to the next server, others end. Bounded."""
        self.is_stopping = True
        entries = list(self._entries.values())
        background = [each.runner for each in entries if each.record.is_background and each.runner]
        for runner in background:
            runner.leave_soon()
        await _wait_over(entries, grace_s)
        async with anyio.create_task_group() as ends:
            for runner in background:
                runner.leave()
            for entry in entries:
                if not entry.record.is_background and not entry.over.is_set():
                    ends.start_soon(self.end, entry, STOPPING)
        await _wait_over(entries, _LEAVE_S)
        for entry in entries:
            entry.stream.close()
            await self._forget_notes(entry)

    def ask_to_stop(self, run: RunId, reason: str) -> None:
        """Let a live run end soon; does not wait. What a stopping server leaves, it leaves whole."""
        entry = self._entries.get(run)
        if entry is None or (self.is_stopping and entry.record.is_background):
            return
        if entry.runner is not None:
            entry.runner.tell(CancelAsked(reason=reason))
        else:
            self._tasks.start_soon(self.end, entry, reason)

    def has(self, run: RunId) -> bool:
        """Whether a run lives here or waits."""
        return run in self._entries

    def claim(self, tenant: str, session: str | None, run: RunId) -> None:
        """Let one run at a time continue a session. Raises Conflict."""
        if session is None:
            return
        holder = self._claims.setdefault((tenant, session), run)
        if holder != run:
            message = (
                f"The conversation '{session}' is being continued by run '{holder}'. "
                "Wait for its end, cancel it, or steer it."
            )
            raise Conflict(Fault(code="conflict", message=message, retry_after_s=2.0))

    def release(self, tenant: str, session: str | None, run: RunId) -> None:
        """Let others continue a session."""
        if session is not None and self._claims.get((tenant, session)) == run:
            del self._claims[tenant, session]

    def enter(
        self, record: RunRecord, priority: Priority, steps: Sequence[AnyStep] | None, *, first: int
    ) -> Entry:
        """Take a run in that is on disk; `first` is the number of its next happening."""
        run = record.id
        stream = RunStream(
            run,
            first=first,
            read=self._store.happenings if record.is_background else None,
            on_left=None if record.is_background else lambda: self._reader_left(run),
        )
        entry = Entry(record, priority, stream, steps)
        self._entries[run] = entry
        return entry

    def admit(self, entry: Entry) -> None:
        """Let a run live, or wait. One that another run called for has that one's place."""
        record = entry.record
        has_parent = record.parent is not None and record.parent in self._entries
        if has_parent or self.places.enter(record.id, record.principal, entry.priority):
            self._tasks.start_soon(self._live, entry)
        else:
            entry.steps = None  # it is on disk

    def _reader_left(self, run: RunId) -> None:
        entry = self._entries.get(run)
        if entry is not None and not entry.stream.followers and not entry.stream.is_closed:
            self.ask_to_stop(run, CANCELLED_BY_CLIENT)

    async def _live(self, entry: Entry) -> None:
        """Live a run to its end here, unless somebody does already."""
        runner = None
        try:
            runner = await self._runner(entry)
            if runner is not None:
                await runner.live()
        except Exception:  # the border of runs: its steps cannot be read, most likely, and stay as they are
            logger.exception("a run cannot begin", extra={"run_id": entry.record.id})
            entry.stream.close()
        finally:
            self._leave(entry)
        record = entry.record
        if record.status in TERMINAL:
            await self._forget_notes(entry)
        is_forgotten = not record.is_stored and record.parent is None
        if runner is not None and record.status in TERMINAL and is_forgotten:
            await self._forget_unstored(record)

    async def _forget_notes(self, entry: Entry) -> None:
        """Remove what was kept of a run beside it, now that it has ended or is left whole."""
        tenant, run = TenantId(entry.record.tenant), entry.record.id
        if entry.is_revived and self._parts.retakes is not None:
            await self._parts.retakes.forget(tenant, run)
        if entry.has_loan and entry.record.status in TERMINAL and self._parts.loans is not None:
            await self._parts.loans.forget(tenant, run)

    async def _runner(self, entry: Entry) -> Runner | None:
        """Make what lets a run live, unless it has one."""
        async with entry.turn:
            if entry.runner is not None or entry.over.is_set():
                return None
            record = entry.record
            steps = entry.steps or await self._store.steps(TenantId(record.tenant), record.id)
            entry.steps = None
            below = await self._waits_below(record) if entry.is_revived else ()
            runner = Runner(
                self._parts,
                record,
                steps,
                entry.stream,
                entry.lent,
                lambda record, is_idle: self._moved(entry, record, is_idle=is_idle),
                below,
            )
            if entry.is_revived and entry.cancelled is None:
                await self._take_again(record, steps, runner)
            if entry.cancelled is not None:
                runner.tell_first(CancelAsked(reason=entry.cancelled))
            entry.runner = runner
            for each in self._entries.values() if entry.is_revived else ():
                if each.record.parent == record.id and each.is_idle and each.runner is not None:
                    runner.call_idles(each.runner.parent_call, is_idle=True)
            return runner

    async def _waits_below(self, record: RunRecord) -> list[Span]:
        """Return when the runs that a run called for waited for persons."""
        tenant = TenantId(record.tenant)
        found: list[Span] = []
        for child in await self._store.list_runs(tenant, RunQuery(parent=record.id, limit=1000)):
            found += waits(await self._store.steps(tenant, child.id))
            found += await self._waits_below(child)
        return found

    async def _take_again(self, record: RunRecord, steps: Sequence[AnyStep], runner: Runner) -> None:
        """Let a run of an earlier server go on, with the servers that its request has brought.

        Without them, and where it came to nothing too often, it ends and says so.
        """
        parts = self._parts
        try:
            if parts.retakes is not None:
                await parts.retakes.take(record, steps)
            if parts.loans is not None:
                lent = await parts.loans.find(TenantId(record.tenant), record.id, runner.plan)
                if lent is not None:
                    runner.lend_first(lent)
        except LarError as problem:
            runner.fail_first(problem.fault)
            return
        await self._revive(record, runner)

    async def _revive(self, record: RunRecord, runner: Runner) -> None:
        if self._children.spawner is None:
            return
        try:
            await self._children.spawner.revive(record, runner.plan)
        except LarError as problem:  # its calls will say what is missing
            logger.warning(
                "a run goes on without its servers",
                extra={"run_id": record.id, "cause": problem.fault.message},
            )

    def _moved(self, entry: Entry, record: RunRecord, *, is_idle: bool) -> None:
        """Give the place back while persons are waited for, be it by the runs that this one called for."""
        was_idle, entry.record, entry.is_idle = entry.is_idle, record, is_idle
        if is_idle == was_idle:
            return
        parent = self._entries.get(record.parent) if record.parent else None
        if parent is not None:
            if parent.runner is not None and entry.runner is not None:
                parent.runner.call_idles(entry.runner.parent_call, is_idle=is_idle)
        elif is_idle:
            self._begin(self.places.leave(record.id))
        elif record.status not in TERMINAL:
            self.places.force(record.id)

    def _begin(self, runs: Sequence[RunId]) -> None:
        if self.is_stopping:
            return
        for run in runs:
            if run in self._entries:
                self._tasks.start_soon(self._live, self._entries[run])

    def _leave(self, entry: Entry) -> None:
        entry.record = entry.newest
        record = entry.record
        if self._entries.get(record.id) is not entry or (entry.runner and not entry.runner.over.is_set()):
            return
        del self._entries[record.id]
        self.release(record.tenant, record.session, record.id)
        entry.over.set()
        self._begin(self.places.leave(record.id))

    async def end(self, entry: Entry, reason: str) -> None:
        """Cancel a run and wait until it has ended. Bounded."""
        if entry.runner is None:
            entry.cancelled = reason
            self.places.withdraw(entry.record.id)
            self._tasks.start_soon(self._live, entry)
        else:
            entry.runner.tell(CancelAsked(reason=reason))
        for _ in range(2):  # the second word ends it although its turn has not
            with anyio.move_on_after(_CANCEL_S):
                await entry.over.wait()
                return
            if entry.runner is not None:
                entry.runner.tell(CancelAsked(reason=reason))
        logger.error("a run did not end in time", extra={"run_id": entry.record.id})

    async def _forget_unstored(self, record: RunRecord) -> None:
        """Forget a run that was not to be kept, and with it those that it called for."""
        try:
            await self.remove(TenantId(record.tenant), record.id)
        except LarError as problem:  # retention takes it later
            logger.warning("a run is not forgotten yet", extra={"cause": problem.fault.message})

    async def remove(self, tenant: TenantId, run: RunId) -> None:
        """Forget an ended run, and the runs that it called for. Raises NotFound, Conflict."""
        await self._store.remove(tenant, run)
        for child in await self._store.list_runs(tenant, RunQuery(parent=run, limit=1000)):
            if child.status in TERMINAL:
                await self.remove(tenant, child.id)

    def entry(self, tenant: TenantId, run: RunId) -> Entry | None:
        """Return a run that lives here or waits."""
        entry = self._entries.get(run)
        return entry if entry is not None and entry.record.tenant == tenant else None


async def _wait_over(entries: Sequence[Entry], limit_s: float) -> None:
    with anyio.move_on_after(limit_s):
        for entry in entries:
            if entry.runner is not None:
                await entry.runner.over.wait()
