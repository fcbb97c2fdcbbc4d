"""What the routes work with, given once by the composition root, and what each request carries."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from runtime.api.keys import KeyStore
from runtime.api.metrics import Metrics
from runtime.core.agents.parts import AgentParts
from runtime.core.bus import Bus
from runtime.core.clock import Clock
from runtime.core.driver import Runs
from runtime.core.gate.policy_words import GateParts
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate
from runtime.core.ids import RunId
from runtime.core.ports import Journal, Models
from runtime.core.recall import Recall
from runtime.core.settings import ServerSettings
from runtime.core.toolbox import OpenToolbox


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiDeps:
    """The parts of Lar that the HTTP edge uses."""

    runs: Runs
    models: Models
    bus: Bus
    journal: Journal
    keys: KeyStore
    settings: ServerSettings
    metrics: Metrics
    clock: Clock
    version: str
    started_at: float
    """Seconds since the epoch."""
    address: Callable[[], str]
    """Where the server answers, known once it is open."""
    recall: Recall | None = None
    """None: the server was started without it."""
    gate: GateParts | None = None
    """None: the same."""
    tools: OpenToolbox | None = None
    """None: the same."""
    agents: AgentParts | None = None
    """None: the same."""
    has_sse: bool = False
    """Whether the older transport of MCP is served, too."""


DEPS = web.AppKey("deps", ApiDeps)

REQUEST_ID = web.RequestKey("request_id", str)
BEGAN = web.RequestKey("began", float)
"""When the request came, in monotonic seconds."""
PRINCIPAL = web.RequestKey("principal", Principal)
"""Who asks; absent on public routes."""
RUN_ID = web.RequestKey("run_id", RunId)
"""The run that serves the request, once there is one."""


def gate_of(deps: ApiDeps) -> Gate | None:
    """Return what every call passes, where policies are in force."""
    return None if deps.gate is None else deps.gate.gate
