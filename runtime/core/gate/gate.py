"""The one place that every call passes: policy, approval, quota, audit.

    question ─► policies ─ deny ──────────────────────────────┐
                   │ ask ─► an answer that holds, or a person ─┤
                   └ allow ─► quota ───────────────────────────┴─► ruling + gate.decided

Whatever goes wrong in here is a no with its cause, and a line in the log.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from runtime.core.clock import Clock
from runtime.core.gate.approvals import ApprovalDesk, TooManyAsked
from runtime.core.gate.policy_set import Judgement
from runtime.core.gate.principals import Principal
from runtime.core.gate.reasons import reason_answered, reason_asked
from runtime.core.gate.words import Approval, Outcome, Question, Quota, Ruling
from runtime.core.tool_facts import GateDecided

logger = logging.getLogger(__name__)

QUOTA = "quota"
"""Stands for the policies of a decision that a limit made."""
REVOKED = "revoked"
"""Stands for the policies of a decision about somebody whose key is gone."""
FAULT = "fault"
"""Stands for the policies of a decision that could not be made."""
Told = Callable[[GateDecided, Question], None]


class Judge(Protocol):
    """The policies of now."""

    def judge(self, question: Question) -> Judgement:
        """Decide by them."""

    def outlook(self, question: Question) -> Outcome:
        """Return the best that can come of a question whose arguments are not known yet."""


class Standing(Protocol):
    """Who still is somebody: what acts in a key's name goes on after the request that began it."""

    def holds(self, principal: Principal) -> bool:
        """Say whether a principal has not been revoked."""


class Everybody:
    """Fulfils Standing where nobody can be revoked."""

    def holds(self, principal: Principal) -> bool:  # noqa: ARG002 - the port's signature
        """Say yes."""
        return True


class NoQuota:
    """Fulfils Quota where nothing is counted."""

    def spend(self, question: Question) -> str | None:  # noqa: ARG002 - the port's signature
        """Let everything pass."""
        return None


class PolicyGate:
    """Fulfils Gate."""

    def __init__(
        self,
        *,
        policies: Judge,
        approvals: ApprovalDesk,
        quota: Quota,
        clock: Clock,
        tell: Told,
        standing: Standing | None = None,
    ) -> None:
        self._policies = policies
        self._approvals = approvals
        self._quota = quota
        self._clock = clock
        self._tell = tell
        self._standing = standing or Everybody()

    async def rule(self, question: Question, *, wait_s: float = 0.0) -> Ruling:
        """Decide; where a person must agree, wait so long for the answer. Tells `gate.decided`."""
        began = self._clock.monotonic()
        try:
            judged = self._judge(question)
            took_us = round((self._clock.monotonic() - began) * 1e6)
            ruling = await self._rule(question, judged, wait_s)
        except Exception as problem:
            logger.exception("deciding about a call", extra={"action": question.action})
            took_us = round((self._clock.monotonic() - began) * 1e6)
            ruling = _failed(problem)
        self._publish(question, ruling, took_us)
        return ruling

    def look(self, question: Question) -> Outcome:
        """Say what would be decided, without asking, counting or telling anybody.

        Of a question without a call and arguments: the best that could be.
        """
        try:
            if not self._standing.holds(question.principal):
                return "deny"
            is_open = question.call is None and not question.arguments
            outcome = self._policies.outlook(question) if is_open else self._judge(question).outcome
            if outcome != "ask":
                return outcome
            answer = self._approvals.standing(question)
        except Exception:
            logger.exception("looking what would be decided", extra={"action": question.action})
            return "deny"

        if answer is None:
            return "ask"
        return "allow" if answer.status == "approved" else "deny"

    def _judge(self, question: Question) -> Judgement:
        if not self._standing.holds(question.principal):
            return Judgement(outcome="deny", policies=(REVOKED,), reason=_revoked(question.principal))
        judged = self._policies.judge(question)
        if judged.fault:
            logger.error(
                "a policy could not be evaluated", extra={"fault": judged.fault, "action": question.action}
            )
        return judged

    async def _rule(self, question: Question, judged: Judgement, wait_s: float) -> Ruling:
        ruling = Ruling(outcome=judged.outcome, policies=judged.policies, reason=judged.reason)
        if judged.outcome == "ask":
            ruling = await self._ask(question, judged, wait_s)
        if ruling.outcome == "allow":
            excess = self._quota.spend(question)
            if excess is not None:
                return msgspec.structs.replace(ruling, outcome="deny", policies=(QUOTA,), reason=excess)
        return ruling

    async def _ask(self, question: Question, judged: Judgement, wait_s: float) -> Ruling:
        """Find an answer that holds already, or ask a person and wait."""
        standing = self._approvals.standing(question)
        if standing is not None and await self._approvals.spend(standing.id):
            return _answered(standing, judged)

        try:
            approval = await self._approvals.ask(question, judged.reason, judged.policies)
        except TooManyAsked:
            reason = "So many questions wait for a person that one more would not be read. Try it later."
            return Ruling(outcome="deny", policies=(QUOTA,), reason=reason)

        if wait_s > 0:
            approval = await self._approvals.wait(approval.id, wait_s)
        if approval.status == "pending":
            reason = reason_asked(approval)
            return Ruling(outcome="ask", policies=judged.policies, reason=reason, approval=approval.id)

        return await self._confirm(question, judged, approval)

    async def _confirm(self, question: Question, judged: Judgement, approval: Approval) -> Ruling:
        """Take an answer that came after a wait, unless policies have forbidden it meanwhile."""
        now = self._judge(question)
        if now.outcome == "deny":
            return Ruling(outcome="deny", policies=now.policies, reason=now.reason)
        if approval.status in ("approved", "denied"):
            await self._approvals.spend(approval.id)
        return _answered(approval, judged)

    def _publish(self, question: Question, ruling: Ruling, took_us: int) -> None:
        resource = question.resource
        fact = GateDecided(
            outcome=ruling.outcome,
            action=question.action,
            resource=resource.id,
            resource_kind=resource.kind,
            attributes={name: each for name, each in resource.attributes.items() if _is_plain(each)},
            principal=question.principal.id,
            role=question.principal.role,
            agent=question.agent,
            door=question.door,
            session=question.session,
            policies=ruling.policies,
            call=question.call,
            approval=ruling.approval,
            took_us=took_us,
        )
        self._tell(fact, question)


def _answered(approval: Approval, judged: Judgement) -> Ruling:
    """Return what an answered, expired or cancelled question amounts to: a yes, or else a no."""
    return Ruling(
        outcome="allow" if approval.status == "approved" else "deny",
        policies=judged.policies,
        reason=reason_answered(approval),
        approval=approval.id,
    )


def _revoked(principal: Principal) -> str:
    return (
        f"The key {principal.id}, which this is done for, has been revoked. Begin it again with another one."
    )


def _failed(problem: Exception) -> Ruling:
    return Ruling(
        outcome="deny",
        policies=(FAULT,),
        reason=f"The gate could not decide about this ({type(problem).__name__}), so the answer is no. "
        "The log of the server has the cause.",
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool | int)
