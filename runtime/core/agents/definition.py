"""An agent as a person writes it down: one file that can be read, versioned, and checked before it is used.

Unknown keys are refused. No secret is in a file: values such as `${NAME}` are taken from the environment when
a server is started.
"""

from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from runtime.core.agents.plans import Limits
from runtime.core.ids import RunId, TenantId

Name = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="small letters, digits, _ and -")
]
Text = Annotated[str, Meta(max_length=200_000)]
Condition = Literal["completed", "failed", "incomplete", "cancelled", "any"]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of what people write."""


class ToolFilter(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """A server whose tools the agent may use, and which of them."""

    server: str
    """Lar's own (`recall`, `files`, `web`, …), one of mcp.json, or one of `servers` here."""
    only: tuple[str, ...] = ()
    """Names or patterns (`read_*`); empty: all."""
    without: tuple[str, ...] = ()
    approval: Literal["policy", "always", "never"] = "policy"
    deferred: bool = False
    """Shown only once `search_tools` has found them."""


class Memory(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """What the agent remembers beyond a conversation."""

    enabled: bool = False
    recall: int = 5
    """Items that are looked up for each question and put into the prompt; 0: only by its own tools."""
    tools: bool = True
    """Whether it may remember, search, revise and forget by itself."""
    consolidate: bool = False
    """Whether facts are drawn from ended runs in the background."""
    scope: Literal["agent", "session", "tenant"] = "agent"


EVERYWHERE = "*"
"""As the name of a collection: all of them."""


class Knowledge(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """A collection that the agent may search."""

    collection: str
    """Its name, or `*`: every one that whoever starts the agent may read."""
    passages: int = 0
    """That are put into the prompt of each question; 0: only by its own searches."""


class Trigger(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """What starts the agent by itself. Exactly one of the first six."""

    cron: str | None = None
    """Five fields, as crontab(5)."""
    every: str | None = None
    """`90s`, `10m`, `6h`, `1d`."""
    webhook: str | None = None
    """A name: POST /api/agents/{agent}/hooks/{name}, signed as Standard Webhooks."""
    files: str | None = None
    """A folder whose changes start it."""
    collection: str | None = None
    """A collection whose changes start it."""
    after: Name | None = None
    """An agent whose runs' ends start it."""
    when: Condition = "completed"
    """Of `after`."""
    timezone: str = ""
    """Of `cron`, such as `Europe/Lisbon`; empty: the machine's own."""
    missed: Literal["skip", "once", "all"] = "once"
    """Starts that no server was there for: none, one in their place, or each."""
    secret: str | None = None
    """Of `webhook`: the name of an environment variable with the secret `whsec_…`; empty: one is made."""
    message: Text = ""
    """What the agent is told; `{{event}}` stands for what happened."""
    session: str | None = None
    """A name: all runs of this trigger are one conversation; None: each has its own."""


class Output(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """The form of the final answer."""

    schema: dict[str, Any]
    name: str = "answer"


class Helper(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """Another agent that this one may use."""

    agent: Name
    how: Literal["call", "handover"] = "call"
    """call: it answers as a tool does · handover: it goes on in this one's place."""
    description: str = ""
    """When to use it; empty: its own description."""


class Team(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """Agents that work together on one board, led by this one."""

    members: tuple[Name, ...]
    board: bool = True
    """Whether all of them see and write one shared board of notes."""


class Agent(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """An agent's definition."""

    name: Name
    description: Annotated[str, Meta(max_length=1000)] = ""
    """For people, and for other agents that decide whether to call it."""
    model: str | tuple[str, ...] = ()
    """A model, or several in the order in which they are tried; none: the server's default."""
    instructions: Text = ""
    """A template: `{{name}}`, `{{date}}`, `{{timezone}}`, `{{user}}`, `{{tools}}` and own variables."""
    variables: dict[str, str] = {}
    dynamic: tuple[Text, ...] = ()
    """Templates that are filled for each run and come last, since they change: `{{time}}`, `{{event}}`."""
    servers: dict[str, dict[str, Any]] = {}
    """MCP servers of its own, as mcp.json writes them."""
    tools: tuple[str | ToolFilter, ...] = ()
    """Servers by name, or with filters."""
    knowledge: tuple[str | Knowledge, ...] = ()
    memory: Memory = Memory()
    skills: tuple[str, ...] = ()
    """Folders with a SKILL.md; their names and descriptions are told, the rest is read when it is wanted."""
    helpers: tuple[Helper, ...] = ()
    team: Team | None = None
    triggers: tuple[Trigger, ...] = ()
    limits: Limits = Limits()
    output: Output | None = None
    planning: bool = False
    """Whether it keeps a list of things to do."""
    reflection: bool = False
    decide_first: bool | None = None
    """Asked before it writes whether to call a tool; None: as the model's settings say."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    reasoning_effort: str | None = None
    parallel_tool_calls: bool = True
    tool_choice: Literal["auto", "required", "none"] = "auto"
    compact_at_tokens: Annotated[int, Meta(ge=256)] | None = None
    history: Literal["keep", "none"] = "keep"
    """Whether a session's former runs are part of the prompt."""
    labels: dict[str, str] = {}
    """For policies."""
    paused: bool = False
    """Whether it begins paused; afterwards what people say counts."""


class AgentState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent as lists show it."""

    agent: Agent
    version: str
    """Digest of the definition."""
    is_paused: bool = False
    is_shipped: bool = False
    """It comes with Lar and was not changed."""
    faults: tuple[str, ...] = ()
    """What stands against a run now, each with the way out: no such model, server or collection."""
    changed_at: float = 0.0
    last_run: RunId | None = None


class AgentBook(Protocol):
    """The agents of the home. What is written returns once it is on disk."""

    async def list_agents(self, tenant: TenantId) -> list[AgentState]:
        """Return all by name."""

    async def find(self, tenant: TenantId, name: str) -> AgentState:
        """Return one. Raises NotFound."""

    async def create(self, tenant: TenantId, agent: Agent) -> AgentState:
        """Add one. Raises Conflict where the name is taken, RequestInvalid."""

    async def change(self, tenant: TenantId, agent: Agent, version: str | None = None) -> AgentState:
        """Put a definition in the place of the former.

        Raises NotFound, RequestInvalid, Conflict where it is not the version that was read.
        """

    async def remove(self, tenant: TenantId, name: str) -> None:
        """Forget one; its runs stay. Raises NotFound."""

    async def pause(self, tenant: TenantId, name: str, *, is_paused: bool) -> AgentState:
        """Let no trigger start it and refuse runs, or take it up again. Raises NotFound."""
