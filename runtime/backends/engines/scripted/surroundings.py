"""The scripted engine's door to the machine: time, and the accidents that cues ask for.

Everything else in the engine is a function of the request, so a test that brings surroundings of its own
sees no clock and no death.
"""

import os
import resource
import signal
import time
from typing import Protocol

NOISE = b"\x00\x00\x00\x05noise\xff\xff\xff\xff llama_load: printf from a C library\n" * 8
"""What a library may print: bytes that read as frame lengths, right and wrong ones."""

_LAST_WORDS = b"scripted: this process dies now, because a [[crash]] cue asked for it\n"
_DAY_S = 86_400.0


class Surroundings(Protocol):
    """What the engine can do to the process that it lives in."""

    def monotonic(self) -> float:
        """Seconds from an unspecified start; never goes back."""

    def crash(self) -> None:
        """Die at once, as a failed assertion in a C library would make it."""

    def hang(self) -> None:
        """Never return, while the process's other threads go on."""

    def freeze(self) -> None:
        """Stop every thread of the process until somebody continues or kills it."""

    def make_noise(self) -> None:
        """Write bytes on file descriptor 1 that are no frames."""


class Process:
    """The real surroundings."""

    def monotonic(self) -> float:
        """Seconds from some start; never goes back."""
        return time.monotonic()

    def crash(self) -> None:
        """Die by SIGABRT, without a core file, with a line on stderr."""
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        os.write(2, _LAST_WORDS)
        os.abort()

    def hang(self) -> None:
        """Sleep without end; other threads go on."""
        while True:
            time.sleep(_DAY_S)

    def freeze(self) -> None:
        """Stop this process with SIGSTOP, which it cannot refuse."""
        os.kill(os.getpid(), signal.SIGSTOP)

    def make_noise(self) -> None:
        """Write NOISE on file descriptor 1."""
        os.write(1, NOISE)
