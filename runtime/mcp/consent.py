"""Asks the person behind an MCP client whether a call may be made, by elicitation; both eras.

handshake: the question goes out in mid-request, and the call goes on in the same one
stateless: the question is the result, and the client comes again with the answer (`InputRequiredResult`)

The first answer stands, whichever way it came. One from elsewhere ends a form of the older era; in the newer
one it is found as soon as the client comes back, whatever that brings.

Whoever may not answer over the API (`operate`) is not asked here either: a program could say yes for itself.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import mcp.types as wire
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from runtime.core.errors import Conflict, NotFound
from runtime.core.gate.approval_rules import is_same_question
from runtime.core.gate.principals import Principal, decide_access
from runtime.core.gate.words import Answer, Approval, Approvals, Question, Scope
from runtime.core.ids import ApprovalId
from runtime.core.tools import ToolResult
from runtime.mcp.handing_on import shows_forms
from runtime.mcp.hub_calls import failure
from runtime.mcp.suspicions import strip_hidden

logger = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]
Call = Callable[[], Awaitable[ToolResult]]
"""Makes the call if nothing more is to be asked; does not wait for a person."""

QUESTION = "approval"
"""The key of the question in a result of the stateless era."""
DECISION = "decision"
"""The field of the form."""
DECLINE = "decline"
_TITLES: Mapping[Scope, str] = {
    "call": "Yes, this once",
    "arguments": "Yes, with the same arguments, for an hour",
    "tool": "Yes, this tool with any arguments, until Lar stops",
    "session": "Yes, everything in this session, for a day",
}
"""`forever` writes a policy: that is for somebody who sees the policy."""
_MOST_ARGUMENTS = 4000
"""Characters that are shown of the arguments; a longer form is not read."""
_UNANSWERED = (
    "The person was asked and has not answered (approval {approval}), which counts as no. "
    "Go on without it; the same call later asks again."
)
_MOST_ROUNDS = 3
"""An answer for one call may be used up by a twin of the call, which is then asked about by itself."""
_TITLED_SINCE = "2025-11-25"
"""From this revision on a choice has titles by `oneOf`."""


def can_ask(context: Context, person: Principal) -> bool:
    """Whether the client shows forms to a person, and the person's key may answer approvals."""
    is_reachable = context.session.can_send_request or context.protocol_version in MODERN_PROTOCOL_VERSIONS
    return is_reachable and shows_forms(context) and decide_access(person, "operate") is None


