"""The whole HTTP edge on a real port of the loopback, over the real runs and bus and a fake pool."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import anyio
from aiohttp import web
from openai import AsyncOpenAI

from runtime.api.deps import ApiDeps
from runtime.api.keys import KeyStore
from runtime.api.metrics import Metrics
from runtime.api.responses.parts import RESPONSES, ResponseParts
from runtime.api.server import HttpServer, create_app
from runtime.core.agents.parts import AgentParts
from runtime.core.bus import Bus
from runtime.core.doors import McpDoors
from runtime.core.driver import Runs
from runtime.core.events import Event
from runtime.core.gate.policy_words import GateParts
from runtime.core.questions import QuestionBoard
from runtime.core.recall import Recall
from runtime.core.settings import AdmissionSettings, ServerSettings
from runtime.core.states import ModelState
from runtime.core.toolbox import OpenToolbox, Toolbox
from runtime.core.tools import Hub, ServerBook
from tests.kit.clock import FakeClock
from tests.kit.fake_models import FakeJournal, FakeModels, known_model
from tests.kit.fake_pool import FakePool


@dataclass(kw_only=True)
class Stage:
    """A running server and what stands behind it."""

    deps: ApiDeps
    server: HttpServer
    bus: Bus
    runs: Runs
    pool: FakePool
    models: FakeModels
    journal: FakeJournal
    keys: KeyStore
    clock: FakeClock
    http: aiohttp.ClientSession

    @property
    def address(self) -> str:
        return self.server.address

    def facts(self, kind: type[Event]) -> list[Event]:
        """Return the facts of one kind so far."""
        recent, _ = self.bus.recent(0)
        return [each.event for each in recent if isinstance(each.event, kind)]

    def openai(self, key: str = "no-key") -> AsyncOpenAI:
        """Return the official client for this server; it does not retry, so that tests see each answer."""
        return AsyncOpenAI(base_url=f"{self.address}/v1", api_key=key, max_retries=0)


def _opening(*parts: object) -> OpenToolbox | None:
    """Return what opens a toolbox of the parts that a test gave; it touches no other."""

    async def get() -> Toolbox:
        return cast("Callable[..., Toolbox]", Toolbox)(*parts)

    return get if any(each is not None for each in parts) else None


@asynccontextmanager
async def open_stage(
    home: Path,
    *,
    models: Sequence[ModelState] = (),
    journal: FakeJournal | None = None,
    settings: ServerSettings | None = None,
    admission: AdmissionSettings | None = None,
    places: int = 4,
    last_seq: int = 0,
    recall: Recall | None = None,
    clock: FakeClock | None = None,
    mcp: McpDoors | None = None,
    hub: Hub | None = None,
    servers: ServerBook | None = None,
    questions: QuestionBoard | None = None,
    gate: GateParts | None = None,
    agents: AgentParts | None = None,
    responses: ResponseParts | None = None,
    prepare: Callable[[web.Application, ApiDeps], None] | None = None,
) -> AsyncIterator[Stage]:
    """Open a server; every run and connection has ended when the context is left."""
    clock = clock or FakeClock()
    bus = Bus(clock, last_seq)
    pool = FakePool()
    fake_models = FakeModels(*(models or [known_model("m")]))
    keys = KeyStore(home / "keys.json", clock)
    fake_journal = journal or FakeJournal()
    server_settings = settings or ServerSettings(port=0)
    # The session outside: its end, awaited inside a cancelled group, would hide a failed assertion.
    async with aiohttp.ClientSession() as http, anyio.create_task_group() as tasks:
        runs = Runs(
            bus=bus,
            pool=pool,
            clock=clock,
            tasks=tasks,
            settings=admission or AdmissionSettings(),
            places=lambda model: places,
            gate=None if gate is None else gate.gate,
        )
        deps = ApiDeps(
            runs=runs,
            models=fake_models,
            bus=bus,
            journal=fake_journal,
            keys=keys,
            settings=server_settings,
            metrics=Metrics(),
            clock=clock,
            version="0.0.test",
            started_at=clock.now(),
            address=lambda: server.address,
            recall=recall,
            gate=gate,
            agents=agents,
            tools=_opening(hub, servers, mcp, questions),
            has_sse=mcp is not None and mcp.has_sse,
        )
        app = create_app(deps)
        if responses is not None:
            app[RESPONSES] = responses
        if prepare is not None:
            prepare(app, deps)
        server = HttpServer(app, server_settings)
        await server.open()
        tasks.start_soon(server.watch_forever)
        stage = Stage(
            deps=deps,
            server=server,
            bus=bus,
            runs=runs,
            pool=pool,
            models=fake_models,
            journal=fake_journal,
            keys=keys,
            clock=clock,
            http=http,
        )
        try:
            yield stage
        finally:
            await server.aclose(0.0)
            tasks.cancel_scope.cancel()
