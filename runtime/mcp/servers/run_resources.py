"""What has happened in a run, as an MCP resource: `lar://runs/{id}`, the last facts as JSON.

A tenant sees its own runs alone, and only with a key that may read events over the API.
"""

from collections import deque
from typing import NoReturn

import mcp.types as wire
import msgspec
from mcp.shared.exceptions import MCPError

from runtime.core.bus import Bus
from runtime.core.errors import StoreUnavailable
from runtime.core.events import Envelope
from runtime.core.gate.principals import decide_access
from runtime.core.ids import RunId, TenantId
from runtime.core.ports import EventQuery, Journal
from runtime.core.tools import Caller

PREFIX = "lar://runs/"
FACTS = 200
"""The last ones of a run that are shown."""
_RUNS = 100
_PAGE = 1000


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a resource."""

    run: RunId
    is_whole: bool
    """False: earlier facts were left out."""
    facts: tuple[Envelope, ...]


class RunResources:
    """The runs of each tenant."""

    def __init__(self, bus: Bus, journal: Journal) -> None:
        self._bus = bus
        self._journal = journal

    async def list_all(
        self, caller: Caller, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourcesResult:
        """List the newest runs that are in memory; earlier ones are read by id."""
        del params
        newest: dict[RunId, Envelope] = {}
        for each in reversed(self._bus.recent(0)[0] if _may_observe(caller) else []):
            if each.run_id is not None and each.tenant == caller.principal.tenant:
                newest.setdefault(each.run_id, each)
            if len(newest) == _RUNS:
                break
        return wire.ListResourcesResult(
            resources=[
                wire.Resource(
                    uri=f"{PREFIX}{run}", name=run, title=f"Run: {last.kind}", mime_type="application/json"
                )
                for run, last in newest.items()
            ]
        )

    async def templates(self) -> wire.ListResourceTemplatesResult:
        """Tell how runs are addressed."""
        template = wire.ResourceTemplate(
            name="run",
            title="Run",
            uri_template=f"{PREFIX}{{id}}",
            description=f"What has happened in a run: its last {FACTS} facts.",
            mime_type="application/json",
        )
        return wire.ListResourceTemplatesResult(resource_templates=[template])

    async def read(self, caller: Caller, uri: str) -> wire.ReadResourceResult:
        """Return the last facts of a run. Raises MCPError."""
        run = RunId(uri.removeprefix(PREFIX))
        if not uri.startswith(PREFIX) or not run or not _may_observe(caller):
            _not_found(uri)
        try:
            found = await self._facts(run, caller.principal.tenant)
        except StoreUnavailable as problem:
            raise MCPError(wire.INTERNAL_ERROR, str(problem)) from problem
        if not found.facts:
            _not_found(uri)
        text = msgspec.json.encode(found).decode()
        contents = wire.TextResourceContents(uri=uri, mime_type="application/json", text=text)
        return wire.ReadResourceResult(contents=[contents])

    async def _facts(self, run: RunId, tenant: TenantId) -> RunFacts:
        """Read what is stored, then what is only in memory yet."""
        last: deque[Envelope] = deque(maxlen=FACTS)
        after = count = 0
        while True:
            page = await self._journal.read(EventQuery(after=after, run_id=run, limit=_PAGE))
            own = [each for each in page if each.tenant == tenant]
            last.extend(own)
            count += len(own)
            after = page[-1].seq if page else after
            if len(page) < _PAGE:
                break
        fresh = [each for each in self._bus.recent(after)[0] if each.run_id == run and each.tenant == tenant]
        last.extend(fresh)
        return RunFacts(run=run, is_whole=count + len(fresh) <= FACTS, facts=tuple(last))


def _may_observe(caller: Caller) -> bool:
    return decide_access(caller.principal, "observe") is None


def _not_found(uri: str) -> NoReturn:
    raise MCPError(wire.INVALID_PARAMS, f"There is no resource '{uri[:200]}'.", {"uri": uri})
