"""The words of a run's plan: everything that was decided before its first step, resolved and durable.

Whoever starts a run (an agent's file, a Responses request, a trigger) makes a plan; the machine needs no
more. A plan holds no secret: servers that come with a request are lent for its time and named here by label.
"""

from typing import Any, Literal

import msgspec

from runtime.core.agents.items import CallForm
from runtime.core.gate.principals import Principal
from runtime.core.ids import ModelId
from runtime.core.messages import Priority, ResponseFormat, Sampling, ToolChoice

Executor = Literal["client", "hub", "agent", "handover", "hosted", "machine"]
"""client: the asker's · hub: an MCP tool · agent: a run of another agent · handover: another agent goes on in
this run · hosted: a tool of Lar's own that only a run has (`core.agents.hosting`) · machine: the machine
answers by itself (the todo list, search_tools)."""
ApprovalRule = Literal["policy", "always", "never"]
"""policy: the gate alone decides · always: a person is asked as well, by the two steps of the Responses API ·
never: the asker has agreed before; the gate still decides."""
CANCELLED_BY_CLIENT = "the client left"


class PlannedTool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One tool of a run."""

    name: str
    """As the model sees it; unique within the plan."""
    description: str = ""
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments; None: of a custom tool, or nothing is wanted."""
    strict: bool | None = None
    syntax: Literal["text", "lark", "regex"] | None = None
    """Of a custom tool: the form of its input; None: a function."""
    definition: str | None = None
    """Of a custom tool: its grammar or expression."""
    form: CallForm = "function"
    executor: Executor = "client"
    full_name: str = ""
    """Of hub: `mcp__server__tool`; of agent and handover: the agent's name."""
    server: str = ""
    """Of mcp: the label that the asker gave to the server."""
    tool: str = ""
    """Of mcp: as its server names it."""
    namespace: str | None = None
    approval: ApprovalRule = "policy"
    is_idempotent: bool = False
    """Whether it may be called again when nobody knows if it was (read-only tools are, too)."""
    is_deferred: bool = False
    """Not shown until `search_tools` finds it."""
    settings: dict[str, Any] = {}
    """Of hosted: what it was configured with (collections, filters, limits)."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a run may take; each ends it as incomplete, with the limit's name as the reason."""

    turns: int = 25
    calls: int = 100
    """Calls that Lar carries out."""
    tokens: int | None = None
    """Prompt and completion of all turns together, the cached part counted as well."""
    seconds: float = 3600.0
    """Waiting for persons is not counted."""
    parallel_calls: int = 4
    depth: int = 4
    """Agents that call agents that call agents."""
    repeats: int = 3
    """The same call with the same arguments and the same result so often is a loop: the model is told once,
    then the run ends."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run is to do, and with what."""

    principal: Principal
    agent: str | None = None
    agent_version: str = ""
    """Digest of the agent's definition at the start."""
    models: tuple[ModelId, ...]
    """The first that can be had is taken."""
    instructions: str = ""
    tools: tuple[PlannedTool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    """Of the first turn; after a call of a tool it is `auto`, unless it is `none`."""
    allowed_tools: tuple[str, ...] = ()
    """Only these may be called, in every turn, though all are shown (`allowed_tools`); empty: all."""
    parallel_tool_calls: bool = True
    sampling: Sampling = Sampling()
    reasoning_effort: str | None = None
    response_format: ResponseFormat = ResponseFormat()
    limits: Limits = Limits()
    hosted_calls: int | None = None
    """`max_tool_calls`: once reached, tools that Lar carries out are withheld and the model must answer."""
    is_truncated: bool = False
    """Whether the oldest items go when the prompt is too long (calls and results never split); else the run
    fails."""
    turn_tokens: int | None = None
    """What one turn may give at most; None: as much as the rest allows."""
    compact_at_tokens: int | None = None
    """A prompt of so many tokens is compacted before the next turn; None: at 80 % of the model's context."""
    decides_first: bool = False
    """A small model is asked whether to call a tool before it writes."""
    reflects: bool = False
    """The answer is judged once by the same model before it is given."""
    priority: Priority = "agent"
    door: str = "agent"
    waits_for_person_s: float = 0.0
    """How long a call waits for an approval inside the run; 0: the run goes to `waiting` and ends nothing."""
    labels: dict[str, str] = {}
    """For policies."""
    extra: dict[str, Any] = {}
    """What the face that started it wants to find again; the machine does not look at it."""
