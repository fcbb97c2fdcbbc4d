"""What a live run tells, numbered from 0, and the readers of it, each at a pace of its own.

foreground   the newest happenings are in memory; a full memory holds the run back until its slowest reader
             has read on, so a slow reader slows only its own run
background   everything is stored before anybody sees it; who falls behind reads from the store and then
             from memory again, without a gap, and holds nobody back
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import anyio

from runtime.core.agents.happenings import AnyHappening, RunOver
from runtime.core.agents.ports import Numbered
from runtime.core.errors import Conflict, Fault
from runtime.core.ids import RunId

KEPT = 256
"""Happenings of a run in memory. A turn's delta is one; what is said faster than it is read waits here."""

ReadStored = Callable[[RunId, int], Awaitable[Sequence[Numbered]]]
"""Returns the stored happenings of a run from a number on."""
Left = Callable[[], None]


class RunStream:
    """The happenings of one run and those who read them."""

    def __init__(
        self, run: RunId, *, first: int = 0, read: ReadStored | None = None, on_left: Left | None = None
    ) -> None:
        self.run = run
        self.next_number = first
        """Of the happening that comes next."""
        self.read = read
        """Of a background run: how its stored happenings are read."""
        self.is_closed = False
        self._on_left = on_left
        self._recent: deque[Numbered] = deque()
        self._followers: list[Follower] = []
        self._news = anyio.Event()
        self._room = anyio.Event()
        self._is_let_go = False

    @property
    def followers(self) -> int:
        """How many read."""
        return len(self._followers)

    @property
    def oldest(self) -> int:
        """The first number that is in memory."""
        return self._recent[0].number if self._recent else self.next_number

    def follow(self, first: int = 0) -> "Follower":
        """Read from a number on. Raises Conflict where it is past and nothing of it was kept."""
        if self.read is None and first < self.oldest:
            message = f"What run '{self.run}' told so far was not kept: it is not in the background."
            raise Conflict(Fault(code="conflict", message=message))

        follower = Follower(self, first)
        self._followers.append(follower)
        return follower

    def publish(self, numbered: Sequence[Numbered]) -> None:
        """Show what comes next. Never waits; of a background run it is stored already."""
        for each in numbered:
            assert each.number == self.next_number, "happenings come in order"
            self._recent.append(each)
            self.next_number += 1
        self._trim()
        self._wake()

    async def tell(self, happening: AnyHappening) -> None:
        """Show what comes next in a foreground run; waits where its slowest reader is too far behind."""
        self.publish([Numbered(self.next_number, happening)])
        while len(self._recent) > KEPT and self._followers and not self._is_let_go:
            self._room = anyio.Event()
            await self._room.wait()
            self._trim()

    def let_go(self) -> None:
        """Hold the run back no more: it is to end."""
        self._is_let_go = True
        self._room.set()

    def close(self) -> None:
        """Nothing follows; readers finish what is there."""
        self.is_closed = True
        self.let_go()
        self._wake()

    def at(self, number: int) -> Numbered | None:
        """Return a happening that is in memory."""
        place = number - self.oldest
        return self._recent[place] if 0 <= place < len(self._recent) else None

    async def news(self) -> None:
        """Wait for the next happening or the end."""
        await self._news.wait()

    def has_read(self) -> None:
        """Let the run go on where it waited for the reader who has moved on."""
        if len(self._recent) > KEPT:
            self._room.set()

    def forget(self, follower: "Follower") -> None:
        """Take a reader out who has left."""
        if follower in self._followers:
            self._followers.remove(follower)
            self._room.set()
            if self._on_left is not None:
                self._on_left()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()
        if self.is_closed:
            self._news.set()

    def _trim(self) -> None:
        """Drop what is too old; in the foreground, never what somebody has still to read."""
        slowest = self.next_number
        if self.read is None and not self._is_let_go:
            slowest = min((each.cursor for each in self._followers), default=self.next_number)
        elif self.read is None:
            return  # what is left of a run that is to end is short
        while len(self._recent) > KEPT and self._recent[0].number < slowest:
            self._recent.popleft()


class Follower:
    """Fulfils `RunFollower`."""

    def __init__(self, stream: RunStream, first: int) -> None:
        self.cursor = first
        """The number that is read next."""
        self._stream = stream
        self._stored: deque[Numbered] = deque()
        self._is_done = False

    @property
    def run(self) -> RunId:
        """The run."""
        return self._stream.run

    def __aiter__(self) -> AsyncIterator[Numbered]:
        """Yield what happens, the last of it RunOver; a server that stops ends it earlier."""
        return self

    async def __anext__(self) -> Numbered:
        """Return what comes next."""
        if self._is_done:
            raise StopAsyncIteration

        numbered = await self._next()
        if numbered is None or isinstance(numbered.happening, RunOver):
            self._is_done = True
            self.aclose()
        if numbered is None:
            raise StopAsyncIteration
        return numbered

    def aclose(self) -> None:
        """Leave; a run that is not in the background and has no reader left is cancelled."""
        self._is_done = True
        self._stream.forget(self)

    async def _next(self) -> Numbered | None:
        while True:
            if self._stored:
                return self._moved_to(self._stored.popleft())
            found = self._stream.at(self.cursor)
            if found is not None:
                return self._moved_to(found)
            if self._stream.read is not None and self.cursor < self._stream.oldest:
                self._stored.extend(await self._stream.read(self.run, self.cursor))
                if self._stored:
                    continue
            if self._stream.is_closed:
                return None
            await self._stream.news()

    def _moved_to(self, numbered: Numbered) -> Numbered:
        self.cursor = numbered.number + 1
        self._stream.has_read()
        return numbered


class PastFollower:
    """A reader of a run that has ended: what was stored, and how it ended."""

    def __init__(self, run: RunId, told: Sequence[Numbered]) -> None:
        self._run = run
        self._told = deque(told)

    @property
    def run(self) -> RunId:
        """The run."""
        return self._run

    def __aiter__(self) -> AsyncIterator[Numbered]:
        """Yield what happened, the last of it RunOver."""
        return self

    async def __anext__(self) -> Numbered:
        """Return what comes next."""
        if not self._told:
            raise StopAsyncIteration
        return self._told.popleft()

    def aclose(self) -> None:
        """Leave."""
        self._told.clear()
