"""All containers: made for a request, found by their id, gone some time after their last use."""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from runtime.backends.sandbox.bubblewrap import Confining, find_confining
from runtime.backends.sandbox.container import Container, ProgramLimits
from runtime.core.agents.hosted.code_interpreter import RanProgram
from runtime.core.clock import Clock
from runtime.core.errors import Conflict, Fault, NotFound, RequestInvalid
from runtime.core.ids import TenantId
from runtime.core.minting import new_id

logger = logging.getLogger(__name__)

FOLDER = "sandboxes"
IDLE_S = 20 * 60.0
_MOST_OF_TENANT = 16
_SWEEP_S = 30.0
_GIVEN_BYTES = 256 * 1024**2
"""Of the files that a container is made with."""


class ContainerKeeper:
    """Fulfils `Sandboxes`. `run_forever` removes what is not used; `aclose` ends all of it."""

    def __init__(
        self,
        home: Path,
        clock: Clock,
        limits: ProgramLimits | None = None,
        find: Callable[[], Confining] = find_confining,
    ) -> None:
        self._folder = home / FOLDER
        self._clock = clock
        self._memory_bytes = psutil.virtual_memory().total // 2
        """What a container may be given at most."""
        self._limits = limits or ProgramLimits()
        self._find = find
        self._confining: Confining | None = None
        self._containers: dict[tuple[TenantId, str], Container] = {}
        self._finding = anyio.Lock()

    async def missing(self) -> str:
        """Return why this machine has no sandbox, with the way out; empty where it has."""
        return (await self._confined()).reason

    async def open(
        self,
        tenant: TenantId,
        container: str | None,
        files: Mapping[str, Path],
        memory_bytes: int | None = None,
    ) -> str:
        """Find a container, or make one with these files by name; return its id.

        Raises NotFound, RequestInvalid, Conflict where there are too many.
        """
        if container is not None:
            found = self._known(tenant, container)
            found.used_at = self._clock.monotonic()
            return found.id

        confining = await self._confined()
        if confining.program is None:
            raise RequestInvalid(Fault(code="unsupported_parameter", message=confining.reason))
        await self._sweep()
        if sum(each == tenant for each, _ in self._containers) >= _MOST_OF_TENANT:
            rule = f"They end {IDLE_S / 60:g} minutes after their last use."
            message = f"{_MOST_OF_TENANT} containers are open. {rule}"
            raise Conflict(Fault(code="conflict", message=message, retry_after_s=_SWEEP_S))
        identity = new_id("cntr_")
        limits = self._limits
        if memory_bytes is not None:
            limits = limits._replace(memory_bytes=min(memory_bytes, self._memory_bytes))
        made = Container(identity, self._folder / identity, confining.program, limits)
        made.used_at = self._clock.monotonic()
        await anyio.to_thread.run_sync(_fill, made, files)
        self._containers[tenant, identity] = made
        return identity

    async def run(self, tenant: TenantId, container: str, code: str) -> RanProgram:
        """Run a program; one at a time in a container. Raises NotFound, RequestInvalid."""
        found = self._known(tenant, container)
        async with found.turn:
            if found.is_closed:
                raise _gone(container)
            try:
                return await found.run(code)
            except OSError as problem:
                logger.exception("running a program in a sandbox", extra={"container": container})
                message = f"The sandbox cannot be used: {problem.strerror or problem}."
                raise RequestInvalid(Fault(code="invalid_request", message=message)) from problem
            finally:
                found.used_at = self._clock.monotonic()

    async def run_forever(self) -> None:
        """Remove what an earlier server has left, then each container some time after its last use."""
        await anyio.to_thread.run_sync(self._remove_leftovers)
        while True:
            await anyio.sleep(_SWEEP_S)
            await self._sweep()

    async def aclose(self) -> None:
        """End all containers and remove their folders. Bounded."""
        for key, each in list(self._containers.items()):
            del self._containers[key]
            await self._end(each)

    async def _sweep(self) -> None:
        now = self._clock.monotonic()
        for key, each in list(self._containers.items()):
            if now - each.used_at >= IDLE_S and not each.turn.locked():
                del self._containers[key]
                await self._end(each)

    async def _end(self, container: Container) -> None:
        await container.aclose()
        await anyio.to_thread.run_sync(_remove, container.folder)

    async def _confined(self) -> Confining:
        async with self._finding:
            if self._confining is None:
                self._confining = await anyio.to_thread.run_sync(self._find)
            return self._confining

    def _known(self, tenant: TenantId, container: str) -> Container:
        found = self._containers.get((tenant, container))
        if found is None:
            raise _gone(container)
        return found

    def _remove_leftovers(self) -> None:
        kept = {identity for _, identity in self._containers}
        if self._folder.is_dir():
            for each in self._folder.iterdir():
                if each.name not in kept:
                    _remove(each)


def _gone(container: str) -> NotFound:
    message = (
        f"Container with id '{container[:80]}' not found: containers end {IDLE_S / 60:g} minutes after their "
        "last use. Use {'type': 'auto'}."
    )
    return NotFound(Fault(code="not_found", message=message, param="container"))


def _fill(container: Container, files: Mapping[str, Path]) -> None:
    """Make the folders and copy the files. Raises RequestInvalid where they are too large."""
    size = sum(each.stat().st_size for each in files.values())
    if size > _GIVEN_BYTES:
        message = f"The files of a container have {_GIVEN_BYTES // 1024**2} MiB together at most."
        raise RequestInvalid(Fault(code="invalid_request", message=message, param="container.file_ids"))
    container.data.mkdir(parents=True, mode=0o700)
    (container.folder / "io").mkdir(mode=0o700)
    for name, path in files.items():
        shutil.copyfile(path, container.data / name)


def _remove(folder: Path) -> None:
    """Remove a folder that strangers have filled: what they have closed is opened, links are not followed."""
    for place, names, _ in os.walk(folder, followlinks=False):
        for name in names:
            path = Path(place) / name
            if not path.is_symlink():
                path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning("a container's folder cannot be removed", extra={"folder": folder.name})
