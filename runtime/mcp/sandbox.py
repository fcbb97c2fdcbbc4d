"""Confines local servers with bubblewrap: a file system of their own, no network unless granted.

    /usr /bin /lib …   the system, to read       $HOME   a folder of the server's own, which it keeps
    the working folder, and what a program outside /usr needs to start   to read
    what the definition grants                   /tmp    in memory; processes are its own

Where bubblewrap is not to be had, or the kernel forbids it, servers run as the user does, and say so.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from runtime.core.settings import McpSandbox

_PROBE_S = 10.0
"""To start the smallest of programs."""
_PROJECT_DEPTH = 4
_FETCHING = frozenset({"npx", "bunx", "pnpm", "yarn", "uvx", "uv", "pipx"})
"""Programs that load the server from the network before they start it."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt")
_SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
)


class Confinement(NamedTuple):
    """Whether this machine can confine servers."""

    program: str | None
    reason: str
    """Why it cannot, with the way out; empty where it can."""


def find_confinement() -> Confinement:
    """Try bubblewrap once. Starts a process; blocks."""
    if sys.platform != "linux":
        return Confinement(None, "bubblewrap exists on Linux only")
    program = shutil.which("bwrap")
    if program is None:
        return Confinement(
            None, "bubblewrap is not installed ('apt install bubblewrap', 'dnf install bubblewrap')"
        )

    command = [program, *_namespaces(has_network=False), "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        done = subprocess.run(  # noqa: S603 - the program is bubblewrap, the arguments are our own
            command, capture_output=True, timeout=_PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Confinement(None, f"bubblewrap cannot be run: {problem}")
    if done.returncode == 0:
        return Confinement(program, "")
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return Confinement(
        None, f"the system does not let bubblewrap work: {said[-1][:200] if said else done.returncode}"
    )


def advice(command: str | None, config: McpSandbox, confinement: Confinement) -> str:
    """Return what a person may try where a confined server does not start; empty: nothing."""
    is_closed = confinement.program is not None and config.enabled and not config.network
    if is_closed and Path(command or "").name in _FETCHING:
        return "it is confined without network, but its command loads it from there: grant sandbox.network"
    return ""


def describe(config: McpSandbox, confinement: Confinement) -> str:
    """Say how a server is confined, or why it is not."""
    if not config.enabled:
        return "not confined: its definition says so"
    if confinement.program is None:
        return f"not confined: {confinement.reason}"
    grants = [f"reads {path}" for path in config.read] + [f"writes {path}" for path in config.write]
    return ", ".join(["bubblewrap", "network" if config.network else "no network", *grants])


class Place(NamedTuple):
    """Where a confined server lives."""

    home: Path
    """Lar's; relative grants start there."""
    own: Path
    """What the server finds as its home folder."""
    folder: Path
    """Where it runs."""


def confine(
    command: Sequence[str],
    place: Place,
    config: McpSandbox,
    confinement: Confinement,
    environment: Mapping[str, str],
) -> list[str]:
    """Return the command that runs `command` confined; the command itself where that cannot be.

    Makes the server's own home folder.
    """
    if confinement.program is None or not config.enabled:
        return list(command)

    home, folder = place.home, place.folder
    place.own.mkdir(parents=True, exist_ok=True, mode=0o700)
    person = environment.get("HOME", "/nonexistent")
    writable = [str(home / Path(each).expanduser()) for each in config.write]
    readable = [str(home / Path(each).expanduser()) for each in config.read]
    arguments = [confinement.program, *_namespaces(has_network=config.network)]
    for path in (*_SYSTEM, *_SETTINGS):
        arguments += ["--ro-bind-try", path, path]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]  # noqa: S108 - its own
    arguments += ["--bind", str(place.own), person]
    for path in _program_folders(command, environment):
        arguments += ["--ro-bind-try", path, path]
    if folder != home:
        arguments += ["--ro-bind-try", str(folder), str(folder)]
    for path in readable:
        arguments += ["--ro-bind-try", path, path]
    for path in writable:
        arguments += ["--bind-try", path, path]
    inside = str(folder) if folder != home or str(home) in (*readable, *writable) else person
    return [*arguments, "--chdir", inside, "--", *command]


def _namespaces(*, has_network: bool) -> list[str]:
    shared = ["--share-net"] if has_network else []
    return ["--unshare-all", *shared, "--die-with-parent", "--new-session"]


def _program_folders(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return what must be seen for the program to start: the trees of its interpreter and its scripts."""
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        return []

    path = Path(program).absolute()
    folders = []
    for each in (path, path.resolve()):
        # bin/python of an environment needs lib/ beside bin/, and a link leads to another tree.
        tree = each.parent.parent if each.parent.name in ("bin", "Scripts") else each.parent
        if not str(tree).startswith(_SYSTEM) and str(tree) != "/":
            folders.append(str(tree))
    if (path.parent.parent / "pyvenv.cfg").exists():
        folders += _base_of_environment(path.parent.parent / "pyvenv.cfg")
    folders += [
        _tree_of(Path(each)) for each in command[1:] if Path(each).is_absolute() and Path(each).is_file()
    ]
    return list(dict.fromkeys(folders))


def _tree_of(script: Path) -> str:
    """Return what a script needs beside itself: the packages around it, or the project around it."""
    if "node_modules" in script.parts:
        return str(Path(*script.parts[: script.parts.index("node_modules") + 1]))
    for folder in script.parents[:_PROJECT_DEPTH]:
        is_project = any((folder / each).exists() for each in ("package.json", "pyproject.toml"))
        if is_project and folder != Path.home():
            return str(folder)
    return str(script)


def _base_of_environment(settings: Path) -> list[str]:
    for line in settings.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home" and not value.strip().startswith(_SYSTEM):
            return [str(Path(value.strip()).parent)]
    return []
