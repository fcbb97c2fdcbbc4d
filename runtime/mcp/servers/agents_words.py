"""What the tools of `agents` take and give."""

from typing import Annotated

import msgspec

from runtime.mcp.servers.offering import told

Agent = Annotated[str, told("The agent's name, as list_agents tells", min_length=1, max_length=63)]
Run = Annotated[str, told("Id of a run: run_…", min_length=1, max_length=100)]


class AgentsGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of list_agents: none."""


class AgentLine(msgspec.Struct, frozen=True, kw_only=True):
    """An agent."""

    name: str
    description: str
    can_run: bool
    why_not: str = ""


class AgentsResult(msgspec.Struct, frozen=True, kw_only=True):
    """What list_agents gives."""

    agents: list[AgentLine]


class RunAgentGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of run_agent."""

    agent: Agent
    task: Annotated[str, told("What to do, with all that is needed", min_length=1, max_length=200_000)]
    wait_s: Annotated[float, told("Seconds to wait for its end", ge=0, le=600)] = 120.0
    session: Annotated[str | None, told("A conversation to go on with: conv_…")] = None


class GetRunGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of get_run."""

    run: Run


class RunsGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of list_runs."""

    agent: Annotated[str | None, told("Only runs of this agent")] = None
    limit: Annotated[int, told("How many at most", ge=1, le=100)] = 20


class CancelGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of cancel_run."""

    run: Run
    reason: Annotated[str, told("Why", max_length=500)] = "asked"


class SteerGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of steer_run."""

    run: Run
    message: Annotated[str, told("What it should know or do", min_length=1, max_length=50_000)]


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run."""

    run: str
    agent: str
    status: str
    answer: str = ""
    why: str = ""
    """Why it did not end well."""
    waits_for: list[str] = []
    """Approvals by a person."""
    turns: int = 0
    calls: int = 0
    tokens: int = 0


class RunsResult(msgspec.Struct, frozen=True, kw_only=True):
    """What list_runs gives."""

    runs: list[RunLine]
