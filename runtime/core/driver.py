"""The shell around the run machine: performs its commands, tells it what happened, decides nothing.

Runs live in the task group of the app, not in a request handler: a handler reads `RunHandle.outputs` and
may cancel. That stream is bounded. A reader that does not read stops the run's pumps; these then take no
more from the worker, whose credits run out: a slow reader holds back only its own generation.
"""

import logging
from collections.abc import Callable

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from runtime.core.admission import Admission, Granted, Waiting
from runtime.core.bus import Bus
from runtime.core.causes import Causes, subjects_of
from runtime.core.clock import Clock
from runtime.core.commands import CancelSeq, Close, Emit, Enter, Place, Publish, Submit
from runtime.core.errors import Fault, LarError, PolicyDenied
from runtime.core.events import Event, RunRequested
from runtime.core.gate.principals import Principal
from runtime.core.gate.words import Gate, GateResource, Question
from runtime.core.ids import ModelId, RunId, new_run_id
from runtime.core.messages import Broke, Output, Request
from runtime.core.ports import Generation, Lease, ModelPool
from runtime.core.settings import AdmissionSettings
from runtime.core.turn import (
    Admitted,
    Begin,
    CancelAsked,
    GraceOver,
    Queued,
    Refused,
    Resident,
    Told,
    Turn,
    Yielded,
)

logger = logging.getLogger(__name__)

OUTPUTS_BUFFERED = 64
"""Outputs that a run holds for its reader before it stops taking more from the worker."""
STOP_GRACE_S = 5.0
"""How long a worker may take to confirm a stop: several times the longest step."""


class Piece(msgspec.Struct, frozen=True):
    """One output of one choice."""

    index: int
    output: Output


class RunHandle:
    """What the asker holds of a run."""

    def __init__(
        self, run_id: RunId, outputs: MemoryObjectReceiveStream[Piece], cancel: Callable[[str], None]
    ) -> None:
        self.run_id = run_id
        self.outputs = outputs
        """Closes when the run is over."""
        self.fault: Fault | None = None
        """Why the run was refused or failed; look once `outputs` has ended."""
        self.cancel = cancel
        """Ask the run to stop, with a reason. Never waits; harmless after the end."""


