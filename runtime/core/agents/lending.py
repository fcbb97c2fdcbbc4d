"""Servers of MCP that come with a request: there before its run begins, until the run has ended.

    request ── lend ── tools listed ── plan ── run ── keep ─► … the run has ended ─► given back
                 └──────────── refused ──────────────────────────────────────────► given back
What they are called by and with lives in memory, and sealed on disk for background runs alone (`loans`).
"""

from collections.abc import Mapping
from typing import Protocol

import anyio
from anyio.abc import TaskGroup, TaskStatus

from runtime.core.agents.ports import AgentRuns, Lent, ToolSource
from runtime.core.ids import RunId, TenantId
from runtime.core.tools import ServerStatus

_UNDECIDED_S = 300.0
"""A request that has not begun its run after so long is gone."""


class ServerSource(ToolSource, Protocol):
    """A source of tools that also says how its servers stand."""

    async def server(self, name: str) -> ServerStatus | None:
        """Return a server of the hub; None where there is none of this name."""


class Lease:
    """Servers that are lent; whoever has it says `keep` or `give_back`, once."""

    def __init__(self, names: Mapping[str, str], lent: Lent) -> None:
        self.lent = lent
        self.names = names
        """What they are called in the hub, by label."""
        self._decided = anyio.Event()
        self._run: tuple[TenantId, RunId] | None = None

    def keep(self, tenant: TenantId, run: RunId) -> None:
        """Keep the servers until a run has ended."""
        if not self._decided.is_set():
            self._run = (tenant, run)
            self._decided.set()

    def give_back(self) -> None:
        """Let the servers go, unless they are kept for a run."""
        self._decided.set()

    async def decided(self) -> tuple[TenantId, RunId] | None:
        """Wait until it is clear for which run they are kept; None: for none."""
        with anyio.move_on_after(_UNDECIDED_S):
            await self._decided.wait()
        self._decided.set()
        return self._run


class Lending:
    """Keeps servers for requests, each in a task of its own."""

    def __init__(self, source: ServerSource, runs: AgentRuns, tasks: TaskGroup) -> None:
        self.source = source
        self._runs = runs
        self._tasks = tasks

    async def lend(self, lent: Lent, origin: str) -> Lease:
        """Take servers up for a request. Raises RequestInvalid."""
        lease: Lease = await self._tasks.start(self._hold, lent, origin)
        return lease

    async def _hold(self, lent: Lent, origin: str, *, task_status: TaskStatus[Lease]) -> None:
        async with self.source.lend(lent, origin) as names:
            lease = Lease(names, lent)
            task_status.started(lease)
            kept_for = await lease.decided()
            if kept_for is not None:
                await self._runs.until_over(*kept_for)
