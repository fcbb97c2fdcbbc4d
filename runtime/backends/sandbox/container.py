"""One container: a folder, and an interpreter over it that is begun when it is needed and killed at limits.

    ask ─► frame ─► … ─► frame ─► log, new files
             └─ deadline, memory, processes, disk: all of it is killed; the next call begins anew, and says so
What lies in the folder was written by strangers: nothing there is followed, only plain files are read.
"""

import logging
import os
import signal
import stat
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread
import msgspec
import psutil
from anyio.abc import ByteReceiveStream, Process

from runtime.backends.sandbox.bubblewrap import command_of
from runtime.core.agents.hosted.code_interpreter import RanProgram

logger = logging.getLogger(__name__)

LOG_BYTES = 256 * 1024
_WATCH_S = 0.2
_LOOK_S = 0.005
_END_S = 5.0
"""For killed processes to be gone."""
_FRAME_BYTES = 1024 * 1024
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")
_PICTURE_BYTES = 8 * 1024 * 1024
_MOST_PICTURES = 8
_MOST_FILES_TOLD = 50


class ProgramLimits(NamedTuple):
    """What a program may take."""

    seconds: float = 30.0
    memory_bytes: int = 1024**3
    processes: int = 64
    disk_bytes: int = 512 * 1024**2
    files: int = 10_000


class _Ran(msgspec.Struct):
    is_error: bool = False


class _Entry(NamedTuple):
    size: int
    changed_ns: int


class _Used(NamedTuple):
    files: int
    size: int
    """Bytes."""


