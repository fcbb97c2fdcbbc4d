"""The way of one tool call: arguments, gate, server, result. Whatever goes wrong is a result.

requested ── arguments ── quarantine ── gate ── started ── server ──► finished
    └───────────┴────────────┴───────────┴───────┴──────────────────► failed
"""

import logging
from contextlib import nullcontext
from typing import Literal, NamedTuple

import anyio

from runtime.core.gate.words import GateResource, Question
from runtime.core.tool_facts import (
    ReachFact,
    ToolFailed,
    ToolFinished,
    ToolProgressed,
    ToolRequested,
    ToolStarted,
)
from runtime.core.tools import Asked, Caller, Progressed, TextContent, Tool, ToolResult, resource_of
from runtime.mcp.arguments import ArgumentCheck
from runtime.mcp.calling import calling
from runtime.mcp.convert import result_of, size_of
from runtime.mcp.link_words import LinkCall, LinkFailed
from runtime.mcp.members import HubParts, Member, Offer

logger = logging.getLogger(__name__)

Code = Literal["denied", "asked", "unknown_tool", "invalid_arguments", "unreachable", "timeout", "too_large"]
_PROGRESS_GAP_S = 0.25
"""Facts of progress; whoever called hears of every step."""


class Target(NamedTuple):
    """What is called."""

    member: Member
    offer: Offer


def failure(code: Code, message: str, approval: str | None = None) -> ToolResult:
    """Return the result of a call that Lar itself refuses or gives up."""
    return ToolResult(content=(TextContent(text=message),), is_error=True, code=code, approval=approval)


def gate_question(caller: Caller, tool: Tool, asked: Asked | None = None) -> Question:
    """Return what the gate is asked about a tool."""
    return Question(
        principal=caller.principal,
        action="call_tool",
        resource=resource_of(tool),
        arguments={} if asked is None else asked.arguments,
        door=caller.door,
        session=caller.session,
        run=caller.run,
        agent=caller.agent,
        call=None if asked is None else asked.id,
    )


def server_question(caller: Caller, member: Member, doing: str, arguments: dict[str, str]) -> Question:
    """Return what the gate is asked about what is no tool: reading a resource, filling a prompt.

    Policies see it as a tool of the server that only reads, named `read_resource` or `get_prompt`.
    """
    is_internal = member.is_internal
    return Question(
        principal=caller.principal,
        action="call_tool",
        resource=GateResource(
            kind="Tool",
            id=f"mcp__{member.slug}__{doing}",
            attributes={
                "server": member.entry.name,
                "name": doing,
                "trust": "internal" if is_internal else "approved",
                "is_internal": is_internal,
                "is_read_only": is_internal,
                "is_destructive": False,
                "is_open_world": not is_internal,
            },
        ),
        arguments=dict(arguments),
        door=caller.door,
        session=caller.session,
        run=caller.run,
        agent=caller.agent,
    )


class Calls:
    """Carries out calls and tells of them."""

    def __init__(self, parts: HubParts) -> None:
        self._parts = parts
        self._check = ArgumentCheck()

    async def carry_out(
        self, caller: Caller, asked: Asked, target: Target | None, progressed: Progressed | None
    ) -> ToolResult:
        """Call the tool, or say why not."""
        call = _Call(self._parts, caller, asked, target)
        try:
            return await call.run(self._check, progressed)
        except anyio.get_cancelled_exc_class():
            call.tell_failed("cancelled", "The caller gave it up.")
            raise


class _Call:
    def __init__(self, parts: HubParts, caller: Caller, asked: Asked, target: Target | None) -> None:
        self._parts = parts
        self._caller = caller
        self._asked = asked
        self._target = target
        self._began = parts.clock.monotonic()

    async def run(self, check: ArgumentCheck, progressed: Progressed | None) -> ToolResult:
        target, asked = self._target, self._asked
        tool = None if target is None else target.offer.tool
        self._tell(
            ToolRequested(
                call=asked.id,
                server=tool.server if tool else "",
                tool=tool.name if tool else asked.full_name[:128],
                principal=self._caller.principal.id,
                door=self._caller.door,
            )
        )
        if target is None or tool is None:
            return self.fail("unknown_tool", f"There is no tool '{asked.full_name[:128]}' for this caller.")

        problems = check.problems(tool.digest, tool.input_schema, asked.arguments)
        if problems:
            message = f"The arguments do not fit '{tool.full_name}':\n{problems}\nMend them and call again."
            return self.fail("invalid_arguments", message)

        refusal = await self._pass_gate(tool)
        if refusal is not None:
            return refusal
        return await self._send(target, progressed)

    async def _pass_gate(self, tool: Tool) -> ToolResult | None:
        question = gate_question(self._caller, tool, self._asked)
        ruling = await self._parts.gate.rule(question, wait_s=self._asked.approval_wait_s)
        if ruling.outcome == "ask":
            return self.fail("asked", ruling.reason, ruling.approval)
        if ruling.outcome == "deny":
            return self.fail("denied", ruling.reason)
        if tool.trust == "changed":
            # No policy lifts this: it is about what the tool is, not about who may call it.
            return self.fail(
                "denied", f"'{tool.full_name}' has changed since it was approved; it must be again."
            )
        return None

    async def _send(self, target: Target, progressed: Progressed | None) -> ToolResult:
        member, tool, asked = target.member, target.offer.tool, self._asked
        config = member.entry.config
        self._tell(ToolStarted(call=asked.id))
        member.calls += 1
        request = LinkCall(
            tool=tool.name,
            arguments=asked.arguments,
            limit_s=min(asked.limit_s, config.call_timeout_s),
            is_repeatable=tool.trust == "internal" and (tool.hints.is_read_only or tool.hints.is_idempotent),
            progressed=self._progress(progressed),
        )
        try:
            if member.is_internal:
                with calling(self._caller):
                    answer = await member.link.call(request)
            else:
                with member.askers.call() if member.askers else nullcontext():
                    answer = await member.link.call(request)
        except LinkFailed as problem:
            if problem.code == "refused":
                return self._finish(ToolResult(content=(TextContent(text=str(problem)),), is_error=True))
            return self.fail(problem.code, str(problem))
        return self._finish(result_of(answer, config.max_result_bytes))

    def _progress(self, progressed: Progressed | None) -> Progressed:
        last_at = -_PROGRESS_GAP_S

        async def report(done: float, total: float | None, message: str) -> None:
            nonlocal last_at
            now = self._parts.clock.monotonic()
            if now - last_at >= _PROGRESS_GAP_S:
                last_at = now
                fact = ToolProgressed(call=self._asked.id, done=done, total=total, message=message[:200])
                self._tell(fact)
            if progressed is not None:
                await progressed(done, total, message)

        return report

    def _finish(self, result: ToolResult) -> ToolResult:
        self._tell(
            ToolFinished(
                call=self._asked.id,
                took_s=self._parts.clock.monotonic() - self._began,
                result_bytes=sum(map(size_of, result.content)),
                is_error=result.is_error,
            )
        )
        return result

    def fail(self, code: Code, message: str, approval: str | None = None) -> ToolResult:
        """Tell that the call has no result of its tool; return the one that stands for it."""
        self.tell_failed(code, message)
        return failure(code, message, approval)

    def tell_failed(self, code: str, message: str) -> None:
        """Publish that the call has no result of its tool."""
        self._tell(
            ToolFailed(
                call=self._asked.id,
                took_s=self._parts.clock.monotonic() - self._began,
                code=code,
                message=message[:500],
            )
        )

    def _tell(self, fact: ReachFact) -> None:
        self._parts.publish(fact, self._caller.principal.tenant, self._caller.run)
