"""Cuts a server's stdout into lines of a bounded size. Pure.

Of a line that is too long only its ends are kept: enough to find out which call it answers.
"""

import re
from typing import NamedTuple

_HEAD_BYTES = 1024
_TAIL_BYTES = 256
_ID = re.compile(rb'"id"\s*:\s*(\d+|"[^"\\]{1,100}")')


class LongLine(NamedTuple):
    """What is left of a line that was too long."""

    size_bytes: int
    request: int | str | None
    """The id of the request that it answers, if that can be told."""


class Lines:
    """Takes pieces, gives lines."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._dropped = 0
        self._tail = b""

    def feed(self, piece: bytes) -> list[bytes | LongLine]:
        """Return the lines that end in this piece, without their line ends."""
        found: list[bytes | LongLine] = []
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._take(part)
            found.append(self._finish())
        self._take(rest)
        return found

    def _take(self, part: bytes) -> None:
        if not self._dropped and len(self._line) + len(part) <= self._max_bytes:
            self._line += part
            return

        if not self._dropped:
            self._dropped = len(self._line)
            self._tail = bytes(self._line[-_TAIL_BYTES:])
            self._line = bytearray((bytes(self._line[:_HEAD_BYTES]) + part)[:_HEAD_BYTES])
        self._tail = (self._tail + part)[-_TAIL_BYTES:]
        self._dropped += len(part)

    def _finish(self) -> bytes | LongLine:
        line, self._line = bytes(self._line), bytearray()
        size, tail = self._dropped, self._tail
        self._dropped, self._tail = 0, b""
        return LongLine(size, _request_of(line, tail)) if size else line


def _request_of(head: bytes, tail: bytes) -> int | str | None:
    """Find the id at either end of a message: some libraries write it first, others last."""
    envelope = re.split(rb'"(?:result|error|params)"', head, maxsplit=1)[0]
    at_end = _ID.findall(tail)
    found = _ID.search(envelope)
    told: bytes | None = found[1] if found else (at_end[-1] if at_end else None)
    if told is None:
        return None
    return int(told) if told.isdigit() else told[1:-1].decode(errors="replace")
