"""The shell around the machine of one run: performs its commands in order, tells it what happened.

    told ─► inbox ─► machine ─► commands ─► Store ▪ Tell ▪ Generate ▪ MakeCall ▪ AskPerson ▪ … ─► told
It decides nothing. A run that is left (the server stops) ends without a last step, and can be gone on with.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import msgspec
from anyio.abc import TaskGroup

from runtime.core.agents.asking import Asker, Turns, summarise
from runtime.core.agents.builtins import Search
from runtime.core.agents.callers import caller_of, question_of
from runtime.core.agents.carrying import Carrier, Executors
from runtime.core.agents.ending import Endings
from runtime.core.agents.happenings import AnyHappening, RunOver
from runtime.core.agents.hub_tools import at_server
from runtime.core.agents.inbox import Inbox
from runtime.core.agents.loans import Loans
from runtime.core.agents.machine import AgentMachine
from runtime.core.agents.moves import (
    AnyCommand,
    AnyTold,
    AskPerson,
    Begin,
    CallIdles,
    CancelAsked,
    Finish,
    Generate,
    MakeCall,
    StopCall,
    StopGenerating,
    Store,
    Summarise,
    Tell,
    TimeOver,
    TurnRefused,
)
from runtime.core.agents.noting import Notes
from runtime.core.agents.outputs import Mint
from runtime.core.agents.people import People
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import Lent, RunStore
from runtime.core.agents.retaking import Retakes
from runtime.core.agents.steps import TERMINAL, AnyStep, RunEnded, RunRecord
from runtime.core.agents.stopwatch import Span, Stopwatch, worked_s
from runtime.core.agents.stream import RunStream
from runtime.core.clock import Clock
from runtime.core.errors import Fault, LarError, StoreFull
from runtime.core.ids import TenantId

logger = logging.getLogger(__name__)

_FULL_PAUSE_S = 5.0
"""Before a background run tries again to store a step on a disk without room."""
_BROKEN = Fault(
    code="internal_error", message="Lar itself failed in this run; 'lar logs' tells more. Run it again."
)

Work = Generate | StopGenerating | MakeCall | StopCall | AskPerson | Summarise
Pictures = Callable[[TenantId, Sequence[AnyStep]], Awaitable[Mapping[str, bytes]]]
"""Returns pictures that items name and do not hold, by file id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunnerParts:
    """What runs work with."""

    store: RunStore
    endings: Endings
    asker: Asker
    executors: Executors
    people: People
    clock: Clock
    search: Search
    mint: Mint
    pictures: Pictures | None = None
    loans: Loans | None = None
    """None: background runs have no servers of requests after a restart."""
    retakes: Retakes | None = None
    """None: a run is taken up however often it came to nothing."""


