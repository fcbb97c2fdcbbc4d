"""Runs of agents that live: the real service over stores, models and tools in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from runtime.core.agent_facts import AgentEnded, AgentFact
from runtime.core.agents.asking import Asker
from runtime.core.agents.carrying import Executors
from runtime.core.agents.children import Children
from runtime.core.agents.ending import Endings
from runtime.core.agents.happenings import AnyHappening, RunOver
from runtime.core.agents.hub_tools import HubTools
from runtime.core.agents.items import AnyItem, Said, Text
from runtime.core.agents.people import People
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.ports import HostedTool, NewRun, RunFollower
from runtime.core.agents.retaking import Retakes
from runtime.core.agents.runner import RunnerParts
from runtime.core.agents.runs import RunService
from runtime.core.agents.steps import AnyStep, RunRecord
from runtime.core.agents.tool_search import find_tools
from runtime.core.bus import Bus
from runtime.core.driver import Runs
from runtime.core.gate.approvals import ApprovalDesk
from runtime.core.gate.principals import OWNER
from runtime.core.gate.words import Approval
from runtime.core.ids import LOCAL_TENANT, ModelId, RunId
from runtime.core.messages import ChatRequest, Delta, Ended, ToolCallDelta, Usage
from runtime.core.minting import new_id
from runtime.core.settings import AdmissionSettings, AgentSettings
from runtime.core.tool_facts import ApprovalAnswered, ApprovalAsked
from runtime.core.toolbox import Toolbox
from tests.kit.clock import FakeClock
from tests.kit.fake_agent_store import FakeRecords, FakeRunStore, FakeSessions
from tests.kit.fake_hub import FakeHub
from tests.kit.fake_models import FakeModels, known_model
from tests.kit.fake_pool import FakePool, Script, Step
from tests.kit.gate import MemoryStore

MODEL = ModelId("m")
BACKGROUND: dict[str, Any] = {"is_background": True}


def said(text: str, item_id: str | None = None) -> Said:
    return Said(id=item_id or new_id("msg_"), role="user", parts=(Text(text=text),))


def calling(name: str, arguments: str = "{}", call_id: str = "call_1") -> list[Step]:
    """Return a script that calls one tool."""
    piece = ToolCallDelta(index=0, id=call_id, name=name, arguments=arguments)
    usage = Usage(prompt_tokens=5, completion_tokens=3)
    return [Delta(tool_calls=(piece,)), Ended(reason="tool_calls", usage=usage)]


def by_turn(*scripts: Sequence[Step]) -> Script:
    """Return a script that plays one of these for each turn: by how many results the prompt holds."""

    def play(request: ChatRequest, index: int) -> Iterable[Step]:
        results = sum(each.role == "tool" for each in request.messages)
        return scripts[min(results, len(scripts) - 1)]

    return play


def hub_tool(name: str = "say", **changes: Any) -> PlannedTool:
    return PlannedTool(
        **{
            "name": name,
            "form": "mcp",
            "executor": "hub",
            "full_name": f"mcp__echo__{name}",
            "server": "echo",
            "tool": name,
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
            **changes,
        }
    )


@dataclass
class LiveStage:
    """What a test works with; `service` is made anew by `restart`."""

    tasks: TaskGroup
    settings: AgentSettings
    store: FakeRunStore = field(default_factory=FakeRunStore)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    records: FakeRecords = field(default_factory=FakeRecords)
    pool: FakePool = field(default_factory=FakePool)
    hub: FakeHub = field(default_factory=FakeHub)
    clock: FakeClock = field(default_factory=FakeClock)
    hosted: dict[str, HostedTool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bus = Bus(self.clock)
        self.children = Children()
        self.models = FakeModels(known_model(MODEL))
        self.desk = ApprovalDesk(
            store=MemoryStore(),
            clock=self.clock,
            tell=lambda fact, approval: self._tell(fact, approval.run),
            write_forever=_write_nothing,
            deadline_s=600.0,
        )
        self.people = People(self.desk)
        self.service = self._service()

    async def kill(self) -> None:
        """Let nothing of what lives write any more, as a kill does."""
        living = self.service._living
        living.is_stopping = True
        for entry in list(living._entries.values()):
            if entry.runner is not None:
                entry.runner.leave()
        await anyio.wait_all_tasks_blocked()

    def restart(self) -> None:
        """Forget what is in memory: another service over the same stores."""
        self.children = Children()
        self.people = People(self.desk)
        self.service = self._service()

    def plan(self, *tools: PlannedTool, **changes: Any) -> Plan:
        return Plan(**{"principal": OWNER, "models": (MODEL,), "tools": tools, **changes})

    async def start(
        self, text: str = "hi", *tools: PlannedTool, new: dict[str, Any] | None = None, **changes: Any
    ) -> RunFollower:
        plan = self.plan(*tools, **changes)
        return await self.service.start(NewRun(plan=plan, input=(said(text),), **(new or {})))

    async def record(self, run: RunId) -> RunRecord:
        return await self.store.find(LOCAL_TENANT, run)

    async def steps(self, run: RunId) -> list[AnyStep]:
        return await self.store.steps(LOCAL_TENANT, run)

    def facts(self, run: RunId) -> list[AgentFact]:
        recent, _ = self.bus.recent(0)
        return [each.event for each in recent if each.run_id == run and isinstance(each.event, AgentFact)]

    def ends(self, run: RunId) -> list[AgentFact]:
        return [each for each in self.facts(run) if isinstance(each, AgentEnded)]

    async def follow_facts(self) -> None:
        with self.bus.subscribe("people", 100) as facts:
            await self.people.follow(facts)

    def _tell(self, fact: ApprovalAsked | ApprovalAnswered, run: RunId | None) -> None:
        self.bus.publish(fact, run_id=run)

    def _service(self) -> RunService:
        async def toolbox() -> Toolbox:
            return Toolbox(self.hub, None, None, None)  # type: ignore[arg-type]  # nobody uses the others

        runs = Runs(
            bus=self.bus,
            pool=self.pool,
            clock=self.clock,
            tasks=self.tasks,
            settings=AdmissionSettings(queue_limit=1000),
            places=lambda model: 8,
        )
        source = HubTools(toolbox)
        parts = RunnerParts(
            store=self.store,
            endings=Endings(self.bus, self.sessions),
            asker=Asker(runs, self.models),
            executors=Executors(source=source, hosted=self.hosted, children=self.children, clock=self.clock),
            people=self.people,
            clock=self.clock,
            search=find_tools,
            mint=new_id,
            retakes=Retakes(self.records),
        )
        return RunService(
            parts,
            sessions=self.sessions,
            children=self.children,
            tasks=self.tasks,
            settings=self.settings,
        )


@asynccontextmanager
async def live_stage(settings: AgentSettings | None = None) -> AsyncIterator[LiveStage]:
    """Keep a stage for a test that takes five seconds at most."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            stage = LiveStage(tasks, settings or AgentSettings())
            tasks.start_soon(stage.follow_facts)
            await anyio.lowlevel.checkpoint()
            yield stage
            tasks.cancel_scope.cancel()


async def read_all(follower: RunFollower) -> list[AnyHappening]:
    """Read a run to its end; numbers have no gap."""
    told = [each async for each in follower]
    assert [each.number for each in told] == list(range(told[0].number, told[0].number + len(told)))
    return [each.happening for each in told]


def ended(told: Sequence[AnyHappening]) -> RunRecord:
    """Return the record of the end, which is the last happening and the only one of its kind."""
    ends = [each for each in told if isinstance(each, RunOver)]
    assert len(ends) == 1
    assert told[-1] is ends[0]
    return ends[0].record


def answers(items: Sequence[AnyItem]) -> list[str]:
    return [each.text for each in items if isinstance(each, Said) and each.role == "assistant"]


async def _write_nothing(approval: Approval) -> None:
    raise AssertionError(f"no test writes a policy for {approval.id}")
