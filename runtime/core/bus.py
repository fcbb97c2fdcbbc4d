"""The bus: each fact is published once, gets its number here, and reaches every subscriber in order.

Publishing never waits. A subscriber has a bounded buffer; when it is full the oldest facts in it make
room, and the subscriber reads one `bus.lagged` in their place, so that it knows what it missed. The last
`RECENT` facts stay in memory, so that a newcomer can join without a gap between journal and present.

One thread only: the one of the event loop.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from runtime.core.clock import Clock
from runtime.core.events import BusLagged, Envelope, Event
from runtime.core.ids import LOCAL_TENANT, RunId, TenantId

RECENT = 8192
"""Facts kept in memory. A restart skips as many numbers, so that one which was shown but not yet stored
before a crash is never given to another fact."""


class Subscription:
    """One reader's bounded view of the bus; iterate it. Ends when the bus closes."""

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.dropped = 0
        self._capacity = capacity
        self._buffer: deque[Envelope] = deque()
        self._gap: tuple[int, int, int] | None = None
        self._wake = anyio.Event()
        self._rouse = anyio.Event()
        self._is_closed = False

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Envelope:
        batch = await self.receive(limit=1)
        if not batch:
            raise StopAsyncIteration
        return batch[0]

    async def receive(self, limit: int) -> list[Envelope]:
        """Wait for facts and return up to `limit` of them; an empty list means that the bus closed."""
        while not self._buffer and self._gap is None:
            if self._is_closed:
                return []
            self._wake = anyio.Event()
            await self._wake.wait()

        batch: list[Envelope] = []
        if self._gap is not None:
            batch.append(self._lagged(*self._gap))
            self._gap = None
        while self._buffer and len(batch) < limit:
            batch.append(self._buffer.popleft())
        return batch

    async def linger(self, limit_s: float) -> None:
        """Let facts gather for so long; ends early when the bus closes or half of the buffer is full."""
        self._rouse = anyio.Event()
        if self._is_closed or self._is_filling():
            return

        with anyio.move_on_after(limit_s):
            await self._rouse.wait()

    def rouse(self) -> None:
        """End a lingering: somebody waits for what has gathered."""
        self._rouse.set()

    def _is_filling(self) -> bool:
        return len(self._buffer) * 2 >= self._capacity

    def put(self, envelope: Envelope) -> None:
        """Take a fact; drops the oldest one when full. For the bus."""
        if len(self._buffer) >= self._capacity:
            oldest = self._buffer.popleft()
            first, _, count = self._gap or (oldest.seq, 0, 0)
            self._gap = (first, oldest.seq, count + 1)
            self.dropped += 1
        self._buffer.append(envelope)
        self._wake.set()
        if self._is_filling():
            self._rouse.set()

    def close(self) -> None:
        """Let the reader finish what is buffered, then end."""
        self._is_closed = True
        self._wake.set()
        self._rouse.set()

    def _lagged(self, first: int, last: int, count: int) -> Envelope:
        lagged = BusLagged(subscriber=self.name, first_seq=first, last_seq=last, dropped=count)
        at = self._buffer[0].at if self._buffer else 0.0
        return Envelope(seq=last, at=at, event=lagged)


class Bus:
    """Numbers facts and hands them out."""

    def __init__(self, clock: Clock, last_seq: int = 0) -> None:
        self._clock = clock
        self._last_seq = last_seq
        self._recent: deque[Envelope] = deque(maxlen=RECENT)
        self._subscriptions: list[Subscription] = []

    @property
    def last_seq(self) -> int:
        """The number of the newest fact."""
        return self._last_seq

    @property
    def lag(self) -> int:
        """Facts that subscribers of this moment have missed so far."""
        return sum(each.dropped for each in self._subscriptions)

    def publish(
        self,
        event: Event,
        *,
        run_id: RunId | None = None,
        cause: int | None = None,
        tenant: TenantId = LOCAL_TENANT,
    ) -> Envelope:
        """Give the fact its number and time and hand it to every subscriber. Never waits."""
        self._last_seq += 1
        envelope = Envelope(
            seq=self._last_seq,
            at=self._clock.now(),
            event=event,
            tenant=tenant,
            run_id=run_id,
            cause=cause,
        )
        self._recent.append(envelope)
        for subscription in self._subscriptions:
            subscription.put(envelope)
        return envelope

    def recent(self, after: int) -> tuple[list[Envelope], int]:
        """Return the facts in memory with a greater seq, and the first seq from which memory is complete.

        Facts below that number, if wanted, are in the journal.
        """
        complete_from = self._recent[0].seq if self._recent else self._last_seq + 1
        return [each for each in self._recent if each.seq > after], complete_from

    @contextmanager
    def subscribe(self, name: str, capacity: int) -> Iterator[Subscription]:
        """Receive every fact from now on, through a buffer of `capacity`."""
        subscription = Subscription(name, capacity)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """End every subscription once its reader has emptied it."""
        for subscription in self._subscriptions:
            subscription.close()
