"""The part of the composition that concerns agents: their stores, their runs, and who starts them.

stores (the server's database) ── runs ── starter ── faces, triggers, other agents
                                   └─ tools of the hub, Lar's own tools, models, persons
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.api.responses.sealing import load_sealer
from runtime.core.agent_facts import AgentFact, AnyAgentFact
from runtime.core.agents.asking import Asker
from runtime.core.agents.book import FileBook
from runtime.core.agents.carrying import Executors
from runtime.core.agents.children import Children
from runtime.core.agents.consolidating import Consolidator
from runtime.core.agents.definition import Agent
from runtime.core.agents.ending import Endings
from runtime.core.agents.hosted.board import Board
from runtime.core.agents.hosted.code_interpreter import CodeInterpreter, Sandboxes
from runtime.core.agents.hosted.file_search import FileSearch
from runtime.core.agents.hosted.web_search import WebSearch
from runtime.core.agents.hub_tools import HubTools
from runtime.core.agents.lending import Lending
from runtime.core.agents.loans import Loans
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.people import Desk, People
from runtime.core.agents.pictures import PictureFiles
from runtime.core.agents.ports import HostedTool, Records, Sessions
from runtime.core.agents.recalling import RecallRecaller
from runtime.core.agents.retaking import Retakes
from runtime.core.agents.runner import RunnerParts
from runtime.core.agents.runs import RunService
from runtime.core.agents.skills import SkillTool
from runtime.core.agents.starting import Stage, Starter
from runtime.core.agents.tool_search import find_tools
from runtime.core.agents.triggers.looking import Looks
from runtime.core.agents.triggers.service import TriggerService
from runtime.core.agents.triggers.starts import Starts
from runtime.core.bus import Bus
from runtime.core.clock import Clock
from runtime.core.driver import Runs
from runtime.core.fetching import Fetcher
from runtime.core.gate.policy_words import GateParts
from runtime.core.ids import ModelId, RunId, TenantId
from runtime.core.minting import new_id
from runtime.core.ports import Models
from runtime.core.recall import Recall
from runtime.core.settings import Settings
from runtime.core.toolbox import OpenToolbox
from runtime.mcp.secret_box import HomeSecretBox
from runtime.recall.agents.care import AgentStoreCare
from runtime.recall.agents.record_store import DuckRecords
from runtime.recall.agents.run_store import DuckRunStore
from runtime.recall.agents.session_store import DuckSessions
from runtime.recall.database import Database

_FACTS_BUFFERED = 1024
"""Facts that may wait; where some are missed, each question to a person is looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgencyParts:
    """What agents work with."""

    home: Path
    settings: Settings
    database: Database
    bus: Bus
    clock: Clock
    gate: GateParts
    runs: Runs
    models: Models
    recall: Recall
    tools: OpenToolbox
    fetcher: Fetcher
    sandboxes: Sandboxes


class Agency(NamedTuple):
    """The agents of a running server, and how their runs are stopped."""

    parts: AgentParts
    stop: Callable[[float], Awaitable[None]]
    """Take no more runs, end those of the foreground within the grace, leave the others for later."""
    lending: Lending
    """For servers that come with requests."""


