"""The process that reads documents: bounded memory, and no network where that can be had.

On Linux it leaves the network before it reads, if the system lets it; elsewhere it could reach what the user
can. It is told of no other file than the document, but has the rights of the user.

Requests come on stdin, answers go to a duplicate of stdout; fd 1 itself leads nowhere, since C libraries
print. It ends with its parent, after a number of documents (libraries leak), and when nobody asks for long.
"""

import ctypes
import os
import resource
import select
import signal
import sys
import threading
import time
from typing import NoReturn

import msgspec

from runtime.recall.parse.reading import answer_to
from runtime.recall.parse.wire import BEGUN, EXIT_MEMORY, LENGTH, decode_request, encode
from runtime.recall.seclusion import leave_network

_DOCUMENTS = 200
_IDLE_S = 60.0
_WATCH_S = 0.25
_GROWN_SHARE = 0.5
"""A child whose memory once was more than this share of the limit is not used again."""
_SCRATCH_BYTES = 256 << 20
"""The longest file that may be written: libraries unpack their own models into temporary ones."""
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_IS_LINUX = sys.platform == "linux"


def main() -> None:
    """Read documents until stdin ends."""
    parent = os.getppid()
    leave_network()  # where it is refused the document is read all the same: 'lar doctor' says so
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    incoming, outgoing = _take_pipes()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_SCRATCH_BYTES, _SCRATCH_BYTES))
    watch = _Watch(parent)
    threading.Thread(target=watch.run, daemon=True).start()
    for number in range(1, _DOCUMENTS + 1):
        request = decode_request(_receive(incoming))
        _send(outgoing, BEGUN)
        watch.limit_bytes = request.limits.memory_bytes
        _limit_memory(request.limits.memory_bytes)
        answer = answer_to(request)
        _limit_memory(resource.RLIM_INFINITY)
        has_grown = _peak_bytes() > request.limits.memory_bytes * _GROWN_SHARE
        is_last = answer.is_last or number == _DOCUMENTS or has_grown
        _send(outgoing, encode(msgspec.structs.replace(answer, is_last=is_last)))
        watch.limit_bytes = 0
        if is_last:
            return


class _Watch:
    """Ends the process when its parent is gone, or when it takes too much where no limit is enforced."""

    def __init__(self, parent: int) -> None:
        self.limit_bytes = 0
        self._parent = parent

    def run(self) -> NoReturn:
        while True:
            if os.getppid() != self._parent:
                os._exit(0)
            if not _IS_LINUX and 0 < self.limit_bytes < _peak_bytes():
                os._exit(EXIT_MEMORY)
            time.sleep(_WATCH_S)


def _take_pipes() -> tuple[int, int]:
    """Return the pipes to the parent, out of the way of whatever prints or reads."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nowhere, number)
    os.close(nowhere)
    return incoming, outgoing


def _receive(incoming: int) -> bytes:
    """Return the next request. Ends the process when there is none any more, or none for long."""
    if not select.select([incoming], [], [], _IDLE_S)[0]:
        os._exit(0)
    (length,) = LENGTH.unpack(_exactly(incoming, LENGTH.size))
    return _exactly(incoming, length)


def _exactly(incoming: int, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = os.read(incoming, count - len(parts))
        if not part:
            os._exit(0)
        parts += part
    return bytes(parts)


def _send(outgoing: int, frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(outgoing, rest) :]


def _limit_memory(limit_bytes: int) -> None:
    """Have the system refuse memory beyond a limit, on Linux; elsewhere `_Watch` looks."""
    if _IS_LINUX:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, hard))


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * 1024 if _IS_LINUX else peak
