"""What the reader must know of the machine, without naming it; the memory of a process with its children."""

import os
import platform
from collections.abc import Iterable
from pathlib import Path

import psutil

MIB = 1024 * 1024
IDLE_LOAD = 0.5
"""A load average per core above this, before a server starts, is told on the page."""


def machine_facts(threads: int) -> list[tuple[str, str]]:
    """Return facts about processor, memory and system; no names, no addresses."""
    memory_gib = psutil.virtual_memory().total / MIB / 1024
    return [
        ("Processor", f"{_processor()}, {psutil.cpu_count()} cores seen, {threads} threads used"),
        ("Memory", f"{memory_gib:.0f} GiB"),
        ("System", f"{platform.system()} on {platform.machine()}"),
        ("Python", platform.python_version()),
    ]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"

    found = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return found[0] if found else platform.processor() or "unknown"


def is_idle() -> bool:
    """Whether the machine did nothing much in the last minute."""
    return os.getloadavg()[0] / (psutil.cpu_count() or 1) <= IDLE_LOAD


def memory_mib(pid: int) -> float:
    """Return what a process takes with its children: proportional where that is known, else resident."""
    process = psutil.Process(pid)
    return sum(_memories([process, *process.children(recursive=True)])) / MIB


def _memories(family: Iterable[psutil.Process]) -> Iterable[int]:
    for each in family:
        try:
            full = each.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile, or hides: then it is no child of ours

        yield getattr(full, "pss", full.rss)
