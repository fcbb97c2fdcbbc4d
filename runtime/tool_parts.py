"""What the tools are given, and when they are opened: at the first use, since the SDK of MCP is large.

Importing it costs a second and 55 MB, which a Lar that nobody speaks MCP to does not pay.
"""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from runtime.core.agents.parts import AgentParts
from runtime.core.bus import Bus
from runtime.core.clock import Clock
from runtime.core.driver import Runs
from runtime.core.errors import LarError, sole_cause
from runtime.core.fetching import Fetcher
from runtime.core.gate.words import Approvals, Gate
from runtime.core.ports import Journal, Models
from runtime.core.recall import Recall
from runtime.core.settings import Settings
from runtime.core.toolbox import Toolbox

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolParts:
    """What the tools work with."""

    home: Path
    settings: Settings
    bus: Bus
    journal: Journal
    gate: Gate
    approvals: Approvals
    runs: Runs
    models: Models
    recall: Recall
    fetcher: Fetcher
    clock: Clock
    metrics: Callable[[], bytes]
    address: Callable[[], str]
    agents: Callable[[], AgentParts | None] = lambda: None
    """Known once they are open."""


class ToolsOnDemand:
    """Opens the tools when they are first asked for, and keeps them from then on."""

    def __init__(self, parts: ToolParts) -> None:
        self._parts = parts
        self._open: Toolbox | None = None
        self._wanted, self._answered = anyio.Event(), anyio.Event()
        self._fault: LarError | None = None

    async def get(self) -> Toolbox:
        """Return the tools; the first time takes a while. Raises StoreDamaged: they cannot be opened."""
        if self._open is None:
            answered = self._answered
            self._wanted.set()
            await answered.wait()
        if self._open is not None:
            return self._open

        assert self._fault is not None
        raise self._fault

    async def run_forever(self) -> None:
        """Open the tools once somebody asks, again after a failure; cancelling it closes them."""
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            try:
                tooling = await anyio.to_thread.run_sync(importlib.import_module, "runtime.tooling")
                async with tooling.open_tools(self._parts) as self._open:
                    self._answered.set()
                    await anyio.sleep_forever()
            except (LarError, ExceptionGroup) as problem:
                cause = sole_cause(problem)
                if not isinstance(cause, LarError):
                    raise
                logger.error("the tools could not be opened", extra={"cause": cause.fault.message})
                self._fault = cause
                answered, self._answered = self._answered, anyio.Event()
                answered.set()
            finally:
                self._open = None
