"""What `lar doctor` says: facts about this machine and this Lar in, a list of checks out.

`diagnose` is pure. `collect_facts` asks the machine, in a thread; it takes some seconds at worst.
"""

import errno
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Literal

import anyio
import msgspec

from runtime.backends.catalog.manifests import load_engines, load_models
from runtime.backends.compiler import Compiler, compiler_advice, find_compiler, venv_advice
from runtime.backends.environment import read_environment
from runtime.backends.folders import Folders
from runtime.backends.hardware import Hardware, SystemProbe, read_hardware
from runtime.backends.interpreter import find_uv, has_ensurepip, read_os_release
from runtime.core.settings import DEFAULT_MODEL, GIB, MIB

Verdict = Literal["ok", "warn", "fail"]

_OLDEST_PYTHON = (3, 11)
_LEAST_DISK_BYTES = 2 * GIB
"""The llama backend while it is built, and a small model."""
_LEAST_MEMORY_BYTES = 1 * GIB
"""The server and the small default model with its context."""
_PLENTY_MEMORY_BYTES = 4 * GIB


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    finding: str
    """What is so."""
    fix: str = ""
    """What to do about it; empty where all is well."""


class DoctorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the checks look at."""

    python_version: tuple[int, int, int]
    home: str
    is_home_writable: bool
    hardware: Hardware
    compiler: Compiler | None
    venv: Literal["ensurepip", "uv"] | None
    """What can make an environment with pip in it."""
    os_release: str
    """The text of /etc/os-release, for advice that fits; empty where there is none."""
    engines: dict[str, str | None]
    """Version of each engine that needs installing; None where it is not installed."""
    models: dict[str, bool]
    """Whether the weights of each model of the catalogue are in place."""
    port: int
    port_state: Literal["free", "used", "forbidden"]


async def collect_facts(home: Path, port: int, host: str = "127.0.0.1") -> DoctorFacts:
    """Ask the machine. Modifies nothing."""
    return await anyio.to_thread.run_sync(_collect_facts, home, port, host)


def _collect_facts(home: Path, port: int, host: str) -> DoctorFacts:
    folders = Folders(home)
    environments = {
        each.id: read_environment(each, folders) for each in load_engines().values() if not each.runs_in_place
    }
    return DoctorFacts(
        python_version=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        home=str(folders.home),
        is_home_writable=_is_writable(folders.home),
        hardware=read_hardware(SystemProbe(), home),
        compiler=find_compiler(shutil.which, os.environ),
        venv="ensurepip" if has_ensurepip() else "uv" if find_uv() else None,
        os_release=read_os_release(),
        engines={name: found.version if found else None for name, found in environments.items()},
        models={
            each.id: all(folders.weights(each.id, file.file).is_file() for file in each.files)
            for each in load_models().values()
            if each.source is not None
        },
        port=port,
        port_state=_probe_port(host, port),
    )


def _is_writable(home: Path) -> bool:
    place = home
    while not place.exists() and place != place.parent:
        place = place.parent

    return os.access(place, os.W_OK | os.X_OK)


def _probe_port(host: str, port: int) -> Literal["free", "used", "forbidden"]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As a server does it: a port that a closed connection still lingers on counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            return "forbidden" if problem.errno in (errno.EACCES, errno.EPERM) else "used"

    return "free"


def diagnose(facts: DoctorFacts) -> list[Check]:
    """Judge the facts, the most basic first."""
    return [
        _python(facts),
        _home(facts),
        _disk(facts),
        _memory(facts),
        _cores(facts),
        _accelerators(facts),
        _compiler(facts),
        _environments(facts),
        *(_engine(name, version) for name, version in facts.engines.items()),
        _models(facts),
        _port(facts),
    ]


def _python(facts: DoctorFacts) -> Check:
    found = ".".join(map(str, facts.python_version))
    if facts.python_version[:2] >= _OLDEST_PYTHON:
        return Check(name="python", verdict="ok", finding=f"Python {found}")

    wanted = ".".join(map(str, _OLDEST_PYTHON))
    return Check(
        name="python", verdict="fail", finding=f"Python {found}", fix=f"Install Python {wanted} or newer."
    )


def _home(facts: DoctorFacts) -> Check:
    if facts.is_home_writable:
        return Check(name="home", verdict="ok", finding=f"{facts.home} can be written")

    return Check(
        name="home",
        verdict="fail",
        finding=f"{facts.home} cannot be written",
        fix="Change its owner, or set LAR_HOME to a folder of your own.",
    )


def _disk(facts: DoctorFacts) -> Check:
    free = facts.hardware.disk_free_bytes
    finding = f"{_gib(free)} free at {facts.home}"
    if free >= _LEAST_DISK_BYTES:
        return Check(name="disk", verdict="ok", finding=finding)

    is_all_there = all(facts.engines.values()) and facts.models.get(DEFAULT_MODEL, False)
    return Check(
        name="disk",
        verdict="warn" if is_all_there else "fail",
        finding=finding,
        fix=f"Free {_gib(_LEAST_DISK_BYTES - free)}, or set LAR_HOME to a folder on a larger disk.",
    )


def _memory(facts: DoctorFacts) -> Check:
    memory = facts.hardware.memory
    finding = f"{_gib(memory.available_bytes)} of {_gib(memory.total_bytes)} available"
    if memory.total_bytes < _LEAST_MEMORY_BYTES:
        fix = "Give this machine or container at least 1 GiB; even the smallest model needs most of it."
        return Check(name="memory", verdict="fail", finding=finding, fix=fix)

    if memory.available_bytes < _LEAST_MEMORY_BYTES:
        fix = "Close other programs before you load a model."
        return Check(name="memory", verdict="warn", finding=finding, fix=fix)

    if memory.total_bytes < _PLENTY_MEMORY_BYTES:
        fix = "Enough for small models; larger ones need more."
        return Check(name="memory", verdict="warn", finding=finding, fix=fix)

    return Check(name="memory", verdict="ok", finding=finding)


def _cores(facts: DoctorFacts) -> Check:
    cores, instructions = facts.hardware.cores, facts.hardware.instructions
    sets = (
        "instruction sets unknown" if instructions is None else ", ".join(sorted(instructions)) or "no SIMD"
    )
    finding = f"{cores.usable} of {cores.logical} cores usable; {sets}"
    is_vectorised = instructions is None or not instructions.isdisjoint({"AVX2", "NEON"})
    if is_vectorised:
        return Check(name="processor", verdict="ok", finding=finding)

    fix = "It works, several times slower than on a processor with AVX2 or NEON."
    return Check(name="processor", verdict="warn", finding=finding, fix=fix)


def _accelerators(facts: DoctorFacts) -> Check:
    found = facts.hardware.accelerators
    if not found:
        return Check(name="accelerators", verdict="ok", finding="none found; models run on the processor")

    names = [f"{each.name} ({_gib(each.memory_bytes)})" if each.memory_bytes else each.name for each in found]
    return Check(name="accelerators", verdict="ok", finding="; ".join(names))


def _compiler(facts: DoctorFacts) -> Check:
    if facts.compiler is not None:
        return Check(name="compiler", verdict="ok", finding=f"{facts.compiler.c}, {facts.compiler.cxx}")

    is_needed = any(
        load_engines()[name].needs_compiler and version is None
        for name, version in facts.engines.items()
        if name in load_engines()
    )
    return Check(
        name="compiler",
        verdict="warn" if is_needed else "ok",
        finding="no C and C++ compiler; backends without a prebuilt wheel cannot be built",
        fix=f"Install one: {compiler_advice(facts.os_release, facts.hardware.system)}." if is_needed else "",
    )


def _environments(facts: DoctorFacts) -> Check:
    match facts.venv:
        case "ensurepip":
            return Check(name="environments", verdict="ok", finding="Python can make them")
        case "uv":
            return Check(name="environments", verdict="ok", finding="uv makes them, Python alone cannot")
        case None:
            return Check(
                name="environments",
                verdict="fail",
                finding="neither Python nor uv can make one for a backend",
                fix=f"Mend it: {venv_advice(facts.os_release)}.",
            )


def _engine(name: str, version: str | None) -> Check:
    if version is not None:
        return Check(name=f"backend {name}", verdict="ok", finding=f"version {version} is installed")

    return Check(
        name=f"backend {name}",
        verdict="warn",
        finding="not installed yet",
        fix="The first request for one of its models installs it.",
    )


def _models(facts: DoctorFacts) -> Check:
    installed = sorted(name for name, is_there in facts.models.items() if is_there)
    if installed:
        return Check(name="models", verdict="ok", finding=f"installed: {', '.join(installed)}")

    return Check(
        name="models",
        verdict="warn",
        finding="none installed yet",
        fix="The first request for one installs it.",
    )


def _port(facts: DoctorFacts) -> Check:
    match facts.port_state:
        case "free":
            return Check(name="port", verdict="ok", finding=f"{facts.port} is free")
        case "used":
            fix = "If that is not Lar: end the other program, or set server.port in lar.toml."
            return Check(name="port", verdict="warn", finding=f"{facts.port} is in use", fix=fix)
        case "forbidden":
            fix = "Set server.port in lar.toml to 1024 or above."
            return Check(
                name="port", verdict="fail", finding=f"{facts.port} may not be used by this user", fix=fix
            )


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
