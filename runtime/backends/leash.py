"""Runs one command, and takes it down when whoever asked for it lets go of it.

Started as a script by its path (`python -I -S leash.py COMMAND …`) with a pipe on stdin that the asker holds
and never writes to. The pipe ends when the asker closes it, and when the asker dies, however it died. Then
the command's process group is asked to end and, after a moment, killed. Asking first matters: ninja and
make put compilers into groups of their own, and pass the request on; killed at once, they leave them behind.

Standard library alone. The exit status is the command's, 128 + signal as in a shell, 127 if it cannot start.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

GRACE_S = 2.0
"""How long the command's group may take to end by itself; a compiler needs milliseconds."""
_LOOK_S = 0.02
_CANNOT_START = 127
_SIGNAL_BASE = 128


def main(command: list[str]) -> int:
    """Run the command to its end and return its status."""
    try:
        child = subprocess.Popen(  # noqa: S603 - an argument list, no shell
            command, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as problem:
        sys.stderr.write(f"{command[0]} cannot be started: {problem}\n")
        return _CANNOT_START

    is_let_go = threading.Event()
    threading.Thread(target=_watch_stdin, args=(child.pid, is_let_go), daemon=True).start()
    returncode = child.wait()
    if is_let_go.is_set():
        _end_group(child.pid)

    return returncode if returncode >= 0 else _SIGNAL_BASE - returncode


def _watch_stdin(group: int, is_let_go: threading.Event) -> None:
    while os.read(0, 64):
        continue

    is_let_go.set()
    _signal_group(group, signal.SIGTERM)
    time.sleep(GRACE_S)
    _signal_group(group, signal.SIGKILL)


def _end_group(group: int) -> None:
    """Wait for the rest of the group, whose first process has ended; kill what stays."""
    deadline = time.monotonic() + GRACE_S
    while _signal_group(group, 0) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)

    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> bool:
    """Send a signal (0: none) to a group; False where nobody is left in it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True

    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
