"""One install under way: where its story is written, where it may make a mess, who hears how far it is.

Runs pip and other commands for it. Tries once more where only the network failed; else decides nothing.
"""

import logging
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio

from runtime.backends.command import Ended, Limits, run_command
from runtime.backends.folders import remove_tree
from runtime.backends.progress import Measure, Meter, Phase, read_line
from runtime.backends.remedies import is_network_trouble
from runtime.core.clock import Clock
from runtime.core.events import Progress

logger = logging.getLogger(__name__)

_RETRY_PAUSE_S = 2.0
"""Before the second try of a step that the network broke; pip has retried by itself before."""
_CLEAR_S = 30.0
"""How long a stop waits for a build's files to be removed; what is left then goes at the next install."""

_DROPPED = (
    # Would point the new environment back at ours.
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
    # Would make pip install somewhere else.
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    # Would silence or translate the output that progress and causes are read from.
    "PIP_QUIET",
    "PIP_LOG",
    "LC_ALL",
    "LANGUAGE",
)


def build_environment(
    inherited: Mapping[str, str], temporary: Path, build_jobs: int, cmake: Path | None = None
) -> dict[str, str]:
    """Return the environment of pip and of the builds that it starts.

    What a person set for their own builds (`CMAKE_ARGS`, `CC`, indexes, proxies) stays.
    """
    environment = {key: value for key, value in inherited.items() if key not in _DROPPED}
    environment |= {
        "LC_MESSAGES": "C",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "PIP_NO_INPUT": "1",
        "PIP_USER": "0",
        "PIP_NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "TMPDIR": str(temporary),
    }
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(build_jobs))
    if cmake is not None:
        ours = f"-DCMAKE_PROJECT_INCLUDE={shlex.quote(str(cmake))}"
        environment["CMAKE_ARGS"] = f"{ours} {inherited.get('CMAKE_ARGS', '')}".strip()

    return environment


class Job:
    """One install under way."""

    def __init__(
        self,
        *,
        log: Path,
        work: Path,
        clock: Clock,
        report: Callable[[Progress], None],
        build_jobs: int = 1,
    ) -> None:
        self.log = log
        self.work = work
        self.build_jobs = build_jobs
        self._clock = clock
        self._report = report
        self._meter = Meter()

    async def open(self) -> None:
        """Make the folders that commands need and begin the log anew."""
        await anyio.to_thread.run_sync(self._make_folders)

    def _make_folders(self) -> None:
        remove_tree(self.temporary)
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")

    @property
    def temporary(self) -> Path:
        """Where commands put temporary files: on the disk whose room was checked."""
        return self.work / "tmp"

    def begin(self, phase: str) -> None:
        """Say that something new is being done."""
        self._say(self._meter.flush(self._clock.monotonic()))
        self._say(self._meter.phase(phase, self._clock.monotonic()))

    def measure(self, measure: Measure) -> None:
        """Say how far the present phase is."""
        self._say(self._meter.measure(measure, self._clock.monotonic()))

    async def aclose(self) -> None:
        """Say what was held back and remove the temporary files, also when cancelled."""
        self._say(self._meter.flush(self._clock.monotonic()))
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLEAR_S):
            await anyio.to_thread.run_sync(remove_tree, self.temporary, abandon_on_cancel=True)

    async def run(
        self, command: Sequence[str], limits: Limits, *, cmake: Path | None = None, is_followed: bool = True
    ) -> Ended:
        """Run a command; once more if it failed for the network's sake. May raise OSError for the log."""
        ended = await self._run_once(command, limits, cmake, is_followed)
        if not is_network_trouble(ended):
            return ended

        logger.warning("an install step met network trouble and is tried again")
        await anyio.sleep(_RETRY_PAUSE_S)
        return await self._run_once(command, limits, cmake, is_followed)

    async def pip(
        self, python: Path, arguments: Sequence[str], limits: Limits, *, cmake: Path | None = None
    ) -> Ended:
        """Run the pip of an environment and follow its progress."""
        return await self.run([str(python), "-m", "pip", *arguments], limits, cmake=cmake)

    async def _run_once(
        self, command: Sequence[str], limits: Limits, cmake: Path | None, is_followed: bool
    ) -> Ended:
        return await run_command(
            command,
            log=self.log,
            limits=limits,
            environment=build_environment(os.environ, self.temporary, self.build_jobs, cmake),
            on_line=self._hear if is_followed else _ignore,
            on_tick=lambda: self._say(self._meter.tick(self._clock.monotonic())),
        )

    def _hear(self, line: str) -> None:
        match read_line(line):
            case Phase(text=text):
                self.begin(text)
            case Measure() as measure:
                self.measure(measure)
            case None:
                return

    def _say(self, progress: Progress | None) -> None:
        if progress is not None:
            self._report(progress)


def _ignore(line: str) -> None:
    """Take no notice of a line."""
