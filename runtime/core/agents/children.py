"""Runs that another run's agent calls for: a child is found by its parent's call, and never begun twice."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from runtime.core.agents.callers import door_of
from runtime.core.agents.fold import fold
from runtime.core.agents.happenings import ItemEnded, RunOver, TurnOpened
from runtime.core.agents.items import Answered, AnyItem, Called, Said, Text
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import MoveOn, RunFollower
from runtime.core.agents.results import arguments_of, failed, text_result
from runtime.core.agents.starting import Wish
from runtime.core.agents.steps import TERMINAL, AnyStep, RunRecord
from runtime.core.errors import Fault, NotFound
from runtime.core.ids import RunId, TenantId
from runtime.core.minting import new_id

_TIME_DIGITS = 11
_OWN_DIGITS = 16
_PREFIX = "run_"


class Spawner(Protocol):
    """Starts agents by name; `Starter` is one."""

    async def start(self, wish: Wish) -> RunFollower:
        """Begin a run. Raises LarError."""

    async def plan(self, wish: Wish) -> Plan:
        """Return the plan that a run would have. Raises LarError."""

    async def revive(self, record: RunRecord, plan: Plan) -> None:
        """Give a run back what a restart took from it, before it goes on. Raises LarError."""


class Known(Protocol):
    """What is known of runs, live ones and ended ones."""

    async def find(self, tenant: TenantId, run: RunId) -> RunRecord:
        """Return a run. Raises NotFound."""

    async def steps(self, tenant: TenantId, run: RunId) -> list[AnyStep]:
        """Return its steps. Raises NotFound."""

    async def follow(self, tenant: TenantId, run: RunId, first: int = 0) -> RunFollower:
        """Read it. Raises NotFound, Conflict."""

    def ask_to_stop(self, run: RunId, reason: str) -> None:
        """Let a live run end soon; does not wait."""


def child_id(parent: RunId, call_id: str) -> RunId:
    """Return the id of the run that a call of a run begins: the same for the same call."""
    digest = hashlib.sha256(f"{parent}\n{call_id}".encode()).hexdigest()[:_OWN_DIGITS]
    time = parent.removeprefix(_PREFIX)[:_TIME_DIGITS]  # it sorts beside its parent
    return RunId(f"{_PREFIX}{time}{digest}")


class Children:
    """Asks other agents on behalf of runs."""

    def __init__(self) -> None:
        self.known: Known | None = None
        self.spawner: Spawner | None = None
        """Both are set once there are any: they need what carries calls out."""

    async def ask(
        self, call: Called, tool: PlannedTool, plan: Plan, parent: RunRecord, move: MoveOn
    ) -> Answered:
        """Have another agent do it and return its answer. Raises LarError."""
        task = _task_of(call)
        if not task:
            return failed(call, "'task' says what is to be done, and cannot be empty.", "invalid_arguments")
        known = self.known
        if self.spawner is None or known is None:
            return failed(call, f"There is no agent '{tool.full_name}' here.", "unknown_tool")

        tenant, child = TenantId(parent.tenant), child_id(parent.id, call.call_id)
        ended = await _ended(known, tenant, child)
        if ended is not None:
            return _answer(call, *ended)

        if await _depth(known, parent) >= plan.limits.depth:
            text = f"Agents may call agents {plan.limits.depth} deep (limits.depth), and here it ends."
            return failed(call, text, "limit")
        follower = await _follow_live(known, tenant, child)
        if follower is None:
            follower = await self.spawner.start(self._wish(call, tool, plan, parent, task))
        return await _listen(known, call, follower, move)

    async def plan(self, call: Called, tool: PlannedTool, plan: Plan, parent: RunRecord) -> Plan:
        """Return the plan by which another agent goes on in this run. Raises LarError."""
        if self.spawner is None:
            message = f"There is no agent '{tool.full_name}' here."
            raise NotFound(Fault(code="not_found", message=message))
        return await self.spawner.plan(self._wish(call, tool, plan, parent, _task_of(call)))

    def _wish(self, call: Called, tool: PlannedTool, plan: Plan, parent: RunRecord, task: str) -> Wish:
        question = Said(id=new_id("msg_"), role="user", parts=(Text(text=task),))
        return Wish(
            agent=tool.full_name,
            principal=plan.principal,
            input=(question,),
            door=door_of(plan),
            trigger="agent",
            parent=parent.id,
            parent_call=call.call_id,
            is_background=parent.is_background,
            is_stored=parent.is_stored,
        )


async def _ended(known: Known, tenant: TenantId, child: RunId) -> tuple[RunRecord, str] | None:
    try:
        record = await known.find(tenant, child)
        if record.status not in TERMINAL:
            return None
        return record, _last_words(fold(await known.steps(tenant, child)).output)
    except NotFound:
        return None


async def _follow_live(known: Known, tenant: TenantId, child: RunId) -> RunFollower | None:
    try:
        return await known.follow(tenant, child)
    except NotFound:
        return None


async def _depth(known: Known, record: RunRecord) -> int:
    """Return how many runs stand above the one that a run would begin."""
    depth, tenant = 1, TenantId(record.tenant)
    while record.parent is not None:
        record = await known.find(tenant, record.parent)
        depth += 1
    return depth


async def _listen(known: Known, call: Called, follower: RunFollower, move: MoveOn) -> Answered:
    """Read a child to its end; where nobody wants its answer any more, it is stopped."""
    said: list[AnyItem] = []
    is_over = False
    try:
        async for numbered in follower:
            match numbered.happening:
                case ItemEnded(item=Said() as item):
                    said = [item]
                case TurnOpened(turn=turn):
                    move(f"turn {turn + 1}", float(turn), None)
                case RunOver(record=record):
                    is_over = True
                    return _answer(call, record, _last_words(said))
                case _:
                    pass
    finally:
        follower.aclose()
        if not is_over:
            known.ask_to_stop(follower.run, "the run that asked for it goes on without it")
    return failed(call, "The other agent's run was cut off.", "cancelled")


def _task_of(call: Called) -> str:
    task = arguments_of(call).get("task")
    return task if isinstance(task, str) else ""


def _last_words(items: Sequence[AnyItem]) -> str:
    return next(
        (each.text for each in reversed(items) if isinstance(each, Said) and each.role == "assistant"), ""
    )


def _answer(call: Called, record: RunRecord, text: str) -> Answered:
    told = {"run": record.id, "status": record.status}
    match record.status:
        case "completed":
            return text_result(call, text or "(It ended without a word.)", structured=told)
        case "incomplete":
            note = f"(It was ended by its limit: {record.reason}.)"
            return text_result(call, f"{text}\n{note}".strip(), structured=told)
        case _:
            why = record.fault.message if record.fault else record.reason
            return failed(call, f"{record.agent or 'The other agent'} {record.status}: {why}", record.status)
