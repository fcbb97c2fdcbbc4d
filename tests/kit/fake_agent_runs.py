"""Runs of agents in memory, told by the test: it says what happens, the fake keeps books like the real ones.

Steps are made from what was told, so that a stored run folds to what its followers saw.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from runtime.core.agents.fold import fold, opening_record, record_of
from runtime.core.agents.happenings import AnyHappening, ItemEnded, RunOver, StatusChanged, TurnClosed
from runtime.core.agents.items import Answered, AnyItem
from runtime.core.agents.plans import CANCELLED_BY_CLIENT
from runtime.core.agents.ports import Lent, NewRun, Numbered, Replayed, RunFollower, RunQuery
from runtime.core.agents.steps import (
    TERMINAL,
    AnyStep,
    CallBegun,
    CallEnded,
    ItemsAdded,
    RunEnded,
    RunOpened,
    RunRecord,
    TurnBegun,
    TurnEnded,
)
from runtime.core.errors import Conflict, Fault, LarError, NotFound
from runtime.core.gate.principals import Principal
from runtime.core.ids import RunId, TenantId
from runtime.core.messages import Usage
from runtime.core.minting import new_id

Script = Callable[[NewRun], Sequence[AnyHappening | RunEnded]]
"""What a run does by itself as soon as it is started; without RunEnded the test goes on."""


@dataclass
class FakeRun:
    """One run and those who follow it."""

    id: RunId
    new: NewRun
    opened: RunOpened
    happenings: list[Numbered] = field(default_factory=list)
    ended: RunEnded | None = None
    followers: list[MemoryObjectSendStream[Numbered]] = field(default_factory=list)
    over: anyio.Event = field(default_factory=anyio.Event)
    steered: list[AnyItem] = field(default_factory=list)
    is_removed: bool = False

    def steps(self) -> list[AnyStep]:
        """Return the steps that led to what was told."""
        ended = [each.happening for each in self.happenings if isinstance(each.happening, ItemEnded)]
        steps: list[AnyStep] = [self.opened]
        if self.happenings:
            usage = next(
                (each.happening.usage for each in self.happenings if isinstance(each.happening, TurnClosed)),
                Usage(),
            )
            begun = TurnBegun(at=1.0, turn=0, model=self.new.plan.models[0], prompt_items=0)
            steps += [begun, TurnEnded(at=2.0, turn=0, items=(), usage=usage, reason="stop")]
        items = tuple(each.item for each in sorted(ended, key=lambda each: each.place))
        if items:
            steps.append(ItemsAdded(at=2.0, items=items))
        for each in ended:
            if isinstance(each.result, Answered):
                steps.append(CallBegun(at=2.0, call_id=each.result.call_id))
                steps.append(CallEnded(at=2.0, result=each.result))
        return steps if self.ended is None else [*steps, self.ended]

    def record(self) -> RunRecord:
        """Return the record as it follows from the steps."""
        base = opening_record(
            self.id,
            self.opened,
            previous=self.new.previous,
            is_background=self.new.is_background,
            is_stored=self.new.is_stored,
        )
        return record_of(fold(self.steps()), base)


class FakeFollower:
    """One reader."""

    def __init__(
        self, runs: "FakeAgentRuns", fake: FakeRun, received: MemoryObjectReceiveStream[Numbered], key: object
    ) -> None:
        self._runs = runs
        self._fake = fake
        self._received = received
        self._key = key

    @property
    def run(self) -> RunId:
        return self._fake.id

    def __aiter__(self) -> AsyncIterator[Numbered]:
        return self

    async def __anext__(self) -> Numbered:
        # A wait that is given up loses nothing: readers send comments in silence.
        try:
            return await self._received.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            raise StopAsyncIteration from None

    def aclose(self) -> None:
        self._received.close()
        self._runs.leave(self._fake, self._key)


class FakeAgentRuns:
    """Keeps what it was asked in `runs`; `tell` and `end` move a run."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script
        self.runs: dict[RunId, FakeRun] = {}
        self.lent: list[Lent | None] = []
        self.refusal: LarError | None = None
        self.started = anyio.Event()

    @property
    def last(self) -> FakeRun:
        """The run that was started last."""
        return list(self.runs.values())[-1]

    def tell(self, fake: FakeRun, *happenings: AnyHappening) -> None:
        """Let this happen."""
        for happening in happenings:
            numbered = Numbered(len(fake.happenings), happening)
            fake.happenings.append(numbered)
            for follower in fake.followers:
                follower.send_nowait(numbered)

    def end(
        self,
        fake: FakeRun,
        status: Literal["completed", "incomplete", "failed", "cancelled"] = "completed",
        reason: str = "",
        fault: Fault | None = None,
    ) -> None:
        """Let the run end; everybody who follows it hears that."""
        if fake.ended is not None:
            return
        fake.ended = RunEnded(at=3.0, status=status, reason=reason, fault=fault)
        self.tell(fake, RunOver(record=fake.record()))
        for follower in fake.followers:
            follower.close()
        fake.followers.clear()
        fake.over.set()

    def leave(self, fake: FakeRun, key: object) -> None:
        """A follower is gone; the last one of a run in the foreground takes it along."""
        for each in fake.followers:
            if each is key:
                each.close()
        fake.followers = [each for each in fake.followers if each is not key]
        if not fake.followers and not fake.new.is_background:
            self.end(fake, "cancelled", CANCELLED_BY_CLIENT)

    async def start(self, new: NewRun, lent: Lent | None = None) -> RunFollower:
        if self.refusal is not None:
            raise self.refusal
        opened = RunOpened(
            at=1_700_000_000.25,
            plan=new.plan,
            input=new.input,
            context=new.context,
            session=new.session,
            trigger=new.trigger,
        )
        fake = FakeRun(id=RunId(new_id("run_")), new=new, opened=opened)
        self.runs[fake.id] = fake
        self.lent.append(lent)
        follower = self._follower(fake, 0)
        if new.is_background:
            self.tell(fake, StatusChanged(status="queued"))
        for each in () if self.script is None else self.script(new):
            if isinstance(each, RunEnded):
                self.end(fake, each.status, each.reason, each.fault)
            else:
                self.tell(fake, each)
        self.started.set()
        return follower

    async def follow(self, tenant: TenantId, run: RunId, first: int = 0) -> RunFollower:
        fake = self._find(tenant, run)
        if not fake.new.is_background:
            raise Conflict(Fault(code="conflict", message="Nothing of it was kept."))
        return self._follower(fake, first)

    async def find(self, tenant: TenantId, run: RunId) -> RunRecord:
        return self._find(tenant, run).record()

    async def steps(self, tenant: TenantId, run: RunId) -> list[AnyStep]:
        return self._find(tenant, run).steps()

    async def runs_naming(self, tenant: TenantId, item: str) -> list[RunId]:
        mine = [each for each in self.runs.values() if each.new.plan.principal.tenant == tenant]
        needle = b'"id":' + msgspec.json.encode(item)
        return sorted(
            each.id for each in mine if not each.is_removed and needle in msgspec.json.encode(each.steps())
        )

    async def list_runs(self, tenant: TenantId, query: RunQuery) -> list[RunRecord]:
        found = [
            each.record()
            for each in self.runs.values()
            if each.new.plan.principal.tenant == tenant
            and not each.is_removed
            and (query.after is None or (each.id < query.after) == query.is_newest_first)
            and each.id != query.after
            and all(each.new.plan.labels.get(name) == value for name, value in query.labels.items())
        ]
        found = [
            each
            for each in found
            if query.agent in (None, each.agent) and (not query.statuses or each.status in query.statuses)
        ]
        if query.is_newest_first:
            found.reverse()
        return found[: query.limit]

    async def steer(self, tenant: TenantId, run: RunId, items: Sequence[AnyItem]) -> None:
        self._find(tenant, run).steered += items

    async def cancel(self, tenant: TenantId, run: RunId, reason: str) -> RunRecord:
        fake = self._find(tenant, run)
        self.end(fake, "cancelled", reason)
        return fake.record()

    async def until_over(self, tenant: TenantId, run: RunId) -> None:
        await self._find(tenant, run).over.wait()

    async def wait(self, tenant: TenantId, run: RunId, limit_s: float) -> RunRecord:
        fake = self._find(tenant, run)
        with anyio.move_on_after(limit_s):
            await fake.over.wait()
        return fake.record()

    async def fork(
        self, tenant: TenantId, run: RunId, after_step: int, edits: Sequence[AnyItem], by: Principal
    ) -> RunRecord:
        raise NotImplementedError

    async def replay(self, tenant: TenantId, run: RunId) -> Replayed:
        raise NotImplementedError

    async def remove(self, tenant: TenantId, run: RunId) -> None:
        fake = self._find(tenant, run)
        if fake.record().status not in TERMINAL:
            raise Conflict(Fault(code="conflict", message="It has not ended."))
        fake.is_removed = True

    def _find(self, tenant: TenantId, run: RunId) -> FakeRun:
        fake = self.runs.get(run)
        if fake is None or fake.is_removed or fake.new.plan.principal.tenant != tenant:
            raise NotFound(Fault(code="not_found", message=f"There is no run '{run}'."))
        if fake.ended is not None and not fake.new.is_stored:
            raise NotFound(Fault(code="not_found", message=f"There is no run '{run}'."))
        return fake

    def _follower(self, fake: FakeRun, first: int) -> FakeFollower:
        send, receive = anyio.create_memory_object_stream[Numbered](inf)
        for each in fake.happenings[first:]:
            send.send_nowait(each)
        if fake.ended is None:
            fake.followers.append(send)
        else:
            send.close()
        return FakeFollower(self, fake, receive, send)
