"""Puts the gate together and keeps it going: policies that follow their files, deadlines, ends of runs."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from runtime.core.bus import Bus, Subscription
from runtime.core.causes import Causes
from runtime.core.clock import Clock
from runtime.core.errors import SettingsInvalid, StoreUnavailable
from runtime.core.events import RUN_TERMINAL
from runtime.core.gate.approval_store import APPROVALS_FILE, ApprovalLog
from runtime.core.gate.approvals import ApprovalDesk, broken_policies
from runtime.core.gate.gate import NoQuota, PolicyGate, Standing
from runtime.core.gate.policies import PolicyKeeper
from runtime.core.gate.policy_files import own_folder, read_texts
from runtime.core.gate.policy_set import PolicySet
from runtime.core.gate.policy_words import GateParts, PoliciesRefused
from runtime.core.gate.words import Approval, Question, Quota
from runtime.core.ids import RunId, TenantId
from runtime.core.settings import PolicySettings
from runtime.core.tool_facts import (
    ApprovalAnswered,
    ApprovalAsked,
    GateDecided,
    PolicyLoaded,
    PolicyRefused,
)

logger = logging.getLogger(__name__)

_RUNS_BUFFERED = 1024


@asynccontextmanager
async def open_gate(
    home: Path,
    settings: PolicySettings,
    bus: Bus,
    clock: Clock,
    quota: Quota | None = None,
    standing: Standing | None = None,
) -> AsyncIterator[GateParts]:
    """Keep a gate while the context lasts.

    Raises SettingsInvalid where the policies are broken (a server that cannot know what it may do does not
    start), StoreUnavailable where the folder or the approvals cannot be read.
    """
    own = own_folder(home)
    tell = _Teller(bus)
    keeper = PolicyKeeper(own, await anyio.to_thread.run_sync(_first_set, own), clock, tell.policy)

    async def write_forever(approval: Approval) -> None:
        try:
            await keeper.add_forever(approval)
        except (PoliciesRefused, OSError) as problem:
            raise broken_policies(approval, problem) from problem

    desk = ApprovalDesk(
        store=ApprovalLog(home / APPROVALS_FILE),
        clock=clock,
        tell=tell.approval,
        write_forever=write_forever,
        deadline_s=settings.approval_deadline_s,
    )
    try:
        await desk.load()
    except OSError as problem:
        raise StoreUnavailable(f"{home / APPROVALS_FILE} cannot be read or written: {problem}.") from problem

    gate = PolicyGate(
        policies=keeper,
        approvals=desk,
        quota=quota or NoQuota(),
        clock=clock,
        tell=tell.decision,
        standing=standing,
    )
    with bus.subscribe("gate", _RUNS_BUFFERED) as facts:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.watch_forever)
            tasks.start_soon(desk.expire_forever)
            tasks.start_soon(_follow_runs, facts, desk)
            try:
                yield GateParts(gate, keeper, desk)
            finally:
                keeper.stop()
            tasks.cancel_scope.cancel()


class _Teller:
    """Publishes the gate's facts with what led to them."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._causes = Causes()

    def policy(self, fact: PolicyLoaded | PolicyRefused) -> None:
        self._bus.publish(fact)

    def approval(self, fact: ApprovalAsked | ApprovalAnswered, approval: Approval) -> None:
        self._tell(fact, approval.tenant, approval.run)

    def decision(self, fact: GateDecided, question: Question) -> None:
        self._tell(fact, question.principal.tenant, question.run)

    def _tell(
        self, fact: ApprovalAsked | ApprovalAnswered | GateDecided, tenant: TenantId, run: RunId | None
    ) -> None:
        envelope = self._bus.publish(fact, run_id=run, cause=self._causes.find(fact), tenant=tenant)
        self._causes.note(fact, envelope.seq)


def _first_set(own: Path) -> PolicySet:
    """Make the folder and read the policies. Raises SettingsInvalid, StoreUnavailable."""
    try:
        own.mkdir(parents=True, exist_ok=True)
        return read_texts(own).compiled()
    except PoliciesRefused as refused:
        message = (
            "The policies are broken, and Lar does not start without knowing what it may do.\n"
            f"{refused}\n'lar policy check' looks at them again."
        )
        raise SettingsInvalid(message) from refused
    except OSError as problem:
        raise StoreUnavailable(f"The policies in {own} cannot be read: {problem}.") from problem


async def _follow_runs(facts: Subscription, desk: ApprovalDesk) -> None:
    """Take back what runs have asked that are over."""
    async for envelope in facts:
        if isinstance(envelope.event, RUN_TERMINAL) and envelope.run_id is not None:
            try:
                await desk.cancel_run(envelope.run_id)
            except OSError:  # their deadline ends them
                logger.exception("taking back the approvals of a run", extra={"run_id": envelope.run_id})
