"""Makes the ids of what is stored: they carry the time, so that ids sort as their things were made.

No decision reads that time back, so it is the machine's own and not the clock that the rules are given.
"""

import secrets
import time

_ENTROPY_BYTES = 8  # beside the millisecond: no clash within one store's lifetime


def new_id(prefix: str) -> str:
    """Return a fresh id: the prefix (such as `vs_`), the time, chance. Later ones sort later."""
    return f"{prefix}{time.time_ns() // 1_000_000:011x}{secrets.token_hex(_ENTROPY_BYTES)}"
