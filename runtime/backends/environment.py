"""Makes an engine's own virtual environment, with the user's own pip configuration; Lar names no index.

An environment cannot be moved once it is made, so it is built where it stays, and counts only once
`complete.json` lies in it, written last. What an interrupted install left is used where that is safe:

- fetched and built wheels, once all are there (they are collected apart and renamed when whole): kept;
- the environment itself: removed and made again, which takes seconds, since a killed pip may have
  written half a package that it would later take for a whole one.

A build that was cut short begins again, but pip keeps finished builds and downloads in its own cache.
"""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
import msgspec

from runtime.backends.catalog.manifests import EngineManifest
from runtime.backends.command import Ended, Limits
from runtime.backends.compiler import compiler_advice, find_compiler, venv_advice
from runtime.backends.folders import Folders, free_bytes, remove_tree, rename_durably, write_durably
from runtime.backends.hardware import SystemProbe, built_for, read_instructions
from runtime.backends.interpreter import (
    base_interpreter,
    find_uv,
    has_ensurepip,
    python_version,
    read_os_release,
)
from runtime.backends.job import Job
from runtime.backends.remedies import explain_failure, is_network_trouble, is_without_wheel, require_room
from runtime.core.errors import Fault, InstallFailed
from runtime.core.settings import BackendSettings
from runtime.core.version import __version__

_QUICK = Limits(deadline_s=180.0, silence_s=180.0)
"""For steps that touch the disk alone: seconds, on a slow disk a minute."""
_FETCH = Limits(deadline_s=3600.0, silence_s=400.0)
"""For downloads: an hour carries 100 MB at 30 KB/s; pip speaks up after each of its own timeouts."""
_BUILD_SILENCE_S = 1200.0
"""The longest single file of an accelerator's build, on one core."""

_SCARCE_BYTES = 200_000_000
"""With less room than this a download is thought to have failed for it."""

_CACHE_DIGITS = 16

_PIP_WISHED = (25, 0)
"""From here on pip prints progress that a program can read."""
_PIP_VERSION = re.compile(r"^pip (\d+)\.(\d+)")


class EnvironmentFacts(NamedTuple):
    """An engine that can be started."""

    python: Path
    version: str


class Marker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `complete.json` says."""

    engine: str
    version: str
    requirements: tuple[str, ...]
    recipe: str = ""
    """How it was built and checked: `EngineManifest.recipe`."""
    python_version: str
    """Of the interpreter that it was made with (`3.11`)."""
    instructions: frozenset[str] = frozenset()
    """Instruction sets that the processor must have."""


def read_environment(manifest: EngineManifest, folders: Folders) -> EnvironmentFacts | None:
    """Return the engine's environment; None where it is missing, unfinished, damaged or does not fit.

    It fits the Lar, the Python and the processor that it was made for: a LAR_HOME may have moved.

    Blocking, modifies nothing.
    """
    if manifest.runs_in_place:
        return EnvironmentFacts(Path(sys.executable), __version__)

    python = folders.engine_python(manifest.id)
    try:
        marker = msgspec.json.decode(folders.engine_marker(manifest.id).read_bytes(), type=Marker)
    except (OSError, msgspec.DecodeError):
        return None

    is_fit = (
        marker.requirements == manifest.requirements
        and marker.recipe == manifest.recipe
        and marker.python_version == python_version()
        and not _missing_instructions(marker.instructions)
    )
    return EnvironmentFacts(python, marker.version) if is_fit and python.exists() else None


def _missing_instructions(needed: frozenset[str]) -> frozenset[str]:
    """Return the instruction sets that the processor lacks; none where it cannot be asked."""
    present = read_instructions(SystemProbe()) if needed else None
    return frozenset() if present is None else needed - present


async def make_environment(
    manifest: EngineManifest, folders: Folders, settings: BackendSettings, job: Job
) -> EnvironmentFacts:
    """Make the engine's environment; the caller holds its lock. Raises InstallFailed and OSError."""
    maker = _Maker(manifest, folders, settings, job)
    await anyio.to_thread.run_sync(maker.prepare)
    await maker.make_venv()
    await maker.freshen_pip()
    wheels = await maker.collect_wheels()
    await maker.install(wheels)
    said = await maker.check()
    if await anyio.to_thread.run_sync(_missing_instructions, built_for(said)):
        # pip's cache may be as old as another machine, or shared with one.
        await maker.install(await maker.build_wheels_here())
        said = await maker.check()

    return await anyio.to_thread.run_sync(maker.finish, said)