class Container:
    """One container. `run` and `aclose` are for one caller at a time."""

    def __init__(self, identity: str, folder: Path, program: str, limits: ProgramLimits) -> None:
        self.id = identity
        self.folder = folder
        self.turn = anyio.Lock()
        """Held while a program runs."""
        self.used_at = 0.0
        self.is_closed = False
        self._program = program
        self._limits = limits
        self._process: Process | None = None
        self._was_killed = False

    @property
    def data(self) -> Path:
        """Where programs work."""
        return self.folder / "data"

    async def run(self, code: str) -> RanProgram:
        """Run a program to its end, or to its limit. Raises OSError where none can be begun."""
        before = await anyio.to_thread.run_sync(_files_of, self.data)
        note = "(The sandbox was begun anew: variables of earlier calls are gone, files are there.)\n"
        note = note if self._was_killed else ""
        try:
            is_error, stopped = await self._answer(code)
        except BaseException:
            await self._kill()
            raise
        if stopped:
            await self._kill()
        elif self._process is not None:
            await anyio.to_thread.run_sync(_settle, self._process.pid)
        log = await anyio.to_thread.run_sync(_read_plain, self.folder / "io" / "log", LOG_BYTES + 1)
        return await anyio.to_thread.run_sync(
            self._ran, note + _shown(log), is_error or bool(stopped), stopped, before
        )

    async def aclose(self) -> None:
        """Kill what runs."""
        self.is_closed = True
        await self._kill()

    async def _answer(self, code: str) -> tuple[bool, str]:
        """Return whether the program failed, and why it was stopped if it was."""
        process = await self._begun()
        assert process.stdin is not None
        assert process.stdout is not None
        body = msgspec.json.encode({"code": code})
        room = await anyio.to_thread.run_sync(_room_in, self.data, self._limits)
        stopped: list[str] = []
        answer: bytes | None = None
        with anyio.move_on_after(self._limits.seconds) as deadline:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, process.pid, room, stopped, tasks.cancel_scope)
                try:
                    await process.stdin.send(struct.pack(">I", len(body)) + body)
                    answer = await _frame(process.stdout)
                except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    stopped.append("The program ended the interpreter; variables are gone.")
                tasks.cancel_scope.cancel()
        if deadline.cancelled_caught:
            return (
                True,
                f"The program was stopped after {self._limits.seconds:g} seconds; variables are gone.",
            )
        if stopped or answer is None:
            return True, stopped[0] if stopped else "The program was stopped; variables are gone."
        try:
            return msgspec.json.decode(answer, type=_Ran).is_error, ""
        except msgspec.DecodeError:
            return True, "The program broke the interpreter; variables are gone."

    async def _begun(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            await anyio.to_thread.run_sync(_wake, self._process.pid)
            return self._process
        command = await anyio.to_thread.run_sync(
            command_of, self._program, self.data, self.folder / "io", self._limits.memory_bytes
        )
        self._process = await anyio.open_process(command, stderr=None, env={}, start_new_session=True)
        self._was_killed = False
        return self._process

    async def _watch(self, pid: int, room: _Used, stopped: list[str], scope: anyio.CancelScope) -> None:
        """Stop the program when all its processes together, or its files, are too much."""
        while True:
            await anyio.sleep(_WATCH_S)
            cause = await anyio.to_thread.run_sync(_excess, pid, self.data, self._limits, room)
            if cause:
                stopped.append(f"The program was stopped: {cause}; variables are gone.")
                scope.cancel()
                return

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._was_killed = True
        with anyio.CancelScope(shield=True), anyio.move_on_after(_END_S):
            await anyio.to_thread.run_sync(_kill_tree, process.pid)
            await process.wait()
            await process.aclose()

    def _ran(self, log: str, is_error: bool, note: str, before: dict[str, _Entry]) -> RanProgram:
        pictures: list[tuple[str, bytes]] = []
        files: list[str] = []
        for name, entry in sorted(_files_of(self.data).items()):
            if before.get(name) == entry:
                continue
            is_picture = name.lower().endswith(_PICTURES) and 0 < entry.size <= _PICTURE_BYTES
            if is_picture and len(pictures) < _MOST_PICTURES:
                pictures.append((name, _read_plain(self.data / name, _PICTURE_BYTES)))
            else:
                files.append(name)
        return RanProgram(
            container=self.id,
            logs=log,
            is_error=is_error,
            note=note,
            pictures=tuple(each for each in pictures if each[1]),
            files=tuple(files[:_MOST_FILES_TOLD]),
        )


async def _frame(stream: ByteReceiveStream) -> bytes:
    """Return one answer of the interpreter. Raises EndOfStream, BrokenResourceError."""
    head = await _exactly(stream, 4)
    length: int = struct.unpack(">I", head)[0]
    if length > _FRAME_BYTES:
        raise anyio.BrokenResourceError
    return await _exactly(stream, length)


async def _exactly(stream: ByteReceiveStream, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += await stream.receive(count - len(found))
    return found


def _shown(log: bytes) -> str:
    text = log[:LOG_BYTES].decode("utf-8", "replace")
    return text.rstrip("\n") + (
        f"\n[… only the first {LOG_BYTES // 1024} KiB are kept]" if len(log) > LOG_BYTES else ""
    )


def _excess(pid: int, data: Path, limits: ProgramLimits, room: _Used) -> str:
    """Say what is too much; empty where nothing is."""
    total, count = 0, 0
    try:
        for each in psutil.Process(pid).children(recursive=True):
            try:
                total += each.memory_info().rss
                count += 1
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return ""
    if count > limits.processes:
        return f"it has more than {limits.processes} processes"
    if total > limits.memory_bytes:
        return f"it needs more than {limits.memory_bytes // 1024**2} MiB of memory"
    used = _used_in(data, room)
    if used.files > room.files:
        return f"it has made more than {limits.files} files"
    if used.size > room.size:
        return f"its files have more than {limits.disk_bytes // 1024**2} MiB"
    return ""


def _settle(pid: int) -> None:
    """End what a program has left behind, and let the interpreter rest until the next one."""
    with suppress(psutil.NoSuchProcess):
        kept = _own_of(pid)
        for each in psutil.Process(pid).children(recursive=True):
            if each not in kept:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        kept[-1].suspend()


def _wake(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        _own_of(pid)[-1].resume()


def _own_of(pid: int) -> list[psutil.Process]:
    """Return what a sandbox is without programs: the first process in it, and the interpreter."""
    kept = [psutil.Process(pid)]
    for _ in range(2):
        below = kept[-1].children()
        if below:
            kept.append(min(below, key=lambda each: each.create_time()))
    return kept


def _kill_tree(pid: int) -> None:
    """Kill a sandbox with all that lives in it, and wait until it is gone. Bounded."""
    try:
        family = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    with suppress(ProcessLookupError):  # it is gone already
        os.killpg(pid, signal.SIGKILL)
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    deadline = time.monotonic() + _END_S / 2
    while any(map(_lives, family)):
        if time.monotonic() > deadline:
            logger.error("processes of a sandbox do not end", extra={"count": sum(map(_lives, family))})
            return
        time.sleep(_LOOK_S)


def _lives(process: psutil.Process) -> bool:
    """Whether a process can still do something; one that only waits to be buried cannot."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _room_in(data: Path, limits: ProgramLimits) -> _Used:
    """Return what may lie there: the limits, or what is there already, to be cleared away by a program."""
    used = _used_in(data)
    return _Used(max(limits.files, used.files), max(limits.disk_bytes, used.size))


def _used_in(data: Path, most: _Used | None = None) -> _Used:
    """Measure a folder, until it is known to have more than `most`."""
    total, count, waiting = 0, 0, [data]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for each in entries:
                    count += 1
                    if each.is_dir(follow_symlinks=False):
                        waiting.append(Path(each.path))
                    else:
                        total += each.stat(follow_symlinks=False).st_size
                    if most is not None and (count > most.files or total > most.size):
                        return _Used(count, total)
        except OSError:
            continue  # gone meanwhile, or closed by the program itself: the next look sees it
    return _Used(count, total)


def _files_of(folder: Path) -> dict[str, _Entry]:
    """Return the plain files at the top of a folder; links are none."""
    found: dict[str, _Entry] = {}
    with os.scandir(folder) as entries:
        for each in entries:
            told = each.stat(follow_symlinks=False)
            if stat.S_ISREG(told.st_mode):
                found[each.name] = _Entry(told.st_size, told.st_mtime_ns)
    return found


def _read_plain(path: Path, most_bytes: int) -> bytes:
    """Return the beginning of a plain file; nothing where it is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        return file.read(most_bytes) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
