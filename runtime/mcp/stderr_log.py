"""What a local server writes to stderr: a file that is capped and rotated once, and its last words.

Not thread-safe; one reader writes, in a worker thread.
"""

import re
from pathlib import Path

_MAX_BYTES = 1024 * 1024
"""Of the file; the one before it is kept as `.1`."""
_LAST_BYTES = 2000
"""What a failure quotes."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class StderrLog:
    """The log of one server."""

    def __init__(self, path: Path, max_bytes: int = _MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._last = b""

    @property
    def last_words(self) -> str:
        """The last lines, as plain text; what is said at each start anew is there once."""
        text = _CONTROL.sub("", self._last.decode(errors="replace"))
        lines = dict.fromkeys(line.strip() for line in reversed(text.splitlines()) if line.strip())
        return " · ".join(reversed(list(lines)[:3]))

    def write(self, piece: bytes) -> None:
        """Append to the file. Raises OSError."""
        self._last = (self._last + piece)[-_LAST_BYTES:]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        size = self._path.stat().st_size if self._path.exists() else 0
        while piece:
            if size >= self._max_bytes:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                size = 0
            part, piece = piece[: self._max_bytes - size], piece[self._max_bytes - size :]
            with self._path.open("ab") as file:
                file.write(part)
            size += len(part)
