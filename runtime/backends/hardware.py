"""What this machine has: cores and their instruction sets, memory, room on disk, accelerators.

Facts only, each None or empty where it cannot be found out; a container's limits count as the machine's.
All questions go through a `Probe`, so that the reading is the same for tests. Blocking: use a thread.
"""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import psutil

from runtime.backends.folders import free_bytes

GIB = 1024**3
_ASK_S = 3.0
"""How long a vendor's tool may take to answer: some hang when their driver does."""
_BUILD_BYTES_PER_JOB = 1 * GIB
"""What one compiler of C++ needs at worst."""


class Cores(msgspec.Struct, frozen=True, kw_only=True):
    """Processor cores."""

    usable: int
    """What this process may use at once: affinity and the container's quota count."""
    logical: int
    physical: int | None = None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Main memory, in bytes; the container's limit counts."""

    total_bytes: int
    available_bytes: int


class Accelerator(msgspec.Struct, frozen=True, kw_only=True):
    """A graphics processor or its like."""

    vendor: Literal["nvidia", "amd", "intel", "apple"]
    name: str
    memory_bytes: int | None = None
    """None where it is unknown or shared with the processor."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    system: str
    cores: Cores
    instructions: frozenset[str] | None
    """Sets that speed inference up, by llama.cpp's names; None where they cannot be known."""
    memory: Memory
    disk_free_bytes: int
    accelerators: tuple[Accelerator, ...]


class Probe(Protocol):
    """What may be asked of a machine."""

    @property
    def system(self) -> str:
        """`linux`, `darwin` or another of sys.platform's names."""

    def read(self, path: str) -> str | None:
        """Return a small file's text; None where it cannot be read."""

    def glob(self, folder: str, pattern: str) -> list[str]:
        """Return the paths that match, sorted."""

    def ask(self, command: Sequence[str]) -> str | None:
        """Return what a command prints; None where it is missing, fails or takes too long."""

    def core_counts(self) -> tuple[int, int | None, int | None]:
        """Return logical cores, physical ones, and those that affinity leaves to this process."""

    def memory(self) -> tuple[int, int]:
        """Return the machine's memory in bytes: total, available."""

    def disk_free(self, folder: Path) -> int:
        """Return the room in bytes on the disk of a folder, which need not exist yet."""


class SystemProbe:
    """Asks the machine that we run on."""

    @property
    def system(self) -> str:
        """The platform's name."""
        return sys.platform

    def read(self, path: str) -> str | None:
        """Return a small file's text."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def glob(self, folder: str, pattern: str) -> list[str]:
        """Return the paths that match."""
        return sorted(str(each) for each in Path(folder).glob(pattern))

    def ask(self, command: Sequence[str]) -> str | None:
        """Return what a command prints, within _ASK_S."""
        try:
            answer = subprocess.run(  # noqa: S603 - fixed argument lists, no shell
                command, capture_output=True, timeout=_ASK_S, check=True, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.SubprocessError):
            return None

        return answer.stdout.decode("utf-8", errors="replace")

    def core_counts(self) -> tuple[int, int | None, int | None]:
        """Count the cores."""
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return psutil.cpu_count(logical=True) or 1, psutil.cpu_count(logical=False), affinity

    def memory(self) -> tuple[int, int]:
        """Measure the memory."""
        found = psutil.virtual_memory()
        return found.total, found.available

    def disk_free(self, folder: Path) -> int:
        """Measure the room."""
        return free_bytes(folder)


def read_hardware(probe: Probe, home: Path) -> Hardware:
    """Find out everything. Takes some seconds where a vendor's tool hangs."""
    return Hardware(
        system=probe.system,
        cores=read_cores(probe),
        instructions=read_instructions(probe),
        memory=read_memory(probe),
        disk_free_bytes=probe.disk_free(home),
        accelerators=read_accelerators(probe),
    )


def read_cores(probe: Probe) -> Cores:
    """Count the cores that this process may really use."""
    logical, physical, affinity = probe.core_counts()
    bounds = [logical, affinity or logical]
    quota = _cpu_quota(probe)
    if quota is not None:
        bounds.append(max(1, math.ceil(quota)))

    return Cores(usable=max(1, min(bounds)), logical=logical, physical=physical)


def read_memory(probe: Probe) -> Memory:
    """Measure memory within the container's limit."""
    total, available = probe.memory()
    for limit, used in _memory_limits(probe):
        total = min(total, limit)
        available = min(available, max(0, limit - used))

    return Memory(total_bytes=total, available_bytes=available)


def usable_cores() -> int:
    """Return how many cores this process may use at once. Reads some small files."""
    return read_cores(SystemProbe()).usable


