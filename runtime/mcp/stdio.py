"""A local MCP server as a child process: its pipes as the streams that the SDK speaks over, and its end.

Beyond what the SDK's own stdio transport does: lines have a bounded size, the end of the process is told at
once, stderr goes to a log, and nothing that the server has started outlives it.

    leave ── close stdin ── grace ── SIGTERM to the group ── grace ── SIGKILL ── reap what carries the mark
"""

import contextlib
import logging
import os
import signal
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import mcp.types as wire
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from runtime.mcp.lines import Lines, LongLine
from runtime.mcp.reaping import MARK, new_mark, reap, signal_group
from runtime.mcp.stderr_log import StderrLog

logger = logging.getLogger(__name__)

TOO_LARGE = -32090
"""The code of the error that takes the place of a message that is too long."""
_GRACE_S = 2.0
"""To end by itself once stdin is closed, and again after SIGTERM; the protocol's own order."""
_KILL_S = 2.0
"""For the loop to see a killed process; only one that the system itself holds runs it out."""
_LAST_S = 0.3
"""For a server that has closed its output to end, and for what it said last to be read."""
_POLL_S = 0.01
_SHELL_SIGNAL = 128
"""A sandbox, like a shell, ends with so much more than the signal that killed what runs in it."""
_PIECE_BYTES = 64 * 1024
_INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")

Incoming = SessionMessage | Exception
Streams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """How a server is started."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None
    log: StderrLog
    max_line_bytes: int
    on_end: Callable[[], None]
    """Called once its stdout has ended."""


class ServerEnded(Exception):
    """The server has left by itself; the message says how, and what it said last."""

    def __init__(self, how: str, last_words: str) -> None:
        super().__init__(how + (f"; it said: {last_words}" if last_words else ""))


def ending(code: int | None, *, has_spoken: bool) -> str:
    """Return in words how a program ended, and what to do where it never spoke. Pure."""
    number = 0 if code is None else -code if code < 0 else code - _SHELL_SIGNAL
    if code is None:
        how = "its program has closed its output"
    elif number in {each.value for each in signal.Signals}:
        how = f"its program was killed by {signal.Signals(number).name}"
    else:
        how = f"its program ended with exit code {code}"
    if has_spoken:
        return how
    return f"{how} before it spoke MCP (run its command in a terminal, and mend its name or its arguments)"


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a server may see of the environment; a shell function is no value."""
    return {
        name: environment[name]
        for name in _INHERITED
        if name in environment and not environment[name].startswith("()")
    }


@asynccontextmanager
async def run_server(launch: Launch) -> AsyncGenerator[Streams, None]:
    """Run the server while the context lasts.

    Raises OSError where it cannot be started, and ServerEnded where it has left before the context did.
    """
    mark = new_mark()
    process = await anyio.open_process(
        list(launch.command),
        env={**launch.environment, MARK: mark},
        cwd=launch.folder,
        start_new_session=True,
    )
    # Nothing to await before the task group: a cancellation in between would leave the process behind.
    child = _Child(process, launch, mark)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.read)
            tasks.start_soon(child.write)
            tasks.start_soon(child.keep_stderr)
            try:
                yield child.incoming, child.outgoing
            finally:
                with anyio.CancelScope(shield=True):  # every step in it has a bound
                    await child.stop()
                tasks.cancel_scope.cancel()
    except Exception as problem:
        child.raise_if_left(problem)  # it says more than what the session has made of it
        raise
    child.raise_if_left(None)


