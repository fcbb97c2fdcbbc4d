"""The words of tools, wherever they come from, and the port of whoever keeps them; `runtime/mcp` fulfils it.

A tool's full name is `mcp__server__tool`. Descriptions and results come from outside: they are data.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from runtime.core.gate.principals import Principal
from runtime.core.gate.words import GateResource
from runtime.core.ids import CallId, RunId

Trust = Literal["internal", "approved", "new", "changed"]
"""internal: Lar's own · approved: as somebody saw it · new: nobody has seen it yet · changed: not as it was
when it was approved, so nobody may call it until somebody approves it again."""
Transport = Literal["memory", "stdio", "sse", "http"]
Door = Literal["api", "mcp", "agent", "console"]


class ToolHints(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says about its tool. Believed of Lar's own servers alone."""

    is_read_only: bool = False
    is_destructive: bool = True
    is_idempotent: bool = False
    is_open_world: bool = True
    """Whether it reaches beyond this machine."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool of one server."""

    server: str
    name: str
    """As the server calls it."""
    full_name: str
    """`mcp__server__tool`: what a model sees; at most 128 of A-Z, a-z, 0-9, `_` and `-`."""
    title: str = ""
    description: str = ""
    """Without hidden and direction-changing characters."""
    input_schema: dict[str, Any] = {}
    output_schema: dict[str, Any] | None = None
    hints: ToolHints = ToolHints()
    annotations: dict[str, Any] = {}
    """The hints as the server gave them, to be shown; nothing is decided by them."""
    digest: str
    """Of all that the server said about it."""
    trust: Trust


def resource_of(tool: Tool) -> GateResource:
    """Return the tool as the gate is asked about it."""
    return GateResource(
        kind="Tool",
        id=tool.full_name,
        attributes={
            "server": tool.server,
            "name": tool.name,
            "trust": tool.trust,
            "is_internal": tool.trust == "internal",
            "is_read_only": tool.hints.is_read_only,
            "is_destructive": tool.hints.is_destructive,
            "is_open_world": tool.hints.is_open_world,
        },
    )


