"""A child process with framed pipes: spawn, read, write, stop. Knows no model and no request.

The child leads its own process group, so that what it may have started dies with it. Its stderr is kept:
the last lines explain a death. Nothing is awaited between the spawn and the scope that ends the child.
"""

import logging
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process

from runtime.backends.framing import FrameDecoder, FrameTooLarge, encode_frame
from runtime.backends.protocol import FromWorker, Shutdown, ToWorker, decode_from_worker, encode
from runtime.core.errors import Fault, WorkerFailed

logger = logging.getLogger(__name__)

LAST_WORDS_LINES = 30
_LINE_CHARACTERS = 500
_READ_BYTES = 1 << 16
OUTBOX_FRAMES = 4096
"""Frames that may wait for a child that does not read; more than that, and it counts as stuck."""
TERMINATE_GRACE_S = 2.0
"""Between SIGTERM and SIGKILL: enough for the kernel to deliver and Python to exit."""
REAP_LIMIT_S = 5.0
"""After SIGKILL the kernel needs only to free memory."""

_SPIN_COUNT = "1000"
"""How long OpenMP threads spin at a barrier before they sleep. Endless spinning, the default, starves itself
when other processes want the cores; at 100 a single stream loses most of its speed to waking up."""

WORKER_MAIN = Path(__file__).with_name("worker_main.py")


class Child:
    """A running child; made by `open_child`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=LAST_WORDS_LINES)
        self._outbox, self._outgoing = anyio.create_memory_object_stream[ToWorker](OUTBOX_FRAMES)
        self._stderr_ended = anyio.Event()
        self._decoder = FrameDecoder()
        self._payloads: deque[bytes] = deque()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status once the child is reaped; negative is a signal's number."""
        return self._process.returncode

    @property
    def last_words(self) -> str:
        """The last lines that the child wrote on stderr."""
        return "\n".join(self._lines)

    def send(self, frame: ToWorker) -> None:
        """Queue a frame for the child; never waits. Raises WorkerFailed when the child stopped reading."""
        try:
            self._outbox.send_nowait(frame)
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError) as problem:
            message = f"The worker (pid {self.pid}) no longer reads its requests."
            raise WorkerFailed(Fault(code="worker_silent", message=message)) from problem

    async def receive(self) -> FromWorker | None:
        """Return the child's next frame, None when its output has ended.

        Raises FrameTooLarge or msgspec.DecodeError when what arrives is no frame.
        """
        assert self._process.stdout is not None
        while not self._payloads:
            try:
                chunk = await self._process.stdout.receive(_READ_BYTES)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return None
            self._payloads += self._decoder.feed(chunk)
        return decode_from_worker(self._payloads.popleft())

    async def wait(self) -> int:
        """Wait until the child has ended and its last words are read (bounded); return its status."""
        returncode = await self._process.wait()
        with anyio.move_on_after(1.0):  # a grandchild may hold stderr open
            await self._stderr_ended.wait()
        return returncode

    def kill(self) -> None:
        """End the whole group at once."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Take no more frames. For `open_child`."""
        self._outbox.close()
        self._outgoing.close()

    async def write_forever(self) -> None:
        """Carry queued frames to the child's stdin. For `open_child`."""
        assert self._process.stdin is not None
        try:
            async for frame in self._outgoing:
                await self._process.stdin.send(encode_frame(encode(frame)))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            logger.debug("a child closed its stdin", extra={"pid": self.pid})
        except FrameTooLarge:
            logger.exception("a request was too large for a frame", extra={"pid": self.pid})
            self.kill()
        finally:
            self._outgoing.close()

    async def read_stderr(self) -> None:
        """Keep the child's last lines. For `open_child`."""
        assert self._process.stderr is not None
        rest = b""
        try:
            async for chunk in self._process.stderr:
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[-_LINE_CHARACTERS:]
                for line in lines:
                    self._keep(line)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            logger.debug("a child's stderr was closed under us", extra={"pid": self.pid})
        finally:
            self._keep(rest)
            self._stderr_ended.set()

    async def stop(self, grace_s: float) -> None:
        """Ask, wait, terminate, wait, kill the group, reap. Bounded; leaves nothing running."""
        if self.returncode is None:
            try:
                self.send(Shutdown())
            except WorkerFailed:
                logger.debug("a child cannot be asked to stop", extra={"pid": self.pid})
            with anyio.move_on_after(grace_s):
                await self._process.wait()
        if self.returncode is None:
            self._signal(signal.SIGTERM)
            with anyio.move_on_after(TERMINATE_GRACE_S):
                await self._process.wait()
        self._signal(signal.SIGKILL)  # also to what the child may have left behind in its group
        with anyio.move_on_after(REAP_LIMIT_S):
            await self.wait()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # Gone, with all its group; or a zombie, which macOS refuses to signal.
            logger.debug("nothing to signal", extra={"pid": self.pid, "signal": number})

    def _keep(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()[:_LINE_CHARACTERS]
        if text:
            self._lines.append(text)
            logger.debug("worker says", extra={"pid": self.pid, "line": text})


@asynccontextmanager
async def open_child(
    command: Sequence[str], environment: Mapping[str, str], grace_s: float
) -> AsyncIterator[Child]:
    """Run a command as a child with framed pipes; leaving the context stops and reaps it.

    Raises OSError when the command cannot be started.
    """
    process = await anyio.open_process(
        list(command), env=dict(environment), start_new_session=True, stdin=-1, stdout=-1, stderr=-1
    )
    child = Child(process)
    async with anyio.create_task_group() as tasks:
        try:
            tasks.start_soon(child.write_forever)
            tasks.start_soon(child.read_stderr)
            yield child
        finally:
            limit_s = grace_s + TERMINATE_GRACE_S + REAP_LIMIT_S
            with anyio.move_on_after(limit_s, shield=True):
                await child.stop(grace_s)
            tasks.cancel_scope.cancel()
            child.close()
            with anyio.CancelScope(shield=True):
                await process.aclose()


def worker_command(python: str, engine: str) -> list[str]:
    """Return the command of a worker: isolated from the user's Python settings, unbuffered."""
    return [python, "-I", "-u", str(WORKER_MAIN), engine]


def worker_environment(threads: int, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: the server's own, with a thread budget and tamed libraries.

    GGML_NO_BACKTRACE keeps an abort from starting a debugger.
    """
    kept = {name: value for name, value in base.items() if not name.startswith(("LAR_", "PYTHON"))}
    threads_text = str(max(1, threads))
    return kept | {
        "GGML_NO_BACKTRACE": "1",
        "GOMP_SPINCOUNT": _SPIN_COUNT,
        "OMP_NUM_THREADS": threads_text,
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": threads_text,
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONIOENCODING": "utf-8",
    }
