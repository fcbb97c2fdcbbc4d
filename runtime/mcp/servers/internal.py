"""Lar's own servers put together, in the order in which their tools are shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.server import Server

from runtime.core.agents.parts import AgentParts
from runtime.core.bus import Bus
from runtime.core.clock import Clock
from runtime.core.fetching import Fetcher
from runtime.core.gate.words import Gate
from runtime.core.ports import Journal, Models
from runtime.core.recall import Recall
from runtime.mcp.servers.agents import agents_server
from runtime.mcp.servers.clock_time import time_server
from runtime.mcp.servers.files import files_server
from runtime.mcp.servers.inference import Starter, inference_server
from runtime.mcp.servers.recall import recall_server
from runtime.mcp.servers.run_resources import RunResources
from runtime.mcp.servers.system import SystemParts, system_server
from runtime.mcp.servers.web import ReadPage, web_server

WORKSPACES_FOLDER = "workspaces"


@dataclass(frozen=True, kw_only=True, slots=True)
class InternalParts:
    """What the servers work with."""

    home: Path
    clock: Clock
    recall: Recall
    gate: Gate
    runs: Starter
    models: Models
    fetcher: Fetcher
    read_page: ReadPage
    version: str
    started_at: float
    address: Callable[[], str]
    metrics: Callable[[], bytes]
    bus: Bus
    journal: Journal
    agents: AgentParts | None = None
    """None: the server has none."""


def internal_servers(parts: InternalParts) -> Mapping[str, Callable[[], Server[Any]]]:
    """Return how each is made, by name."""
    system = SystemParts(
        models=parts.models,
        clock=parts.clock,
        version=parts.version,
        started_at=parts.started_at,
        address=parts.address,
        home=parts.home,
        metrics=parts.metrics,
    )
    agents = parts.agents
    servers: dict[str, Callable[[], Server[Any]]] = {
        "recall": lambda: recall_server(parts.recall, gate=parts.gate),
        "inference": lambda: inference_server(parts.runs, parts.models, parts.clock),
        "files": lambda: files_server(parts.home / WORKSPACES_FOLDER),
        "web": lambda: web_server(parts.fetcher, parts.read_page, parts.clock),
        "time": lambda: time_server(parts.clock),
        "system": lambda: system_server(system, RunResources(parts.bus, parts.journal)),
    }
    if agents is not None:
        servers["agents"] = lambda: agents_server(agents)
    return servers
