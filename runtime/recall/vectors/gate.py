"""Lets threads read side by side, or one of them write alone. Writers go first: their turns are short."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """For worker threads; the event loop never waits at it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writers = 0
        """Those that write or wait for it."""
        self._is_written = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the gate beside other readers."""
        with self._changed:
            self._changed.wait_for(lambda: not self._writers)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the gate alone."""
        with self._changed:
            self._writers += 1
            self._changed.wait_for(lambda: not self._readers and not self._is_written)
            self._is_written = True
        try:
            yield
        finally:
            with self._changed:
                self._is_written = False
                self._writers -= 1
                self._changed.notify_all()