class _Child:
    """The process and its three pipes."""

    def __init__(self, process: Process, launch: Launch, mark: str) -> None:
        self._process = process
        self._launch = launch
        self._mark = mark
        self._deliver, self.incoming = anyio.create_memory_object_stream[Incoming](0)
        self.outgoing, self._collect = anyio.create_memory_object_stream[SessionMessage](0)
        self._has_spoken = False
        self._is_stopping = False
        self._has_left = False
        self._stdout_ended = anyio.Event()
        self._stderr_ended = anyio.Event()
        self._end: ServerEnded | None = None

    async def read(self) -> None:
        """Hand on the server's messages; once it closes stdout, the session sees the end."""
        lines = Lines(self._launch.max_line_bytes)
        try:
            while piece := await _receive(self._process.stdout):
                for line in lines.feed(piece):
                    message = await self._parse(line)
                    if message is not None:
                        self._has_spoken = True
                        await self._deliver.send(message)
            self._has_left = not self._is_stopping
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            while await _receive(self._process.stdout):
                continue  # the session has gone: what the server still says is drained, so that it can end
        finally:
            self._stdout_ended.set()
            self._deliver.close()
            self._launch.on_end()

    async def write(self) -> None:
        """Send what the session says. Once stdin is broken, the session sees the end."""
        assert self._process.stdin is not None
        try:
            async for message in self._collect:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await self._process.stdin.send(text.encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            self._has_left = not self._is_stopping
            self._deliver.close()

    async def keep_stderr(self) -> None:
        """Keep what the server says beside the protocol."""
        while piece := await _receive(self._process.stderr):
            await self._note(piece)
        self._stderr_ended.set()

    def raise_if_left(self, problem: Exception | None) -> None:
        """Raise how the server ended, where it did so before it was stopped."""
        if self._end is not None:
            raise self._end from problem

    async def stop(self) -> None:
        """End the process and everything that it has started; bounded."""
        self._is_stopping = True
        if self._has_left:
            self._end = await self._ending()
        self.incoming.close()
        self.outgoing.close()
        with anyio.move_on_after(_GRACE_S):
            await _close(self._process.stdin)
        if not await self._has_ended(_GRACE_S):
            signal_group(self._process.pid, signal.SIGTERM)
            if not await self._has_ended(_GRACE_S):
                signal_group(self._process.pid, signal.SIGKILL)
        left = await anyio.to_thread.run_sync(reap, self._process.pid, self._mark)
        if left:
            logger.info("ended what a server had left behind", extra={"processes": left})
        if not await self._has_ended(_KILL_S):
            logger.warning("a server does not die", extra={"pid": self._process.pid})
        with anyio.move_on_after(_LAST_S):  # pipes that were read to their end are closed by it
            await self._stdout_ended.wait()
            await self._stderr_ended.wait()
        await _close(self._process.stdout)
        await _close(self._process.stderr)
        self._collect.close()

    async def _ending(self) -> "ServerEnded":
        """Tell how a server has left that nobody stopped. Bounded."""
        await self._has_ended(_LAST_S)
        with anyio.move_on_after(_LAST_S):
            await self._stderr_ended.wait()
        return ServerEnded(
            ending(self._process.returncode, has_spoken=self._has_spoken), self._launch.log.last_words
        )

    async def _has_ended(self, limit_s: float) -> bool:
        """Poll: waiting for the process would also wait for whoever else holds its pipes."""
        with anyio.move_on_after(limit_s):
            while self._process.returncode is None:  # noqa: ASYNC110 - nobody tells an event of it
                await anyio.sleep(_POLL_S)
        return self._process.returncode is not None

    async def _parse(self, line: bytes | LongLine) -> SessionMessage | None:
        if isinstance(line, LongLine):
            return _refuse(line, self._launch.max_line_bytes)

        try:
            return SessionMessage(wire.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            # Prints of the server's own; a protocol error would be no use to anybody.
            await self._note(b"[stdout] " + line[:500] + b"\n")
            return None

    async def _note(self, piece: bytes) -> None:
        try:
            await anyio.to_thread.run_sync(self._launch.log.write, piece)
        except OSError as problem:
            logger.warning("a server's stderr could not be kept", extra={"reason": problem.strerror})


def _refuse(line: LongLine, limit_bytes: int) -> SessionMessage | None:
    """Return an error in the place of an answer that is too long; None where it answers nothing known."""
    if line.request is None:
        logger.warning("dropped a message that was too long", extra={"bytes": line.size_bytes})
        return None

    message = f"the answer has {line.size_bytes} bytes; {limit_bytes} may be read"
    error = wire.ErrorData(code=TOO_LARGE, message=message)
    return SessionMessage(wire.JSONRPCError(jsonrpc="2.0", id=line.request, error=error))


async def _receive(stream: ByteReceiveStream | None) -> bytes:
    """Return the next piece; empty at the end, however it comes."""
    assert stream is not None
    try:
        return await stream.receive(_PIECE_BYTES)
    except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
        return b""


async def _close(stream: anyio.abc.AsyncResource | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            await stream.aclose()


def own_environment() -> dict[str, str]:
    """Return the part of Lar's environment that servers may see."""
    return inherited(os.environ)
