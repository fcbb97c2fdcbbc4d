"""How an agent is started by whoever it is: its definition and the moment make a plan, its servers are lent.

    face, trigger, other agent ── Starter.start ── servers lent ── plan ── AgentRuns.start
Servers of its own are there from before the first turn until the run has ended, and again after a restart.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from runtime.core.agents.definition import EVERYWHERE, Agent, AgentBook
from runtime.core.agents.items import AnyItem, Said, Text
from runtime.core.agents.planning import Skill, Surroundings, knowledge_of, plan_of
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import AgentRuns, Lent, NewRun, RunFollower, ToolSource
from runtime.core.agents.skills import find_skills
from runtime.core.agents.steps import RunRecord
from runtime.core.errors import Conflict, Fault, LarError
from runtime.core.gate.principals import Principal
from runtime.core.ids import ModelId, RunId, TenantId
from runtime.core.minting import new_id
from runtime.core.recall import Collections
from runtime.core.tools import Caller, Door


class Recalled(NamedTuple):
    """What was looked up for a question before the first turn."""

    text: str = ""
    ids: tuple[str, ...] = ()
    """Of memories and passages."""


class Recaller(Protocol):
    """Looks up what an agent remembers and knows about a question."""

    async def recall(
        self, principal: Principal, agent: Agent, question: str, session: str | None
    ) -> Recalled:
        """Return what belongs into the prompt; nothing where the agent wants nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What an agent is started for."""

    agent: str
    principal: Principal
    input: Sequence[AnyItem]
    door: Door = "agent"
    trigger: str = "api"
    session: str | None = None
    parent: RunId | None = None
    parent_call: str | None = None
    context: Sequence[AnyItem] = ()
    previous: RunId | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    is_background: bool = True
    is_stored: bool = True
    added: Sequence[AnyItem] = ()
    """Items that come first in the output, such as lists of the tools of a request's servers."""
    loan: Lent | None = None
    """Servers that a request has brought and holds already, beside those of the agent."""
    definition: Agent | None = None
    """Instead of what the book says of the agent: a definition that is run once and not kept."""
    shape: Callable[[Plan], Plan] | None = None
    """The last word on the plan: what a request asks for beside the agent."""
    fit: Callable[[Sequence[AnyItem], Sequence[PlannedTool]], Sequence[AnyItem]] | None = None
    """Returns items as they are with the plan's tools: calls have the names of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What a starter works with."""

    home: Path
    book: AgentBook
    runs: AgentRuns
    source: ToolSource
    collections: Collections
    tasks: TaskGroup
    now: Callable[[], datetime]
    """With its time zone."""
    default_model: Callable[[], ModelId | None]
    small_models: Callable[[], frozenset[ModelId]]
    recaller: Recaller | None = None
    turn_tokens: int | None = None
    """What a turn of an agent may give that does not say it itself."""
    tool_share: float = 0.0
    """Of a context that definitions of tools may take; 0: as much as they are."""
    context_of: Callable[[ModelId], int | None] = lambda model: None  # noqa: ARG005 - a default
    """How much fits into a model, where it is known."""


