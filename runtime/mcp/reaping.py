"""Ends what a local server leaves behind: its process group, and whoever carries its mark.

Wrappers (npx, uvx, shells) exit and leave the server that they started; it may even have a session of its
own. Every process that descends from a server inherits the mark in its environment.
"""

import contextlib
import os
import secrets
import signal
from pathlib import Path

MARK = "LAR_MCP_MARK"
_PROC = Path("/proc")


def new_mark() -> str:
    """Return a text that no other process carries."""
    return secrets.token_hex(16)


def signal_group(leader: int, number: signal.Signals) -> bool:
    """Send a signal to the group that a process leads or led; False where nobody is left."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def reap(leader: int, mark: str) -> int:
    """Kill the group and everything with the mark; returns how many were found by the mark. Reads /proc."""
    signal_group(leader, signal.SIGKILL)
    found = marked(mark)
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def marked(mark: str) -> list[int]:
    """Return the processes that carry the mark; none where the system has no /proc."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for folder in _PROC.iterdir() if _PROC.is_dir() else ():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                if needle in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
    return found
