"""The MCP server `agents`: other agents and their runs, for MCP clients and for agents themselves.

A run that is begun here goes on by itself: `run_agent` waits a while for its end, else says where it stands.
"""

from typing import Any

from mcp.server import Server

from runtime.core.agents.items import Said, Text
from runtime.core.agents.parts import AgentParts
from runtime.core.agents.ports import RunQuery
from runtime.core.agents.starting import Wish
from runtime.core.agents.steps import TERMINAL, RunRecord
from runtime.core.errors import Fault, RequestInvalid
from runtime.core.ids import RunId
from runtime.core.minting import new_id
from runtime.core.tools import ToolHints
from runtime.mcp.servers.agents_words import (
    AgentLine,
    AgentsGiven,
    AgentsResult,
    CancelGiven,
    GetRunGiven,
    RunAgentGiven,
    RunLine,
    RunsGiven,
    RunsResult,
    SteerGiven,
)
from runtime.mcp.servers.offering import READS, Call, Offer, tool_server

_INSTRUCTIONS = (
    "Gives tasks to agents that live on this machine. Each has tools and limits of its own; list_agents "
    "tells what they are for. Tell an agent all that it needs: it does not see this conversation."
)
_POLL_S = 5.0
_ACTS = ToolHints(is_read_only=False, is_destructive=False, is_idempotent=False, is_open_world=True)
_STOPS = ToolHints(is_read_only=False, is_destructive=True, is_idempotent=True, is_open_world=False)


class AgentTools:
    """What each tool does. Raises LarError kinds, whose messages a model can read."""

    def __init__(self, parts: AgentParts) -> None:
        self._parts = parts

    async def list_agents(self, _: AgentsGiven, call: Call) -> AgentsResult:
        """List agents."""
        found = await self._parts.book.list_agents(call.caller.principal.tenant)
        return AgentsResult(
            agents=[
                AgentLine(
                    name=each.agent.name,
                    description=each.agent.description,
                    can_run=not each.is_paused and not each.faults,
                    why_not="it is paused" if each.is_paused else next(iter(each.faults), ""),
                )
                for each in found
            ]
        )

    async def run_agent(self, given: RunAgentGiven, call: Call) -> RunLine:
        """Give an agent a task and wait for it."""
        caller = call.caller
        if given.agent == caller.agent:
            message = "An agent cannot give a task to itself. Do it, or ask another one."
            raise RequestInvalid(Fault(code="invalid_request", message=message, param="agent"))

        follower = await self._parts.starter.start(
            Wish(
                agent=given.agent,
                principal=caller.principal,
                input=(Said(id=new_id("msg_"), role="user", parts=(Text(text=given.task),)),),
                door=caller.door,
                trigger="mcp",
                parent=caller.run,
                session=given.session,
            )
        )
        follower.aclose()
        waited = 0.0
        record = await self._parts.runs.find(caller.principal.tenant, follower.run)
        while record.status not in TERMINAL and waited < given.wait_s:
            step_s = min(_POLL_S, given.wait_s - waited)
            record = await self._parts.runs.wait(caller.principal.tenant, follower.run, step_s)
            waited += step_s
            await call.report(waited, given.wait_s, f"{given.agent}: turn {record.turns}")
        return _line(record)

    async def get_run(self, given: GetRunGiven, call: Call) -> RunLine:
        """Tell where a run stands."""
        return _line(await self._parts.runs.find(call.caller.principal.tenant, RunId(given.run)))

    async def list_runs(self, given: RunsGiven, call: Call) -> RunsResult:
        """List runs, the newest first."""
        query = RunQuery(agent=given.agent, limit=given.limit)
        found = await self._parts.runs.list_runs(call.caller.principal.tenant, query)
        return RunsResult(runs=[_line(each) for each in found])

    async def cancel_run(self, given: CancelGiven, call: Call) -> RunLine:
        """Stop a run."""
        tenant = call.caller.principal.tenant
        return _line(await self._parts.runs.cancel(tenant, RunId(given.run), given.reason))

    async def steer_run(self, given: SteerGiven, call: Call) -> RunLine:
        """Add to what a run was asked."""
        tenant, run = call.caller.principal.tenant, RunId(given.run)
        said = Said(id=new_id("msg_"), role="user", parts=(Text(text=given.message),))
        await self._parts.runs.steer(tenant, run, (said,))
        return _line(await self._parts.runs.find(tenant, run))


def agents_server(parts: AgentParts) -> Server[Any]:
    """Return the server."""
    tools = AgentTools(parts)
    offers = (
        Offer(
            "list_agents",
            "List agents",
            "List the agents on this machine and what each is for.",
            AgentsGiven,
            AgentsResult,
            tools.list_agents,
            READS,
        ),
        Offer(
            "run_agent",
            "Run an agent",
            "Give an agent a task and get its answer; what takes long goes on, and get_run tells about it.",
            RunAgentGiven,
            RunLine,
            tools.run_agent,
            _ACTS,
        ),
        Offer(
            "get_run",
            "Look at a run",
            "Tell where a run stands, and its answer.",
            GetRunGiven,
            RunLine,
            tools.get_run,
            READS,
        ),
        Offer(
            "list_runs",
            "List runs",
            "List the runs of agents, the newest first.",
            RunsGiven,
            RunsResult,
            tools.list_runs,
            READS,
        ),
        Offer(
            "cancel_run",
            "Stop a run",
            "Stop a run; one that is over stays as it is.",
            CancelGiven,
            RunLine,
            tools.cancel_run,
            _STOPS,
        ),
        Offer(
            "steer_run",
            "Steer a run",
            "Tell a run that is at work something more; it is heard before its next turn.",
            SteerGiven,
            RunLine,
            tools.steer_run,
            _ACTS,
        ),
    )
    return tool_server("agents", "Agents", _INSTRUCTIONS, offers)


def _line(record: RunRecord) -> RunLine:
    why = record.fault.message if record.fault is not None else record.reason
    return RunLine(
        run=record.id,
        agent=record.agent or "",
        status=record.status,
        answer=record.answer,
        why=why,
        waits_for=list(record.waits_for),
        turns=record.turns,
        calls=record.calls,
        tokens=record.usage.total_tokens,
    )