class _Maker:
    """The steps of one environment."""

    def __init__(
        self, manifest: EngineManifest, folders: Folders, settings: BackendSettings, job: Job
    ) -> None:
        self._manifest = manifest
        self._folders = folders
        self._settings = settings
        self._job = job
        self._python = folders.engine_python(manifest.id)
        self._wheels = folders.engine_work(manifest.id) / "wheels"

    def prepare(self) -> None:
        """Clear away what an earlier, interrupted install left and cannot be used; check the room."""
        remove_tree(self._folders.environment(self._manifest.id))
        if not self._has_all_wheels():
            remove_tree(self._wheels)
            room = free_bytes(self._folders.home)
            require_room(
                f"the backend {self._manifest.id}", self._manifest.disk_bytes, room, self._folders.home
            )

    async def make_venv(self) -> None:
        """Make an empty environment with pip in it."""
        self._job.begin("making the environment")
        target = str(self._folders.environment(self._manifest.id))
        interpreter = base_interpreter()
        ended: Ended | None = None
        if has_ensurepip():
            ended = await self._job.run([interpreter, "-m", "venv", target], _QUICK)
            if ended.is_success:
                return

        uv = find_uv()
        if uv is None:
            raise InstallFailed(self._without_venv(ended))

        await anyio.to_thread.run_sync(remove_tree, Path(target))
        self._demand(
            await self._job.run([uv, "venv", "--seed", "--python", interpreter, target], _FETCH),
            "making an environment with uv",
        )

    async def freshen_pip(self) -> None:
        """Bring pip to a version whose progress can be read."""
        said = await self._job.pip(self._python, ["--version"], _QUICK)
        self._demand(said, "asking pip for its version")
        found = next((found for line in said.tail if (found := _PIP_VERSION.match(line))), None)
        if found and (int(found[1]), int(found[2])) >= _PIP_WISHED:
            return

        self._job.begin("fetching pip")
        wish = "pip>=" + ".".join(map(str, _PIP_WISHED))
        self._demand(
            await self._job.pip(self._python, ["install", "--upgrade", wish], _FETCH), "fetching a newer pip"
        )

    async def collect_wheels(self) -> list[Path]:
        """Fetch every wheel that the engine needs, building what has none. Return them."""
        if not await anyio.to_thread.run_sync(self._has_all_wheels):
            partial = self._wheels.with_name("wheels.partial")
            await anyio.to_thread.run_sync(remove_tree, partial)
            self._job.begin(f"looking for a prebuilt {self._main_package}")
            ended = await self._fetch_wheels(partial, ["--only-binary=:all:"], _FETCH, None)
            if is_without_wheel(ended):
                await self._build_wheels(partial, [])
            else:
                self._demand(ended, f"fetching the backend {self._manifest.id}")

            await anyio.to_thread.run_sync(self._keep_wheels, partial)

        return await anyio.to_thread.run_sync(lambda: sorted(self._wheels.glob("*.whl")))

    async def build_wheels_here(self) -> list[Path]:
        """Build the engine on this very machine, since what was found is for another processor."""
        await anyio.to_thread.run_sync(remove_tree, self._wheels)
        partial = self._wheels.with_name("wheels.partial")
        await self._build_wheels(partial, ["--no-cache-dir", f"--no-binary={self._main_package}"])
        await anyio.to_thread.run_sync(self._keep_wheels, partial)
        return await self.collect_wheels()

    async def _build_wheels(self, partial: Path, options: Sequence[str]) -> None:
        if not self._settings.allow_source_build:
            raise self._refuse(
                f"No prebuilt {self._main_package} fits this Python and machine, and "
                "backends.allow_source_build is off in lar.toml. Switch it on, or name an index with "
                "prebuilt wheels in backends.extra_index_urls."
            )

        compiler = await anyio.to_thread.run_sync(find_compiler, shutil.which, os.environ)
        if compiler is None and self._manifest.needs_compiler:
            raise self._refuse(
                f"No prebuilt {self._main_package} fits this Python and machine, and building one needs "
                f"a C and C++ compiler, which was not found. Install one: {await _compiler_advice()}."
            )

        minutes = f"{self._manifest.build_minutes:.0f} minutes"
        self._job.begin(f"preparing to build {self._main_package}, which takes some {minutes}")
        limits = Limits(self._settings.build_deadline_s, _BUILD_SILENCE_S)
        cmake = await anyio.to_thread.run_sync(self._write_cmake)
        cache = await self._own_cache()
        ended = await self._fetch_wheels(partial, ["--verbose", *cache, *options], limits, cmake)
        self._demand(ended, f"building {self._main_package}", await _compiler_advice())

    async def _own_cache(self) -> list[str]:
        """Return where pip shall keep what it builds: it tells builds of one version apart by nothing else.

        Beside pip's own cache, so that all homes of a user share it. None where pip keeps no cache.
        """
        if not self._manifest.cmake:
            return []

        said = await self._job.pip(self._python, ["cache", "dir"], _QUICK)
        if not said.is_success or not said.tail:
            return []

        settings = f"{self._manifest.cmake}\0{os.environ.get('CMAKE_ARGS', '')}"
        digest = hashlib.sha256(settings.encode()).hexdigest()[:_CACHE_DIGITS]
        return [f"--cache-dir={Path(said.tail[-1].strip()) / f'lar-{digest}'}"]

    async def _fetch_wheels(
        self, into: Path, options: Sequence[str], limits: Limits, cmake: Path | None
    ) -> Ended:
        indexes = [f"--extra-index-url={url}" for url in self._settings.extra_index_urls]
        closed = ["--no-deps"] if self._manifest.is_closed else []
        arguments = ["wheel", "--progress-bar=raw", f"--wheel-dir={into}", *closed, *options, *indexes]
        arguments += self._manifest.requirements
        ended = await self._job.pip(self._python, arguments, limits, cmake=cmake)
        if is_network_trouble(ended):
            # pip takes a disk that fills up under a download for a broken connection.
            room = await anyio.to_thread.run_sync(free_bytes, self._job.work)
            require_room(f"the backend {self._manifest.id}", _SCARCE_BYTES, room, self._job.work)

        return ended

    async def install(self, wheels: Sequence[Path]) -> None:
        """Install the collected wheels, all of them and nothing else."""
        self._job.begin("installing")
        arguments = ["install", "--no-index", "--no-deps", "--force-reinstall", *map(str, wheels)]
        ended = await self._job.pip(self._python, arguments, _QUICK)
        if not ended.is_success:
            # A power cut may have kept their names and lost their content: fetch them again next time.
            await anyio.to_thread.run_sync(remove_tree, self._wheels)

        self._demand(ended, "installing the wheels")

    async def check(self) -> tuple[str, ...]:
        """Import the engine in its environment; return what the check printed, the version last."""
        self._job.begin("checking")
        command = [str(self._python), "-I", "-c", self._manifest.import_check]
        ended = await self._job.run(command, _QUICK, is_followed=False)
        self._demand(ended, f"importing {self._main_package} in its new environment")
        if not ended.tail:
            raise self._refuse(f"The check of the backend {self._manifest.id} printed no version.")

        return ended.tail

    def finish(self, said: Sequence[str]) -> EnvironmentFacts:
        """Make the environment count; remove what the install needed beside it."""
        marker = self._marker(said[-1].strip(), built_for(said))
        write_durably(self._folders.engine_marker(self._manifest.id), msgspec.json.encode(marker))
        remove_tree(self._folders.engine_work(self._manifest.id))
        return EnvironmentFacts(self._python, marker.version)

    def _marker(self, version: str, instructions: frozenset[str]) -> Marker:
        return Marker(
            engine=self._manifest.id,
            version=version,
            requirements=self._manifest.requirements,
            recipe=self._manifest.recipe,
            python_version=python_version(),
            instructions=instructions,
        )

    @property
    def _main_package(self) -> str:
        return self._manifest.requirements[0].partition("==")[0]

    def _has_all_wheels(self) -> bool:
        """Whether an earlier install of these very requirements had collected all wheels."""
        try:
            kept = msgspec.json.decode((self._wheels / "kept.json").read_bytes(), type=Marker)
        except (OSError, msgspec.DecodeError):
            return False

        return kept == self._marker("", frozenset())

    def _keep_wheels(self, partial: Path) -> None:
        remove_tree(self._wheels)
        write_durably(partial / "kept.json", msgspec.json.encode(self._marker("", frozenset())))
        rename_durably(partial, self._wheels)

    def _write_cmake(self) -> Path | None:
        if not self._manifest.cmake:
            return None

        path = self._job.work / "options.cmake"
        path.write_text(self._manifest.cmake, encoding="utf-8")
        return path

    def _demand(self, ended: Ended, step: str, advice: str = "") -> None:
        if not ended.is_success:
            raise InstallFailed(explain_failure(step, ended, self._job.log, advice))

    def _refuse(self, message: str) -> InstallFailed:
        return InstallFailed(Fault(code="install_failed", message=message))

    def _without_venv(self, ended: Ended | None) -> Fault:
        return Fault(
            code="install_failed",
            message="This Python cannot make virtual environments, which backends live in. "
            f"Mend it: {venv_advice(read_os_release())}.",
            detail="\n".join(ended.tail) if ended else None,
        )


async def _compiler_advice() -> str:
    return compiler_advice(await anyio.to_thread.run_sync(read_os_release))
