"""The installer: what it tells, one install at a time, and what counts as installed."""

import errno
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from filelock import FileLock

from runtime.backends import install
from runtime.backends.catalog.manifests import EngineManifest, PackageSource, load_models
from runtime.backends.environment import EnvironmentFacts
from runtime.backends.folders import Folders
from runtime.backends.install import Installer
from runtime.backends.job import Job
from runtime.backends.locks import LockHeld, hold_lock
from runtime.core.errors import Fault, InstallFailed
from runtime.core.events import (
    BackendFailed,
    BackendInstalled,
    BackendInstalling,
    Event,
    ModelFailed,
    ModelInstalled,
    ModelInstalling,
    kind_of,
)
from runtime.core.settings import DEFAULT_EMBEDDER, DEFAULT_MODEL, BackendSettings
from tests.kit.clock import FakeClock

FACTS = EnvironmentFacts(Path("made"), "1.0")
BROKEN = InstallFailed(Fault(code="install_failed", message="it broke"))


class Stage:
    """An installer whose two kinds of work do what a test says, and what it published."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.published: list[Event] = []
        self.made: list[str] = []
        self.folders = Folders(home)
        self.during: Callable[[], Awaitable[None]] | None = None
        self.failure: Exception | None = None
        monkeypatch.setattr(install, "make_environment", self._make_environment)
        monkeypatch.setattr(install, "fetch_weights", self._fetch_weights)
        self.installer = self.another()

    def another(self) -> Installer:
        """As a second Lar with the same home would have it."""
        return Installer(self.folders.home, BackendSettings(), self.published.append, FakeClock())

    async def _work(self, name: str, job: Job) -> None:
        self.made.append(name)
        job.begin(f"making {name}")
        if self.during is not None:
            await self.during()
        if self.failure is not None:
            raise self.failure

    async def _make_environment(
        self, manifest: EngineManifest, folders: Folders, settings: BackendSettings, job: Job
    ) -> EnvironmentFacts:
        await self._work(manifest.id, job)
        return FACTS

    async def _fetch_weights(self, source: PackageSource, final: Path, python: Path, job: Job) -> None:
        assert python == FACTS.python
        await self._work(source.file, job)
        await anyio.to_thread.run_sync(write_hollow, final, source.size_bytes)

    def kinds(self) -> list[str]:
        return [kind_of(each) for each in self.published]


def write_hollow(path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size_bytes)


def weights_file() -> str:
    source = load_models()[DEFAULT_MODEL].source
    assert source is not None
    return source.file


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(tmp_path / "home", monkeypatch)
    await stage.installer.refresh()
    return stage


async def test_an_empty_home_holds_the_scripted_engine_alone(stage: Stage) -> None:
    assert stage.installer.engine_python("scripted") == Path(sys.executable)
    assert stage.installer.is_model_installed("scripted")
    assert stage.installer.model_path("scripted") is None
    assert not stage.installer.is_engine_installed("llama")
    assert not stage.installer.is_model_installed(DEFAULT_MODEL)
    assert not stage.installer.is_model_installed("unheard-of")


async def test_a_model_is_installed_after_its_engine_and_all_of_it_is_told(stage: Stage) -> None:
    with anyio.fail_after(5):
        path = await stage.installer.install_model(DEFAULT_MODEL)

    assert path == stage.folders.weights(DEFAULT_MODEL, weights_file())
    assert stage.made == ["llama", weights_file()]
    assert stage.kinds() == [
        "model.installing",
        "backend.installing",
        "model.installing",
        "backend.installed",
        "model.installing",
        "model.installed",
    ]
    assert [each.progress.phase for each in stage.published if isinstance(each, ModelInstalling)] == [
        "waiting for the backend llama",
        "making llama",
        f"making {weights_file()}",
    ]
    assert stage.installer.is_model_installed(DEFAULT_MODEL)
    assert stage.installer.engine_python("llama") == FACTS.python


async def test_what_is_installed_is_not_installed_again_and_nothing_is_told(stage: Stage) -> None:
    await stage.installer.install_model(DEFAULT_MODEL)
    stage.published.clear()

    await stage.installer.install_model(DEFAULT_MODEL)
    await stage.installer.install_model("scripted")

    assert stage.published == []
    assert len(stage.made) == 2


async def test_progress_can_be_asked_for_while_it_lasts_and_not_after(stage: Stage) -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def look() -> None:
        model, engine = (
            stage.installer.model_progress(DEFAULT_MODEL),
            stage.installer.engine_progress("llama"),
        )
        seen.append((model.phase if model else None, engine.phase if engine else None))

    stage.during = look
    await stage.installer.install_model(DEFAULT_MODEL)

    assert seen == [("making llama", "making llama"), (f"making {weights_file()}", None)]
    assert stage.installer.model_progress(DEFAULT_MODEL) is None


async def test_several_who_want_the_same_share_one_install(stage: Stage) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(stage.installer.install_model, DEFAULT_MODEL)

    assert stage.made == ["llama", weights_file()]
    assert stage.kinds().count("model.installed") == 1


async def test_a_failure_is_told_once_for_the_engine_and_once_for_the_model(stage: Stage) -> None:
    stage.failure = BROKEN

    with pytest.raises(InstallFailed, match="it broke"):
        await stage.installer.install_model(DEFAULT_MODEL)

    ends = [each for each in stage.published if not isinstance(each, BackendInstalling | ModelInstalling)]
    assert ends == [
        BackendFailed(backend="llama", message="it broke", log=str(stage.folders.log("backend", "llama"))),
        ModelFailed(model=DEFAULT_MODEL, stage="install", code="install_failed", message="it broke"),
    ]
    assert not stage.installer.is_engine_installed("llama")
    assert stage.installer.engine_progress("llama") is None


async def test_after_a_failure_the_next_try_can_succeed(stage: Stage) -> None:
    stage.failure = BROKEN
    with pytest.raises(InstallFailed):
        await stage.installer.install_engine("llama")

    stage.failure = None

    assert await stage.installer.install_engine("llama") == FACTS
    assert isinstance(stage.published[-1], BackendInstalled)


async def test_a_full_disk_is_a_fault_that_says_so(stage: Stage) -> None:
    stage.failure = OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InstallFailed, match="installing the backend llama: the disk is full"):
        await stage.installer.install_engine("llama")


async def test_a_home_that_cannot_be_written_is_a_fault_that_says_so(stage: Stage) -> None:
    stage.failure = PermissionError(errno.EACCES, "Permission denied", "/home/x/lar")

    with pytest.raises(InstallFailed, match="/home/x/lar may not be written"):
        await stage.installer.install_engine("llama")


async def test_a_cancelled_install_says_nothing_and_leaves_the_way_free(stage: Stage) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                tasks.cancel_scope.cancel()
                await anyio.sleep_forever()

            stage.during = cancel
            tasks.start_soon(stage.installer.install_model, DEFAULT_MODEL)

    assert not {"backend.failed", "model.failed", "model.installed"} & set(stage.kinds())
    assert stage.installer.model_progress(DEFAULT_MODEL) is None
    stage.during = None
    with anyio.fail_after(5):
        await stage.installer.install_model(DEFAULT_MODEL)
    assert isinstance(stage.published[-1], ModelInstalled)


@pytest.mark.parametrize("ask", ["install_engine", "install_model"])
async def test_an_unknown_name_is_refused(stage: Stage, ask: str) -> None:
    with pytest.raises(InstallFailed, match="unheard-of"):
        await getattr(stage.installer, ask)("unheard-of")

    assert stage.published == []


async def test_a_second_lar_waits_for_the_first_and_finds_its_work(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = stage.another()
    await other.refresh()
    lock = FileLock(stage.folders.lock("backend", "llama"), thread_local=False)
    await anyio.to_thread.run_sync(
        lambda: stage.folders.lock("backend", "llama").parent.mkdir(parents=True, exist_ok=True)
    )
    await anyio.to_thread.run_sync(lock.acquire)

    def finish_first(manifest: EngineManifest, folders: Folders) -> EnvironmentFacts:
        return FACTS

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.install_engine, "llama")
            while not stage.published:
                await anyio.lowlevel.checkpoint()
            monkeypatch.setattr(install, "read_environment", finish_first)
            await anyio.to_thread.run_sync(lock.release)

    assert [each.progress.phase for each in stage.published if isinstance(each, BackendInstalling)] == [
        "waiting for another Lar that installs the same"
    ]
    assert stage.made == []
    assert other.is_engine_installed("llama")


async def test_a_lock_that_stays_held_is_given_up_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "some.lock"
    waits: list[str] = []
    with anyio.fail_after(5):
        async with hold_lock(path, deadline_s=5.0, on_wait=lambda: waits.append("first")):
            with pytest.raises(LockHeld):
                async with hold_lock(path, deadline_s=0.1, on_wait=lambda: waits.append("second")):
                    pytest.fail("two held the same lock")
        async with hold_lock(path, deadline_s=5.0, on_wait=lambda: waits.append("third")):
            pass

    assert waits == ["second"]


async def test_weights_of_another_size_do_not_count(stage: Stage) -> None:
    await stage.installer.install_model(DEFAULT_MODEL)
    await anyio.to_thread.run_sync(write_hollow, stage.folders.weights(DEFAULT_MODEL, weights_file()), 10)

    await stage.installer.refresh()

    assert stage.installer.model_path(DEFAULT_MODEL) is None


async def test_weights_tell_their_size_and_when_they_came(stage: Stage) -> None:
    await stage.installer.install_model(DEFAULT_MODEL)

    weights = stage.installer.model_weights(DEFAULT_MODEL)

    source = load_models()[DEFAULT_MODEL].source
    assert weights is not None
    assert source is not None
    assert weights.size_bytes == source.size_bytes
    assert weights.created > 1_600_000_000


async def test_every_file_of_a_model_is_fetched_and_the_weights_are_told(stage: Stage) -> None:
    path = await stage.installer.install_model(DEFAULT_EMBEDDER)

    model = load_models()[DEFAULT_EMBEDDER]
    weights = stage.installer.model_weights(DEFAULT_EMBEDDER)
    assert stage.made == ["onnx", "model.onnx", "tokenizer.json"]
    assert path == stage.folders.weights(DEFAULT_EMBEDDER, "model.onnx")
    assert weights is not None
    assert weights.size_bytes == model.size_bytes


async def test_a_model_that_lacks_one_file_is_not_installed_and_only_that_one_is_fetched(
    stage: Stage,
) -> None:
    await stage.installer.install_model(DEFAULT_EMBEDDER)
    await anyio.Path(stage.folders.weights(DEFAULT_EMBEDDER, "tokenizer.json")).unlink()
    await stage.installer.refresh()
    stage.made.clear()

    was_installed = stage.installer.is_model_installed(DEFAULT_EMBEDDER)
    await stage.installer.install_model(DEFAULT_EMBEDDER)

    assert not was_installed
    assert [each for each in stage.made if each != "onnx"] == ["tokenizer.json"]
    assert stage.installer.is_model_installed(DEFAULT_EMBEDDER)


async def test_a_failure_at_the_second_file_leaves_the_first_and_the_model_absent(stage: Stage) -> None:
    async def fail_at_the_tokenizer() -> None:
        await anyio.lowlevel.checkpoint()
        if stage.made[-1] == "tokenizer.json":
            raise BROKEN

    stage.during = fail_at_the_tokenizer
    with pytest.raises(InstallFailed, match="it broke"):
        await stage.installer.install_model(DEFAULT_EMBEDDER)

    assert not stage.installer.is_model_installed(DEFAULT_EMBEDDER)
    stage.during = None
    stage.made.clear()
    await stage.installer.install_model(DEFAULT_EMBEDDER)
    assert stage.made == ["tokenizer.json"]
