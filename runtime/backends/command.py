"""Runs one outside command to its end: its output goes to a log and line by line to whoever follows it.

Bounded in time and in silence. However the wait ends (a cancellation, the death of this very process), the
command and all that it started are ended by `leash`. Decides nothing about what a failure means.
"""

import codecs
import re
import shlex
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Literal, NamedTuple

import anyio
from anyio.abc import Process

from runtime.backends.leash import GRACE_S

_LEASH = Path(__file__).with_name("leash.py")

TAIL_LINES = 200
"""Last lines kept in memory: enough to hold a compiler's complaint with pip's own lines after it."""
LOG_MAX_BYTES = 64 * 1024 * 1024
"""What one command may add to a log; a whole verbose build of llama.cpp prints about one."""
_LINE_MAX = 16 * 1024
_TICK_S = 1.0
"""How often a silent command is looked at."""
_REAP_S = GRACE_S + 8.0
"""How long a command that was let go of may take to be gone: only one stuck in the kernel needs so much."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s:]*(:[^/@\s]*)?@")


class Limits(NamedTuple):
    """How long a command may run, and how long it may print nothing."""

    deadline_s: float
    silence_s: float


class Ended(NamedTuple):
    """How a command ended."""

    returncode: int
    """Its status; 128 + signal where a signal ended it."""
    bound: Literal["deadline", "silence"] | None
    """Which limit it was killed for, if any."""
    tail: tuple[str, ...]
    """The last lines of its output."""

    @property
    def is_success(self) -> bool:
        """Whether it did what it was asked for."""
        return self.returncode == 0 and self.bound is None


def _nothing() -> None:
    return


async def run_command(
    command: Sequence[str],
    *,
    log: Path,
    limits: Limits,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    on_tick: Callable[[], None] = _nothing,
) -> Ended:
    """Run a command and return how it ended. Appends to `log`; ends the command if it is left early.

    `on_tick` is called about once a second while nothing is printed. Raises OSError where the log cannot be
    written (a full disk).
    """
    async with await anyio.open_file(log, "ab") as sink:
        await sink.write(f"$ {redact(shlex.join(command))}\n".encode())
        process = await anyio.open_process(
            [sys.executable, "-I", "-S", str(_LEASH), *command],
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment,
            start_new_session=True,
        )
        follower = _Follower(process, limits, on_line, on_tick)
        try:
            room = LOG_MAX_BYTES
            async for text in follower:
                room -= len(text)
                if room > 0:
                    await sink.write(text.encode())
                    await sink.flush()
        finally:
            await _end(process)

        ended = follower.ended()
        await sink.write(f"[ended with {ended.returncode}{_because(ended)}]\n\n".encode())
        return ended


class _Follower:
    """Reads a command's output until its end or a limit; yields it as whole lines."""

    def __init__(
        self, process: Process, limits: Limits, on_line: Callable[[str], None], on_tick: Callable[[], None]
    ) -> None:
        self._process = process
        self._limits = limits
        self._on_line = on_line
        self._on_tick = on_tick
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._began = self._heard = anyio.current_time()
        self._bound: Literal["deadline", "silence"] | None = None
        self._is_over = False

    def __aiter__(self) -> "_Follower":
        return self

    async def __anext__(self) -> str:
        while not self._is_over:
            chunk = await self._receive()
            if chunk is None:
                self._on_tick()
            elif text := self._take(chunk):
                return text

        raise StopAsyncIteration

    async def _receive(self) -> bytes | None:
        """Return some output, b"" at its end, or None when a tick passed in silence."""
        assert self._process.stdout is not None
        now = anyio.current_time()
        if now - self._began >= self._limits.deadline_s:
            return self._give_up("deadline")

        if now - self._heard >= self._limits.silence_s:
            return self._give_up("silence")

        with anyio.move_on_after(min(_TICK_S, self._limits.silence_s, self._limits.deadline_s)):
            try:
                chunk = await self._process.stdout.receive()
            except anyio.EndOfStream:
                await self._wait_for_status()
                return b""

            self._heard = anyio.current_time()
            return chunk

        # A compiler cache may leave a daemon that keeps the pipe open; the command itself is over.
        return b"" if self._process.returncode is not None else None

    async def _wait_for_status(self) -> None:
        with anyio.CancelScope(), anyio.move_on_after(_REAP_S):
            await self._process.wait()

    def _give_up(self, bound: Literal["deadline", "silence"]) -> bytes:
        self._bound = bound
        return b""

    def _take(self, chunk: bytes) -> str:
        """Return the whole lines that the chunk completes; an empty chunk is the end."""
        self._is_over = not chunk
        text = self._rest + self._decoder.decode(chunk, final=self._is_over)
        pieces = re.split(r"\r\n|\n|\r", text)
        self._rest = "" if self._is_over or len(pieces[-1]) > _LINE_MAX else pieces.pop()
        lines = [redact(each) for each in pieces if each.strip()]
        for line in lines:
            self._tail.append(line)
            self._on_line(line)

        return "".join(f"{line}\n" for line in lines)

    def ended(self) -> Ended:
        """Say how it ended, once the process is gone."""
        returncode = self._process.returncode
        if returncode is None:
            returncode = -signal.SIGKILL
        status = returncode if returncode >= 0 else 128 - returncode
        return Ended(returncode=status, bound=self._bound, tail=tuple(self._tail))


async def _end(process: Process) -> None:
    """Let go of what still runs, wait until it is gone (bounded), close the pipes."""
    assert process.stdin is not None
    with anyio.CancelScope(shield=True):
        await process.stdin.aclose()
        with anyio.move_on_after(_REAP_S):
            await process.wait()

        if process.returncode is None:
            process.kill()

        await process.aclose()


def _because(ended: Ended) -> str:
    return f", killed: {ended.bound} reached" if ended.bound else ""


def redact(text: str) -> str:
    """Return the text with user names and passwords in addresses covered."""
    return _CREDENTIALS.sub("****@", text)
