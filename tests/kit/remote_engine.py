"""Engines in another interpreter, driven through the contract as if they were here.

An engine's library lives in its backend's environment, which has no pytest. So this module is both sides:
imported, it gives `RemoteEngine`s; run as `python -m tests.kit.remote_engine NAME` by the environment's
interpreter, it serves them over its pipes, one call and one answer at a time.
"""

import os
import selectors
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import msgspec

from runtime.backends.engines.contract import Engine, LoadRefused, StepFrame
from runtime.backends.engines.registry import create_engine
from runtime.backends.framing import FrameDecoder, encode_frame
from runtime.backends.protocol import Fault, ModelFacts, Tuning, Work

ROOT = Path(__file__).parents[2]
ANSWER_S = 60.0
"""No call takes longer: the slowest is a load."""


class Create(msgspec.Struct, frozen=True, tag=True):
    """Make a new engine."""


class Load(msgspec.Struct, frozen=True, tag=True):
    path: str | None
    tuning: Tuning


class Submit(msgspec.Struct, frozen=True, tag=True):
    request: Work


class Cancel(msgspec.Struct, frozen=True, tag=True):
    seq: int


class Step(msgspec.Struct, frozen=True, tag=True):
    blocked: list[int]


class Close(msgspec.Struct, frozen=True, tag=True):
    """Free the model."""


Method = Create | Load | Submit | Cancel | Step | Close


class Call(msgspec.Struct, frozen=True):
    engine: int
    method: Method


class Answer(msgspec.Struct, frozen=True):
    is_busy: bool = False
    version: str = ""
    fractions: list[float] = []
    facts: ModelFacts | None = None
    fault: Fault | None = None
    frames: list[StepFrame] = []
    gauges: dict[str, float] = {}
    error: str | None = None
    """The traceback of what the engine raised and should not have."""


class ChildDied(Exception):
    """The process ended in the middle of a call, as a native crash ends it."""


class Child:
    """The other interpreter."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._decoder = FrameDecoder()
        self._created = 0

    def create(self) -> "RemoteEngine":
        self._created += 1
        answer = self.call(self._created, Create())
        return RemoteEngine(self, self._created, answer.version)

    def call(self, engine: int, method: Method) -> Answer:
        assert self._process.stdin is not None
        self._process.stdin.write(encode_frame(msgspec.msgpack.encode(Call(engine, method))))
        self._process.stdin.flush()
        answer = msgspec.msgpack.decode(self._read(), type=Answer)
        assert answer.error is None, answer.error
        return answer

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while True:
                assert selector.select(ANSWER_S), "the engine does not answer"
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise ChildDied(f"exit status {self._process.wait(ANSWER_S)}")

                payloads = self._decoder.feed(chunk)
                if payloads:
                    return payloads[0]


class RemoteEngine:
    """An engine of the contract whose work is done in the child."""

    def __init__(self, child: Child, number: int, version: str) -> None:
        self.name = "remote"
        self.version = version
        self._child = child
        self._number = number
        self._is_busy = False
        self._gauges: dict[str, float] = {}

    def load(self, path: str | None, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        answer = self._call(Load(path, tuning))
        for fraction in answer.fractions:
            report(fraction)

        if answer.fault is not None:
            raise LoadRefused(answer.fault)

        assert answer.facts is not None
        return answer.facts

    def submit(self, request: Work) -> None:
        self._call(Submit(request))

    def cancel(self, seq: int) -> None:
        self._call(Cancel(seq))

    def interrupt(self, seq: int) -> None:
        """Calls to the child follow one another: none runs that could be cut short."""

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        return self._call(Step(sorted(blocked))).frames

    def is_busy(self) -> bool:
        return self._is_busy

    def gauges(self) -> dict[str, float]:
        return self._gauges

    def close(self) -> None:
        self._call(Close())

    def _call(self, method: Method) -> Answer:
        answer = self._child.call(self._number, method)
        self._is_busy = answer.is_busy
        self._gauges = answer.gauges
        return answer


@contextmanager
def open_child(python: str, name: str) -> Iterator[Child]:
    """Start the interpreter; end it and reap it afterwards."""
    command = [python, "-m", __name__, name]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "GOMP_SPINCOUNT": "100"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        try:
            yield Child(process)
        finally:
            process.kill()


def serve(name: str) -> None:
    """Be the child until stdin ends."""
    write_fd = os.dup(1)
    os.dup2(2, 1)  # C libraries print
    engines: dict[int, Engine] = {}
    decoder = FrameDecoder()
    while chunk := os.read(0, 1 << 16):
        for payload in decoder.feed(chunk):
            call = msgspec.msgpack.decode(payload, type=Call)
            try:
                answer = _answer(engines, call, name)
            except Exception:  # noqa: BLE001 - the border of the child: the parent raises it
                answer = Answer(error=traceback.format_exc())

            rest = memoryview(encode_frame(msgspec.msgpack.encode(answer)))
            while rest:
                rest = rest[os.write(write_fd, rest) :]


def _answer(engines: dict[int, Engine], call: Call, name: str) -> Answer:
    if isinstance(call.method, Create):
        engines[call.engine] = create_engine(name)

    engine = engines[call.engine]
    frames: list[StepFrame] = []
    match call.method:
        case Create():
            return Answer(version=engine.version)
        case Load(path, tuning):
            return _load(engine, path, tuning)
        case Submit(request):
            engine.submit(request)
        case Cancel(seq):
            engine.cancel(seq)
        case Step(blocked):
            frames = engine.step(frozenset(blocked))
        case Close():
            engine.close()

    return Answer(is_busy=engine.is_busy(), frames=frames, gauges=engine.gauges())


def _load(engine: Engine, path: str | None, tuning: Tuning) -> Answer:
    fractions: list[float] = []
    try:
        facts = engine.load(path, tuning, fractions.append)
    except LoadRefused as refused:
        return Answer(fault=refused.fault, fractions=fractions)

    return Answer(facts=facts, fractions=fractions)


if __name__ == "__main__":
    serve(sys.argv[1])
