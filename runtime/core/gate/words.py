"""The words of the gate: what is asked, what policies say, what a person is asked and answers. Pure."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from runtime.core.gate.principals import Principal
from runtime.core.ids import ApprovalId, CallId, RunId, TenantId

Action = Literal["call_tool", "generate", "recall_read", "recall_write", "install", "connect"]
"""connect: an outgoing connection, or the start of a local server."""
ResourceKind = Literal["Tool", "Model", "Collection", "Backend", "Server", "Host"]
Outcome = Literal["allow", "deny", "ask"]


class GateResource(msgspec.Struct, frozen=True, kw_only=True):
    """What something is to be done to."""

    kind: ResourceKind
    id: str
    """A tool's full name, a model's id, a host with its port."""
    attributes: dict[str, Any] = {}
    """Of a tool: server, name, trust, is_internal, is_read_only, is_destructive, is_open_world."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody wants to do."""

    principal: Principal
    action: Action
    resource: GateResource
    arguments: dict[str, Any] = {}
    door: str = "api"
    session: str | None = None
    run: RunId | None = None
    agent: str | None = None
    call: CallId | None = None


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says."""

    outcome: Outcome
    policies: tuple[str, ...] = ()
    """Ids of the policies that decided; empty: none of them spoke, and the default is no."""
    reason: str
    """For whoever asked, with the way out."""
    approval: ApprovalId | None = None
    """With `ask`: whom to answer. With `allow` and `deny`: the answer that decided."""


Scope = Literal["call", "arguments", "tool", "session", "forever"]
"""How far a yes reaches: this call, this tool with these arguments (for an hour), this tool (until the server
stops), all of this session, or for ever, which writes a policy."""
ApprovalStatus = Literal["pending", "approved", "denied", "expired", "cancelled"]


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person."""

    id: ApprovalId
    tenant: TenantId
    status: ApprovalStatus
    principal: str
    action: Action
    resource: GateResource
    arguments: dict[str, Any] = {}
    door: str = "api"
    session: str | None = None
    run: RunId | None = None
    call: CallId | None = None
    reason: str
    """Why a person must be asked."""
    policies: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()
    """Which answers are possible."""
    policy_line: str = ""
    """What the scope `forever` would write."""
    created_at: float
    expires_at: float
    answered_at: float | None = None
    answered_by: str | None = None
    scope: Scope | None = None
    note: str = ""
    """What the person wrote beside the answer."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said."""

    is_approved: bool
    scope: Scope = "call"
    note: str = ""


class Gate(Protocol):
    """The one place that every call passes."""

    async def rule(self, question: Question, *, wait_s: float = 0.0) -> Ruling:
        """Decide, and ask a person where policies say so.

        Waits for the answer so long; the outcome `ask` means that it has not come. The decision is told on
        the bus. Never raises on account of the question.
        """

    def look(self, question: Question) -> Outcome:
        """Say what would be decided, without asking, counting or telling anybody."""


class Approvals(Protocol):
    """The questions to people. A tenant sees its own alone."""

    def list_approvals(self, tenant: TenantId, status: ApprovalStatus | None = None) -> Sequence[Approval]:
        """Return the questions, the newest first."""

    def find(self, tenant: TenantId, approval: ApprovalId) -> Approval:
        """Return one question. Raises NotFound."""

    async def answer(self, tenant: TenantId, approval: ApprovalId, answer: Answer, by: str) -> Approval:
        """Answer a question; the same answer again changes nothing. Returns once it is on disk.

        Raises NotFound, Conflict where it was answered otherwise or is over, RequestInvalid for a scope that
        it does not offer.
        """

    async def wait(self, approval: ApprovalId, limit_s: float) -> Approval:
        """Wait for an answer, so long at most; return the question as it is then."""

    async def cancel(self, tenant: TenantId, approval: ApprovalId) -> Approval:
        """Take a question back that nobody waits for any more. Raises NotFound."""


class Quota(Protocol):
    """A hook before each call; accounts come with the issue of quotas."""

    def spend(self, question: Question) -> str | None:
        """Count it; a text says why it is over the limit."""