class Consent:
    """Carries out calls that a person may have to agree to."""

    def __init__(self, approvals: Approvals, wait_s: float) -> None:
        self._approvals = approvals
        self._wait_s = wait_s

    async def obtain(
        self, context: Context, params: wire.CallToolRequestParams, question: Question, call: Call
    ) -> ToolResult | wire.InputRequiredResult:
        """Call; where a person must agree, ask them through the client and then go on."""
        if context.session.can_send_request:
            return await self._ask_at_once(context, question.principal, call)
        return await self._ask_by_result(context, params, question, call)

    async def _ask_at_once(self, context: Context, person: Principal, call: Call) -> ToolResult:
        result = await call()
        for _ in range(_MOST_ROUNDS):
            if result.code != "asked" or result.approval is None:
                break
            asked = await self._ask_person(context, person, ApprovalId(result.approval))
            if asked.status == "pending":
                break  # the client could not ask: it is left to others
            if asked.status in ("cancelled", "expired"):
                return failure("denied", _UNANSWERED.format(approval=asked.id))
            result = await call()
        return result

    async def _ask_person(self, context: Context, person: Principal, identity: ApprovalId) -> Approval:
        """Return the question with what became of it. An answer from elsewhere ends the form."""
        tenant = person.tenant
        approval = self._approvals.find(tenant, identity)
        is_shown = True

        async def show() -> None:
            nonlocal is_shown
            is_shown = await self._elicit(context, person, approval)
            if not is_shown:
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(show)
            approval = await self._approvals.wait(identity, self._wait_s)
            tasks.cancel_scope.cancel()
        if approval.status == "pending" and is_shown:
            return await self._approvals.cancel(tenant, identity)
        return approval

    async def _elicit(self, context: Context, person: Principal, approval: Approval) -> bool:
        """Show the form and take its answer; False where the client could not show it."""
        question = form_of(approval, context.protocol_version)
        try:
            said = await context.session.elicit_form(
                question.message, question.requested_schema, context.request_id
            )
        except (MCPError, ValidationError) as problem:
            logger.warning("an MCP client could not ask for an approval", extra={"cause": str(problem)})
            return False
        await self._settle(person, approval, said)
        return True

    async def _ask_by_result(
        self, context: Context, params: wire.CallToolRequestParams, question: Question, call: Call
    ) -> ToolResult | wire.InputRequiredResult:
        said = (params.input_responses or {}).get(QUESTION)
        if isinstance(said, wire.ElicitResult) and params.request_state is not None:
            approval = self._asked_before(params, question)
            settled = await self._settle(question.principal, approval, said)
            is_put_away = settled.status == "expired" and answer_of(approval, said) is None
            if settled.status == "cancelled" or is_put_away:
                return failure("denied", _UNANSWERED.format(approval=settled.id))

        result = await call()
        if result.code != "asked" or result.approval is None:
            return result
        approval = self._approvals.find(question.principal.tenant, ApprovalId(result.approval))
        form = form_of(approval, context.protocol_version)
        return wire.InputRequiredResult(
            input_requests={QUESTION: wire.ElicitRequest(params=form)}, request_state=approval.id
        )

    def _asked_before(self, params: wire.CallToolRequestParams, question: Question) -> Approval:
        """Return the question that a client answers. Raises MCPError where it is not about this call."""
        try:
            approval = self._approvals.find(question.principal.tenant, ApprovalId(params.request_state or ""))
        except NotFound as problem:
            raise MCPError(wire.INVALID_PARAMS, problem.fault.message) from problem
        if not is_same_question(approval, question):
            raise MCPError(wire.INVALID_PARAMS, "The answer belongs to another call than this one.")
        return approval

    async def _settle(self, person: Principal, approval: Approval, said: wire.ElicitResult) -> Approval:
        """Give the answer on; the first one stands. Returns the question as it is then."""
        tenant = person.tenant
        answer = answer_of(approval, said)
        if answer is None:
            return await self._approvals.cancel(tenant, approval.id)
        try:
            return await self._approvals.answer(tenant, approval.id, answer, person.id)
        except Conflict as problem:
            logger.info("an approval was answered before", extra={"cause": problem.fault.message})
            return self._approvals.find(tenant, approval.id)


def form_of(approval: Approval, version: str) -> wire.ElicitRequestFormParams:
    """Return the form that a client shows."""
    choices = {each: _TITLES[each] for each in approval.scopes if each in _TITLES} | {DECLINE: "No"}
    choice: dict[str, Any] = {"type": "string", "title": "Your decision"}
    if version >= _TITLED_SINCE:
        choice["oneOf"] = [{"const": each, "title": title} for each, title in choices.items()]
    else:
        choice |= {"enum": list(choices), "enumNames": list(choices.values())}
    schema = {"type": "object", "properties": {DECISION: choice}, "required": [DECISION]}
    return wire.ElicitRequestFormParams(message=message_of(approval), requested_schema=schema)


def message_of(approval: Approval) -> str:
    """Say what is to be done, with which arguments, and why a person is asked."""
    arguments = msgspec.json.format(msgspec.json.encode(approval.arguments), indent=2).decode()
    if len(arguments) > _MOST_ARGUMENTS:
        more = len(arguments) - _MOST_ARGUMENTS
        arguments = (
            f"{arguments[:_MOST_ARGUMENTS]}\n… and {more} characters more: "
            f"'lar approvals show {approval.id}' has all."
        )
    return strip_hidden(
        f"May {approval.principal} call '{approval.resource.id}'?\n\nArguments:\n{arguments}\n\n"
        f"{approval.reason}"
    )


def answer_of(approval: Approval, said: wire.ElicitResult) -> Answer | None:
    """Return what the person decided; None where the form was put away, or says nothing that was offered."""
    if said.action == "decline":
        return Answer(is_approved=False)

    decision = (said.content or {}).get(DECISION) if said.action == "accept" else None
    if decision == DECLINE:
        return Answer(is_approved=False)
    for scope in approval.scopes:
        if scope == decision and scope in _TITLES:
            return Answer(is_approved=True, scope=scope)
    return None
