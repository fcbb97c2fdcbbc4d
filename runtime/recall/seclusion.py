"""Takes the network away from a process that reads what strangers wrote, where the system lets it.

On Linux the process moves to a network of its own that leads nowhere, loopback included, and so does whatever
it starts. An ordinary user needs a user namespace for that, which some systems and containers refuse. Unix
sockets that lie in folders are no network: the rights of the files guard them.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import runtime

_CLONE_NEWUSER = 0x10000000  # <linux/sched.h>
_CLONE_NEWNET = 0x40000000
_PROBE_S = 20.0
"""To start a Python that imports next to nothing."""
_PROBE = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from runtime.recall.seclusion import leave_network; sys.stdout.write(leave_network())"
)


def leave_network() -> str:
    """Give up the network for good; return why that is not to be had, nothing where it was done.

    For a process of one thread, before it reads anything. Who is root stays root over files.
    """
    if sys.platform != "linux":
        return "Linux alone has network namespaces"
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWNET) == 0:
        return ""
    user, group = os.geteuid(), os.getegid()
    if library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return f"the system refuses a network namespace ({os.strerror(ctypes.get_errno())})"
    _keep_names(user, group)
    return ""


def find_obstacle() -> str:
    """Try it in a process that ends; return why it fails, nothing where it works. Blocks."""
    root = os.fspath(Path(runtime.__path__[0]).parent)
    try:
        done = subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-I", "-c", _PROBE, root],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return f"it could not be tried ({type(problem).__name__})"
    return done.stdout if done.returncode == 0 else f"it could not be tried (exit {done.returncode})"


def _keep_names(user: int, group: int) -> None:
    """Let the process see itself as its user; without that it works as nobody, with equal rights."""
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return
