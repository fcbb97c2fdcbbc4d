"""Server-sent events from bytes, split anywhere. Pure: bytes in, events out."""

from typing import NamedTuple

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""A whole answer fits many times; more is not a server that we know."""


class Sse(NamedTuple):
    """One event of a stream; `id` and `kind` are empty where the stream did not say."""

    id: str
    kind: str
    data: str


class EventTooLong(Exception):
    """The stream sent an event beyond any sense."""


class SseReader:
    """Collects bytes and gives the events that they complete."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._scanned = 0
        self._id = ""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Sse]:
        """Take bytes; return the events that are whole now. Raises EventTooLong."""
        self._pending += chunk
        events: list[Sse] = []
        while (end := self._pending.find(b"\n", self._scanned)) >= 0:
            line = bytes(self._pending[:end]).removesuffix(b"\r")
            del self._pending[: end + 1]
            self._scanned = 0
            event = self._line(line.decode("utf-8", errors="replace"))
            if event is not None:
                events.append(event)

        self._scanned = len(self._pending)
        if self._scanned + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def _line(self, line: str) -> Sse | None:
        if not line:
            return self._dispatch()

        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._id = value
        return None

    def _dispatch(self) -> Sse | None:
        event = Sse(self._id, self._kind, "\n".join(self._data)) if self._data else None
        self._kind = ""
        self._data.clear()
        return event