def decide_build_jobs(cores: Cores, memory: Memory) -> int:
    """Say how many compilers may run side by side."""
    return max(1, min(cores.usable, memory.available_bytes // _BUILD_BYTES_PER_JOB))


# ---- control groups (Linux containers and services)


def _groups(probe: Probe) -> list[str]:
    """Return our group's folder and those above it; limits of all of them hold. Version 2 only."""
    for line in (probe.read("/proc/self/cgroup") or "").splitlines():
        if line.startswith("0::"):
            steps = [each for each in line[3:].split("/") if each and each != ".."]
            return ["/".join(["/sys/fs/cgroup", *steps[:count]]) for count in range(len(steps), -1, -1)]

    return []


def _cpu_quota(probe: Probe) -> float | None:
    quotas: list[float] = []
    for group in _groups(probe):
        words = (probe.read(f"{group}/cpu.max") or "").split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0:
            quotas.append(int(words[0]) / int(words[1]))

    old_quota = _number(probe.read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
    old_period = _number(probe.read("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
    if old_quota and old_period:
        quotas.append(old_quota / old_period)

    return min(quotas, default=None)


def _memory_limits(probe: Probe) -> list[tuple[int, int]]:
    """Return pairs of limit and use, in bytes. Contents of files do not count: the system drops them."""
    files = [
        (f"{group}/memory.max", f"{group}/memory.current", f"{group}/memory.stat") for group in _groups(probe)
    ]
    old = "/sys/fs/cgroup/memory/memory."
    files.append((f"{old}limit_in_bytes", f"{old}usage_in_bytes", f"{old}stat"))
    pairs: list[tuple[int, int]] = []
    for limit_file, used_file, stat_file in files:
        limit = _number(probe.read(limit_file))
        if limit:
            used = (_number(probe.read(used_file)) or 0) - _cached_bytes(probe.read(stat_file))
            pairs.append((limit, max(0, used)))

    return pairs


def _cached_bytes(stat: str | None) -> int:
    """Return what of a group's memory is contents of files; version 1 tells the total with all children."""
    told = dict(line.split()[:2] for line in (stat or "").splitlines() if len(line.split()) >= 2)
    prefix = "total_" if "total_active_file" in told else ""
    return sum(_number(told.get(f"{prefix}{kind}")) or 0 for kind in ("active_file", "inactive_file"))


def _number(text: str | None) -> int | None:
    """Read a count; None for `max`, `-1` and the like."""
    stripped = (text or "").strip()
    return int(stripped) if stripped.isdigit() else None


# ---- instruction sets

_LINUX_NAMES = {
    "sse4_2": "SSE4.2",
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx_vnni": "AVX_VNNI",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "amx_int8": "AMX_INT8",
    "asimd": "NEON",
    "asimddp": "DOTPROD",
    "i8mm": "I8MM",
    "sve": "SVE",
    "sve2": "SVE2",
}
_MAC_NAMES = {
    "hw.optional.neon": "NEON",
    "hw.optional.AdvSIMD": "NEON",
    "hw.optional.arm.FEAT_DotProd": "DOTPROD",
    "hw.optional.arm.FEAT_I8MM": "I8MM",
    "hw.optional.sse4_2": "SSE4.2",
    "hw.optional.avx1_0": "AVX",
    "hw.optional.avx2_0": "AVX2",
    "hw.optional.fma": "FMA",
    "hw.optional.f16c": "F16C",
    "hw.optional.avx512f": "AVX512",
}


_BUILT_IN = re.compile(r"\b([A-Z][A-Z0-9_]*) = 1\b")


def built_for(lines: Iterable[str]) -> frozenset[str]:
    """Return the instruction sets that llama.cpp's description of itself says it was compiled with."""
    named = {name for line in lines for name in _BUILT_IN.findall(line)}
    return frozenset(named & set(_LINUX_NAMES.values()))


def read_instructions(probe: Probe) -> frozenset[str] | None:
    """Return the instruction sets that matter to inference."""
    match probe.system:
        case "linux":
            return _linux_instructions(probe.read("/proc/cpuinfo"))
        case "darwin":
            return _mac_instructions(probe.ask(["/usr/sbin/sysctl", "hw.optional"]))
        case _:
            return None


def _linux_instructions(text: str | None) -> frozenset[str] | None:
    for line in (text or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(_LINUX_NAMES[flag] for flag in value.split() if flag in _LINUX_NAMES)

    return None


def _mac_instructions(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None

    pairs = [line.partition(":") for line in text.splitlines()]
    return frozenset(
        _MAC_NAMES[key.strip()]
        for key, _, value in pairs
        if key.strip() in _MAC_NAMES and value.strip() == "1"
    )


# ---- accelerators


def read_accelerators(probe: Probe) -> tuple[Accelerator, ...]:
    """Return what could compute besides the processor."""
    if probe.system == "darwin":
        return _apple(probe)

    return (*_nvidia(probe), *_from_drm(probe))


def _apple(probe: Probe) -> tuple[Accelerator, ...]:
    name = (probe.ask(["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]) or "").strip()
    return (Accelerator(vendor="apple", name=f"{name} (Metal)"),) if name.startswith("Apple") else ()


def _nvidia(probe: Probe) -> tuple[Accelerator, ...]:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    found: list[Accelerator] = []
    for line in (probe.ask(query) or "").splitlines():
        name, comma, mebibytes = line.rpartition(",")
        if comma:
            memory = _number(mebibytes)
            found.append(
                Accelerator(
                    vendor="nvidia", name=name.strip(), memory_bytes=memory * 1024**2 if memory else None
                )
            )

    if found:
        return tuple(found)

    devices = [
        each for each in probe.glob("/dev", "nvidia[0-9]*") if each.removeprefix("/dev/nvidia").isdigit()
    ]
    return tuple(Accelerator(vendor="nvidia", name=f"NVIDIA device {each}") for each in devices)


def _from_drm(probe: Probe) -> tuple[Accelerator, ...]:
    """AMD and Intel, by what the kernel says of each render device; NVIDIA's were found by its own tool."""
    found: list[Accelerator] = []
    for device in probe.glob("/sys/class/drm", "renderD*"):
        vendor = (probe.read(f"{device}/device/vendor") or "").strip()
        name = Path(device).name
        if vendor == "0x1002":
            memory = _number(probe.read(f"{device}/device/mem_info_vram_total"))
            label = (probe.read(f"{device}/device/product_name") or "").strip() or f"AMD graphics {name}"
            found.append(Accelerator(vendor="amd", name=label, memory_bytes=memory))
        elif vendor == "0x8086":
            found.append(Accelerator(vendor="intel", name=f"Intel graphics {name}"))

    return tuple(found)
