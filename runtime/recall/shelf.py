"""A shelf of things that are loaded when they are asked for and given up again when memory runs short.

Each thing is loaded once, however many ask for it at the same time. Beyond the budget those that were not
used for the longest time go; never one that is in use, and never the one that was used last: a single
thing greater than the budget would otherwise be loaded for every question.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Place(Generic[V]):
    """One thing, or the loading of it."""

    ready: anyio.Event = field(default_factory=anyio.Event)
    things: list[V] = field(default_factory=list)
    """None while it is being loaded, else one."""
    users: int = 0


class Shelf(Generic[K, V]):
    """Things by key, as many as the budget allows. For one event loop."""

    def __init__(
        self, load: Callable[[K], Awaitable[V]], size: Callable[[V], int], budget_bytes: int
    ) -> None:
        self._load = load
        self._size = size
        self._budget_bytes = budget_bytes
        self._places: dict[K, _Place[V]] = {}
        """The longest unused first."""

    @property
    def memory_bytes(self) -> int:
        """What all things on the shelf take."""
        return sum(self._size(thing) for place in self._places.values() for thing in place.things)

    @property
    def keys(self) -> list[K]:
        """What is on the shelf or on its way there, the longest unused first."""
        return list(self._places)

    @asynccontextmanager
    async def use(self, key: K) -> AsyncIterator[V]:
        """Hold a thing in use, loaded first where needed. Raises what loading raises."""
        place = await self._reach(key)
        place.users += 1
        try:
            yield place.things[0]
        finally:
            place.users -= 1
            self._give_up()

    def forget(self, concerns: Callable[[K], bool]) -> None:
        """Give up the things whose key is told of; whoever uses one now may end with it."""
        for key in [key for key in self._places if concerns(key)]:
            del self._places[key]

    async def _reach(self, key: K) -> _Place[V]:
        while (place := self._places.get(key)) is not None:
            if place.things:
                self._places[key] = self._places.pop(key)
                return place
            # The one who loads may fail or be cancelled: then the next one tries.
            await place.ready.wait()

        place = self._places[key] = _Place()
        try:
            place.things.append(await self._load(key))
        except BaseException:
            if self._places.get(key) is place:
                del self._places[key]
            raise
        finally:
            place.ready.set()
        return place

    def _give_up(self) -> None:
        excess = self.memory_bytes - self._budget_bytes
        for key in list(self._places)[:-1]:
            if excess <= 0:
                return

            place = self._places[key]
            if place.things and not place.users:
                excess -= self._size(place.things[0])
                del self._places[key]
