"""How the happenings of a background run become visible: stored first, in batches that gather meanwhile."""

from collections.abc import Sequence

import anyio

from runtime.core.agents.happenings import AnyHappening
from runtime.core.agents.ports import Numbered, RunStore
from runtime.core.agents.stream import RunStream

_GATHER_S = 0.02
"""How long words gather before they are stored: a model's words of so long make one commit."""
_MOST_PENDING = 1000
"""More hold the run back until they are stored."""


class Notes:
    """The happenings of one run that are not stored yet."""

    def __init__(self, store: RunStore, stream: RunStream) -> None:
        self._store = store
        self._stream = stream
        self._pending: list[Numbered] = []
        self._next = stream.next_number
        self._wake = anyio.Event()
        self._turn = anyio.Lock()

    async def add(self, happening: AnyHappening) -> None:
        """Take the next happening; waits only where too many are not stored."""
        self._pending.append(Numbered(self._next, happening))
        self._next += 1
        self._wake.set()
        if len(self._pending) >= _MOST_PENDING:
            await self.flush()

    async def flush(self) -> None:
        """Store what is there and show it. Raises LarError."""
        async with self._turn:
            batch: Sequence[Numbered] = self._pending
            if not batch:
                return
            self._pending = []
            await self._store.note_happenings(self._stream.run, batch)
            self._stream.publish(batch)

    async def keep_forever(self) -> None:
        """Store and show as things happen. Raises LarError."""
        while True:
            await self._wake.wait()
            await anyio.sleep(_GATHER_S)
            self._wake = anyio.Event()
            await self.flush()
