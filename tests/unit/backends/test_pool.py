"""The pool and memory: nothing is loaded that does not fit; idle models leave, busy ones are waited for."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from runtime.backends.child import Child
from runtime.backends.connection import Worker, WorkerSpec
from runtime.backends.estimate import Estimate
from runtime.backends.memory import MachineMemory, Measured
from runtime.backends.pool import Pool
from runtime.backends.protocol import Tuning
from runtime.backends.supervisor import Supervisor
from runtime.core.errors import ModelUnavailable
from runtime.core.events import Event, ModelEvicted, ModelLoaded
from runtime.core.ids import ModelId, WorkerId
from runtime.core.settings import BackendSettings, ModelsSettings
from tests.kit.clock import FakeClock
from tests.unit.backends.test_hardware import Machine

SIZES = {"small": 2, "large": 6, "other": 6, "huge": 11}
"""What each model takes of a machine of ten."""
WHOLE = 10


class Workers(Supervisor):
    """Workers that live as long as they are held, and hold all that they need at once."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(BackendSettings(), lambda fact: None, clock, {})
        self.held: dict[int, int] = {}

    @asynccontextmanager
    async def open_worker(self, spec: WorkerSpec) -> AsyncIterator[Worker]:
        pid = 100 + len(self.held)
        child = cast(Child, SimpleNamespace(pid=pid))
        self.held[pid] = SIZES[spec.model]
        try:
            yield Worker(WorkerId(f"wrk_{pid}"), spec, child)
        finally:
            self.held[pid] = 0


class Memory(MachineMemory):
    """A machine of ten, less what workers hold."""

    def __init__(self, workers: Workers, limit_bytes: int | None = None) -> None:
        super().__init__(Machine(), limit_bytes)
        self._workers = workers

    def measure(self, pids: Sequence[int], *, has_device: bool) -> Measured:
        held = self._workers.held
        return Measured(WHOLE - sum(held.values()), {pid: held[pid] for pid in pids}, None)


class Bench:
    """A pool with the facts it told."""

    def __init__(self, pool: Pool, facts: list[Event], workers: Workers, clock: FakeClock) -> None:
        self.pool = pool
        self.workers = workers
        self.clock = clock
        self._facts = facts

    @property
    def story(self) -> list[str]:
        told = [each for each in self._facts if isinstance(each, ModelLoaded | ModelEvicted)]
        return [f"{'+' if isinstance(each, ModelLoaded) else '-'}{each.model}" for each in told]

    async def use(self, name: str) -> None:
        async with self.pool.lease(ModelId(name)):
            self.clock.advance(1.0)


def find_spec(model: ModelId, share: int) -> WorkerSpec:
    return WorkerSpec(
        model=model,
        engine="scripted",
        python="python",
        path=None,
        tuning=Tuning(),
        load_deadline_s=5.0,
        estimate=Estimate(cache_bytes=SIZES[model]),
    )


@asynccontextmanager
async def open_bench(limit_bytes: int | None = None, load_deadline_s: float = 5.0) -> AsyncIterator[Bench]:
    facts: list[Event] = []
    clock = FakeClock()
    workers = Workers(clock)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            pool = Pool(
                supervisor=workers,
                find_spec=find_spec,
                publish=facts.append,
                clock=clock,
                tasks=tasks,
                settings=ModelsSettings(max_loaded=9, load_deadline_s=load_deadline_s),
                memory=Memory(workers, limit_bytes),
            )
            yield Bench(pool, facts, workers, clock)
            await pool.aclose()
            tasks.cancel_scope.cancel()


async def test_models_share_the_memory_while_they_fit() -> None:
    async with open_bench() as bench:
        await bench.use("small")
        await bench.use("large")

        assert bench.story == ["+small", "+large"]


async def test_an_idle_model_leaves_for_one_that_needs_its_memory() -> None:
    async with open_bench() as bench:
        await bench.use("small")
        await bench.use("large")
        await bench.use("other")

        assert bench.story == ["+small", "+large", "-large", "+other"], "the small one would not have helped"


async def test_what_can_never_fit_is_refused_and_nothing_leaves_for_it() -> None:
    async with open_bench() as bench:
        await bench.use("large")

        with pytest.raises(ModelUnavailable, match="'huge' needs") as caught:
            await bench.use("huge")

        assert caught.value.fault.code == "insufficient_memory"
        assert bench.story == ["+large"]


async def test_a_limit_of_the_owners_holds_on_a_machine_that_has_more() -> None:
    async with open_bench(limit_bytes=5) as bench:
        with pytest.raises(ModelUnavailable, match=r"models\.memory_bytes"):
            await bench.use("large")

        assert bench.story == []


async def test_a_model_waits_for_busy_ones_to_give_their_memory_back() -> None:
    async with open_bench() as bench, anyio.create_task_group() as tasks:
        async with bench.pool.lease(ModelId("large")):
            tasks.start_soon(bench.use, "other")
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert bench.story == ["+large"]

        while "+other" not in bench.story:
            await anyio.lowlevel.checkpoint()
        assert bench.story == ["+large", "-large", "+other"]


async def test_a_wait_in_vain_says_who_did_not_leave() -> None:
    async with open_bench(load_deadline_s=0.05) as bench, bench.pool.lease(ModelId("large")):
        with pytest.raises(ModelUnavailable, match="'large' did not leave") as caught:
            await bench.use("other")

        assert caught.value.fault.retry_after_s is not None


async def test_two_models_that_come_at_once_are_not_both_given_the_same_room() -> None:
    async with open_bench() as bench:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.use, "large")
            tasks.start_soon(bench.use, "other")

        first, second = bench.story[0], bench.story[-1]
        assert len(bench.story) == 3
        assert {first, second} == {"+large", "+other"}
        assert bench.story[1] == f"-{first[1:]}"
