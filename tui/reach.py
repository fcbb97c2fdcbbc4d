"""Words of what reaches out: what waits for a person, MCP servers, their tools; as the API tells them.

Only what the console shows is read; what a newer server adds is passed over. All texts are foreign.
"""

from typing import Any, Literal

import msgspec

Scope = Literal["call", "arguments", "tool", "session", "forever"]
QuestionAction = Literal["accept", "decline", "cancel"]

HISTORY = 50
"""Answered ones that are kept on screen; the server has the rest."""
_KEPT_OVER = 1000
"""As many as the server keeps: a listing names no older one."""


class AskedResource(msgspec.Struct, frozen=True, kw_only=True):
    """What something is to be done to."""

    kind: str
    id: str
    attributes: dict[str, Any] = {}


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A question of the gate to a person, waiting or over."""

    id: str
    status: str
    principal: str
    action: str
    resource: AskedResource
    reason: str
    created_at: float
    expires_at: float
    arguments: dict[str, Any] = {}
    door: str = ""
    session: str | None = None
    run: str | None = None
    policies: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    policy_line: str = ""
    """What the scope `forever` would write."""
    answered_at: float | None = None
    answered_by: str | None = None
    scope: str | None = None
    note: str = ""


class Elicited(msgspec.Struct, frozen=True, kw_only=True):
    """What a server asks the person."""

    server: str
    message: str
    form: dict[str, Any] | None = None
    url: str | None = None


class OpenQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A server's question that waits."""

    id: str
    question: Elicited
    asked_at: float
    expires_at: float


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was asked and is over."""

    id: str
    status: str
    """approved, denied, expired or cancelled; of a question accept, decline, cancel or expired."""
    at: float
    by: str = ""
    approval: Approval | None = None
    question: OpenQuestion | None = None


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a listing has to be fetched: what happened since the last one was asked for counts."""

    asked: int = 0
    had: int = 0

    @property
    def is_open(self) -> bool:
        """Whether what is known is older than what happened."""
        return self.had < self.asked

    def more(self) -> "Want":
        """Return the want after something has happened."""
        return Want(asked=self.asked + 1, had=self.had)

    def met(self, asked: int) -> "Want":
        """Return the want after a listing came that was asked for at that count."""
        return Want(asked=self.asked, had=max(self.had, asked))


class Asks(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for the person, and what they have answered."""

    approvals: tuple[Approval, ...] = ()
    """Those that wait, the oldest first."""
    questions: tuple[OpenQuestion, ...] = ()
    history: tuple[Settled, ...] = ()
    """The newest first."""
    over: tuple[str, ...] = ()
    """Ids that are known to be over, so that a listing from before does not bring them back."""
    sending: frozenset[str] = frozenset()
    """Ids whose answer is on its way."""
    approvals_want: Want = Want()
    questions_want: Want = Want()
    has_history: bool = False
    """Whether those that were over before the console opened have been listed."""
    trouble: str = ""
    """Why the listing could not be had."""

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self.approvals) + len(self.questions)

    def with_over(self, identity: str) -> tuple[str, ...]:
        """Return the ids that are over, with one more."""
        return (*(each for each in self.over[-_KEPT_OVER + 1 :] if each != identity), identity)


class ToolServer(msgspec.Struct, frozen=True, kw_only=True):
    """One MCP server."""

    name: str
    transport: str
    status: str
    origin: str = ""
    target: str = ""
    protocol: str = ""
    tools: int = 0
    waiting_tools: int = 0
    fault: str = ""
    sandbox: str = ""
    calls: int = 0
    restarts: int = 0


class WaitingTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that nobody has approved as it is."""

    server: str
    name: str
    digest: str
    title: str = ""
    description: str = ""
    trust: str = "new"


class ToolChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sees before a tool may be called."""

    tool: WaitingTool
    before: str = ""
    """The definition that was approved; empty for a new tool."""
    now: str = ""
    warnings: tuple[str, ...] = ()


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """The MCP servers and the tools that wait for approval, as far as somebody has looked."""

    servers: tuple[ToolServer, ...] = ()
    changes: tuple[ToolChange, ...] = ()
    busy: frozenset[str] = frozenset()
    """Servers that are being connected, or whose tools are being approved, on the person's behalf."""
    want: Want = Want()
    trouble: str = ""

    @property
    def is_known(self) -> bool:
        """Whether somebody has looked."""
        return self.want.had > 0
