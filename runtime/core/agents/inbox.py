"""What a run is told and has not heard yet: word from outside at once, a model's outputs a few at a time."""

from collections import deque
from typing import NamedTuple

import anyio

from runtime.core.agents.moves import AnyTold

HELD = 64
"""Outputs that wait; a full inbox makes the generation wait, and that the worker."""


class Letter(NamedTuple):
    """One thing that a run is told."""

    told: AnyTold
    heard: anyio.Event | None = None


class Inbox:
    """One reader: the run."""

    def __init__(self) -> None:
        self._urgent: deque[Letter] = deque()
        self._outputs: deque[Letter] = deque()
        self._news = anyio.Event()
        self._room = anyio.Event()

    def put(self, told: AnyTold, heard: anyio.Event | None = None) -> None:
        """Tell at once; heard before outputs that wait. `heard` is set once all that follows is done."""
        self._urgent.append(Letter(told, heard))
        self._news.set()

    async def give(self, told: AnyTold) -> None:
        """Tell in order; waits while too much is unheard."""
        while len(self._outputs) >= HELD:
            self._room = anyio.Event()
            await self._room.wait()
        self._outputs.append(Letter(told))
        self._news.set()

    async def take(self) -> "Letter":
        """Return what comes next."""
        while not (self._urgent or self._outputs):
            self._news = anyio.Event()
            await self._news.wait()
        if self._urgent:
            return self._urgent.popleft()

        letter = self._outputs.popleft()
        self._room.set()
        return letter
