"""Agents over a folder of their own with fake runs and stores, for tests of what starts and reads agents."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.core.agents.book import FileBook
from runtime.core.agents.definition import Agent
from runtime.core.agents.items import Answered, Called
from runtime.core.agents.plans import PlannedTool
from runtime.core.agents.ports import Lent, MoveOn
from runtime.core.agents.results import text_result
from runtime.core.agents.starting import Recaller, Stage, Starter
from runtime.core.bus import Bus
from runtime.core.ids import ModelId, TenantId
from runtime.core.knowledge import Collection
from runtime.core.tools import Caller, Tool
from tests.kit.clock import FakeClock
from tests.kit.fake_agent_runs import FakeAgentRuns
from tests.kit.fake_agent_store import FakeRecords, FakeSessions


class FakeSource:
    """Tools that are told; notes which servers were lent and whether they were given back."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self.listed = list(tools)
        self.lent: list[str] = []

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        return self.listed

    @asynccontextmanager
    async def lend(self, lent: Lent, origin: str) -> AsyncIterator[Mapping[str, str]]:
        self.lent += lent.definitions
        try:
            yield {name: f"{name}-1" for name in lent.definitions}
        finally:
            for name in lent.definitions:
                self.lent.remove(name)

    async def call(
        self, caller: Caller, call: Called, tool: PlannedTool, wait_s: float, move: MoveOn
    ) -> Answered:
        return text_result(call, "done")


class FakeCollections:
    """Collections by name."""

    def __init__(self, *known: Collection) -> None:
        self.known = {each.name: each for each in known}

    async def find_by_name(self, tenant: TenantId, name: str) -> Collection | None:
        return self.known.get(name)


@dataclass
class AgentHome:
    """All of it."""

    book: FileBook
    runs: FakeAgentRuns
    source: FakeSource
    records: FakeRecords
    sessions: FakeSessions
    starter: Starter
    bus: Bus
    clock: FakeClock


def agent_home(
    folder: Path, tasks: TaskGroup, recaller: Recaller | None = None, tools: Sequence[Tool] = ()
) -> AgentHome:
    """Make one."""

    def look(tenant: TenantId, agent: Agent) -> Sequence[str]:
        return ("no such model",) if agent.model == "gone" else ()

    shipped = folder / "shipped"
    book, runs, source = FileBook(folder, look, shipped), FakeAgentRuns(), FakeSource(tools)
    clock = FakeClock()
    stage = Stage(
        home=folder,
        book=book,
        runs=runs,
        source=source,
        collections=FakeCollections(),  # type: ignore[arg-type]  # only names are looked for
        tasks=tasks,
        now=lambda: datetime.fromtimestamp(clock.now(), UTC),
        default_model=lambda: ModelId("small"),
        small_models=frozenset,
        recaller=recaller,
    )
    return AgentHome(book, runs, source, FakeRecords(), FakeSessions(), Starter(stage), Bus(clock), clock)


async def until_blocked() -> None:
    """Let everything go on until nothing can, threads that tasks wait for as well."""
    threads = anyio.to_thread.current_default_thread_limiter()
    with anyio.fail_after(5):
        await anyio.wait_all_tasks_blocked()
        while threads.borrowed_tokens:
            await anyio.sleep(0.001)
            await anyio.wait_all_tasks_blocked()