class Starter:
    """Starts agents."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def now(self) -> datetime:
        """Return the time where the machine stands."""
        return self._stage.now()

    async def start(self, wish: Wish) -> RunFollower:
        """Begin a run of an agent; the reader was there first. Raises LarError."""
        agent = wish.definition or await self._ready(wish)
        if not agent.servers:
            return await self._begin(agent, wish, {})

        follower: RunFollower = await self._stage.tasks.start(self._lend_and_begin, agent, wish)
        return follower

    async def _ready(self, wish: Wish) -> Agent:
        """Return the agent's definition if it may run now. Raises NotFound, Conflict."""
        state = await self._stage.book.find(wish.principal.tenant, wish.agent)
        if state.faults:
            raise Conflict(Fault(code="conflict", message=f"'{wish.agent}' cannot run: {state.faults[0]}"))
        if state.is_paused:
            message = f"'{wish.agent}' is paused. 'lar agents resume {wish.agent}' takes it up again."
            raise Conflict(Fault(code="conflict", message=message))
        return state.agent

    async def revive(self, record: RunRecord, plan: Plan) -> None:
        """Lend a run's servers again after a restart, before it goes on. Raises LarError."""
        if plan.agent is None:
            return
        state = await self._stage.book.find(plan.principal.tenant, plan.agent)
        if state.agent.servers:
            await self._stage.tasks.start(self._lend_again, state.agent, record)

    async def plan(self, wish: Wish) -> Plan:
        """Return the plan that a run would have now. Raises LarError."""
        state = await self._stage.book.find(wish.principal.tenant, wish.agent)
        async with self._lend(state.agent) as names:
            return (await self._plan(state.agent, wish, names))[0]

    async def _lend_and_begin(
        self, agent: Agent, wish: Wish, *, task_status: TaskStatus[RunFollower]
    ) -> None:
        async with self._lend(agent) as names:
            follower = await self._begin(agent, wish, names)
            task_status.started(follower)
            await self._stage.runs.until_over(wish.principal.tenant, follower.run)

    async def _lend_again(self, agent: Agent, record: RunRecord, *, task_status: TaskStatus[None]) -> None:
        async with self._lend(agent):
            task_status.started()
            await self._stage.runs.until_over(TenantId(record.tenant), record.id)

    @asynccontextmanager
    async def _lend(self, agent: Agent) -> AsyncIterator[Mapping[str, str]]:
        if not agent.servers:
            yield {}
            return
        lending: AbstractAsyncContextManager[Mapping[str, str]] = self._stage.source.lend(
            Lent(agent.servers), f"the agent '{agent.name}'"
        )
        async with lending as names:
            yield names

    async def _begin(self, agent: Agent, wish: Wish, names: Mapping[str, str]) -> RunFollower:
        plan, recalled = await self._plan(agent, wish, names)
        fit = wish.fit or (lambda items, _: items)
        context = [*fit(wish.context, plan.tools), *recalled]
        return await self._stage.runs.start(
            NewRun(
                plan=plan,
                input=tuple(fit(wish.input, plan.tools)),
                context=tuple(context),
                session=wish.session if agent.history == "keep" else None,
                previous=wish.previous,
                parent=wish.parent,
                parent_call=wish.parent_call,
                trigger=wish.trigger,
                is_background=wish.is_background,
                is_stored=wish.is_stored,
                added=tuple(wish.added),
                loan=wish.loan,
            )
        )

    async def _plan(
        self, agent: Agent, wish: Wish, names: Mapping[str, str]
    ) -> tuple[Plan, Sequence[AnyItem]]:
        stage, tenant = self._stage, wish.principal.tenant
        wants_tools = bool(agent.tools or agent.memory.enabled)
        caller = Caller(
            principal=wish.principal, door=wish.door, session=wish.session, run=wish.parent, agent=agent.name
        )
        skills: list[Skill] = []
        if agent.skills:
            skills = await anyio.to_thread.run_sync(find_skills, stage.home, agent.skills)
        around = Surroundings(
            principal=wish.principal,
            tools=await stage.source.tools(caller) if wants_tools else (),
            now=stage.now(),
            default_model=stage.default_model(),
            lent=names,
            agents={each.agent.name: each.agent for each in await stage.book.list_agents(tenant)},
            collections=await self._collections(tenant, agent),
            skills=skills,
            variables={"user": wish.principal.id, **wish.variables},
            small_models=stage.small_models(),
            turn_tokens=stage.turn_tokens,
            context_share=stage.tool_share,
            context_tokens=self._context_of(agent),
        )
        plan = msgspec.structs.replace(plan_of(agent, around), door=wish.door)
        if wish.shape is not None:
            plan = wish.shape(plan)
        return plan, await self._recalled(agent, wish)

    def _context_of(self, agent: Agent) -> int | None:
        """Return how much fits into the agent's first model."""
        named = agent.model if isinstance(agent.model, str) else next(iter(agent.model), "")
        model = ModelId(named) if named else self._stage.default_model()
        return None if model is None else self._stage.context_of(model)

    async def _collections(self, tenant: TenantId, agent: Agent) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in knowledge_of(agent):
            if each.collection == EVERYWHERE:
                continue
            collection = await self._stage.collections.find_by_name(tenant, each.collection)
            if collection is not None:
                found[each.collection] = collection.id
        return found

    async def _recalled(self, agent: Agent, wish: Wish) -> Sequence[AnyItem]:
        """Return what is put before the question: seen in the run, and told as data and not as orders."""
        if self._stage.recaller is None:
            return ()
        question = "\n".join(
            each.text for each in wish.input if isinstance(each, Said) and each.role == "user"
        )
        if not question.strip():
            return ()
        try:
            found = await self._stage.recaller.recall(wish.principal, agent, question, wish.session)
        except LarError as problem:
            found = Recalled(f"(Nothing could be looked up: {problem.fault.message})")
        if not found.text:
            return ()
        return (Said(id=new_id("msg_"), role="developer", parts=(Text(text=found.text),), author="recall"),)
