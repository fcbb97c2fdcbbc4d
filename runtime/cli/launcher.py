"""Makes sure that a server runs: finds the one of this home, or starts one in the background.

The server outlives the command that started it; `lar stop` ends it.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

from runtime.cli.output import EXIT_NO_SERVER, CommandFailed, notice
from runtime.cli.place import Place
from runtime.core.version import __version__
from runtime.instance import Instance, find_instance

_START_LIMIT_S = 30.0
"""A start takes about a second; a cold disk or a long log to replay takes longer."""
_POLL_S = 0.05
_OUTPUT_FILE = "server.out"


def ensure_server(place: Place) -> Instance:
    """Return the running server, started now if need be. Raises CommandFailed when it does not start."""
    found = find_instance(place.home)
    if found is not None:
        if found.version != __version__:
            notice(
                f"! The running server is Lar {found.version}, this is {__version__}. 'lar stop' renews it."
            )
        return found

    place.logs.mkdir(parents=True, exist_ok=True)
    output = place.logs / _OUTPUT_FILE
    server = _spawn(output)
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        started = find_instance(place.home)
        if started is not None:
            # Who stays longer than the server must take note of its end: else it would never be quite gone.
            threading.Thread(target=server.wait, daemon=True).start()
            _tell_if_moved(place, started)
            return started

        if server.poll() is not None:
            raise CommandFailed(_last_words(output), EXIT_NO_SERVER)

        time.sleep(_POLL_S)

    server.terminate()
    raise CommandFailed(
        f"The server did not start within {_START_LIMIT_S:g} s. Its output: {output}", EXIT_NO_SERVER
    )


def _spawn(output: Path) -> "subprocess.Popen[bytes]":
    with output.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "runtime", "serve", "--background"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _tell_if_moved(place: Place, started: Instance) -> None:
    wished = place.settings.server.port
    if wished and not started.address.endswith(f":{wished}"):
        notice(f"! Port {wished} is taken by another program; Lar answers at {started.address}.")


def _last_words(output: Path) -> str:
    lines = [
        line for line in output.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
    ]
    return lines[-1].removeprefix("✖ ") if lines else "The server ended at once and said nothing."