class TextContent(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """Text of a result."""

    text: str


class BlobContent(msgspec.Struct, frozen=True, kw_only=True, tag="blob"):
    """A picture, a sound, or another file of a result."""

    data: bytes
    media_type: str
    uri: str | None = None


class LinkContent(msgspec.Struct, frozen=True, kw_only=True, tag="link"):
    """A resource that a result points to."""

    uri: str
    name: str
    media_type: str | None = None


Content = TextContent | BlobContent | LinkContent


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a call came to. An error is a result, too: the model reads it."""

    content: tuple[Content, ...] = ()
    structured: Any = None
    is_error: bool = False
    code: Literal[
        "", "denied", "asked", "unknown_tool", "invalid_arguments", "unreachable", "timeout", "too_large"
    ] = ""
    """Where Lar itself is who says no; empty where the tool has spoken."""
    approval: str | None = None
    """The approval that is waited for, with code `asked`."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf, and whence, a call comes."""

    principal: Principal
    door: Door
    session: str | None = None
    run: RunId | None = None
    agent: str | None = None
    servers: frozenset[str] | None = None
    """Only these servers; None: all."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool."""

    id: CallId
    full_name: str
    arguments: dict[str, Any]
    limit_s: float = 300.0
    approval_wait_s: float = 0.0
    """How long to wait for a person where one must be asked; after that the result has code `asked`."""


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server, Lar's own or an outside one."""

    name: str
    transport: Transport
    status: Literal["idle", "connecting", "ready", "failed", "disabled"]
    origin: str
    """Where it is defined: `internal`, `mcp.json`, `lar.toml`, …"""
    target: str = ""
    """Command line or address, without secrets."""
    protocol: str = ""
    tools: int = 0
    waiting_tools: int = 0
    """That nobody has approved, or that have changed since."""
    fault: str = ""
    """Why it failed, with the way out."""
    sandbox: str = ""
    """How a stdio server is confined, or why it is not."""
    calls: int = 0
    restarts: int = 0


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a server lets be read."""

    server: str
    uri: str
    name: str
    title: str = ""
    description: str = ""
    media_type: str | None = None
    is_template: bool = False


class PromptArgument(msgspec.Struct, frozen=True, kw_only=True):
    """What a prompt wants to be told."""

    name: str
    description: str = ""
    is_required: bool = False


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A template of messages that a server offers."""

    server: str
    name: str
    title: str = ""
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()


class PromptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a filled prompt."""

    role: Literal["user", "assistant"]
    content: Content


class ToolChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sees before a tool may be called."""

    tool: Tool
    before: str = ""
    """The definition that was approved, as indented JSON; empty for a new tool."""
    now: str = ""
    warnings: tuple[str, ...] = ()
    """Hidden characters, phrases that instruct a model."""


class Elicitation(msgspec.Struct, frozen=True, kw_only=True):
    """A server's question to the person, in the middle of a call."""

    server: str
    message: str
    form: dict[str, Any] | None = None
    """The JSON schema of what is asked for: an object of plain fields."""
    url: str | None = None
    """A page that the person is asked to visit. Never opened by itself."""


class ElicitationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the person said."""

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, Any] | None = None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """A server's question to a model of Lar's own."""

    server: str
    messages: tuple[tuple[Literal["user", "assistant"], str], ...]
    system: str = ""
    max_tokens: int = 1024
    temperature: float | None = None
    stop: tuple[str, ...] = ()


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """What the model said."""

    model: str
    text: str


Elicit = Callable[[Elicitation], Awaitable[ElicitationAnswer]]
Sample = Callable[[Sampling], Awaitable[Sampled | str]]
"""A text is the reason why not."""
Progressed = Callable[[float, float | None, str], Awaitable[None]]
"""Progress so far, of how much in all if that is known, and what is being done."""


class Hub(Protocol):
    """All servers and what they offer. Every call passes the gate."""

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        """Return what the caller may call or ask for, in an order that only grows."""

    async def call(self, caller: Caller, asked: Asked, progressed: Progressed | None = None) -> ToolResult:
        """Call a tool. Whatever goes wrong is a result; cancelling it cancels the call at the server."""

    async def resources(self, caller: Caller) -> Sequence[Resource]:
        """Return what can be read, templates included."""

    async def read(self, caller: Caller, server: str, uri: str) -> ToolResult:
        """Read a resource."""

    async def prompts(self, caller: Caller) -> Sequence[Prompt]:
        """Return the prompts of all servers."""

    async def prompt(
        self, caller: Caller, server: str, name: str, arguments: dict[str, str]
    ) -> Sequence[PromptMessage]:
        """Fill a prompt. Raises LarError with the server's reason."""

    async def complete(
        self, caller: Caller, server: str, reference: str, argument: str, value: str
    ) -> Sequence[str]:
        """Return how an argument of a prompt or of a resource's template may go on."""

    def servers(self) -> Sequence[ServerStatus]:
        """Return all servers by name."""

    async def test(self, server: str) -> ServerStatus:
        """Connect anew and list; returns what came of it. Raises NotFound."""

    def changes(self) -> Sequence[ToolChange]:
        """Return the tools that wait for somebody's approval."""

    async def approve(self, server: str, tool: str, digest: str) -> None:
        """Let a tool be called as it is now. Raises NotFound, Conflict where it has changed meanwhile."""


class ServerBook(Protocol):
    """The definitions of outside servers that people keep."""

    async def add(self, name: str, definition: dict[str, Any]) -> ServerStatus:
        """Write a server into mcp.json, as other hosts write them, and take it up.

        Raises RequestInvalid where the definition is wrong, Conflict where the name is taken.
        """

    async def refresh(self) -> None:
        """Take up what has changed in mcp.json; while it is broken, a server of its name tells so."""

    async def login(self, server: str) -> str:
        """Begin a login at a remote server; returns where the person must go, empty where none is needed.

        Raises NotFound, Conflict, RequestInvalid.
        """

    def finish_login(self, state: str, code: str, issuer: str | None) -> str:
        """Take what the person's browser has brought; returns the server's name. Raises NotFound."""

    async def remove(self, server: str) -> None:
        """Close a server and forget it, with its approvals. Raises NotFound, Conflict."""
