"""The client, imported once, and forked for each of the suite's scenarios.

The suite starts a program for each, and to import the SDK takes longer than most of them last. So what it
starts hands its files, its address and its scenario to a process that has imported everything, which forks;
the fork is the client.

    python -m tests.conformance.warm SOCKET URL      what the suite starts
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

logger = logging.getLogger(__name__)

START_LIMIT_S = 60.0
PAUSE_S = 0.05
CHUNK_BYTES = 1 << 16
END = b"\n"


@contextmanager
def warm_client() -> Iterator[str]:
    """Keep a client ready while the context lasts; the command that uses it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "client.sock")
        module = "tests.conformance.warm"
        command = [sys.executable, "-c", f"import {module}; {module}.serve({str(path)!r})"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            _wait(path, process)
            yield f"{sys.executable} -S -m {module} {path}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def serve(path: str) -> NoReturn:
    """Fork a client for each program that connects, for ever."""
    from tests.conformance import client

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen(64)
        while True:
            caller, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _become(caller, client.run)
            caller.close()


def use(path: str, url: str) -> int:
    """Have a client run with this process's files; its status."""
    scenario = {name: value for name, value in os.environ.items() if name.startswith("MCP_CONFORMANCE_")}
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        socket.send_fds(line, [json.dumps({"url": url, "scenario": scenario}).encode() + END], [0, 1, 2])
        told = line.recv(1)
    return told[0] if told else 1


def _become(caller: socket.socket, run: Callable[[str], int]) -> NoReturn:
    """Be the client that the program at the other end stands for; tell it the status."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        said, files, _, _ = socket.recv_fds(caller, CHUNK_BYTES, 3)
        for number, file in enumerate(files):
            os.dup2(file, number)
        while not said.endswith(END):
            said += caller.recv(CHUNK_BYTES)
        request = json.loads(said)
        os.environ.update(request["scenario"])
        status = run(request["url"])
    except Exception:
        logger.exception("the client failed")
    finally:
        sys.stderr.flush()
        caller.sendall(bytes([status]))
        os._exit(status)


def _wait(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Return once somebody answers at the socket."""
    deadline = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
            line.connect(str(path))
            return
        time.sleep(PAUSE_S)
    raise SystemExit("The client that is to be kept ready did not start; what it said stands above.")


if __name__ == "__main__":
    sys.exit(use(*sys.argv[1:]))
