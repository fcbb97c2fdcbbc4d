"""The questions to people while the server runs: asked, answered, expired, taken back, and waited for.

Every change is on disk before anybody learns of it.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
import msgspec

from runtime.core.clock import Clock
from runtime.core.errors import Conflict, Fault, NotFound
from runtime.core.gate.approval_rules import (
    Asking,
    answer_approval,
    expire,
    is_past,
    is_same_question,
    newest_answer,
    open_approval,
    take_back,
)
from runtime.core.gate.approval_store import ApprovalRecord, ApprovalStore
from runtime.core.gate.words import Answer, Approval, ApprovalStatus, Question
from runtime.core.ids import ApprovalId, RunId, TenantId
from runtime.core.minting import new_id
from runtime.core.tool_facts import ApprovalAnswered, ApprovalAsked

logger = logging.getLogger(__name__)

Tell = Callable[[ApprovalAsked | ApprovalAnswered, Approval], None]
"""Tells a fact about an approval."""
WriteForever = Callable[[Approval], Awaitable[None]]
"""Writes the policy of an approval and lets it decide. Raises Conflict where it cannot."""

MOST_PENDING = 200
"""Questions of one tenant that wait at a time; a person reads no more, so what comes then is refused."""
_MOST_KEPT = 1000
_LONGEST_NAP_S = 60.0
"""The clock of the machine may be set; deadlines are looked at again at least so often."""


class TooManyAsked(Exception):
    """So many questions wait that one more would not be read."""


@dataclass(slots=True)
class _Entry:
    record: ApprovalRecord
    is_earlier: bool = False
    """Answered before this server started."""
    waiters: int = 0
    over: anyio.Event = field(default_factory=anyio.Event)

    @property
    def approval(self) -> Approval:
        return self.record.approval


class ApprovalDesk:
    """Fulfils the port Approvals, and asks on behalf of the gate."""

    def __init__(
        self,
        *,
        store: ApprovalStore,
        clock: Clock,
        tell: Tell,
        write_forever: WriteForever,
        deadline_s: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._tell = tell
        self._write_forever = write_forever
        self._deadline_s = deadline_s
        self._entries: dict[ApprovalId, _Entry] = {}
        self._turn = anyio.Lock()
        self._wake = anyio.Event()

    async def load(self) -> None:
        """Take up what an earlier server has left. Raises OSError."""
        for record in await self._store.load():
            self._entries[record.approval.id] = _Entry(record, is_earlier=True)
        await self.expire_due()

    def list_approvals(self, tenant: TenantId, status: ApprovalStatus | None = None) -> Sequence[Approval]:
        """Return a tenant's questions, the newest first."""
        shown = (self._as_it_is(each) for each in self._entries.values())
        wanted = [each for each in shown if each.tenant == tenant and status in (None, each.status)]
        return sorted(wanted, key=lambda each: (each.created_at, each.id), reverse=True)

    def find(self, tenant: TenantId, approval: ApprovalId) -> Approval:
        """Return one question. Raises NotFound."""
        return self._as_it_is(self._find(tenant, approval))

    async def answer(self, tenant: TenantId, approval: ApprovalId, answer: Answer, by: str) -> Approval:
        """Answer a question; the same answer again changes nothing.

        Raises NotFound, Conflict, RequestInvalid as the port says.
        """
        async with self._turn:
            entry = self._find(tenant, approval)
            answered = answer_approval(entry.approval, answer, by, self._clock.now())
            if answered is not entry.approval:
                if answer.is_approved and answer.scope == "forever":
                    await self._write_forever(answered)
                await self._settle(entry, answered)
            return answered

    async def cancel(self, tenant: TenantId, approval: ApprovalId) -> Approval:
        """Take a question back; one that is over stays as it is. Raises NotFound."""
        async with self._turn:
            entry = self._find(tenant, approval)
            if entry.approval.status == "pending":
                await self._settle(entry, take_back(entry.approval, self._clock.now()))
            return entry.approval

    async def cancel_run(self, run: RunId) -> None:
        """Take back what a run has asked that is over now."""
        async with self._turn:
            for entry in list(self._entries.values()):
                if entry.approval.run == run and entry.approval.status == "pending":
                    await self._settle(entry, take_back(entry.approval, self._clock.now()))

    async def ask(self, question: Question, reason: str, policies: tuple[str, ...]) -> Approval:
        """Ask a person. The same question again, after its asker has gone, is the one that waits already.

        Raises TooManyAsked, OSError where it cannot be kept.
        """
        async with self._turn:
            known = self._unattended(question)
            if known is not None:
                return known

            tenant = question.principal.tenant
            if len(self.list_approvals(tenant, "pending")) >= MOST_PENDING:
                raise TooManyAsked

            approval = open_approval(
                Asking(
                    id=ApprovalId(new_id("apr_")),
                    question=question,
                    reason=reason,
                    policies=policies,
                    now=self._clock.now(),
                    deadline_s=self._deadline_s,
                )
            )
            record = ApprovalRecord(approval=approval)
            await self._store.put(record)
            self._entries[approval.id] = _Entry(record)
            self._drop_oldest()
            self._wake.set()
        asked = ApprovalAsked(
            approval=approval.id,
            action=approval.action,
            resource=approval.resource.id,
            expires_at=approval.expires_at,
        )
        self._tell(asked, approval)
        return approval

    async def wait(self, approval: ApprovalId, limit_s: float) -> Approval:
        """Wait for an answer, so long at most; return the question as it is then."""
        entry = self._entries[approval]
        entry.waiters += 1
        try:
            with anyio.move_on_after(min(limit_s, max(0.0, entry.approval.expires_at - self._clock.now()))):
                await entry.over.wait()
        finally:
            entry.waiters -= 1
        await self.expire_due()
        return entry.approval

    def standing(self, question: Question) -> Approval | None:
        """Return the answer that holds for a question, if there is one. Changes nothing."""
        usable = (each.approval for each in self._entries.values() if self._is_usable(each))
        return newest_answer(usable, question, self._clock.now())

    async def spend(self, approval: ApprovalId) -> bool:
        """Use an answer up if it is for one call; False where somebody else was quicker. Raises OSError."""
        entry = self._entries.get(approval)
        if entry is None or entry.record.is_spent:
            return False
        if entry.approval.scope != "call":
            return True

        before = entry.record
        entry.record = msgspec.structs.replace(before, is_spent=True)  # before the wait: nobody else takes it
        try:
            await self._store.put(entry.record)
        except OSError:
            entry.record = before
            raise
        return True

    async def expire_due(self) -> None:
        """End the questions whose deadline has passed."""
        now = self._clock.now()
        if not any(is_past(each.approval, now) for each in self._entries.values()):
            return

        async with self._turn:
            for entry in list(self._entries.values()):
                if is_past(entry.approval, now):
                    await self._settle(entry, expire(entry.approval))

    async def expire_forever(self) -> None:
        """End questions as their deadlines pass."""
        while True:
            self._wake = anyio.Event()
            pending = [each.approval for each in self._entries.values() if each.approval.status == "pending"]
            due = min((each.expires_at for each in pending), default=float("inf")) - self._clock.now()
            with anyio.move_on_after(min(max(due, 0.0), _LONGEST_NAP_S)):
                await self._wake.wait()
            try:
                await self.expire_due()
            except OSError:
                logger.exception("ending approvals whose deadline has passed")
                await anyio.sleep(_LONGEST_NAP_S)  # a full disk, most likely

    async def _settle(self, entry: _Entry, approval: Approval) -> None:
        """Keep what became of a question, then let everybody know. Under the lock."""
        record = ApprovalRecord(approval=approval)
        await self._store.put(record)
        entry.record = record
        entry.is_earlier = False
        entry.over.set()
        told = ApprovalAnswered(
            approval=approval.id, status=approval.status, by=approval.answered_by, scope=approval.scope
        )
        self._tell(told, approval)

    def _find(self, tenant: TenantId, approval: ApprovalId) -> _Entry:
        entry = self._entries.get(approval)
        if entry is None or entry.approval.tenant != tenant:
            message = f"There is no approval '{approval[:80]}'. 'lar approvals list' shows those there are."
            raise NotFound(Fault(code="not_found", message=message))
        return entry

    def _as_it_is(self, entry: _Entry) -> Approval:
        """Show a question whose time has passed as what it is, also before that was written."""
        return expire(entry.approval) if is_past(entry.approval, self._clock.now()) else entry.approval

    def _unattended(self, question: Question) -> Approval | None:
        now = self._clock.now()
        for entry in self._entries.values():
            is_free = entry.approval.status == "pending" and not entry.waiters
            if is_free and not is_past(entry.approval, now) and is_same_question(entry.approval, question):
                return entry.approval
        return None

    def _is_usable(self, entry: _Entry) -> bool:
        """Whether its answer can serve others.

        One for a tool does while the server runs that got it; one for a call is first of all for who waits.
        """
        is_of_waiter = entry.approval.scope == "call" and entry.waiters > 0
        is_gone = entry.is_earlier and entry.approval.scope == "tool"
        return not (entry.record.is_spent or is_of_waiter or is_gone)

    def _drop_oldest(self) -> None:
        over = [name for name, each in self._entries.items() if each.approval.status != "pending"]
        for name in over[: max(0, len(over) - _MOST_KEPT)]:
            del self._entries[name]


def broken_policies(approval: Approval, cause: Exception) -> Conflict:
    """Return the refusal of an answer "for ever" that cannot be written; raise it."""
    message = (
        f"The policy of approval {approval.id} cannot be written: {cause}. "
        "Put that right, or answer with another scope."
    )
    return Conflict(Fault(code="conflict", message=message))