class Runner:
    """One live run. `live` runs it to its end, or until it is cancelled from outside."""

    def __init__(
        self,
        parts: RunnerParts,
        record: RunRecord,
        steps: Sequence[AnyStep],
        stream: RunStream,
        lent: Lent | None = None,
        on_moved: Callable[[RunRecord, bool], None] | None = None,
        waits_below: Sequence[Span] = (),
    ) -> None:
        """`on_moved` is told the run, and whether all it does is wait for persons, when either changes."""
        self.stream = stream
        self.over = anyio.Event()
        """The run has ended or is left."""
        self._parts = parts
        self._machine = AgentMachine(record, steps, parts.mint, parts.search)
        self._record = record
        self._stored = len(steps)
        self._steps: Sequence[AnyStep] = steps
        self._lent = lent
        self._names: Mapping[str, str] = {}
        self._inbox = Inbox()
        self._notes = Notes(parts.store, stream) if record.is_background else None
        self._turns = Turns(parts.asker, self._inbox.give)
        self._carrier = Carrier(parts.executors, self.tell, self._named)
        self._watch = Stopwatch(parts.clock, worked_s(steps, waits_below))
        self._scope = anyio.CancelScope()
        self._tasks: TaskGroup | None = None
        self._is_over = False
        self._is_leaving = False
        self._early: list[AnyTold] = []
        self._on_moved = on_moved
        self._hindrance: Fault | None = None

    @property
    def record(self) -> RunRecord:
        """The run as it is stored."""
        return self._record

    @property
    def plan(self) -> Plan:
        """What it is to do now."""
        return self._machine.state.plan

    @property
    def parent_call(self) -> str:
        """The call of another run that began it; empty where none did."""
        return self._machine.state.opened.parent_call or ""

    def tell(self, told: AnyTold, heard: anyio.Event | None = None) -> None:
        """Tell the run something; harmless after its end. `heard` is set once what follows is stored."""
        if isinstance(told, CancelAsked):
            self.stream.let_go()
        self._inbox.put(told, heard)

    def lend_first(self, lent: Lent) -> None:
        """Let it have servers while it lives here; before `live`."""
        self._lent = lent

    def fail_first(self, fault: Fault) -> None:
        """Let it end as failed instead of going on; before `live`."""
        self._hindrance = fault

    def tell_first(self, told: AnyTold) -> None:
        """Tell it before it begins or goes on; before `live`."""
        self._early.append(told)

    def call_idles(self, call_id: str, *, is_idle: bool) -> None:
        """Take note that a run which this one called for waits for persons, or goes on."""
        self.tell(CallIdles(call_id=call_id, is_idle=is_idle))

    def leave(self) -> None:
        """Let it be as it is, at once; a later server goes on with it."""
        self._scope.cancel()

    def leave_soon(self) -> None:
        """Let it be as it is once no call is on its way."""
        self._is_leaving = True
        if not self._carrier.is_busy:
            self._scope.cancel()

    async def live(self) -> None:
        """Run to the end, which comes whatever happens."""
        try:
            with self._scope:
                await self._live()
        except Exception as problem:  # noqa: BLE001 - the border of agents' runs; `_break` logs it
            await self._break(problem)
        finally:
            with anyio.CancelScope(shield=True):  # the approvals' file is written, no more
                await self._parts.people.leave(self._record.id, is_over=self._is_over)
            self.stream.close()
            self.over.set()

    async def _live(self) -> None:
        if self._hindrance is not None:
            raise LarError(self._hindrance)
        begin = await self._beginning()
        async with AsyncExitStack() as stack:
            if self._lent is not None:
                origin = f"the request of run {self._record.id}"
                lending = self._parts.executors.source.lend(self._lent, origin)
                self._names = await stack.enter_async_context(lending)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks = tasks
            if self._notes is not None:
                tasks.start_soon(self._notes.keep_forever)
            tasks.start_soon(self._watch_time)
            for told in self._early:
                await self._take(told)
            if not self._is_over:
                self._parts.endings.begun(self._record)
                await self._take(begin)
            await self._hear_all()
            tasks.cancel_scope.cancel()

    async def _hear_all(self) -> None:
        while not self._is_over:
            letter = await self._inbox.take()
            await self._take(letter.told)
            if letter.heard is not None:
                letter.heard.set()
            if self._is_leaving and not self._carrier.is_busy:
                self._scope.cancel()

    async def _beginning(self) -> Begin:
        tenant, record = TenantId(self._record.tenant), self._record
        seen: tuple[AnyHappening, ...] = ()
        if record.is_background and self._stored > 1:
            told = await self._parts.store.happenings(record.id)
            seen = tuple(each.happening for each in told)
        pictures: Mapping[str, bytes] = {}
        if self._parts.pictures is not None:
            pictures = await self._parts.pictures(tenant, self._steps)
        self._steps = ()
        context_tokens = self._parts.asker.context_tokens(record.model)
        return Begin(context_tokens=context_tokens, seen=seen, pictures=dict(pictures))

    async def _take(self, told: AnyTold) -> None:
        """Tell the machine and perform what it wants; steps come first, in as few commits as can be."""
        commands = self._machine.handle(told, self._parts.clock.now())
        await self._store([each for each in commands if isinstance(each, Store)])
        self._weigh()
        for command in commands:
            await self._perform(command)

    async def _perform(self, command: AnyCommand) -> None:
        match command:
            case Store():
                pass  # it was the first to be done
            case Tell(happening=happening):
                await self._show(happening)
            case Finish():
                if self._notes is not None:
                    await self._notes.flush()
                self._is_over = True
            case _:
                self._set_going(command)

    def _set_going(self, command: Work) -> None:
        """Begin what others do meanwhile, or stop it."""
        assert self._tasks is not None
        match command:
            case Generate():
                self._tasks.start_soon(self._generate, command)
            case StopGenerating(turn=turn):
                self._turns.stop(turn)
            case MakeCall():
                self._tasks.start_soon(self._carrier.carry_out, command, self.plan, self._record)
            case StopCall(call_id=call_id):
                self._carrier.stop(call_id)
            case AskPerson():
                self._tasks.start_soon(self._ask, command)
            case Summarise():
                self._tasks.start_soon(self._summarise, command)

    async def _store(self, stores: Sequence[Store]) -> None:
        """Have steps on disk.

        A session takes what was said once that is stored, and before the run's last step is.
        """
        if not stores:
            return
        last = stores[-1]
        is_end = any(isinstance(each, RunEnded) for each in last.steps)
        if is_end and last.record.session is not None:
            await self._append(stores[:-1])
            await self._parts.endings.ending(last.record, self._machine.state)
            await self._append(stores[-1:])
        else:
            await self._append(stores)

    async def _append(self, stores: Sequence[Store]) -> None:
        if not stores:
            return
        record, steps = stores[-1].record, [each for store in stores for each in store.steps]
        await self._write(record, steps)
        self._stored += len(steps)
        before, self._record = self._record, record
        self._parts.endings.moved(before, record)
        if self._on_moved is not None:
            self._on_moved(record, self._watch.is_held)

    async def _write(self, record: RunRecord, steps: Sequence[AnyStep]) -> None:
        while True:
            try:
                await self._parts.store.append(record, self._stored, steps)
            except StoreFull:
                if not record.is_background:
                    raise
                logger.exception("a run waits for room on the disk", extra={"run_id": record.id})
                await anyio.sleep(_FULL_PAUSE_S)
            else:
                return

    async def _show(self, happening: AnyHappening) -> None:
        if self._notes is None:
            await self.stream.tell(happening)
        else:
            await self._notes.add(happening)

    async def _generate(self, command: Generate) -> None:
        try:
            plan = self.plan
            is_patient = self._record.is_background and len(plan.models) == 1
            await self._turns.generate(command, plan.principal, is_patient=is_patient)
        except Exception:  # part of the border of runs: the turn is refused, the run decides
            logger.exception("generating a turn", extra={"run_id": self._record.id})
            await self._inbox.give(TurnRefused(turn=command.turn, fault=_BROKEN))

    async def _summarise(self, command: Summarise) -> None:
        plan = self.plan
        self.tell(await summarise(self._parts.asker, command, plan.principal, plan.priority))

    async def _ask(self, command: AskPerson) -> None:
        caller = caller_of(self.plan, self._record.id, self._record.session)
        known = None
        if command.tool.executor == "hub":
            named = await self._named(command.tool)
            try:
                tools = await self._parts.executors.source.tools(caller)
            except LarError:
                tools = ()  # the question is put without what the server says of its tool
            known = next((each for each in tools if each.full_name == named.full_name), None)
        question = question_of(caller, command.call, command.tool, known)
        await self._parts.people.ask(command, question, self.tell)

    async def _named(self, tool: PlannedTool) -> PlannedTool:
        """Return a tool of a lent server under its name of now."""
        server = self._names.get(tool.server)
        if server is None or tool.executor != "hub":
            return tool
        caller = caller_of(self.plan, self._record.id, self._record.session)
        offered = await self._parts.executors.source.tools(
            msgspec.structs.replace(caller, servers=frozenset({server}))
        )
        wanted = tool.tool or tool.name
        found = next((each for each in offered if each.name == wanted), None)
        here = at_server(tool, server)
        return here if found is None else msgspec.structs.replace(here, full_name=found.full_name)

    def _weigh(self) -> None:
        """Let the time stand still while there is nothing to do but to wait for persons."""
        is_idle = self._machine.is_idle
        if is_idle == self._watch.is_held:
            return
        (self._watch.hold if is_idle else self._watch.go_on)()
        if self._on_moved is not None:
            self._on_moved(self._record, is_idle)

    async def _watch_time(self) -> None:
        await self._watch.reach(lambda: self.plan.limits.seconds)
        self.tell(TimeOver())

    async def _break(self, problem: Exception) -> None:
        """End a run that Lar itself has broken, as well as can be."""
        fault = _fault_of(problem)
        logger.error("a run broke", exc_info=problem, extra={"run_id": self._record.id})
        if self._is_over or self._record.status in TERMINAL:
            return
        now = self._parts.clock.now()
        ended = RunEnded(at=now, status="failed", fault=fault)
        record = msgspec.structs.replace(
            self._record, status="failed", fault=fault, ended_at=now, steps=self._stored + 1
        )
        try:
            await self._parts.store.append(record, self._stored, [ended])
        except Exception:  # the store itself is what broke, most likely
            logger.exception("storing the end of a broken run", extra={"run_id": record.id})
            if record.is_background:
                return  # it is resumable: nobody is told of an end that a restart would take back
        self._is_over = True
        before, self._record = self._record, record
        self._parts.endings.moved(before, record)
        await self._show(RunOver(record=record))
        if self._notes is not None:
            await self._notes.flush()


def _fault_of(problem: Exception) -> Fault:
    while isinstance(problem, ExceptionGroup) and len(problem.exceptions) == 1:
        problem = problem.exceptions[0]
    return problem.fault if isinstance(problem, LarError) else _BROKEN
