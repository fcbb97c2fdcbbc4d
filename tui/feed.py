"""Keeps the view true: follows the source and turns what comes into messages for the reducer."""

from collections.abc import Callable
from contextlib import aclosing

from runtime.core.events import Envelope
from runtime.core.states import ServerState
from tui.clock import Clock
from tui.ports import LinkLost, Refused, Source
from tui.view import Arrived, LinkDropped, Message, Snapshot


class Feed:
    """The shell around one source; `dispatch` takes what it finds."""

    def __init__(self, source: Source, clock: Clock, dispatch: Callable[[Message], None]) -> None:
        self._source = source
        self._clock = clock
        self._dispatch = dispatch

    async def run(self) -> None:
        """Follow until cancelled."""
        async with aclosing(self._source.events(None)) as items:
            async for item in items:
                self._dispatch(self._message(item))

    async def refresh(self) -> None:
        """Fetch the state once more. A server that does not answer is the event stream's to report."""
        try:
            state = await self._source.state()
        except Refused:
            return

        self._dispatch(Snapshot(state=state, at=self._clock.monotonic()))

    def _message(self, item: ServerState | Envelope | LinkLost) -> Message:
        now = self._clock.monotonic()
        match item:
            case ServerState():
                return Snapshot(state=item, at=now)
            case Envelope():
                return Arrived(envelope=item)
            case LinkLost():
                return LinkDropped(reason=item.reason, at=now, retry_at=now + item.retry_s)
