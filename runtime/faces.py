"""The part of the composition that people and programs see: tools, agents and HTTP over one server's parts.

    tools (opened at the first use) ── agents ── HTTP
Stop: agents take no more and leave what is in the background for later; runs end; requests end; models go.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.agency import Agency, AgencyParts, open_agents
from runtime.api.deps import ApiDeps
from runtime.api.keys import KeyStore
from runtime.api.metrics import Metrics
from runtime.api.openai.services import Services, make_services
from runtime.api.openai.webhook_sealing import seal_kept
from runtime.api.openai.webhook_service import configured_endpoints
from runtime.api.prompt_book import PromptBook
from runtime.api.prompts import PROMPTS
from runtime.api.responses.files_in import DOCUMENT_LIMIT_BYTES, ReadText
from runtime.api.responses.hosting import HostingParts, RequestTools
from runtime.api.responses.hosting_servers import RequestServers
from runtime.api.responses.parts import ResponseParts
from runtime.api.responses.sealing import load_sealer
from runtime.api.server import Bound, HttpServer, create_app
from runtime.backends.library import Library
from runtime.backends.pool import Pool
from runtime.backends.sandbox.keeper import ContainerKeeper
from runtime.core.agents.parts import AgentParts
from runtime.core.bus import Bus
from runtime.core.clock import SystemClock
from runtime.core.driver import Runs
from runtime.core.errors import Fault
from runtime.core.events import ServerStarted
from runtime.core.fetching import Fetcher, Poster
from runtime.core.gate.policy_words import GateParts
from runtime.core.knowledge import DocumentFault
from runtime.core.recall import Recall
from runtime.core.settings import RecallSettings, Settings
from runtime.core.version import __version__
from runtime.instance import remove_instance, write_instance
from runtime.recall.database import Database
from runtime.recall.journal import DuckJournal
from runtime.recall.parse.limits import Limits
from runtime.recall.parse.reader import Reader, open_reader
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
    """What is known only once it is open: where the server answers, and its agents."""

    def __init__(self) -> None:
        self.http: HttpServer | None = None
        self.agents: AgentParts | None = None

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
    sandboxes = ContainerKeeper(inner.home, SystemClock())
    parts = _agency_parts(inner, tools, sandboxes)
    async with (
        open_reader(inner.settings.recall.readers) as reader,
        anyio.create_task_group() as toolbox,
        open_agents(parts) as agency,
    ):
        place.agents = agency.parts
        toolbox.start_soon(tools.run_forever)
        toolbox.start_soon(sandboxes.run_forever)
        deps = _deps(inner, metrics, place, tools, agency)
        responses = await _response_parts(inner, agency, sandboxes, reader)
        app = create_app(deps, responses)
        app[PROMPTS] = PromptBook(inner.home)
        await seal_kept(agency.parts.records, agency.parts.secrets)
        services = _services(inner, deps, responses, agency)
        services.give_to(app)
        toolbox.start_soon(services.run_forever)
        place.http = HttpServer(app, inner.settings.server)
        toolbox.start_soon(place.http.watch_forever)
        async with _answer(inner, place.http, agency) as bound:
            yield bound
        with anyio.CancelScope(shield=True):  # each container has a bound
            await sandboxes.aclose()
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
        agents=lambda: place.agents,
    )


def _agency_parts(inner: Inner, tools: ToolsOnDemand, sandboxes: ContainerKeeper) -> AgencyParts:
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
        fetcher=inner.fetcher,
        sandboxes=sandboxes,
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


async def _response_parts(
    inner: Inner, agency: Agency, sandboxes: ContainerKeeper, reader: Reader
) -> ResponseParts:
    sealer = await anyio.to_thread.run_sync(load_sealer, inner.home)
    hosting = HostingParts(
        servers=RequestServers(agency.lending, inner.gate.gate),
        gate=inner.gate.gate,
        recall=inner.recall,
        searches_web=bool(inner.settings.agents.search_url),
        sandboxes=sandboxes,
    )
    return ResponseParts(
        sealer=sealer,
        prompts=PromptBook(inner.home),
        hosting=RequestTools(hosting),
        read_text=_text_reader(reader, inner.settings.recall),
        fetcher=inner.fetcher,
    )


def _text_reader(reader: Reader, settings: RecallSettings) -> ReadText:
    """Return what reads the documents of requests, in children of its own."""
    limits = Limits(size_bytes=DOCUMENT_LIMIT_BYTES, time_s=settings.read_limit_s)

    async def read(path: Path, name: str, media_type: str | None) -> str | Fault:
        parsed = await reader.read(path, name, media_type, limits)
        if isinstance(parsed, DocumentFault):
            return Fault(code="invalid_request", message=parsed.message)
        return parsed.text

    return read


def _services(inner: Inner, deps: ApiDeps, responses: ResponseParts, agency: Agency) -> Services:
    """Return what works behind the routes: batches and webhooks. Raises SettingsInvalid."""
    poster = cast("Poster", inner.fetcher)  # the server's client does both
    endpoints = configured_endpoints(inner.settings.webhooks)
    return make_services(deps, agency.parts, inner.recall.files, responses, poster, endpoints)


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
