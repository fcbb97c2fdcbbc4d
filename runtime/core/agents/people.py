"""How runs ask persons: through the gate's approvals, whose answers come as facts, whenever they come.

AskPerson ─► approval ─► PersonAsked … approval.answered ─► PersonDecided
"""

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from runtime.core.agents.moves import AnyTold, AskPerson, PersonAsked, PersonDecided
from runtime.core.bus import Subscription
from runtime.core.errors import NotFound
from runtime.core.events import BusLagged
from runtime.core.gate.approvals import TooManyAsked
from runtime.core.gate.words import Approval, Question
from runtime.core.ids import ApprovalId, RunId, TenantId
from runtime.core.tool_facts import ApprovalAnswered

logger = logging.getLogger(__name__)

Tell = Callable[[AnyTold], None]
_TOO_MANY = "So many questions wait for a person that one more would not be read."


class Desk(Protocol):
    """The approvals of the gate, as far as runs use them."""

    def find(self, tenant: TenantId, approval: ApprovalId) -> Approval:
        """Return one question. Raises NotFound."""

    def standing(self, question: Question) -> Approval | None:
        """Return the answer that holds for a question, if there is one."""

    async def ask(self, question: Question, reason: str, policies: tuple[str, ...]) -> Approval:
        """Ask a person; what is asked already is not asked again. Raises TooManyAsked, OSError."""

    async def cancel_run(self, run: RunId) -> None:
        """Take back what a run has asked that is over now. Raises OSError."""


class _Waiting(NamedTuple):
    run: RunId
    tenant: TenantId
    call_id: str
    tell: Tell


class People:
    """The questions of live runs to persons."""

    def __init__(self, desk: Desk | None) -> None:
        self._desk = desk
        self._waiting: dict[ApprovalId, _Waiting] = {}
        self._asked: set[RunId] = set()

    async def ask(self, command: AskPerson, question: Question, tell: Tell) -> None:
        """See to it that the run hears the person's answer, whenever it comes."""
        call_id, tenant = command.call.call_id, question.principal.tenant
        if self._desk is None:
            reason = "Nobody can be asked: this server has no approvals."
            tell(PersonDecided(call_id=call_id, is_approved=False, reason=reason))
            return
        try:
            approval = self._known(command, question) or await self._desk.ask(question, command.reason, ())
        except TooManyAsked:
            tell(PersonDecided(call_id=call_id, is_approved=False, reason=_TOO_MANY))
            return
        except OSError as problem:
            logger.exception("asking a person on behalf of a run", extra={"run_id": question.run})
            reason = f"Nobody could be asked: {problem}."
            tell(PersonDecided(call_id=call_id, is_approved=False, reason=reason))
            return

        assert question.run is not None
        self._asked.add(question.run)
        if command.approval != approval.id:
            tell(PersonAsked(call_id=call_id, approval=approval.id))
        if approval.status == "pending":
            self._waiting[approval.id] = _Waiting(question.run, tenant, call_id, tell)
        else:
            tell(_decided(call_id, approval))

    async def leave(self, run: RunId, *, is_over: bool) -> None:
        """Forget what a run waits for; of one that is over, take the questions back."""
        for approval, waiting in list(self._waiting.items()):
            if waiting.run == run:
                del self._waiting[approval]
        if run not in self._asked:
            return
        self._asked.discard(run)
        if is_over and self._desk is not None:
            try:
                await self._desk.cancel_run(run)
            except OSError:  # their deadline ends them
                logger.exception("taking back the approvals of a run", extra={"run_id": run})

    async def follow(self, facts: Subscription) -> None:
        """Hand answers on as they come; where facts were missed, look at each question."""
        async for envelope in facts:
            match envelope.event:
                case ApprovalAnswered(approval=approval):
                    self._look(approval)
                case BusLagged():
                    for each in list(self._waiting):
                        self._look(each)
                case _:
                    pass

    def _look(self, approval: ApprovalId) -> None:
        waiting = self._waiting.get(approval)
        if waiting is None or self._desk is None:
            return
        try:
            found = self._desk.find(waiting.tenant, approval)
        except NotFound:  # so old that it was dropped
            reason = "The question is gone; nobody answered it."
            told = PersonDecided(call_id=waiting.call_id, is_approved=False, reason=reason)
        else:
            if found.status == "pending":
                return
            told = _decided(waiting.call_id, found)
        del self._waiting[approval]
        waiting.tell(told)

    def _known(self, command: AskPerson, question: Question) -> Approval | None:
        """Return the question that was put for this call already, answered or not."""
        assert self._desk is not None
        if command.approval is not None:
            try:
                return self._desk.find(question.principal.tenant, command.approval)
            except NotFound:
                return None
        standing = self._desk.standing(question)
        is_of_call = standing is not None and standing.run == question.run and standing.call == question.call
        return standing if is_of_call else None


def _decided(call_id: str, approval: Approval) -> PersonDecided:
    match approval.status:
        case "approved" | "denied":
            reason = approval.note
        case "expired":
            reason = "Nobody answered in time."
        case _:
            reason = "The question was taken back."
    return PersonDecided(call_id=call_id, is_approved=approval.status == "approved", reason=reason)
