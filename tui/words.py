"""Numbers, moments and progress as short words for people. Pure."""

import re
from datetime import datetime, tzinfo

from runtime.core.events import Progress

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

# C0 without tab and newline, DEL, C1, and the marks that reorder text: none may reach a terminal.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: no control characters, no marks that reorder."""
    return _UNSAFE.sub("�", text.replace("\r\n", "\n"))


def span(seconds: float) -> str:
    """Return a length of time in at most two units: `42ms`, `0.3s`, `12s`, `3m10`, `1h04`, `2d3h`."""
    if seconds < 0:
        return "0s"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"

    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR}h"


def size(count: float) -> str:
    """Return bytes in decimal units with at most one decimal: `491 MB`, `5.4 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.1f} {unit}" if 0 < count < 9.95 and unit != "B" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def tally(count: int) -> str:
    """Return a count in at most four characters up to a million: `999`, `1.2k`, `34k`."""
    if count < 1000:
        return str(count)
    if count < 9950:
        return f"{count / 1000:.1f}k"
    if count < 999_500:
        return f"{count / 1000:.0f}k"
    return f"{count / 1_000_000:.1f}M"


def counted(count: int, thing: str) -> str:
    """Return so many of a thing: `1 turn`, `2 turns`."""
    return f"{tally(count)} {thing}{'' if count == 1 else 's'}"


def context_size(tokens: int) -> str:
    """Return a context in the units in which contexts are told: `4k`, `128k`."""
    return str(tokens) if tokens < 1024 else f"{tokens // 1024}k"


def moment(at: float, zone: tzinfo) -> str:
    """Return the time of day of a moment: `09:14:02`."""
    return datetime.fromtimestamp(at, zone).strftime("%H:%M:%S")


def fraction(progress: Progress) -> float | None:
    """Return how much of a job is done, 0 to 1; None where it cannot be known."""
    if progress.done is None or not progress.total:
        return None
    return min(1.0, max(0.0, progress.done / progress.total))


def progress_facts(progress: Progress) -> tuple[str, ...]:
    """Return what is known beside the phase: how much, how fast, how long left."""
    known = fraction(progress)
    facts = [] if known is None else [f"{known * 100:.0f} %"]
    if progress.done is not None:
        facts.append(_amount(progress.done, progress.total, progress.unit))
    if progress.rate_per_s and progress.unit == "bytes":
        facts.append(f"{size(progress.rate_per_s)}/s")
    if progress.left_s is not None:
        facts.append(f"{span(max(1, round(progress.left_s)))} left".replace(".0s", "s"))
    return tuple(fact for fact in facts if fact)


def _amount(done: float, total: float | None, unit: str) -> str:
    if unit == "bytes":
        return _bytes_of(done, total)
    if total is None:
        return f"{done:.0f}"
    return "" if total <= 1 else f"{done:.0f}/{total:.0f}"


def _bytes_of(done: float, total: float | None) -> str:
    if total is None:
        return size(done)

    whole, unit = size(total).split(" ")
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    part = done / scale
    return f"{part:.1f}/{whole} {unit}" if "." in whole else f"{part:.0f}/{whole} {unit}"


def progress_line(progress: Progress) -> str:
    """Return a job in one line: `building llama.cpp 34 % · 74/220 · 3m10 left`."""
    facts = progress_facts(progress)
    if not facts:
        return progress.phase
    if facts[0].endswith(" %"):
        return " · ".join((f"{progress.phase} {facts[0]}", *facts[1:]))
    return " · ".join((progress.phase, *facts))
