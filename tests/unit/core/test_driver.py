"""The driver: runs reach their reader, wait for places, stop when nobody listens, and always end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from runtime.core.bus import Bus
from runtime.core.driver import OUTPUTS_BUFFERED, RunHandle, Runs
from runtime.core.errors import Fault, LarError
from runtime.core.events import (
    RUN_TERMINAL,
    Event,
    RunAdmitted,
    RunCancelled,
    RunFailed,
    RunFinished,
    RunQueued,
    RunRejected,
    SeqFinished,
    TurnFinished,
)
from runtime.core.gate.principals import OWNER, Principal
from runtime.core.ids import ModelId, PrincipalId
from runtime.core.messages import Began, Broke, ChatRequest, Delta, Ended, Message, Output, Priority, Usage
from runtime.core.settings import AdmissionSettings
from tests.kit.clock import FakeClock
from tests.kit.fake_pool import FakePool, Hold, saying

FAULT = Fault(code="worker_died", message="gone")


@dataclass
class Stage:
    runs: Runs
    pool: FakePool
    bus: Bus
    handles: list[RunHandle] = field(default_factory=list)

    async def start(
        self, choices: int = 1, priority: Priority = "interactive", principal: Principal = OWNER
    ) -> RunHandle:
        request = ChatRequest(
            model=ModelId("m"),
            messages=(Message(role="user", content="hi"),),
            choices=choices,
            priority=priority,
        )
        handle = await self.runs.start(request, principal, route="chat", is_stream=True)
        self.handles.append(handle)
        return handle

    def facts(self, handle: RunHandle) -> list[Event]:
        recent, _ = self.bus.recent(0)
        return [each.event for each in recent if each.run_id == handle.run_id]

    def terminal(self, handle: RunHandle) -> Event:
        ends = [fact for fact in self.facts(handle) if isinstance(fact, RUN_TERMINAL)]
        assert len(ends) == 1
        assert self.facts(handle)[-1] is ends[0]
        return ends[0]


@asynccontextmanager
async def open_stage(places: int = 4, settings: AdmissionSettings | None = None) -> AsyncIterator[Stage]:
    clock, pool = FakeClock(), FakePool()
    bus = Bus(clock)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            runs = Runs(
                bus=bus,
                pool=pool,
                clock=clock,
                tasks=tasks,
                settings=settings or AdmissionSettings(),
                places=lambda model: places,
            )
            stage = Stage(runs, pool, bus)
            yield stage
            tasks.cancel_scope.cancel()
    for handle in stage.handles:
        handle.outputs.close()


async def read(handle: RunHandle) -> list[Output]:
    async with handle.outputs:
        return [piece.output async for piece in handle.outputs]


async def test_a_run_delivers_every_output_in_order_and_ends() -> None:
    async with open_stage() as stage:
        handle = await stage.start()
        outputs = await read(handle)

        assert outputs == saying("Hello", " there")
        assert handle.fault is None
        assert isinstance(stage.terminal(handle), RunFinished)


async def test_choices_run_side_by_side() -> None:
    async with open_stage() as stage:
        handle = await stage.start(choices=3)
        async with handle.outputs:
            pieces = [piece async for piece in handle.outputs]

        for index in range(3):
            assert [piece.output for piece in pieces if piece.index == index] == saying("Hello", " there")


async def test_a_run_beyond_the_places_waits_and_then_goes_on() -> None:
    hold = Hold()
    async with open_stage(places=1) as stage:
        stage.pool.play([Began(prompt_tokens=1), hold, Ended(reason="stop", usage=Usage())])
        first = await stage.start()
        await hold.is_reached.wait()
        second = await stage.start()
        await anyio.wait_all_tasks_blocked()
        queued = [fact for fact in stage.facts(second) if isinstance(fact, RunQueued)]
        stage.pool.play(saying("ok"))
        hold.release()

        assert queued == [RunQueued(position=1)]
        assert await read(second) == saying("ok")
        assert (await read(first))[-1] == Ended(reason="stop", usage=Usage())


async def test_the_queue_goes_by_priority_and_by_turns_between_principals() -> None:
    ann, bob = (Principal(id=PrincipalId(name), role="user") for name in ("ann", "bob"))
    hold = Hold()
    async with open_stage(places=1) as stage:
        stage.pool.play([Began(prompt_tokens=1), hold, Ended(reason="stop", usage=Usage())])
        first = await stage.start(principal=ann)
        await hold.is_reached.wait()
        night = await stage.start(priority="batch", principal=bob)
        crowd = [await stage.start(principal=ann) for _ in range(2)]
        person = await stage.start(principal=bob)
        await anyio.wait_all_tasks_blocked()
        stage.pool.play(saying("ok"))
        hold.release()
        for handle in (first, night, *crowd, person):
            await read(handle)

        recent, _ = stage.bus.recent(0)
        admitted = [each.run_id for each in recent if isinstance(each.event, RunAdmitted)]
        assert admitted == [each.run_id for each in (first, person, *crowd, night)]


async def test_a_run_beyond_the_queue_is_refused_at_once() -> None:
    hold = Hold()
    async with open_stage(places=1, settings=AdmissionSettings(queue_limit=0)) as stage:
        stage.pool.play([hold])
        await stage.start()
        await hold.is_reached.wait()
        refused = await stage.start()

        assert await read(refused) == []
        assert refused.fault is not None
        assert refused.fault.code == "queue_full"
        assert refused.fault.retry_after_s
        assert isinstance(stage.terminal(refused), RunRejected)


async def test_a_queued_run_past_its_deadline_is_rejected() -> None:
    hold = Hold()
    async with open_stage(places=1, settings=AdmissionSettings(queue_deadline_s=0.01)) as stage:
        stage.pool.play([hold])
        await stage.start()
        await hold.is_reached.wait()
        late = await stage.start()

        assert await read(late) == []
        assert late.fault is not None
        assert late.fault.code == "queue_timeout"
        assert stage.runs.load_of(ModelId("m")) == (1, 0)


async def test_a_model_that_cannot_be_had_rejects_the_run() -> None:
    async with open_stage() as stage:
        stage.pool.fault = Fault(code="model_broken", message="bad file")
        handle = await stage.start()

        assert await read(handle) == []
        assert handle.fault == stage.pool.fault
        assert isinstance(stage.terminal(handle), RunRejected)


async def test_a_generation_that_breaks_fails_the_run_after_what_it_said() -> None:
    async with open_stage() as stage:
        stage.pool.play([Began(prompt_tokens=1), Delta(text="par"), Broke(fault=FAULT)])
        handle = await stage.start()

        assert await read(handle) == [Began(prompt_tokens=1), Delta(text="par")]
        assert handle.fault == FAULT
        assert stage.terminal(handle) == RunFailed(code="worker_died", message="gone")


async def test_a_cancelled_run_stops_its_generation_and_says_why() -> None:
    hold = Hold()
    async with open_stage() as stage:
        stage.pool.play([Began(prompt_tokens=1), Delta(text="a"), hold, Delta(text="b")])
        handle = await stage.start()
        await hold.is_reached.wait()
        handle.cancel("enough")
        await read(handle)

        assert stage.terminal(handle) == RunCancelled(reason="enough")
        finished = [fact for fact in stage.facts(handle) if isinstance(fact, SeqFinished)]
        assert [(each.reason, each.text) for each in finished] == [("cancelled", "a")]


async def test_a_reader_that_leaves_stops_the_run() -> None:
    async with open_stage() as stage:
        stage.pool.play(saying(*["x"] * 1000))
        handle = await stage.start()
        await anyio.wait_all_tasks_blocked()
        handle.outputs.close()
        await anyio.wait_all_tasks_blocked()

        assert stage.terminal(handle) == RunCancelled(reason="the client left")


async def test_a_reader_that_does_not_read_holds_the_generation_back() -> None:
    async with open_stage() as stage:
        stage.pool.play(saying(*["x"] * 1000))
        handle = await stage.start()
        await anyio.wait_all_tasks_blocked()

        assert stage.pool.generations[0].yielded <= OUTPUTS_BUFFERED + 1
        assert len(await read(handle)) == 1002


async def test_cancelling_before_the_first_step_or_after_the_end_is_harmless() -> None:
    async with open_stage() as stage:
        early = await stage.start()
        early.cancel("changed my mind")
        late = await stage.start()
        await read(late)
        late.cancel("too late")

        assert await read(early) == []
        assert stage.terminal(early) == RunCancelled(reason="changed my mind")
        assert isinstance(stage.terminal(late), RunFinished)


async def test_a_defect_inside_a_run_ends_it_with_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: ChatRequest, index: int) -> list[Output]:
        raise ZeroDivisionError

    async with open_stage() as stage:
        stage.pool.play(broken)
        handle = await stage.start()

        assert await read(handle) == []
        assert handle.fault is not None
        assert handle.fault.code == "internal_error"
        assert "a run broke" in caplog.text


async def test_stopping_lets_running_runs_end_and_refuses_new_ones() -> None:
    hold = Hold()
    async with open_stage() as stage:
        stage.pool.play([hold, *saying("done")])
        handle = await stage.start()
        await hold.is_reached.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.runs.stop, 5.0)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(LarError, match="stopping"):
                await stage.start()
            hold.release()
            outputs = await read(handle)

        assert outputs == saying("done")


async def test_stopping_cancels_what_outlasts_the_grace() -> None:
    hold = Hold()
    async with open_stage() as stage:
        stage.pool.play([hold, *saying("never")])
        handle = await stage.start()
        await hold.is_reached.wait()
        await stage.runs.stop(0.0)

        assert stage.terminal(handle) == RunCancelled(reason="the server is stopping")
        assert stage.runs.load_of(ModelId("m")) == (0, 0)


async def test_every_fact_of_a_run_but_the_first_names_its_cause_within_the_run() -> None:
    async with open_stage() as stage:
        handle = await stage.start(choices=2)
        await read(handle)
        recent, _ = stage.bus.recent(0)

    facts = {each.seq: each for each in recent}
    assert recent[0].cause is None
    for envelope in recent[1:]:
        assert envelope.cause is not None
        cause = facts[envelope.cause]
        assert cause.seq < envelope.seq
        index, other = getattr(envelope.event, "index", None), getattr(cause.event, "index", None)
        assert index is None or other in (None, index), "one choice does not lead to another"
    assert isinstance(facts[recent[-1].cause or 0].event, TurnFinished)
