"""Whether this machine can confine programs, and the command that does.

    /usr /bin /lib …, the interpreter's own trees   to read      /mnt/data   the container's folder
    /io   where the log lies                                     /tmp        in memory, small
No network, no other processes, no user but nobody, no variables of the server's. Nothing else is there.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DATA = "/mnt/data"
_PROBE_S = 10.0
_TEMPORARY_BYTES = 128 * 1024 * 1024
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types")
_PROGRAM = "/run/inside.py"
_SPACES = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
_NOBODY = ("--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox")
_VARIABLES = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": DATA,
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own, in memory
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - likewise
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
}


class Confining(NamedTuple):
    """How programs are confined here."""

    program: str | None
    reason: str = ""
    """Why they cannot be, with the way out; empty where they can."""


def find_confining() -> Confining:
    """Try bubblewrap once, with all that is wanted of it. Starts a process; blocks."""
    if sys.platform != "linux":
        return Confining(None, "programs are confined by bubblewrap, which exists on Linux only")
    program = shutil.which("bwrap")
    if program is None:
        way_out = "'apt install bubblewrap' or 'dnf install bubblewrap' brings it"
        return Confining(None, f"bubblewrap is not installed; {way_out}")

    command = [program, *_SPACES, *_NOBODY, *_own(), *_readable(), "--", sys.executable, "-I", "-c", "pass"]
    try:
        done = subprocess.run(  # noqa: S603 - the program is bubblewrap, the arguments are our own
            command, capture_output=True, timeout=_PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Confining(None, f"bubblewrap cannot be run: {problem}")
    if done.returncode == 0:
        return Confining(program)
    said = done.stderr.decode(errors="replace").strip().splitlines()
    cause = said[-1][:200] if said else f"it ends with {done.returncode}"
    return Confining(None, f"the system does not let bubblewrap work (user namespaces): {cause}")


def command_of(program: str, data: Path, log_folder: Path, memory_bytes: int) -> list[str]:
    """Return the command that keeps an interpreter over a container's folders."""
    inside = Path(__file__).with_name("inside.py")
    return [
        program,
        *_SPACES,
        *_NOBODY,
        *_own(),
        *_readable(),  # after the empty folder for temporary files, under which Lar may lie
        *("--ro-bind", str(inside), _PROGRAM),
        *("--bind", str(data), DATA),
        *("--bind", str(log_folder), "/io"),
        *("--chdir", DATA, "--clearenv"),
        *(word for name, value in _VARIABLES.items() for word in ("--setenv", name, value)),
        *("--", sys.executable, "-I", "-u", _PROGRAM, str(memory_bytes)),
    ]


def _own() -> Sequence[str]:
    size = str(_TEMPORARY_BYTES)
    return ("--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/tmp", "--tmpfs", "/run")  # noqa: S108


def _readable() -> list[str]:
    """Return the grants to read: the system, and what the interpreter is made of."""
    trees = [Path(each) for each in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    trees += [Path(sys.executable).resolve().parent.parent]
    own = dict.fromkeys(str(each) for each in trees if not str(each).startswith(_SYSTEM) and str(each) != "/")
    paths = [*_SYSTEM, *_SETTINGS, *own]
    return [word for each in paths for word in ("--ro-bind-try", each, each)]
