"""Which models are in memory: loads on demand, shares, evicts, and starts workers anew after a death.

Each resident model has a task of its own that holds its worker; a lease is a count on it. All state is
touched from the event loop only, between awaits.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.backends.connection import Worker, WorkerSpec
from runtime.backends.memory import (
    Holding,
    MachineMemory,
    Measured,
    explain_refusal,
    gives_of,
    needs_of,
    room_beside,
)
from runtime.backends.restarts import Abandon, decide_restart
from runtime.backends.supervisor import Supervisor
from runtime.core.clock import Clock
from runtime.core.errors import Fault, LarError, ModelUnavailable
from runtime.core.events import (
    Event,
    EvictionReason,
    ModelEvicted,
    ModelFailed,
    ModelLoaded,
    WorkerAbandoned,
    WorkerRestarted,
)
from runtime.core.ids import ModelId
from runtime.core.placement import (
    Load,
    Needs,
    Occupant,
    Refuse,
    Room,
    Wait,
    decide_idle,
    decide_placement,
)
from runtime.core.settings import ModelsSettings

logger = logging.getLogger(__name__)

_SWEEP_S = 10.0
"""How often idle models are looked for."""
_STOPPING = Fault(code="shutting_down", message="The server is stopping.", retry_after_s=5.0)


@dataclass(slots=True)
class Resident:
    """A model that is in memory, on its way in, or on its way out."""

    spec: WorkerSpec
    last_used: float
    leases: int = 0
    worker: Worker | None = None
    fault: Fault | None = None
    """Why it could not be loaded, or how its worker ended."""
    is_leaving: bool = False
    settled: anyio.Event = field(default_factory=anyio.Event)
    """Set once the load has succeeded or failed."""
    leave: anyio.Event = field(default_factory=anyio.Event)
    """Set to ask the model out."""
    gone: anyio.Event = field(default_factory=anyio.Event)
    """Set when its worker is reaped."""

    @property
    def is_welcoming(self) -> bool:
        """Whether a new lease makes sense: neither asked out, nor its worker dead or dying."""
        return not self.is_leaving and (self.worker is None or self.worker.fault is None)


class Pool:
    """Keeps at most `max_loaded` models resident, within the machine's memory, as `core.ports.ModelPool`."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        find_spec: Callable[[ModelId, int], WorkerSpec],
        publish: Callable[[Event], object],
        clock: Clock,
        tasks: TaskGroup,
        settings: ModelsSettings,
        memory: MachineMemory | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._find_spec = find_spec
        self._publish = publish
        self._clock = clock
        self._tasks = tasks
        self._settings = settings
        self._memory = memory
        """None: models are loaded without a look at the machine's memory."""
        self._residents: dict[ModelId, Resident] = {}
        self._deaths: dict[ModelId, tuple[float, ...]] = {}
        self._changed = anyio.Event()
        self.faults: dict[ModelId, Fault] = {}
        """Why the last load of a model failed; gone once it loads."""

    def resident(self, model: ModelId) -> Resident | None:
        """Return the resident of this model, if there is one."""
        return self._residents.get(model)

    def leaves_in_s(self, model: ModelId) -> float | None:
        """Return how long a loaded model stays if nobody uses it from now on; None where none is loaded."""
        resident = self._residents.get(model)
        if resident is None or resident.worker is None:
            return None

        idle_s = 0.0 if resident.leases else self._clock.monotonic() - resident.last_used
        return max(0.0, self._settings.idle_unload_s - idle_s)

    @asynccontextmanager
    async def lease(self, model: ModelId) -> AsyncIterator[Worker]:
        """Make the model resident and hold it. Raises ModelUnavailable."""
        resident = await self._claim(model)
        try:
            await resident.settled.wait()  # bounded by the supervisor's deadlines
            if resident.worker is None:
                raise ModelUnavailable(resident.fault or _STOPPING)

            yield resident.worker
        finally:
            resident.leases -= 1
            resident.last_used = self._clock.monotonic()
            self._notify()

    async def unload(self, model: ModelId) -> bool:
        """Free a model once its leases end; forgets its past deaths. False where it was not resident."""
        self._deaths.pop(model, None)
        resident = self._residents.get(model)
        if resident is None:
            return False

        resident.is_leaving = True  # newcomers wait for the next worker
        try:
            while resident.leases:
                await self._change()
            await self._evict(resident, "asked")
        finally:
            if not resident.leave.is_set():  # whoever asked gave up: the model stays
                resident.is_leaving = False
                self._notify()
        return True

    def forgive(self, model: ModelId) -> None:
        """Forget a model's past deaths and faults: somebody asked to try again."""
        self._deaths.pop(model, None)
        self.faults.pop(model, None)

    async def sweep_forever(self) -> None:
        """Unload what nobody uses. For the app's task group."""
        while True:
            await anyio.sleep(_SWEEP_S)
            now = self._clock.monotonic()
            for model in decide_idle(self._occupants(), now, self._settings.idle_unload_s):
                await self._evict(self._residents[model], "idle")

    async def aclose(self) -> None:
        """Stop every worker, side by side; bounded by the stop ladder of each."""
        async with anyio.create_task_group() as tasks:
            for resident in list(self._residents.values()):
                tasks.start_soon(self._evict, resident, "shutdown")

    async def _claim(self, model: ModelId) -> Resident:
        """Return a resident with one more lease, made anew if there is none. Bounded."""
        try:
            with anyio.fail_after(self._settings.load_deadline_s):
                while True:
                    resident = self._residents.get(model)
                    if resident is None:
                        resident = await self._admit(model)
                    if resident is not None and resident.is_welcoming:
                        resident.leases += 1
                        return resident
                    await self._change()
        except TimeoutError:
            raise ModelUnavailable(self._no_room(model)) from None

    async def _admit(self, model: ModelId) -> Resident | None:
        """Begin to load a model, making room for it; None means: wait for a change.

        Raises ModelUnavailable where it can never have room.
        """
        # Both threads look at the disk or at /proc. What was decided before each of them is decided again.
        spec = await anyio.to_thread.run_sync(self._find_spec, model, len(self._residents) + 1)
        while model not in self._residents:
            measured = await self._measure(spec)
            if model in self._residents:
                break
            if measured is not None and not self._pids() <= measured.held.keys():
                continue  # somebody was loaded meanwhile: ask again, now about its process, too
            match self._decide(spec, measured):
                case Wait():
                    return None
                case Refuse(at_best=at_best):
                    limit_bytes = self._memory.limit_bytes if self._memory else None
                    raise ModelUnavailable(explain_refusal(spec, at_best, limit_bytes))
                case Load(evict=evict) if evict:
                    await self._evict(self._residents[evict[0]], "room")  # then look again: time has passed
                case Load():
                    self._begin(spec)

        return self._residents.get(model)

    def _begin(self, spec: WorkerSpec) -> None:
        resident = Resident(spec=spec, last_used=self._clock.monotonic())
        self._residents[spec.model] = resident
        self._tasks.start_soon(self._keep, resident)

    async def _measure(self, spec: WorkerSpec) -> Measured | None:
        """Ask the machine how much memory is free and how much of it our workers hold."""
        if self._memory is None or spec.estimate is None:
            return None

        pids = list(self._pids())
        has_device = spec.estimate.device_bytes > 0
        return await anyio.to_thread.run_sync(partial(self._memory.measure, pids, has_device=has_device))

    def _pids(self) -> set[int]:
        """Return the processes of all loaded models."""
        return {each.worker.pid for each in self._residents.values() if each.worker is not None}

    def _decide(self, spec: WorkerSpec, measured: Measured | None) -> Load | Wait | Refuse:
        limit_bytes = self._memory.limit_bytes if self._memory else None
        room = Room()
        if measured is not None:
            holdings = [_holding(each) for each in self._residents.values()]
            room = room_beside(holdings, measured, limit_bytes)
        verdict = decide_placement(self._occupants(measured), self._settings.max_loaded, needs_of(spec), room)
        is_loading = any(each.worker is None for each in self._residents.values())
        if measured is not None and is_loading and verdict != Load():
            return Wait()  # nobody knows how much of its memory a loading model has taken: let it arrive

        return verdict

    def _no_room(self, model: ModelId) -> Fault:
        """Say that a model waited in vain for busy ones to leave."""
        busy = ", ".join(f"'{name}'" for name, each in self._residents.items() if each.leases)
        message = (
            f"'{model}' found no room in memory within {self._settings.load_deadline_s:g} s "
            f"(models.load_deadline_s): {busy or 'other models'} did not leave. Try again later, or raise "
            "models.max_loaded or models.memory_bytes in lar.toml."
        )
        return Fault(code="insufficient_memory", message=message, retry_after_s=10.0)

    async def _keep(self, resident: Resident) -> None:
        """Hold the worker of a resident from load to end. Runs in the app's task group."""
        model = resident.spec.model
        began = self._clock.monotonic()
        try:
            await self._back_off(resident)
            async with self._supervisor.open_worker(resident.spec) as worker:
                resident.worker = worker
                self.faults.pop(model, None)
                self._publish(
                    ModelLoaded(
                        model=model,
                        worker=worker.worker,
                        context_tokens=worker.facts.context_tokens,
                        duration_s=self._clock.monotonic() - began,
                    )
                )
                resident.settled.set()
                self._notify()
                await self._until_over(resident, worker)
                resident.is_leaving = True
        except LarError as failure:
            self._fail(resident, failure.fault)
        except Exception:
            logger.exception("a resident model broke", extra={"model": model})
            message = f"Lar itself failed while it held '{model}'; 'lar logs' tells more."
            self._fail(resident, Fault(code="internal_error", message=message))
        finally:
            resident.is_leaving = True
            self._residents.pop(model, None)
            resident.settled.set()
            resident.gone.set()
            self._notify()

    async def _back_off(self, resident: Resident) -> None:
        """Wait as the model's past deaths demand. Raises ModelUnavailable when it died too often."""
        model = resident.spec.model
        verdict = decide_restart(self._deaths.get(model, ()), self._clock.monotonic())
        if verdict is None:
            return

        if isinstance(verdict, Abandon):
            self._publish(WorkerAbandoned(model=model, attempts=verdict.attempts))
            message = (
                f"The worker of '{model}' died {verdict.attempts} times within a few minutes, so Lar left it "
                f"alone. 'lar logs' tells why; 'lar models install {model}' tries again."
            )
            raise ModelUnavailable(Fault(code="model_broken", message=message))

        await anyio.sleep(verdict.delay_s)
        self._publish(WorkerRestarted(model=model, attempt=verdict.attempt, delay_s=verdict.delay_s))

    async def _until_over(self, resident: Resident, worker: Worker) -> None:
        """Wait until the worker ends or is asked out."""
        async with anyio.create_task_group() as tasks:

            async def _until_asked() -> None:
                await resident.leave.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(_until_asked)
            await worker.ended.wait()
            model = resident.spec.model
            self._deaths[model] = (*self._deaths.get(model, ()), self._clock.monotonic())
            resident.fault = worker.fault
            tasks.cancel_scope.cancel()

    def _fail(self, resident: Resident, fault: Fault) -> None:
        model = resident.spec.model
        resident.worker = None
        resident.fault = fault
        self.faults[model] = fault
        self._publish(ModelFailed(model=model, stage="load", code=fault.code, message=fault.message))

    async def _evict(self, resident: Resident, reason: EvictionReason) -> None:
        if not resident.leave.is_set():
            resident.is_leaving = True
            resident.leave.set()
            await resident.gone.wait()
            self._publish(ModelEvicted(model=resident.spec.model, reason=reason))
        else:
            await resident.gone.wait()

    def _occupants(self, measured: Measured | None = None) -> list[Occupant]:
        """Return who is in memory; without a measurement, nobody knows what they would give back."""
        return [
            Occupant(
                model=model,
                leases=each.leases,
                last_used=each.last_used,
                gives=Needs() if measured is None else gives_of(_holding(each), measured),
                is_leaving=each.is_leaving,
            )
            for model, each in self._residents.items()
        ]

    def _notify(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        """Wait until a lease ended or a resident came or went."""
        self._changed = anyio.Event() if self._changed.is_set() else self._changed
        await self._changed.wait()


def _holding(resident: Resident) -> Holding:
    return Holding(resident.spec, None if resident.worker is None else resident.worker.pid)
