"""How far an install is: reads it out of what pip and a compiler print, and says it a few times a second.

Pure: lines and times in, `Progress` out. The numbers are the tools' own; where they give none, none is shown.
"""

import re
from collections import deque
from typing import Literal, NamedTuple

from runtime.core.events import Progress

INTERVAL_S = 0.25
"""Least time between two measures that are passed on; eyes and journal need no more."""
_WINDOW_S = 15.0
"""A download's rate is taken over the last seconds, since networks change their mind."""

Unit = Literal["bytes", "steps"]


class Phase(NamedTuple):
    """Something new is being done."""

    text: str


class Measure(NamedTuple):
    """So much of the present phase is done."""

    done: float
    total: float
    unit: Unit


_DOWNLOAD_MEASURE = re.compile(r"^Progress (\d+) of (\d+)$")
_NINJA = re.compile(r"^\s*\[(\d+)/(\d+)\] ")
_MAKE = re.compile(r"^\s*\[ *(\d{1,3})%\] ")
_DOWNLOAD = re.compile(r"^\s*Downloading (?:\S*/)?([^/\s?#]+)")
_BUILD = re.compile(r"^\s*Building wheel for (\S+) ")
_BUILD_TOOLS = re.compile(r"^\s*Installing build dependencies: started")


def read_line(line: str) -> Phase | Measure | None:
    """Say what a line of pip's or a build's output tells of the progress; None where it tells nothing."""
    if found := _DOWNLOAD_MEASURE.match(line):
        return _measure(int(found[1]), int(found[2]), "bytes")

    if found := _NINJA.match(line):
        return _measure(int(found[1]), int(found[2]), "steps")

    if found := _MAKE.match(line):
        return _measure(int(found[1]), 100, "steps")

    return _read_phase(line)


def _measure(done: int, total: int, unit: Unit) -> Measure | None:
    return Measure(done, total, unit) if 0 <= done <= total and total > 0 else None


def _read_phase(line: str) -> Phase | None:
    if (found := _DOWNLOAD.match(line)) and not found[1].endswith(".metadata"):
        return Phase(f"fetching {_archive(found[1])}")

    if (found := _BUILD.match(line)) and line.endswith("started"):
        return Phase(f"building {found[1]}")

    return Phase("fetching the build tools") if _BUILD_TOOLS.match(line) else None


def _archive(file: str) -> str:
    """Return name and version of a package's archive, without the tags of a wheel."""
    return "-".join(file.split("-")[:2]).removesuffix(".tar.gz").removesuffix(".zip").removesuffix(".whl")


class Meter:
    """Turns phases and measures into what people are told: at most every INTERVAL_S, the last one always.

    Each method returns the progress to pass on now, or None.
    """

    def __init__(self) -> None:
        self.latest = Progress(phase="waiting to begin")
        self._samples: deque[tuple[float, float]] = deque()
        self._told = self.latest
        self._told_at = float("-inf")

    def phase(self, text: str, now: float) -> Progress | None:
        """Begin a phase. Said at once, unless it is the present one."""
        self._samples.clear()
        if text == self.latest.phase and self.latest.done is None:
            return None

        self.latest = Progress(phase=text)
        return self._tell(now)

    def measure(self, measure: Measure, now: float) -> Progress | None:
        """Take a measure; said when the last one is old enough, or when it is the phase's last."""
        is_restart = measure.total != self.latest.total or measure.done < (self.latest.done or 0)
        if is_restart:
            self._samples.clear()

        self._samples.append((now, measure.done))
        while measure.unit == "bytes" and len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()

        rate = self._rate()
        left = None if not rate else (measure.total - measure.done) / rate
        self.latest = Progress(
            phase=self.latest.phase,
            done=measure.done,
            total=measure.total,
            unit=measure.unit,
            rate_per_s=rate,
            left_s=left,
        )
        return self._tell(now) if measure.done == measure.total else self.tick(now)

    def tick(self, now: float) -> Progress | None:
        """Say what was held back, if it is time."""
        return self._tell(now) if now - self._told_at >= INTERVAL_S else None

    def flush(self, now: float) -> Progress | None:
        """Say what was held back, whatever the time."""
        return self._tell(now)

    def _tell(self, now: float) -> Progress | None:
        if self._told is self.latest:
            return None

        self._told, self._told_at = self.latest, now
        return self.latest

    def _rate(self) -> float | None:
        (first_at, first_done), (last_at, last_done) = self._samples[0], self._samples[-1]
        if last_at <= first_at or last_done <= first_done:
            return None

        return (last_done - first_done) / (last_at - first_at)
