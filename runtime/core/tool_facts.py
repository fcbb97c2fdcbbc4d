"""The facts of tools, links and policies. No argument and no result of a call is in any of them."""

from typing import Literal

import msgspec

from runtime.core.fact import Fact
from runtime.core.ids import ApprovalId, CallId, PrincipalId, QuestionId


class ReachFact(Fact, frozen=True, kw_only=True):
    """Base of them all."""


class ToolRequested(ReachFact, frozen=True, kw_only=True, tag="tool.requested"):
    """Somebody wants to call a tool."""

    call: CallId
    server: str
    tool: str
    principal: PrincipalId
    door: str


class ToolStarted(ReachFact, frozen=True, kw_only=True, tag="tool.started"):
    """The call went to its server."""

    call: CallId


class ToolProgressed(ReachFact, frozen=True, kw_only=True, tag="tool.progressed"):
    """The server told how far it is; a few per second at most."""

    call: CallId
    done: float
    total: float | None = None
    message: str = ""


class ToolFinished(ReachFact, frozen=True, kw_only=True, tag="tool.finished"):
    """The call has a result, which may say that it failed."""

    call: CallId
    took_s: float
    result_bytes: int
    is_error: bool


class ToolFailed(ReachFact, frozen=True, kw_only=True, tag="tool.failed"):
    """The call has no result of its tool."""

    call: CallId
    took_s: float
    code: str
    message: str


class GateDecided(ReachFact, frozen=True, kw_only=True, tag="gate.decided"):
    """The gate said yes or no, or that a person must be asked."""

    outcome: Literal["allow", "deny", "ask"]
    action: str
    resource: str
    principal: PrincipalId
    policies: tuple[str, ...] = ()
    call: CallId | None = None
    approval: ApprovalId | None = None
    took_us: int = 0
    resource_kind: str = ""
    attributes: dict[str, str | bool | int] = msgspec.field(default_factory=dict)
    """Of the resource, as they were: what a tool's server says of it, not what it is called with."""
    role: str = ""
    agent: str | None = None
    door: str = ""
    session: str | None = None


class ApprovalAsked(ReachFact, frozen=True, kw_only=True, tag="approval.asked"):
    """A person is asked."""

    approval: ApprovalId
    action: str
    resource: str
    expires_at: float


class ApprovalAnswered(ReachFact, frozen=True, kw_only=True, tag="approval.answered"):
    """A person has answered, or it was too late."""

    approval: ApprovalId
    status: str
    by: str | None = None
    scope: str | None = None


class QuestionAsked(ReachFact, frozen=True, kw_only=True, tag="question.asked"):
    """A server asks the person something, in the middle of a call."""

    question: QuestionId
    server: str
    expires_at: float


class QuestionAnswered(ReachFact, frozen=True, kw_only=True, tag="question.answered"):
    """The person has answered, or nobody waits any more."""

    question: QuestionId
    server: str
    action: str
    """accept, decline, cancel or expired."""


class LinkOpened(ReachFact, frozen=True, kw_only=True, tag="link.opened"):
    """An MCP server is connected."""

    server: str
    protocol: str
    tools: int


class LinkLost(ReachFact, frozen=True, kw_only=True, tag="link.lost"):
    """The connection broke or could not be made; it is built anew when it is needed."""

    server: str
    message: str


class LinkClosed(ReachFact, frozen=True, kw_only=True, tag="link.closed"):
    """The connection was given up on purpose."""

    server: str


class LinkChanged(ReachFact, frozen=True, kw_only=True, tag="link.changed"):
    """Tools of a server are new, gone, or not as they were approved."""

    server: str
    added: int = 0
    removed: int = 0
    changed: tuple[str, ...] = ()


class PolicyLoaded(ReachFact, frozen=True, kw_only=True, tag="policy.loaded"):
    """A set of policies decides from now on."""

    policies: int
    digest: str


class PolicyRefused(ReachFact, frozen=True, kw_only=True, tag="policy.refused"):
    """A new set is broken; the last good one stays."""

    message: str


ToolFact = (
    ToolRequested
    | ToolStarted
    | ToolProgressed
    | ToolFinished
    | ToolFailed
    | GateDecided
    | ApprovalAsked
    | ApprovalAnswered
    | QuestionAsked
    | QuestionAnswered
    | LinkOpened
    | LinkLost
    | LinkClosed
    | LinkChanged
    | PolicyLoaded
    | PolicyRefused
)
