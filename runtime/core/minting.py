"""Makes the ids of what is stored: they carry the time, so that ids sort as their things were made.

No decision reads that time back, so it is the machine's own and not the clock that the rules are given. Ids
of one millisecond count up from the first one's chance, as monotonic ULIDs do: they sort as well, and where a
clock is put back they go on from the latest.
"""

import secrets
import threading
import time

_ENTROPY_BITS = 64  # beside the millisecond: no clash within one store's lifetime


class _Mint:
    """The number of the last id: milliseconds, then chance."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        fresh = (time.time_ns() // 1_000_000 << _ENTROPY_BITS) | secrets.randbits(_ENTROPY_BITS)
        with self._lock:
            self._last = fresh if fresh >> _ENTROPY_BITS > self._last >> _ENTROPY_BITS else self._last + 1
            return self._last


_mint = _Mint()


def new_id(prefix: str) -> str:
    """Return a fresh id: the prefix (such as `vs_`), the time, chance. Later ones sort later."""
    return f"{prefix}{_mint.next():027x}"
