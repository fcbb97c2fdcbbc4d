"""The models as people see them: what is known, installed and loaded, and the installs under way."""

import logging
from collections.abc import Callable

from anyio.abc import TaskGroup

from runtime.backends.install import Installer
from runtime.backends.pool import Pool
from runtime.backends.shelf import Entry, Shelf
from runtime.core.errors import Fault, LarError
from runtime.core.events import BackendInstalling, Event, ModelInstalling, ModelLoading, Progress
from runtime.core.ids import ModelId
from runtime.core.states import ModelStage, ModelState

logger = logging.getLogger(__name__)


class Library:
    """The known models, as `core.ports.Models`."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        pool: Pool,
        installer: Installer,
        tasks: TaskGroup,
        load_of: Callable[[ModelId], tuple[int, int]],
        default: ModelId,
    ) -> None:
        self._shelf = shelf
        self._pool = pool
        self._installer = installer
        self._tasks = tasks
        self._load_of = load_of
        self._default = default
        self._installing: dict[ModelId, Progress | None] = {}
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
            self._installing[model] = None
            self._install_faults.pop(model, None)
            self._tasks.start_soon(self._install, entry)
        return self._state(entry)

    async def unload(self, model: ModelId) -> bool:
        """Free a resident model once its runs end. Raises ModelUnavailable if unknown."""
        self._shelf.find(model)
        return await self._pool.unload(model)

    def note(self, event: Event) -> None:
        """Keep the newest progress of installs and loads, as the bus tells it."""
        match event:
            case ModelInstalling(model=model, progress=progress) if model in self._installing:
                self._installing[model] = progress
            case BackendInstalling(backend=backend, progress=progress):
                for model in self._installing:
                    if self._shelf.entries[model].engine.id == backend:
                        self._installing[model] = progress
            case ModelLoading(model=model, fraction=fraction):
                self._loading[model] = fraction
            case _:
                pass

    async def _install(self, entry: Entry) -> None:
        try:
            if entry.engine.requirements:
                await self._installer.install_engine(entry.engine.id)
            if entry.manifest is not None and entry.manifest.source is not None and entry.path is None:
                await self._installer.install_model(entry.id)
        except LarError as failure:
            self._install_faults[entry.id] = failure.fault
        except Exception:
            logger.exception("an install broke", extra={"model": entry.id})
            message = f"Lar itself failed while it installed '{entry.id}'; 'lar logs' tells more."
            self._install_faults[entry.id] = Fault(code="internal_error", message=message)
        finally:
            del self._installing[entry.id]

    def _state(self, entry: Entry) -> ModelState:
        stage, progress, fault = self._stage(entry)
        weights = self._shelf.weights(entry)
        size_bytes = entry.manifest.source.size_bytes if entry.manifest and entry.manifest.source else None
        created = 0
        if weights is not None and weights.is_file():
            facts = weights.stat()
            size_bytes, created = facts.st_size, int(facts.st_mtime)
        resident = self._pool.resident(entry.id)
        worker = None if resident is None else resident.worker
        running, waiting = self._load_of(entry.id)
        return ModelState(
            id=entry.id,
            engine=entry.engine.id,
            stage=stage,
            is_default=entry.id == self._default,
            created=created,
            size_bytes=size_bytes,
            licence=entry.manifest.licence if entry.manifest else None,
            context_tokens=worker.facts.context_tokens if worker else entry.tuning.context_tokens,
            sequences=entry.sequences,
            running=running,
            waiting=waiting,
            features=entry.engine.features,
            progress=progress,
            fault=fault,
        )

    def _stage(self, entry: Entry) -> tuple[ModelStage, Progress | None, Fault | None]:
        if entry.id in self._installing:
            return "installing", self._installing[entry.id], None

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
