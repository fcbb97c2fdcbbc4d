"""All runs of a server: started, followed, steered, cancelled, taken up again after a restart.

    start ─► on disk ─► a place? ── yes ─► live ─► ended
                          └─ no ─► waits, on disk ─┘
Runs live in a task group of the server, not with whoever asked. One that a server leaves without an end is
gone on with by the next one if it is in the background; else it is ended there.
"""

import logging
from collections.abc import Sequence

import anyio
import msgspec
from anyio.abc import TaskGroup

from runtime.core.agents.children import Children, child_id
from runtime.core.agents.fold import fold, opening_record, record_of
from runtime.core.agents.forking import forked_steps
from runtime.core.agents.items import AnyItem
from runtime.core.agents.living import Entry, Living
from runtime.core.agents.moves import Steered
from runtime.core.agents.past import whole_story
from runtime.core.agents.ports import Lent, NewRun, Replayed, RunFollower, RunQuery, Sessions
from runtime.core.agents.replaying import replay_steps
from runtime.core.agents.runner import RunnerParts
from runtime.core.agents.steps import TERMINAL, AnyStep, ItemsAdded, RunOpened, RunRecord
from runtime.core.agents.stream import PastFollower
from runtime.core.errors import Conflict, Fault, LarError
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId, TenantId
from runtime.core.minting import new_id
from runtime.core.settings import AgentSettings

logger = logging.getLogger(__name__)

_FORGET_EVERY_S = 3600.0


