"""The peer: llama-server with three settings, prebuilt (`xllamacpp`) or a binary of the user's own.

The prebuilt one is installed on demand into an environment of its own under `.cache`, as engines are.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.installed import CACHE

VERSION = "2026.10.11549"
_INSTALL_LIMIT_S = 900.0
_START_LIMIT_S = 300.0
"""To load the weights, on a machine that is busy."""
_STOP_LIMIT_S = 20.0
_SCRIPT = Path(__file__).parent / "peer_server.py"


class Setting(NamedTuple):
    """One way to start llama-server; zero leaves a number at the server's own default."""

    name: str
    title: str
    slots: int
    is_unified: bool = False
    context: int = 0
    batch: int = 0

    def to_json(self) -> str:
        """Return what peer_server.py takes."""
        told = {"slots": self.slots, "is_unified": self.is_unified}
        return json.dumps(told | {"context": self.context, "batch": self.batch})

    def to_flags(self) -> list[str]:
        """Return the same for the command line of a llama-server."""
        flags = ["-np", str(self.slots)]
        flags += ["--kv-unified"] if self.is_unified else []
        flags += ["-c", str(self.context)] if self.context else []
        flags += ["-b", str(self.batch), "-ub", str(self.batch)] if self.batch else []
        return flags


SETTINGS = (
    # What llama-server decides by itself where no number of slots is given: four, over one cache.
    Setting("default", "llama-server, its defaults", slots=4, is_unified=True),
    Setting("slots8", "llama-server, 8 slots", slots=8, is_unified=True, context=16384),
    # What Ollama starts when nothing else is asked for.
    Setting("slot1", "llama-server, 1 slot as Ollama starts it", slots=1, context=4096, batch=512),
)


class Peer(NamedTuple):
    """How the peer is started."""

    title: str
    command: tuple[str, ...]
    is_binary: bool

    def command_line(self, setting: Setting, weights: Path, port: int, threads: int) -> list[str]:
        """Return the command that serves the weights."""
        if not self.is_binary:
            return [*self.command, str(weights), str(port), str(threads), setting.to_json()]

        told = ["-m", str(weights), "--host", "127.0.0.1", "--port", str(port)]
        return [*self.command, *told, "-t", str(threads), "-tb", str(threads), *setting.to_flags()]


class PeerMissing(Exception):
    """The peer cannot be had here; the message says why."""


def find_peer(binary: Path | None) -> Peer:
    """Return the peer, installed if need be. Raises PeerMissing."""
    if binary is not None:
        if not os.access(binary, os.X_OK):
            raise PeerMissing(f"{binary.name} cannot be executed")

        return Peer(f"{binary.name} of the user's own build", (str(binary),), is_binary=True)

    python = CACHE / "bench" / f"xllamacpp-{VERSION}" / "bin" / "python"
    if not _imports(python):
        _install(python)
    return Peer(f"llama-server of xllamacpp {VERSION}", (str(python), str(_SCRIPT)), is_binary=False)


def _imports(python: Path) -> bool:
    if not python.exists():
        return False

    command = [str(python), "-c", "import xllamacpp"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _install(python: Path) -> None:
    folder = python.parent.parent
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--only-binary=:all:", f"xllamacpp=={VERSION}"],
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise PeerMissing(f"installing it took longer than {_INSTALL_LIMIT_S:.0f} s") from None

        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise PeerMissing(f"xllamacpp=={VERSION} cannot be installed: {''.join(words)}")


class RunningPeer(NamedTuple):
    """A llama-server that answers."""

    address: str
    pid: int


@contextmanager
def serve_peer(peer: Peer, setting: Setting, weights: Path, threads: int) -> Iterator[RunningPeer]:
    """Run the peer on a free port until the context ends."""
    port = _free_port()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            peer.command_line(setting, weights, port, threads),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            if not _answers(process, address):
                output.seek(0)
                raise PeerMissing(f"{setting.title} did not start: {_last(output.readlines())}")

            yield RunningPeer(address, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_LIMIT_S)
            assert process.stdin is not None
            process.stdin.close()


def _answers(process: "subprocess.Popen[bytes]", address: str) -> bool:
    """Wait until the model is loaded; False where the process ended, or takes too long."""
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as response:
                if response.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)  # it loads still: refused, or 503
    return False


def _last(lines: Sequence[str]) -> str:
    return lines[-1].strip() if lines else "it printed nothing"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
