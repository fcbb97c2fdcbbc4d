"""What was read of the truth lately, kept until the next commit of anything: then it may be another."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Rows by key, as many as there is room for. For any thread; what it gives is not to be changed."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._commits = 0
        self._rows: OrderedDict[K, V] = OrderedDict()

    def at(self, commits: int) -> None:
        """Forget everything if something was committed since (`Database.commits`)."""
        with self._lock:
            if commits != self._commits:
                self._rows.clear()
                self._commits = commits

    def find(self, keys: Iterable[K]) -> dict[K, V]:
        """Return what is kept of these keys."""
        with self._lock:
            found = {key: self._rows[key] for key in keys if key in self._rows}
            for key in found:
                self._rows.move_to_end(key)
            return found

    def keep(self, rows: dict[K, V], commits: int) -> None:
        """Keep rows that were read when there had been so many commits, if there were none since."""
        with self._lock:
            if commits != self._commits:
                return

            self._rows.update(rows)
            while len(self._rows) > self._room:
                self._rows.popitem(last=False)
