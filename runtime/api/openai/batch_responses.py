"""Responses for the lines of batches: runs in the background, waited for before and after a restart."""

from contextlib import suppress

import msgspec

from runtime.api.deps import ApiDeps
from runtime.api.openai.batch_lines import Line
from runtime.api.openai.batch_words import LABEL
from runtime.api.responses.body import CreateBody
from runtime.api.responses.items_out import ItemWords
from runtime.api.responses.live import check_began
from runtime.api.responses.object import response_of
from runtime.api.responses.opening import Opener
from runtime.api.responses.parts import ResponseParts
from runtime.api.runs import Asker
from runtime.core.agents.labelling import labelled
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.ports import RunQuery
from runtime.core.agents.steps import TERMINAL, RunRecord
from runtime.core.errors import NotFound
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId, TenantId

ROUTE = "/v1/responses"
_POLL_S = 30.0
"""How long one wait for a run's end lasts; it is only renewed."""


class BatchResponses:
    """Fulfils `Responding`."""

    def __init__(self, deps: ApiDeps, agents: AgentParts, parts: ResponseParts) -> None:
        self._deps = deps
        self._agents = agents
        self._parts = parts

    async def respond(self, principal: Principal, body: CreateBody, line: Line) -> bytes:
        """Return the whole response. Raises Refused, LarError."""
        tenant = principal.tenant
        run = await self._begun(tenant, line)
        if run is None:
            run = await self._begin(principal, body, line)
        record = await self._end(tenant, run)
        words = ItemWords(tenant, self._parts.sealer, tuple(body.include or ()))
        wired = response_of(record, await self._agents.runs.steps(tenant, run), words)
        check_began(record, wired["output"])
        if body.store is False:
            await self._agents.runs.remove(tenant, run)
        return msgspec.json.encode(wired | {"background": False, "store": body.store is not False})

    async def stop(self, tenant: TenantId, run: RunId) -> None:
        """End a run whose batch ends before it."""
        with suppress(NotFound):
            await self._agents.runs.cancel(tenant, run, "the batch has ended")

    async def _begin(self, principal: Principal, body: CreateBody, line: Line) -> RunId:
        wanted = msgspec.structs.replace(body, background=True, store=True, stream=None, stream_options=None)
        asker = Asker(self._deps, principal, ROUTE, _hear_nothing)
        opened = await Opener(asker, labelled(self._agents, {LABEL: line.key}), self._parts).open(wanted)
        try:
            await line.note(opened.follower.run)
        finally:
            opened.follower.aclose()
        return opened.follower.run

    async def _begun(self, tenant: TenantId, line: Line) -> RunId | None:
        """Return the run that was begun for a line before a restart; None where there is none."""
        if line.run is not None:
            with suppress(NotFound):
                return (await self._agents.runs.find(tenant, line.run)).id
        if not line.is_resumed:
            return None
        found = await self._agents.runs.list_runs(tenant, RunQuery(labels={LABEL: line.key}, limit=1))
        return found[0].id if found else None

    async def _end(self, tenant: TenantId, run: RunId) -> RunRecord:
        while True:
            record = await self._agents.runs.wait(tenant, run, _POLL_S)
            if record.status in TERMINAL:
                return record


def _hear_nothing(run: RunId) -> None:  # noqa: ARG001 - nobody waits for a header that would name it
    return
