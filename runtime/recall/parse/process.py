"""A reading child as the server sees it: start, ask, end. Its environment holds nothing of the server's."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
from anyio.abc import Process

import runtime
from runtime.recall.parse.wire import BEGUN, LENGTH, Answer, Request, decode_answer, encode

_START = "import sys; sys.path.append(sys.argv[1]); from runtime.recall.parse.child import main; main()"
"""Isolated from the user's Python settings; Lar itself may lie outside of the environment's packages."""
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TESSDATA_PREFIX",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
)
"""Variables that Python and Tesseract need. Keys and tokens of the server's stay with the server."""
_READ_BYTES = 1 << 16
_REAP_LIMIT_S = 5.0
"""After SIGKILL the kernel needs only to free memory."""
_ANSWER_OVERHEAD_BYTES = 64 << 20
"""Beside the text: sections, pieces, notes."""
_BYTES_PER_CHARACTER = 4


class ChildDied(Exception):
    """The child ended without an answer, or its answer was none."""

    def __init__(self, returncode: int | None, *, has_begun: bool) -> None:
        self.returncode = returncode
        self.has_begun = has_begun
        """Whether it had the request: else it had ended before, or never started."""
        self.words = _words(returncode)
        super().__init__(self.words)


class ReadingChild:
    """A running child; made by `start_child`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._rest = b""

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def ask(self, request: Request) -> Answer:
        """Send a request and return the answer. Raises ChildDied. A cancelled child must be ended."""
        assert self._process.stdin is not None
        limit = request.limits.characters * _BYTES_PER_CHARACTER + _ANSWER_OVERHEAD_BYTES
        has_begun = False
        try:
            await self._process.stdin.send(encode(request))
            has_begun = await self._exactly(len(BEGUN)) == BEGUN
            (length,) = LENGTH.unpack(await self._exactly(LENGTH.size))
            if length > limit:
                raise ChildDied(None, has_begun=has_begun)
            return decode_answer(await self._exactly(length))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream) as problem:
            with anyio.move_on_after(_REAP_LIMIT_S):
                await self._process.wait()
            raise ChildDied(self._process.returncode, has_begun=has_begun) from problem

    async def end(self) -> None:
        """Kill the child with whatever it started, and reap it. Bounded, not to be cancelled."""
        with anyio.move_on_after(_REAP_LIMIT_S, shield=True):
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # gone; macOS refuses to signal a zombie
                self._rest = b""
            await self._process.wait()
        with anyio.CancelScope(shield=True):
            await self._process.aclose()

    async def _exactly(self, count: int) -> bytes:
        assert self._process.stdout is not None
        parts = [self._rest]
        have = len(self._rest)
        while have < count:
            part = await self._process.stdout.receive(_READ_BYTES)
            parts.append(part)
            have += len(part)
        whole = b"".join(parts)
        self._rest = whole[count:]
        return whole[:count]


async def start_child() -> ReadingChild:
    """Start a child in a group of its own. Raises OSError where no process can be started."""
    root = Path(runtime.__path__[0]).parent
    process = await anyio.open_process(
        [sys.executable, "-I", "-c", _START, os.fspath(root)],
        env=child_environment(os.environ),
        start_new_session=True,
        stdin=-1,
        stdout=-1,
        stderr=-3,
    )
    return ReadingChild(process)


def child_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: what it needs, one thread for each library."""
    kept = {name: outer[name] for name in _KEPT if name in outer}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"}


def _words(returncode: int | None) -> str:
    if returncode is None:
        return "it answered nonsense"
    if returncode < 0:
        try:
            return signal.Signals(-returncode).name
        except ValueError:
            return f"signal {-returncode}"
    return f"exit {returncode}"