@asynccontextmanager
async def open_agents(parts: AgencyParts) -> AsyncIterator[Agency]:
    """Keep the agents while the context lasts; runs that an earlier server has left go on at once.

    Call `stop` before leaving, while models and tools are still there. Raises StoreDamaged.
    """
    store, sessions = DuckRunStore(parts.database), DuckSessions(parts.database)
    records, children = DuckRecords(parts.database), Children()
    people = People(cast("Desk", parts.gate.approvals))  # the desk of a server is an ApprovalDesk
    source = HubTools(parts.tools, parts.settings.agents.max_result_characters, parts.gate.approvals)
    book = FileBook(parts.home, _looker(parts.models))
    sealer = await anyio.to_thread.run_sync(load_sealer, parts.home)
    async with anyio.create_task_group() as tasks:
        runner_parts = RunnerParts(
            store=store,
            endings=Endings(parts.bus, sessions),
            asker=Asker(parts.runs, parts.models, parts.gate.gate),
            executors=Executors(
                source=source, hosted=_hosted(parts, records), children=children, clock=parts.clock
            ),
            people=people,
            clock=parts.clock,
            search=find_tools,
            mint=new_id,
            pictures=PictureFiles(parts.recall.files).load,
            loans=Loans(records, sealer),
            retakes=Retakes(records),
        )
        runs = RunService(
            runner_parts, sessions=sessions, children=children, tasks=tasks, settings=parts.settings.agents
        )
        starter = _starter(parts, book, runs, source, tasks)
        children.spawner = starter
        with parts.bus.subscribe("agents", _FACTS_BUFFERED) as facts:
            tasks.start_soon(people.follow, facts)
            tasks.start_soon(runs.forget_forever)
            await runs.resume_all()
            triggers = _triggers(parts, book, runs, starter, records, sessions)
            tasks.start_soon(triggers.run_forever)
            tasks.start_soon(_consolidator(parts, book, runs, records).run_forever)
            care = AgentStoreCare(parts.database, parts.clock, parts.settings.agents.snapshots)
            tasks.start_soon(care.copy_forever)
            yield Agency(
                AgentParts(
                    runs=runs,
                    store=store,
                    sessions=sessions,
                    records=records,
                    book=book,
                    starter=starter,
                    triggers=triggers,
                    secrets=HomeSecretBox(parts.home),
                    care=care,
                ),
                runs.stop,
                Lending(source, runs, tasks),
            )
        tasks.cancel_scope.cancel()


def _starter(
    parts: AgencyParts, book: FileBook, runs: RunService, source: HubTools, tasks: TaskGroup
) -> Starter:
    default = parts.settings.models.default
    return Starter(
        Stage(
            home=parts.home,
            book=book,
            runs=runs,
            source=source,
            collections=parts.recall.collections,
            tasks=tasks,
            now=lambda: datetime.fromtimestamp(parts.clock.now()).astimezone(),
            default_model=lambda: default,
            small_models=lambda: frozenset(
                each.id for each in parts.models.list_models() if each.decides_first
            ),
            turn_tokens=parts.settings.agents.turn_tokens,
            tool_share=parts.settings.mcp.tool_share,
            context_of=_contexts(parts.models),
            recaller=RecallRecaller(parts.recall, parts.gate.gate),
        )
    )


def _contexts(models: Models) -> Callable[[ModelId], int | None]:
    def find(model: ModelId) -> int | None:
        known = models.find_model(model) or models.find_model(ModelId(model.rpartition(":")[0]))
        return None if known is None else known.context_tokens

    return find


def _triggers(
    parts: AgencyParts,
    book: FileBook,
    runs: RunService,
    starter: Starter,
    records: Records,
    sessions: Sessions,
) -> TriggerService:
    """Return what starts agents by itself."""

    def tell(fact: AgentFact, tenant: TenantId, run: RunId | None) -> None:
        parts.bus.publish(cast("AnyAgentFact", fact), tenant=tenant, run_id=run)

    starts = Starts(starter, runs, records, sessions, parts.clock, tell)
    collections, documents = parts.recall.collections, parts.recall.documents
    looks = Looks(records, starts, collections, documents, parts.clock)
    return TriggerService(book, starts, runs, collections, parts.bus, parts.clock, looks=looks)


def _consolidator(parts: AgencyParts, book: FileBook, runs: RunService, records: Records) -> Consolidator:
    """Return what draws facts from ended runs."""
    return Consolidator(book, runs, parts.runs, parts.recall.memories, records, parts.bus, parts.gate.gate)


def _hosted(parts: AgencyParts, records: Records) -> Mapping[str, HostedTool]:
    """Return Lar's own tools that only a run has, by name or by form."""
    board = Board(records, parts.clock)
    return {
        "read_skill": SkillTool(),
        "read_board": board,
        "write_board": board,
        "file_search": FileSearch(parts.recall, parts.gate.gate),
        "web_search": WebSearch(parts.fetcher, parts.settings.agents.search_url),
        "code_interpreter": CodeInterpreter(parts.sandboxes, parts.gate.gate),
    }


def _looker(models: Models) -> Callable[[TenantId, Agent], Sequence[str]]:
    def look(tenant: TenantId, agent: Agent) -> list[str]:  # noqa: ARG001 - models are everybody's
        named = (agent.model,) if isinstance(agent.model, str) else agent.model
        return [
            f"There is no model '{each}'. 'lar models list' shows those there are."
            for each in named
            if models.find_model(ModelId(each)) is None
            and models.find_model(ModelId(each.rpartition(":")[0])) is None
        ]

    return look