class RunService:
    """Fulfils `AgentRuns`."""

    def __init__(
        self,
        parts: RunnerParts,
        *,
        sessions: Sessions,
        children: Children,
        tasks: TaskGroup,
        settings: AgentSettings,
    ) -> None:
        self._parts = parts
        self._store = parts.store
        self._sessions = sessions
        self._settings = settings
        self._living = Living(parts, children, tasks, settings)
        children.known = self

    @property
    def live(self) -> int:
        """How many runs are at work."""
        return self._living.places.taken

    @property
    def waiting(self) -> int:
        """How many wait for their place."""
        return self._living.places.waiting

    async def resume_all(self) -> int:
        """Take up what an earlier server has left; return how many runs go on. Before anybody asks."""
        return await self._living.resume_all()

    async def stop(self, grace_s: float) -> None:
        """Take no more runs. Those in the background are left to the next server, others end. Bounded."""
        await self._living.stop(grace_s)

    def ask_to_stop(self, run: RunId, reason: str) -> None:
        """Let a live run end soon; does not wait. What a stopping server leaves, it leaves whole."""
        self._living.ask_to_stop(run, reason)

    async def start(self, new: NewRun, lent: Lent | None = None) -> RunFollower:
        """Store and begin a run; the reader was there first. Raises LarError."""
        self._check_room()
        run = RunId(new_id("run_"))
        if new.parent is not None and new.parent_call is not None:
            run = child_id(new.parent, new.parent_call)
        tenant = new.plan.principal.tenant
        self._living.claim(tenant, new.session, run)
        try:
            context = await self._context(tenant, new)
            with anyio.CancelScope(shield=True):  # a few writes: what is on disk has a reader, or ends
                follower = await self._open(run, new, context, lent)
        except BaseException:
            if not self._living.has(run):
                self._living.release(tenant, new.session, run)
            raise
        return follower

    async def follow(self, tenant: TenantId, run: RunId, first: int = 0) -> RunFollower:
        """Read a run from a number on: what is stored, then what happens.

        Raises NotFound, Conflict where nothing of it was kept.
        """
        entry = self._living.entry(tenant, run)
        if entry is not None:
            return entry.stream.follow(first)

        record = await self._store.find(tenant, run)
        if not record.is_background:
            message = f"What run '{run}' told was not kept: it was not in the background. Read how it ended."
            raise Conflict(Fault(code="conflict", message=message))
        told = await self._store.happenings(run)
        if record.status in TERMINAL:
            steps = await self._store.steps(tenant, run)
            told = whole_story(record, steps, told, self._parts.mint, self._parts.search)
        return PastFollower(run, [each for each in told if each.number >= first])

    async def find(self, tenant: TenantId, run: RunId) -> RunRecord:
        """Return a run as it is now. Raises NotFound."""
        entry = self._living.entry(tenant, run)
        return entry.newest if entry is not None else await self._store.find(tenant, run)

    async def steps(self, tenant: TenantId, run: RunId) -> list[AnyStep]:
        """Return its steps. Raises NotFound."""
        return await self._store.steps(tenant, run)

    async def list_runs(self, tenant: TenantId, query: RunQuery) -> list[RunRecord]:
        """Return runs."""
        return await self._store.list_runs(tenant, query)

    async def runs_naming(self, tenant: TenantId, item: str) -> list[RunId]:
        """Return the first few runs whose steps name an item."""
        return await self._store.runs_naming(tenant, item)

    async def steer(self, tenant: TenantId, run: RunId, items: Sequence[AnyItem]) -> None:
        """Add to what was asked; it is stored when this returns. Raises NotFound, Conflict where it ended."""
        entry = self._living.entry(tenant, run)
        if entry is None:
            await self._store.find(tenant, run)
            raise _has_ended(run)

        async with entry.turn:
            if entry.runner is None:
                await self._steer_waiting(entry, items)
                return
        heard = anyio.Event()
        entry.runner.tell(Steered(items=tuple(items)), heard)
        async with anyio.create_task_group() as waits:
            waits.start_soon(_wait_then, entry.runner.over, waits.cancel_scope)
            await heard.wait()
            waits.cancel_scope.cancel()
        if not heard.is_set():
            raise _has_ended(run)

    async def cancel(self, tenant: TenantId, run: RunId, reason: str) -> RunRecord:
        """Stop it; returns once it has ended, at once if it had. Raises NotFound."""
        entry = self._living.entry(tenant, run)
        if entry is None:
            return await self._store.find(tenant, run)

        await self._living.end(entry, reason)
        return entry.newest

    async def wait(self, tenant: TenantId, run: RunId, limit_s: float) -> RunRecord:
        """Wait for its end that long; return it as it is then. Raises NotFound."""
        entry = self._living.entry(tenant, run)
        if entry is None:
            return await self._store.find(tenant, run)

        with anyio.move_on_after(limit_s):
            await entry.over.wait()
        return entry.newest

    async def until_over(self, tenant: TenantId, run: RunId) -> None:
        """Return once it lives here no more: it has ended, or is left to a later server."""
        entry = self._living.entry(tenant, run)
        if entry is not None:
            await entry.over.wait()

    async def fork(
        self, tenant: TenantId, run: RunId, after_step: int, edits: Sequence[AnyItem], by: Principal
    ) -> RunRecord:
        """Begin a run that takes over the first steps and goes on differently. Raises NotFound, Conflict.

        Edits stand in for the items of the same id; others are added to what was asked.
        """
        self._check_room()
        source = await self._store.find(tenant, run)
        steps = forked_steps(
            source, await self._store.steps(tenant, run), after_step, edits, by, self._parts.clock.now()
        )
        forked = RunId(new_id("run_"))
        opened = steps[0]
        assert isinstance(opened, RunOpened)
        record = opening_record(forked, opened, previous=source.previous, is_background=True)
        record = msgspec.structs.replace(record_of(fold(steps), record), status="queued", steps=len(steps))
        await self._store.open(record, steps)
        self._living.admit(self._living.enter(record, opened.plan.priority, steps, first=0))
        return record

    async def replay(self, tenant: TenantId, run: RunId) -> Replayed:
        """Let the machine live the run again on what was recorded. Raises NotFound."""
        record = await self._store.find(tenant, run)
        steps = await self._store.steps(tenant, run)
        return replay_steps(record, steps, self._parts.search, self._parts.asker.context_tokens)

    async def remove(self, tenant: TenantId, run: RunId) -> None:
        """Forget an ended run, and the runs that it called for. Raises NotFound, Conflict."""
        if self._living.entry(tenant, run) is not None:
            message = f"The run '{run}' has not ended yet. Cancel it first."
            raise Conflict(Fault(code="conflict", message=message))
        await self._living.remove(tenant, run)

    async def forget_forever(self) -> None:
        """Remove ended runs as their time passes."""
        while True:
            try:
                count = await self._store.forget_before(
                    self._parts.clock.now() - self._settings.keep_days * 86400
                )
                if count:
                    logger.info("forgot old runs", extra={"runs": count})
            except LarError:
                logger.exception("forgetting old runs")
            await anyio.sleep(_FORGET_EVERY_S)

    def _check_room(self) -> None:
        if self._living.is_stopping:
            fault = Fault(code="shutting_down", message="The server is stopping.", retry_after_s=5.0)
            raise LarError(fault)
        places, waiting = self._living.places, self._living.places.waiting
        if places.is_full and waiting >= self._settings.waiting_runs:
            message = f"{waiting} runs wait already (agents.waiting_runs). Try again later."
            raise LarError(Fault(code="queue_full", message=message, retry_after_s=30.0))

    async def _context(self, tenant: TenantId, new: NewRun) -> tuple[AnyItem, ...]:
        if new.session is None:
            return new.context
        said = await self._sessions.items(tenant, new.session)
        return (*(each.item for each in said), *new.context)

    async def _open(
        self, run: RunId, new: NewRun, context: tuple[AnyItem, ...], lent: Lent | None
    ) -> RunFollower:
        now = self._parts.clock.now()
        opened = RunOpened(
            at=now,
            plan=new.plan,
            input=new.input,
            context=context,
            session=new.session,
            parent=new.parent,
            parent_call=new.parent_call,
            trigger=new.trigger,
        )
        steps: list[AnyStep] = [opened]
        if new.added:
            steps.append(ItemsAdded(at=now, items=new.added))
        record = opening_record(
            run, opened, previous=new.previous, is_background=new.is_background, is_stored=new.is_stored
        )
        record = msgspec.structs.replace(record, steps=len(steps))
        has_loan = await self._keep_loan(record, new)
        try:
            await self._store.open(record, steps)
        except BaseException:
            if has_loan and self._parts.loans is not None:
                await self._parts.loans.forget(TenantId(record.tenant), run)
            raise
        entry = self._living.enter(record, new.plan.priority, steps, first=0)
        entry.lent, entry.has_loan = lent, has_loan
        follower = entry.stream.follow()
        self._living.admit(entry)
        return follower

    async def _keep_loan(self, record: RunRecord, new: NewRun) -> bool:
        """Keep the servers that a background run was lent, before it is there; say whether there are any."""
        loans = self._parts.loans
        if loans is None or new.loan is None or not new.is_background:
            return False
        await loans.keep(TenantId(record.tenant), record.id, new.loan)
        return True

    async def _steer_waiting(self, entry: Entry, items: Sequence[AnyItem]) -> None:
        """Add to what a run was asked that has not begun. Under its lock."""
        record = entry.record
        step = ItemsAdded(at=self._parts.clock.now(), items=tuple(items), is_output=False)
        after = msgspec.structs.replace(record, steps=record.steps + 1)
        await self._store.append(after, record.steps, [step])
        entry.record, entry.steps = after, None


def _has_ended(run: RunId) -> Conflict:
    return Conflict(Fault(code="conflict", message=f"The run '{run}' has ended. Continue its conversation."))


async def _wait_then(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
