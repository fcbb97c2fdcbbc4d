"""What may be asked of people, how far their answers reach, and what an answer changes. Pure.

A yes and a no reach alike, so that a no is not asked for again at once.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from runtime.core.errors import Conflict, Fault, RequestInvalid
from runtime.core.gate.cedar_request import owner_of, principal_of
from runtime.core.gate.policy_lines import quote_text, write_policy_line
from runtime.core.gate.words import Answer, Approval, Question, Scope
from runtime.core.ids import ApprovalId

LATER_S = 3600.0
"""How long an answer for a call, or for some arguments, holds."""
SESSION_S = 24 * 3600.0
"""How long an answer for a session holds."""
_SCOPES: tuple[Scope, ...] = ("call", "arguments", "tool", "session", "forever")


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """What opens a question to a person."""

    id: ApprovalId
    question: Question
    reason: str
    policies: tuple[str, ...]
    now: float
    deadline_s: float


def open_approval(asking: Asking) -> Approval:
    """Return the question to a person."""
    question = asking.question
    return Approval(
        id=asking.id,
        tenant=question.principal.tenant,
        status="pending",
        principal=name_principal(question),
        action=question.action,
        resource=question.resource,
        arguments=question.arguments,
        door=question.door,
        session=question.session,
        run=question.run,
        call=question.call,
        reason=asking.reason,
        policies=asking.policies,
        scopes=tuple(each for each in _SCOPES if each != "session" or question.session is not None),
        policy_line=write_policy_line(asking.id, question),
        created_at=asking.now,
        expires_at=asking.now + asking.deadline_s,
    )


def name_principal(question: Question) -> str:
    """Say who asks, and on whose behalf, as policies write it."""
    acting, owner = principal_of(question), owner_of(question)
    name = f"{acting[0]}::{quote_text(acting[1])}"
    return name if acting == owner else f"{name} in {owner[0]}::{quote_text(owner[1])}"


def is_same_question(approval: Approval, question: Question) -> bool:
    """Whether the same is asked again, by the same caller with the same arguments."""
    return _is_same_deed(approval, question) and _canonical(approval.arguments) == _canonical(
        question.arguments
    )


def is_past(approval: Approval, now: float) -> bool:
    """Whether nobody can answer it any more."""
    return approval.status == "pending" and now >= approval.expires_at


def reaches(approval: Approval, question: Question, now: float) -> bool:
    """Whether the answer to one question answers another that comes later."""
    if approval.status not in ("approved", "denied") or approval.answered_at is None:
        return False

    age_s = now - approval.answered_at
    match approval.scope:
        case "call" | "arguments":
            return age_s < LATER_S and is_same_question(approval, question)
        case "tool":
            return _is_same_deed(approval, question)
        case "session":
            is_of_session = approval.session is not None and approval.session == question.session
            return age_s < SESSION_S and is_of_session and _is_same_caller(approval, question)
        case "forever" | None:
            return False  # a policy says it


def newest_answer(approvals: Iterable[Approval], question: Question, now: float) -> Approval | None:
    """Return the answer that holds for a question; the newest where several do."""
    fitting = [each for each in approvals if reaches(each, question, now)]
    return max(fitting, key=lambda each: (each.answered_at or 0.0, each.id), default=None)


def answer_approval(approval: Approval, answer: Answer, by: str, now: float) -> Approval:
    """Return the question with its answer; unchanged where it has that answer already.

    Raises Conflict where it has another answer or is over, RequestInvalid for a scope that it does not offer.
    """
    if approval.status in ("approved", "denied"):
        is_same = answer.is_approved == (approval.status == "approved") and answer.scope == approval.scope
        if is_same:
            return approval
        raise Conflict(
            Fault(
                code="conflict",
                message=f"The approval {approval.id} was {approval.status} by {approval.answered_by} "
                f"with the scope '{approval.scope}'; an answer stays as it is.",
            )
        )
    if approval.status != "pending" or is_past(approval, now):
        over = "expired" if approval.status == "pending" else approval.status
        message = f"The approval {approval.id} is {over}: nobody waits for it any more."
        raise Conflict(Fault(code="conflict", message=message))

    _check_scope(approval, answer)
    return msgspec.structs.replace(
        approval,
        status="approved" if answer.is_approved else "denied",
        answered_at=now,
        answered_by=by,
        scope=answer.scope,
        note=answer.note,
    )


def expire(approval: Approval) -> Approval:
    """Return a question that nobody answered in time."""
    return msgspec.structs.replace(approval, status="expired", answered_at=approval.expires_at)


def take_back(approval: Approval, now: float) -> Approval:
    """Return a question that nobody waits for any more."""
    return msgspec.structs.replace(approval, status="cancelled", answered_at=now)


def _check_scope(approval: Approval, answer: Answer) -> None:
    offered = approval.scopes if answer.is_approved else tuple(s for s in approval.scopes if s != "forever")
    if answer.scope in offered:
        return

    hint = "" if answer.is_approved else " A no for ever is a 'forbid' in a file of policies."
    message = f"This answer cannot have the scope '{answer.scope}'. Possible: {', '.join(offered)}.{hint}"
    raise RequestInvalid(Fault(code="invalid_request", message=message, param="scope"))


def _is_same_caller(approval: Approval, question: Question) -> bool:
    return approval.tenant == question.principal.tenant and approval.principal == name_principal(question)


def _is_same_deed(approval: Approval, question: Question) -> bool:
    return (
        approval.action == question.action
        and approval.resource.kind == question.resource.kind
        and approval.resource.id == question.resource.id
        and _is_same_caller(approval, question)
    )


def _canonical(arguments: dict[str, Any]) -> bytes:
    return msgspec.json.encode(arguments, order="deterministic")
