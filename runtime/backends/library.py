"""The models as people see them: what is known, installed and loaded, and the installs under way."""

import logging
from collections.abc import Callable

import anyio.to_thread
from anyio.abc import TaskGroup

from runtime.backends.connection import Worker
from runtime.backends.install import Installer
from runtime.backends.pool import Pool
from runtime.backends.shelf import Entry, Shelf
from runtime.core.clock import Clock
from runtime.core.errors import Fault, LarError
from runtime.core.events import Event, ModelFailed, ModelInstalled, ModelInstalling, ModelLoading, Progress
from runtime.core.ids import ModelId
from runtime.core.states import Feature, ModelStage, ModelState

logger = logging.getLogger(__name__)


class Library:
    """The known models, as `core.ports.Models`."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        pool: Pool,
        installer: Installer,
        publish: Callable[[Event], object],
        clock: Clock,
        tasks: TaskGroup,
        load_of: Callable[[ModelId], tuple[int, int]],
        default: ModelId,
    ) -> None:
        self._shelf = shelf
        self._pool = pool
        self._installer = installer
        self._publish = publish
        self._clock = clock
        self._tasks = tasks
        self._load_of = load_of
        self._default = default
        self._installing: set[ModelId] = set()
        self._install_faults: dict[ModelId, Fault] = {}
        self._loading: dict[ModelId, float] = {}

    def list_models(self) -> list[ModelState]:
        """Return every known model, the default one first."""
        entries = sorted(self._shelf.entries.values(), key=lambda each: (each.id != self._default, each.id))
        return [self._state(each) for each in entries]

    def find_model(self, model: ModelId) -> ModelState | None:
        """Return one model; None where the id is unknown."""
        entry = self._shelf.entries.get(model)
        return None if entry is None else self._state(entry)

    def start_install(self, model: ModelId) -> ModelState:
        """Begin to install what is missing; also forgets past deaths. Raises ModelUnavailable if unknown."""
        entry = self._shelf.find(model)
        self._pool.forgive(model)
        if model not in self._installing and not self._shelf.is_installed(entry):
            self._installing.add(model)
            self._install_faults.pop(model, None)
            self._tasks.start_soon(self._install, entry)
        return self._state(entry)

    async def unload(self, model: ModelId) -> bool:
        """Free a resident model once its runs end. Raises ModelUnavailable if unknown."""
        self._shelf.find(model)
        return await self._pool.unload(model)

    def note(self, event: Event) -> None:
        """Keep the newest progress of loads, as the supervisor tells it."""
        if isinstance(event, ModelLoading):
            self._loading[event.model] = event.fraction

    async def _install(self, entry: Entry) -> None:
        try:
            if entry.path is None:
                await self._installer.install_model(entry.id)
            else:
                await self._install_engine_of(entry)
            await anyio.to_thread.run_sync(self._shelf.survey, entry)
        except LarError as failure:
            self._install_faults[entry.id] = failure.fault
        except Exception:
            logger.exception("an install broke", extra={"model": entry.id})
            message = f"Lar itself failed while it installed '{entry.id}'; 'lar logs' tells more."
            self._install_faults[entry.id] = Fault(code="internal_error", message=message)
        finally:
            self._installing.discard(entry.id)

    async def _install_engine_of(self, entry: Entry) -> None:
        """Make the engine ready for weights of the user's own."""
        began = self._clock.monotonic()

        def tell(progress: Progress) -> None:
            self._publish(ModelInstalling(model=entry.id, progress=progress))

        try:
            await self._installer.install_engine(entry.engine.id, tell)
        except LarError as failure:
            fault = failure.fault
            self._publish(
                ModelFailed(model=entry.id, stage="install", code=fault.code, message=fault.message)
            )
            raise

        self._publish(ModelInstalled(model=entry.id, duration_s=self._clock.monotonic() - began))

    def _state(self, entry: Entry) -> ModelState:
        stage, progress, fault = self._stage(entry)
        weights = self._shelf.weights(entry)
        size_bytes = weights.size_bytes if weights else None
        if weights is None and entry.manifest is not None:
            size_bytes = entry.manifest.size_bytes or None
        resident = self._pool.resident(entry.id)
        worker = None if resident is None else resident.worker
        running, waiting = self._load_of(entry.id)
        needed = self._shelf.estimate(entry)
        return ModelState(
            id=entry.id,
            engine=entry.engine.id,
            stage=stage,
            is_default=entry.id == self._default,
            created=weights.created if weights else 0,
            size_bytes=size_bytes,
            needs_bytes=needed.total_bytes if needed else None,
            licence=entry.manifest.licence if entry.manifest else None,
            digest=_digest(entry),
            format=weights.path.suffix.removeprefix(".").lower() if weights else "",
            parameters=(worker.facts.parameters or None) if worker else None,
            context_tokens=worker.facts.context_tokens if worker else entry.tuning.context_tokens,
            sequences=entry.sequences,
            running=running,
            waiting=waiting,
            features=_features(entry, worker),
            decides_first=bool(entry.tuning.decides_first),
            leaves_in_s=self._pool.leaves_in_s(entry.id),
            gauges=worker.gauges if worker else {},
            progress=progress,
            fault=fault,
        )

    def _stage(self, entry: Entry) -> tuple[ModelStage, Progress | None, Fault | None]:
        if entry.id in self._installing:
            progress = self._installer.model_progress(entry.id)
            return "installing", progress or self._installer.engine_progress(entry.engine.id), None

        if not self._shelf.is_installed(entry):
            fault = self._install_faults.get(entry.id)
            return ("available" if fault is None else "broken"), None, fault

        resident = self._pool.resident(entry.id)
        if resident is not None and resident.worker is not None:
            return "loaded", None, None

        if resident is not None:
            fraction = self._loading.get(entry.id, 0.0)
            return "loading", Progress(phase="loading", done=fraction, total=1.0), None

        fault = self._pool.faults.get(entry.id)
        return ("installed" if fault is None else "broken"), None, fault


def _digest(entry: Entry) -> str | None:
    """Return the hash of the catalogue's weights; the user's own are not hashed: they may be large."""
    source = None if entry.path is not None or entry.manifest is None else entry.manifest.source
    return None if source is None else source.sha256


def _features(entry: Entry, worker: Worker | None) -> frozenset[Feature]:
    """Return what the engine offers, or less where the catalogue or the loaded model knows better."""
    offered = entry.engine.features
    if entry.manifest is not None and entry.manifest.features is not None and entry.path is None:
        offered &= entry.manifest.features
    told = worker.facts.features if worker else None
    return offered if told is None else offered.intersection(told)
