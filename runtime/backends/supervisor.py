"""The life of one worker: spawn, handshake, load, heartbeat, and what its death means."""

import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import msgspec

from runtime.backends.child import Child, open_child, worker_command, worker_environment
from runtime.backends.connection import Worker, WorkerSpec
from runtime.backends.convert import to_fault
from runtime.backends.framing import FrameTooLarge
from runtime.backends.protocol import (
    PROTOCOL_VERSION,
    FromWorker,
    Hello,
    Load,
    LoadFailed,
    Loading,
    Ping,
    Pong,
    Ready,
)
from runtime.core.clock import Clock
from runtime.core.errors import Fault, ModelUnavailable, sole_cause
from runtime.core.events import Event, ModelLoading, WorkerExited, WorkerReady, WorkerSilent, WorkerSpawned
from runtime.core.ids import new_worker_id
from runtime.core.settings import BackendSettings

logger = logging.getLogger(__name__)

HELLO_DEADLINE_S = 60.0
"""From spawn to the first frame: an interpreter and an inference library, on a cold and busy disk."""
_PROGRESS_STEP = 0.05
"""Loading is told in steps of at least so much."""


class Supervisor:
    """Starts workers and watches them until they end."""

    def __init__(
        self,
        settings: BackendSettings,
        publish: Callable[[Event], object],
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._clock = clock
        self._environment = environment

    @asynccontextmanager
    async def open_worker(self, spec: WorkerSpec) -> AsyncIterator[Worker]:
        """Start a worker and load its model; leaving the context stops it. Raises ModelUnavailable."""
        command = worker_command(spec.python, spec.engine)
        environment = worker_environment(spec.tuning.threads, self._environment)
        try:
            async with (
                open_child(command, environment, self._settings.stop_grace_s) as child,
                self._attend(spec, child) as worker,
            ):
                yield worker
        except OSError as problem:
            message = (
                f"The worker of '{spec.model}' cannot be started: {problem}. Install the backend "
                f"'{spec.engine}' again."
            )
            raise ModelUnavailable(Fault(code="backend_missing", message=message)) from problem
        except ExceptionGroup as group:
            raise sole_cause(group) from None

    @asynccontextmanager
    async def _attend(self, spec: WorkerSpec, child: Child) -> AsyncIterator[Worker]:
        worker = Worker(new_worker_id(), spec, child)
        self._publish(
            WorkerSpawned(worker=worker.worker, model=spec.model, engine=spec.engine, pid=child.pid)
        )
        is_expected = False
        try:
            await self._load(worker, child)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, worker, child)
                yield worker
                is_expected = not worker.ended.is_set()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):  # bounded: stop() has limits of its own
                await child.stop(self._settings.stop_grace_s)
            message = f"The worker of '{spec.model}' was stopped while it served this request."
            worker.end(Fault(code="worker_died", message=message))
            exited = WorkerExited(
                worker=worker.worker,
                model=spec.model,
                returncode=-signal.SIGKILL if child.returncode is None else child.returncode,
                is_expected=is_expected,
                last_words=child.last_words,
            )
            self._publish(exited)

    async def _load(self, worker: Worker, child: Child) -> None:
        """Shake hands and load the model; what comes between is progress."""
        spec = worker.spec
        hello = await self._expect(spec, child, HELLO_DEADLINE_S)
        if not isinstance(hello, Hello) or hello.version != PROTOCOL_VERSION:
            raise _strange(spec, child, f"its first words are {type(hello).__name__}")

        self._publish(WorkerReady(worker=worker.worker, engine_version=hello.engine_version))
        child.send(Load(version=PROTOCOL_VERSION, model=spec.model, path=spec.path, tuning=spec.tuning))
        told = -1.0
        while True:
            match await self._expect(spec, child, spec.load_deadline_s):
                case Loading(fraction=fraction):
                    if fraction - told >= _PROGRESS_STEP:
                        told = fraction
                        self._publish(ModelLoading(model=spec.model, worker=worker.worker, fraction=fraction))
                case Ready(facts=facts):
                    worker.facts = facts
                    return
                case LoadFailed(fault=fault):
                    raise ModelUnavailable(to_fault(fault))
                case other:
                    raise _strange(spec, child, f"it sent {type(other).__name__} while loading")

    async def _expect(self, spec: WorkerSpec, child: Child, limit_s: float) -> FromWorker:
        """Return the next frame of a child that is not loaded yet."""
        try:
            with anyio.fail_after(limit_s):
                frame = await child.receive()
        except TimeoutError:
            raise _strange(spec, child, f"it said nothing for {limit_s:g} s while loading") from None
        except (FrameTooLarge, msgspec.DecodeError) as noise:
            raise _strange(spec, child, f"it does not speak our protocol ({noise})") from noise

        if frame is None:
            returncode = await child.wait()
            raise _strange(spec, child, f"it {_describe_exit(returncode)} while loading")

        return frame

    async def _watch(self, worker: Worker, child: Child) -> None:
        """Route frames and check for signs of life until the child ends; then break what is open."""
        heard = _Heard(self._clock.monotonic())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._heartbeat, worker, child, heard)
            cause = await self._route(worker, child, heard)
            tasks.cancel_scope.cancel()

        child.kill()
        returncode = await child.wait()
        message = (
            f"The worker of '{worker.spec.model}' (pid {child.pid}) {cause or _describe_exit(returncode)}. "
            "The next request starts a new one."
        )
        worker.end(Fault(code="worker_died", message=message, detail=child.last_words or None))

    async def _route(self, worker: Worker, child: Child, heard: "_Heard") -> str | None:
        """Route frames until the output ends; return what is wrong if noise ended it."""
        while True:
            try:
                frame = await child.receive()
            except (FrameTooLarge, msgspec.DecodeError) as noise:
                return f"does not speak our protocol any more ({noise})"

            if frame is None:
                return None

            heard.at = self._clock.monotonic()
            if isinstance(frame, Pong):
                heard.step_s = frame.step_s
                worker.gauges = frame.gauges
            else:
                worker.route(frame)

    async def _heartbeat(self, worker: Worker, child: Child, heard: "_Heard") -> None:
        """Ping; kill a child that is silent, or whose engine hangs in one step."""
        settings = self._settings
        token = 0
        while True:
            await anyio.sleep(settings.heartbeat_s)
            token += 1
            worker.tell(Ping(token=token))
            silent_s = self._clock.monotonic() - heard.at
            if silent_s < settings.silent_after_s and heard.step_s < settings.step_limit_s:
                continue

            lasted_s = max(silent_s, heard.step_s)
            what = "fell silent" if silent_s >= settings.silent_after_s else "hung in one step"
            message = (
                f"The worker of '{worker.spec.model}' (pid {child.pid}) {what} for {lasted_s:.0f} s and was "
                "killed. The next request starts a new one."
            )
            worker.fault = Fault(code="worker_silent", message=message, detail=child.last_words or None)
            self._publish(WorkerSilent(worker=worker.worker, silent_s=lasted_s))
            child.kill()
            return


class _Heard:
    """When the child was last heard, and how long its engine's step had lasted then."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.step_s = 0.0


def _strange(spec: WorkerSpec, child: Child, what: str) -> ModelUnavailable:
    last = child.last_words.splitlines()[-1:] or ["it printed nothing"]
    message = f"The worker of '{spec.model}' did not load it: {what}. Its last words: {last[0]}"
    return ModelUnavailable(Fault(code="model_broken", message=message, detail=child.last_words or None))


def _describe_exit(returncode: int) -> str:
    if returncode >= 0:
        return f"exited with status {returncode}"

    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-returncode} ({name})"
