"""Runs one command, and takes it down when the process that asked for it is gone.

Started as a script by its path (`python -I -S leash.py COMMAND …`), leader of its own process group, with a
pipe on stdin that the asker holds and never writes to. The pipe ends with the asker, however it ended; then
the whole group is killed, so that no half-finished build goes on working in a folder that nobody watches.

Standard library alone. The exit status is the command's, 128 + signal as in a shell, 127 if it cannot start.
"""

import os
import signal
import subprocess
import sys
import threading

_CANNOT_START = 127
_SIGNAL_BASE = 128


def main(command: list[str]) -> int:
    """Run the command to its end and return its status."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)

    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - an argument list, no shell
    except OSError as problem:
        sys.stderr.write(f"{command[0]} cannot be started: {problem}\n")
        return _CANNOT_START

    threading.Thread(target=_watch_stdin, daemon=True).start()
    returncode = child.wait()
    return returncode if returncode >= 0 else _SIGNAL_BASE - returncode


def _watch_stdin() -> None:
    while os.read(0, 64):
        continue

    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
