"""The part of the composition that people and programs see: tools, agents and HTTP over one server's parts.

    tools (opened at the first use) ── agents ── HTTP
Stop: agents take no more and leave what is in the background for later; runs end; requests end; models go.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.agency import Agency, AgencyParts, open_agents
from runtime.api.deps import ApiDeps
from runtime.api.keys import KeyStore
from runtime.api.metrics import Metrics
from runtime.api.responses.parts import ResponseParts
from runtime.api.responses.sealing import load_sealer
from runtime.api.server import Bound, HttpServer, create_app
from runtime.backends.library import Library
from runtime.backends.pool import Pool
from runtime.core.bus import Bus
from runtime.core.clock import SystemClock
from runtime.core.driver import Runs
from runtime.core.events import ServerStarted
from runtime.core.fetching import Fetcher
from runtime.core.gate.policy_words import GateParts
from runtime.core.recall import Recall
from runtime.core.settings import Settings
from runtime.core.version import __version__
from runtime.instance import remove_instance, write_instance
from runtime.recall.database import Database
from runtime.recall.journal import DuckJournal
from runtime.tool_parts import ToolParts, ToolsOnDemand


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    """What stands behind the faces."""

    home: Path
    settings: Settings
    bus: Bus
    database: Database
    """Of facts, and of what agents keep."""
    journal: DuckJournal
    keys: KeyStore
    models: Library
    pool: Pool
    runs: Runs
    recall: Recall
    gate: GateParts
    fetcher: Fetcher


class Whereabouts:
    """Where the server answers; known once it is open."""

    def __init__(self) -> None:
        self.http: HttpServer | None = None

    def address(self) -> str:
        """Return the address."""
        assert self.http is not None
        return self.http.address


@asynccontextmanager
async def open_faces(inner: Inner, tasks: TaskGroup) -> AsyncIterator[Bound]:
    """Answer while the context lasts; at its end no run lives any more and no model is resident."""
    metrics, place = Metrics(), Whereabouts()
    tasks.start_soon(metrics.follow, inner.bus)
    tools = ToolsOnDemand(_tool_parts(inner, metrics, place))
    async with anyio.create_task_group() as toolbox, open_agents(_agency_parts(inner, tools)) as agency:
        toolbox.start_soon(tools.run_forever)
        app = create_app(_deps(inner, metrics, place, tools, agency), await _response_parts(inner))
        place.http = HttpServer(app, inner.settings.server)
        async with _answer(inner, place.http, agency) as bound:
            yield bound
        toolbox.cancel_scope.cancel()


def _tool_parts(inner: Inner, metrics: Metrics, place: Whereabouts) -> ToolParts:
    return ToolParts(
        home=inner.home,
        settings=inner.settings,
        bus=inner.bus,
        journal=inner.journal,
        gate=inner.gate.gate,
        approvals=inner.gate.approvals,
        runs=inner.runs,
        models=inner.models,
        recall=inner.recall,
        fetcher=inner.fetcher,
        clock=SystemClock(),
        metrics=lambda: metrics.expose(inner.models.list_models()),
        address=place.address,
    )


def _agency_parts(inner: Inner, tools: ToolsOnDemand) -> AgencyParts:
    return AgencyParts(
        home=inner.home,
        settings=inner.settings,
        database=inner.database,
        bus=inner.bus,
        clock=SystemClock(),
        gate=inner.gate,
        runs=inner.runs,
        models=inner.models,
        recall=inner.recall,
        tools=tools.get,
    )


def _deps(
    inner: Inner, metrics: Metrics, place: Whereabouts, tools: ToolsOnDemand, agency: Agency
) -> ApiDeps:
    clock = SystemClock()
    return ApiDeps(
        runs=inner.runs,
        models=inner.models,
        bus=inner.bus,
        journal=inner.journal,
        keys=inner.keys,
        settings=inner.settings.server,
        metrics=metrics,
        clock=clock,
        version=__version__,
        started_at=clock.now(),
        address=place.address,
        recall=inner.recall,
        gate=inner.gate,
        tools=tools.get,
        agents=agency.parts,
        has_sse=inner.settings.mcp.sse,
    )


async def _response_parts(inner: Inner) -> ResponseParts:
    return ResponseParts(sealer=await anyio.to_thread.run_sync(load_sealer, inner.home))


@asynccontextmanager
async def _answer(inner: Inner, http: HttpServer, agency: Agency) -> AsyncIterator[Bound]:
    """Be reachable while the context lasts; then end agents, runs, requests and models, in this order."""
    bound = await http.open()
    secret = inner.keys.issue_owner_secret()
    instance = await anyio.to_thread.run_sync(write_instance, inner.home, bound.address, __version__, secret)
    inner.bus.publish(ServerStarted(version=__version__, address=bound.address))
    grace_s = inner.settings.server.shutdown_grace_s
    try:
        yield bound
    finally:
        with anyio.CancelScope(shield=True):  # every step below has a bound of its own
            await anyio.to_thread.run_sync(remove_instance, inner.home, instance)
            await agency.stop(grace_s)
            await inner.runs.stop(grace_s)
            await http.aclose(grace_s=1.0)
            await inner.pool.aclose()