class Run:
    """One live run: its machine and what it holds. `Runs` makes and starts it."""

    def __init__(self, runs: "Runs", request: Request, requested: RunRequested) -> None:
        self.id = new_run_id()
        self.granted = anyio.Event()
        self._runs = runs
        self._request = request
        self._requested = requested
        self._turn = Turn(choices=request.choices)
        self._sender, receiver = anyio.create_memory_object_stream[Piece](OUTPUTS_BUFFERED)
        self.handle = RunHandle(self.id, receiver, self.cancel)
        self._generations: dict[int, Generation] = {}
        self._tasks: TaskGroup | None = None
        self._early_cancel: str | None = None
        self._grace_began = False
        self._causes = Causes()
        self._last_seq: int | None = None
        self._last_of_run: int | None = None

    @property
    def model(self) -> ModelId:
        """The model that the run wants."""
        return self._request.model

    def cancel(self, reason: str) -> None:
        """Ask to stop; before the first step of `live` the wish is only remembered."""
        if self._tasks is None:
            self._early_cancel = reason
        else:
            self._tell(CancelAsked(reason=reason))

    async def live(self) -> None:
        """Run from the request to the terminal fact, which comes whatever happens; then the stream ends."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                self._tell(Begin(requested=self._requested))
                if self._early_cancel is not None:
                    self._tell(CancelAsked(reason=self._early_cancel))
        except Exception:
            logger.exception("a run broke", extra={"run_id": self.id})
            self._break()
        finally:
            self._grace_began = True  # from here on nothing is started any more
            self._tell(CancelAsked(reason="the server is stopping"))
            self._tell(GraceOver())
            self._runs.forget(self)
            self._sender.close()

    def _tell(self, told: Told) -> list[Submit | Emit]:
        """Feed the machine and perform what does not wait; return what the teller has to await, in order."""
        later: list[Submit | Emit] = []
        for todo in self._turn.handle(told, self._runs.clock.monotonic()):
            match todo:
                case Publish():
                    self._publish(todo.event)
                case Enter():
                    self._enter()
                case Place():
                    self._start(self._place)
                case CancelSeq():
                    self._cancel_seq(todo.index)
                case Submit() | Emit():
                    later.append(todo)
                case Close():
                    self._close(todo.fault)
        if self._turn.phase == "stopping" and not self._grace_began:
            self._grace_began = True
            self._start(self._grace)
        return later

    def _publish(self, event: Event) -> None:
        """Publish a fact of the run. What is of the run itself follows whatever of it came last."""
        is_of_run = not subjects_of(event)
        cause = self._last_seq if is_of_run else self._causes.find(event, self._last_of_run)
        self._last_seq = self._runs.bus.publish(event, run_id=self.id, cause=cause).seq
        self._causes.note(event, self._last_seq)
        if is_of_run:
            self._last_of_run = self._last_seq

    def _start(self, step: Callable[[], object]) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(step)  # type: ignore[arg-type]  # each step is an async method without arguments

    def _enter(self) -> None:
        asked, now = self._request, self._runs.clock.monotonic()
        match self._runs.admission(self.model).ask(self.id, now, asked.priority, asked.principal):
            case Granted():
                self._tell(Admitted())
            case Waiting(position=position):
                self._tell(Queued(position=position))
                self._start(self._await_place)
            case Fault() as fault:
                self._tell(Refused(fault=fault))

    async def _await_place(self) -> None:
        deadline_s = self._runs.settings.queue_deadline_s
        with anyio.move_on_after(deadline_s):
            await self.granted.wait()
            self._tell(Admitted())
            return

        self._tell(
            Refused(
                fault=Fault(
                    code="queue_timeout",
                    message=f"No place at '{self.model}' came free within {deadline_s:g} s "
                    "(admission.queue_deadline_s). Try again later.",
                    retry_after_s=self._runs.admission(self.model).expected_wait_s(),
                )
            )
        )

    async def _place(self) -> None:
        try:
            async with self._runs.pool.lease(self.model) as lease:
                submits = self._tell(Resident(worker=lease.worker))
                async with anyio.create_task_group() as pumps:
                    for submit in submits:
                        pumps.start_soon(self._pump, lease, submit.index)
        except LarError as refusal:
            self._tell(Refused(fault=refusal.fault))

    async def _pump(self, lease: Lease, index: int) -> None:
        """Carry one choice from the worker to the reader."""
        try:
            async with lease.generate(self._request, index) as generation:
                self._generations[index] = generation
                if self._turn.phase == "stopping":
                    generation.cancel()
                async for output in generation:
                    await self._deliver(Yielded(index=index, output=output))
        except LarError as failure:
            await self._deliver(Yielded(index=index, output=Broke(fault=failure.fault)))

    async def _deliver(self, told: Yielded) -> None:
        for todo in self._tell(told):
            assert isinstance(todo, Emit)
            try:
                await self._send(Piece(todo.index, todo.output))
            except anyio.BrokenResourceError:
                self._tell(CancelAsked(reason="the client left"))

    async def _send(self, piece: Piece) -> None:
        """Give the reader a piece; waits only where its buffer is full. Raises BrokenResourceError."""
        try:
            self._sender.send_nowait(piece)
        except anyio.WouldBlock:
            await self._sender.send(piece)

    async def _grace(self) -> None:
        await anyio.sleep(STOP_GRACE_S)
        self._tell(GraceOver())

    def _cancel_seq(self, index: int) -> None:
        generation = self._generations.get(index)
        if generation is not None:
            generation.cancel()

    def _close(self, fault: Fault | None) -> None:
        """End the run: after a normal end the last pieces are still delivered, else nothing is waited for."""
        self.handle.fault = fault
        if self._tasks is not None and (fault is not None or self._turn.is_stopped):
            self._tasks.cancel_scope.cancel()

    def _break(self) -> None:
        fault = Fault(
            code="internal_error",
            message="Lar itself failed while it served this request; 'lar logs' tells more.",
        )
        self._tell(Refused(fault=fault))
        for index in range(self._request.choices):
            self._tell(Yielded(index=index, output=Broke(fault=fault)))


class Runs:
    """All live runs. `start` may be called from any task of the loop."""

    def __init__(
        self,
        *,
        bus: Bus,
        pool: ModelPool,
        clock: Clock,
        tasks: TaskGroup,
        settings: AdmissionSettings,
        places: Callable[[ModelId], int],
        gate: Gate | None = None,
    ) -> None:
        self.bus = bus
        self.pool = pool
        self.clock = clock
        self.settings = settings
        self._tasks = tasks
        self._places = places
        self._gate = gate
        self._admissions: dict[ModelId, Admission] = {}
        self._live: dict[RunId, Run] = {}
        self._is_stopping = False
        self._idle = anyio.Event()

    @property
    def is_accepting(self) -> bool:
        """Whether new runs may start."""
        return not self._is_stopping

    async def start(
        self, request: Request, principal: Principal, *, route: str, is_stream: bool
    ) -> RunHandle:
        """Begin a run; return its handle at once.

        Raises LarError (shutting_down) while the server stops, PolicyDenied where the gate says no.
        """
        await self._pass_gate(request.model, principal)
        if self._is_stopping:
            fault = Fault(code="shutting_down", message="The server is stopping.", retry_after_s=5.0)
            raise LarError(fault)

        requested = RunRequested(
            model=request.model,
            route=route,
            principal=principal.id,
            choices=request.choices,
            is_stream=is_stream,
        )
        run = Run(self, msgspec.structs.replace(request, principal=principal.id), requested)
        self._live[run.id] = run
        self._tasks.start_soon(run.live)
        return run.handle

    async def _pass_gate(self, model: ModelId, principal: Principal) -> None:
        """Ask the gate; nobody waits here for a person: whoever asks again after the answer gets in."""
        if self._gate is None:
            return

        resource = GateResource(kind="Model", id=model)
        ruling = await self._gate.rule(Question(principal=principal, action="generate", resource=resource))
        if ruling.outcome != "allow":
            raise PolicyDenied(Fault(code="denied", message=ruling.reason))

    def admission(self, model: ModelId) -> Admission:
        """Return the places at a model; made on first use."""
        if model not in self._admissions:
            self._admissions[model] = Admission(self._places(model), self.settings.queue_limit)
        return self._admissions[model]

    def load_of(self, model: ModelId) -> tuple[int, int]:
        """Return how many runs hold a place at the model and how many wait."""
        admission = self._admissions.get(model)
        return (admission.running, admission.waiting) if admission else (0, 0)

    def forget(self, run: Run) -> None:
        """Give back the run's place and wake those who get it. Called by the run as its last act."""
        self._live.pop(run.id, None)
        for following in self.admission(run.model).leave(run.id, self.clock.monotonic()):
            if following in self._live:
                self._live[following].granted.set()
        if not self._live:
            self._idle.set()

    async def stop(self, grace_s: float) -> None:
        """Take no more runs; let those that live end within the grace, then cancel them. Bounded."""
        self._is_stopping = True
        await self._wait_idle(grace_s)
        for run in list(self._live.values()):
            run.cancel("the server is stopping")
        await self._wait_idle(STOP_GRACE_S + 1.0)

    async def _wait_idle(self, limit_s: float) -> None:
        with anyio.move_on_after(limit_s):
            while self._live:
                self._idle = anyio.Event()
                await self._idle.wait()
