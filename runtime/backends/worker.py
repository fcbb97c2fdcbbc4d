"""The worker process: one engine, one model, frames on pipes. Runs in the engine's environment.

Two threads. The main one owns the engine: it takes requests from the inbox, lets the engine take a step,
and sends what the step produced. The other one reads stdin and answers pings, so that a long step is no
silence. When stdin ends the parent is gone or wants us gone: the process ends at once.

Frames leave on a duplicate of stdout; fd 1 itself is pointed at stderr first, since C libraries print.
"""

import ctypes
import faulthandler
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from runtime.backends.engines.contract import Engine, LoadRefused
from runtime.backends.engines.registry import create_engine
from runtime.backends.framing import FrameDecoder, encode_frame
from runtime.backends.protocol import (
    PROTOCOL_VERSION,
    Cancel,
    Credit,
    Delta,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Fault,
    Finished,
    FromWorker,
    Generate,
    Hello,
    Load,
    LoadFailed,
    Loading,
    Ping,
    Pong,
    Ready,
    Rerank,
    Scored,
    Shutdown,
    Tokenize,
    Tokenized,
    ToWorker,
    decode_to_worker,
    encode,
)

EXIT_ENGINE_FAILED = 70  # EX_SOFTWARE
EXIT_LOAD_FAILED = 78  # EX_CONFIG

_READ_BYTES = 1 << 16
_POLL_S = 0.001
"""How long a busy engine that had nothing to say is left alone before its next step."""
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class Channel:
    """The pipes to the parent, safe to send on from both threads."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.inbox: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
        self.step_began: float | None = None
        """Monotonic time at which the engine's present step began; None between steps."""
        self.gauges: dict[str, float] = {}
        """What the engine counted after its last step; replaced whole, never changed."""
        self.interrupt: Callable[[int], None] = _ignore
        """Told of a cancel at once, while a step may run; the engine's own thread hears of it after that."""
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._lock = threading.Lock()

    def send(self, *frames: FromWorker) -> None:
        """Write frames whole and at once: the parent wakes once. Ends the process when nobody reads."""
        rest = memoryview(b"".join(encode_frame(encode(frame)) for frame in frames))
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._write_fd, rest) :]
            except BrokenPipeError:
                os._exit(0)

    def read_forever(self) -> None:
        """Read frames until stdin ends, then end the process."""
        decoder = FrameDecoder()
        while chunk := os.read(self._read_fd, _READ_BYTES):
            for payload in decoder.feed(chunk):
                self._take(decode_to_worker(payload))
        os._exit(0)

    def _take(self, frame: ToWorker) -> None:
        if isinstance(frame, Ping):
            began = self.step_began
            step_s = 0.0 if began is None else time.monotonic() - began
            self.send(Pong(token=frame.token, step_s=step_s, gauges=self.gauges))
            return

        self.inbox.put(frame)
        if isinstance(frame, Cancel):
            self.interrupt(frame.seq)


class Loop:
    """Feeds a loaded engine and sends what it makes."""

    def __init__(self, engine: Engine, channel: Channel) -> None:
        self._engine = engine
        self._channel = channel
        self._credits: dict[int, int] = {}

    def run(self) -> None:
        """Serve until Shutdown."""
        is_quiet = True
        while True:
            for frame in self._arrivals(is_quiet):
                if isinstance(frame, Shutdown):
                    return
                self._take(frame)
            is_quiet = not self._step()

    def _arrivals(self, is_quiet: bool) -> list[ToWorker]:
        """Return what has arrived; waits only when the engine had nothing to say."""
        frames: list[ToWorker] = []
        try:
            if is_quiet:
                timeout_s = _POLL_S if self._engine.is_busy() else None
                frames.append(self._channel.inbox.get(timeout=timeout_s))
            while True:
                frames.append(self._channel.inbox.get_nowait())
        except queue.Empty:
            return frames

    def _take(self, frame: ToWorker) -> None:
        match frame:
            case Generate() | Embed() | Rerank() | Tokenize() | Detokenize():
                self._credits[frame.seq] = frame.credits
                self._engine.submit(frame)
            case Credit():
                if frame.seq in self._credits:
                    self._credits[frame.seq] += frame.count
            case Cancel():
                self._engine.cancel(frame.seq)
            case Load() | Ping() | Shutdown():
                pass  # Load came before, Ping is answered by the reader, Shutdown ends `run`

    def _step(self) -> bool:
        """Let the engine take a step; return whether it produced anything."""
        blocked = {seq for seq, left in self._credits.items() if left <= 0}
        self._channel.step_began = time.monotonic()
        frames = self._engine.step(blocked)
        self._channel.step_began = None
        if frames:
            self._channel.gauges = self._engine.gauges()
            self._channel.send(*frames)
        for frame in frames:
            match frame:
                case Delta() | Embedded() | Scored() | Tokenized():
                    self._credits[frame.seq] -= 1
                case Finished() | Failed():
                    self._credits.pop(frame.seq, None)
                case _:
                    pass
        return bool(frames)


def main(engine_name: str) -> NoReturn:
    """Be a worker with this engine; does not return."""
    write_fd = os.dup(1)
    os.dup2(2, 1)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to handle
    _die_with_parent()
    channel = Channel(0, write_fd)
    try:
        status = _serve(engine_name, channel)
    except Exception:  # noqa: BLE001 - the border of a worker: the parent reads these last words
        faulthandler.disable()
        sys.excepthook(*sys.exc_info())
        status = EXIT_ENGINE_FAILED
    sys.stderr.flush()
    os._exit(status)  # C libraries may hang in their atexit handlers; the kernel frees the model as well


def _serve(engine_name: str, channel: Channel) -> int:
    try:
        engine = create_engine(engine_name)
    except ImportError as problem:
        return _refuse(channel, engine_name, problem)

    version = engine.version
    channel.send(Hello(version=PROTOCOL_VERSION, engine=engine_name, engine_version=version, pid=os.getpid()))
    threading.Thread(target=channel.read_forever, name="reader", daemon=True).start()
    first = channel.inbox.get()
    if not isinstance(first, Load):
        return 0

    if first.version != PROTOCOL_VERSION:
        message = f"The worker speaks version {PROTOCOL_VERSION} of the protocol, the server {first.version}."
        channel.send(LoadFailed(fault=Fault(code="backend_missing", message=message)))
        return EXIT_LOAD_FAILED

    channel.step_began = time.monotonic()
    try:
        facts = engine.load(
            first.path, first.tuning, lambda fraction: channel.send(Loading(fraction=fraction))
        )
    except LoadRefused as refusal:
        channel.send(LoadFailed(fault=refusal.fault))
        return EXIT_LOAD_FAILED
    finally:
        channel.step_began = None

    channel.interrupt = engine.interrupt
    channel.send(Ready(facts=facts))
    Loop(engine, channel).run()
    engine.close()
    return 0


def _ignore(_seq: int) -> None:
    return


def _refuse(channel: Channel, engine_name: str, problem: ImportError) -> int:
    channel.send(Hello(version=PROTOCOL_VERSION, engine=engine_name, engine_version="", pid=os.getpid()))
    message = f"The environment of the backend '{engine_name}' is incomplete: {problem}. Install it again."
    channel.send(LoadFailed(fault=Fault(code="backend_missing", message=message)))
    return EXIT_LOAD_FAILED


def _die_with_parent() -> None:
    """On Linux, have the kernel kill us with our parent, for the case that a step never yields the GIL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
