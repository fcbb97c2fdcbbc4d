"""Lets triggers start their agents, for as long as the server lives.

    times   looked at whenever one is due, and every few seconds for definitions that have changed
    facts   changes of collections and ends of runs, from the bus; both are caught up with after a restart
    files   one watch for each folder that somebody names, likewise
Calls from outside come through `TriggerService.call`.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

import anyio
import watchfiles
from anyio.abc import TaskGroup

from runtime.core.agent_facts import AgentCancelled, AgentEnded, AgentFailed, AgentFinished, AgentIncomplete
from runtime.core.agents.book import FileBook
from runtime.core.agents.definition import Agent, Condition, Trigger
from runtime.core.agents.ports import AgentRuns, RunQuery
from runtime.core.agents.steps import RunRecord, RunStatus
from runtime.core.agents.triggers.due import check_triggers, decide_due, is_timed
from runtime.core.agents.triggers.gathering import Gathered, gather
from runtime.core.agents.triggers.looking import Looks
from runtime.core.agents.triggers.naming import key_of
from runtime.core.agents.triggers.starts import DEPTH_LABEL, Starts
from runtime.core.bus import Bus
from runtime.core.clock import Clock
from runtime.core.errors import Fault, LarError, NotFound
from runtime.core.events import BusLagged, Envelope
from runtime.core.ids import CollectionId, RunId, TenantId
from runtime.core.recall import Collections
from runtime.core.recall_facts import RecallForgotten, RecallIngested

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
"""How soon a definition that a person has changed by hand is noticed."""
_FACTS_BUFFERED = 4096
_ENDS: dict[Condition, tuple[RunStatus, ...]] = {
    "completed": ("completed",),
    "failed": ("failed",),
    "incomplete": ("incomplete",),
    "cancelled": ("cancelled",),
    "any": ("completed", "failed", "incomplete", "cancelled"),
}
_CAUGHT_UP = 50
"""Ends of runs that are made up for at most after a restart."""

Watch = Callable[[Path], AsyncIterator[set[tuple[watchfiles.Change, str]]]]


class Armed(NamedTuple):
    """A trigger of an agent that may run."""

    tenant: TenantId
    agent: Agent
    trigger: Trigger

    @property
    def key(self) -> tuple[TenantId, str]:
        """What tells it from others."""
        return self.tenant, key_of(self.agent, self.trigger)


def watch_folder(path: Path) -> AsyncIterator[set[tuple[watchfiles.Change, str]]]:
    """Tell of changes below a folder until the task is cancelled."""
    # An empty set says that the watch is there: what changed before that is for whoever hears of it to see.
    return watchfiles.awatch(path, ignore_permission_denied=True, rust_timeout=1000, yield_on_timeout=True)


class TriggerService:
    """The triggers of all agents."""

    def __init__(
        self,
        book: FileBook,
        starts: Starts,
        runs: AgentRuns,
        collections: Collections,
        bus: Bus,
        clock: Clock,
        watch: Watch = watch_folder,
        *,
        looks: Looks | None = None,
    ) -> None:
        self._book = book
        self._starts = starts
        self._runs = runs
        self._collections = collections
        self._bus = bus
        self._clock = clock
        self._watch = watch
        self._looks = looks
        self._known: set[tuple[TenantId, str]] = set()
        self._gathered: dict[tuple[TenantId, str], tuple[Armed, Gathered]] = {}
        self._watched: dict[tuple[TenantId, str], anyio.CancelScope] = {}
        self._woken = anyio.Event()

    def wake(self) -> None:
        """Look again at once: a definition was changed."""
        self._woken.set()

    async def run_forever(self) -> None:
        """Start agents as their triggers say. For the app's task group."""
        with self._bus.subscribe("triggers", _FACTS_BUFFERED) as facts:
            for each in await self.armed():
                self._known.add(each.key)
                await self._guarded(self._take_up, each)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._look_forever, tasks)
                async for envelope in facts:
                    await self._hear(envelope)
                tasks.cancel_scope.cancel()

    async def armed(self) -> list[Armed]:
        """Return the triggers of agents that may run."""
        found: list[Armed] = []
        for tenant in await self._book.tenants():
            for state in await self._book.list_agents(tenant):
                if state.is_paused or state.faults:
                    continue
                try:
                    check_triggers(state.agent)
                except LarError as problem:
                    logger.warning(
                        "an agent's triggers cannot be read",
                        extra={"agent": state.agent.name, "cause": problem.fault.message},
                    )
                    continue
                found += [Armed(tenant, state.agent, each) for each in state.agent.triggers]
        return found

    async def call(self, tenant: TenantId, agent: str, hook: str, event: str, delivery: str) -> RunId | None:
        """Start an agent for a call from outside; the same delivery starts it once.

        Raises NotFound where the agent has no such hook, or is paused.
        """
        for each in await self.armed():
            if (each.tenant, each.agent.name, each.trigger.webhook) == (tenant, agent, hook):
                return await self._starts.start(tenant, each.agent, each.trigger, event, f"hook:{delivery}")
        raise NotFound(no_hook(agent, hook))

    async def _take_up(self, each: Armed) -> None:
        """Go on where the last server ended: starts that were cut off, and ends of runs that nobody heard."""
        await self._starts.finish_pending(each.tenant, each.agent, each.trigger)
        if each.trigger.after is not None:
            await self._catch_up(each)
        await self._look_again(each)

    async def _meet(self, each: Armed) -> None:
        """Begin with a trigger that was written, or let start again, just now: from here on it counts."""
        self._known.add(each.key)
        await self._starts.begin(each.tenant, each.agent, each.trigger)
        if self._looks is not None and _is_looking(each.trigger):
            await self._looks.begin(each.tenant, each.agent, each.trigger, anew=True)

    async def _look_again(self, each: Armed) -> None:
        """Have told what has changed since this trigger started its agent last."""
        if self._looks is None or not _is_looking(each.trigger):
            return
        if await self._looks.begin(each.tenant, each.agent, each.trigger):
            self._gather(each, "+changes")

    async def _look_forever(self, tasks: TaskGroup) -> None:
        while True:
            self._woken = anyio.Event()
            following = self._clock.now() + LOOK_EVERY_S
            armed = await self.armed()
            self._known &= {each.key for each in armed}
            for each in armed:
                if each.key not in self._known:
                    await self._guarded(self._meet, each)
                if is_timed(each.trigger):
                    following = min(following, await self._look_at_time(each))
            self._watch_folders(armed, tasks)
            following = min(following, await self._tell_gathered({each.key: each for each in armed}))
            with anyio.move_on_after(max(0.05, following - self._clock.now())):
                await self._woken.wait()

    async def _look_at_time(self, each: Armed) -> float:
        """Start what is due; return when to look again."""
        mark = await self._starts.mark(each.tenant, each.agent, each.trigger)
        due = decide_due(each.trigger, mark.last, self._clock.now())
        for at in due.starts:
            event = self._clock_text(at)
            await self._guarded(self._start, each, event, f"{each.key[1]}@{at:.0f}", at)
        await self._starts.move(each.tenant, each.agent, each.trigger, due.last)
        return due.following

    def _clock_text(self, at: float) -> str:
        """Return the time that a start was due, as agents are told."""
        return self._starts.local(at).strftime("%Y-%m-%d %H:%M")

    async def _start(
        self, each: Armed, event: str, key: str, last: float | None = None, depth: int = 1
    ) -> None:
        await self._starts.start(each.tenant, each.agent, each.trigger, event, key, last, depth)

    async def _hear(self, envelope: Envelope) -> None:
        event = envelope.event
        match event:
            case RecallIngested():
                await self._changed(envelope.tenant, event.collection, f"+{event.name}")
            case RecallForgotten(documents=count) if count:
                await self._changed(envelope.tenant, event.collection, f"-{count} documents")
            case AgentFinished() | AgentFailed() | AgentIncomplete() | AgentCancelled():
                await self._ended(envelope, event)
            case BusLagged():
                for each in await self.armed():
                    if each.trigger.after is not None:
                        await self._guarded(self._catch_up, each)
                    await self._guarded(self._look_again, each)
            case _:
                pass

    async def _changed(self, tenant: TenantId, collection: CollectionId, name: str) -> None:
        wanted = [each for each in await self.armed() if each.trigger.collection and each.tenant == tenant]
        if not wanted:
            return
        try:
            known = (await self._collections.find(tenant, collection)).name
        except NotFound:
            return
        for each in wanted:
            if each.trigger.collection in (known, collection):
                self._gather(each, name)

    def _gather(self, each: Armed, name: str) -> None:
        before = self._gathered.get(each.key)
        now = self._clock.now()
        self._gathered[each.key] = (each, gather(before[1] if before else None, name, now))
        if before is None:
            self.wake()

    async def _tell_gathered(self, armed: Mapping[tuple[TenantId, str], Armed]) -> float:
        """Start agents for what was gathered and is quiet now; return when to look again.

        An agent is started as its definition is by now, and not at all where it is paused.
        """
        now = self._clock.now()
        for key, (_, gathered) in list(self._gathered.items()):
            if gathered.due_at <= now:
                del self._gathered[key]
                if key in armed:
                    await self._tell_one(armed[key], gathered)
        return min((gathered.due_at for _, gathered in self._gathered.values()), default=now + LOOK_EVERY_S)

    async def _tell_one(self, each: Armed, gathered: Gathered) -> None:
        """Start an agent for what was gathered; where the store refuses that, it is tried again later."""
        try:
            if self._looks is None:
                await self._start(each, gathered.text, f"{each.key[1]}@{gathered.last_at:.3f}")
            else:
                await self._looks.tell(each.tenant, each.agent, each.trigger, gathered.text)
        except LarError as problem:
            logger.warning(
                "a trigger could not start its agent; it tries again", extra={"cause": problem.fault.message}
            )
            for name in gathered.names:
                self._gather(each, name)

    async def _ended(self, envelope: Envelope, ended: AgentEnded) -> None:
        if ended.agent is None or envelope.run_id is None:
            return
        for each in await self.armed():
            if each.tenant == envelope.tenant and each.trigger.after == ended.agent:
                record = await self._runs.find(envelope.tenant, envelope.run_id)
                await self._guarded(self._follow_up, each, record)

    async def _catch_up(self, each: Armed) -> None:
        """Start the agent for ends that came while nobody listened."""
        mark = await self._starts.mark(each.tenant, each.agent, each.trigger)
        query = RunQuery(agent=each.trigger.after, statuses=_ENDS[each.trigger.when], limit=_CAUGHT_UP)
        ended = await self._runs.list_runs(each.tenant, query)
        for record in sorted(ended, key=lambda each: each.ended_at or 0.0):
            if (record.ended_at or 0.0) > mark.last:
                await self._follow_up(each, record)

    async def _follow_up(self, each: Armed, record: RunRecord) -> None:
        if record.status not in _ENDS[each.trigger.when]:
            return
        depth = int(record.labels.get(DEPTH_LABEL, "0")) + 1
        if depth > each.agent.limits.depth:
            logger.warning(
                "agents start each other in a circle; this start was left out",
                extra={"agent": each.agent.name, "run": record.id, "depth": depth},
            )
            return
        event = f"{record.agent} ({record.id}) is {record.status}. {record.answer}".rstrip()
        key = f"after:{each.key[1]}:{record.id}"
        await self._start(each, event, key, record.ended_at, depth)

    def _watch_folders(self, armed: list[Armed], tasks: TaskGroup) -> None:
        wanted = {each.key: each for each in armed if each.trigger.files is not None}
        for key in [key for key in self._watched if key not in wanted]:
            self._watched.pop(key).cancel()
        for key, each in wanted.items():
            if key not in self._watched:
                self._watched[key] = anyio.CancelScope()
                tasks.start_soon(self._watch_folder, each, self._watched[key])

    async def _watch_folder(self, each: Armed, scope: anyio.CancelScope) -> None:
        folder = _folder_of(each.trigger)
        try:
            with scope:
                is_there = False
                async for changes in self._watch(folder):
                    if not is_there:
                        is_there = True
                        await self._guarded(self._look_again, each)
                    for change, path in changes:
                        sign = "-" if change is watchfiles.Change.deleted else "+"
                        self._gather(each, f"{sign}{_below(folder, path)}")
        except (FileNotFoundError, OSError) as problem:
            logger.warning("a folder cannot be watched", extra={"folder": str(folder), "cause": str(problem)})
            await anyio.sleep(LOOK_EVERY_S)
            if self._watched.get(each.key) is scope:
                del self._watched[each.key]  # the next look tries again

    async def _guarded(self, work: Callable[..., Awaitable[None]], *given: object) -> None:
        """Do something for one trigger; what goes wrong there holds back no other."""
        try:
            await work(*given)
        except LarError as problem:
            logger.warning("a trigger could not start its agent", extra={"cause": problem.fault.message})


def _below(folder: Path, path: str) -> str:
    """Return a file's path as seen from the folder that is watched."""
    file = PurePath(path)
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name


def _is_looking(trigger: Trigger) -> bool:
    """Say whether it compares what is there with what was."""
    return trigger.files is not None or trigger.collection is not None


def _folder_of(trigger: Trigger) -> Path:
    return Path(trigger.files or "").expanduser()


def no_hook(agent: str, hook: str) -> Fault:
    """Return what a caller is told whose hook is not there."""
    message = f"The agent '{agent[:80]}' has no webhook '{hook[:80]}', or is paused."
    return Fault(code="not_found", message=message)
