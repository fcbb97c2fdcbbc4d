"""How often items were found: counted in memory, stored every few seconds; a search writes nothing."""

import logging
from collections.abc import Iterable

import anyio
import duckdb

from runtime.core.errors import LarError
from runtime.core.ids import ItemId
from runtime.recall.memory.rows import add_uses
from runtime.recall.truth import Truth

logger = logging.getLogger(__name__)

STORE_EVERY_S = 5.0
"""What a kill may lose of the counts."""


class Uses:
    """Counts uses of items."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._waiting: dict[ItemId, tuple[int, float]] = {}

    def note(self, items: Iterable[ItemId], now: float) -> None:
        """Count one use of each; stored later."""
        for item in items:
            count, _ = self._waiting.get(item, (0, now))
            self._waiting[item] = (count + 1, now)

    async def store(self) -> None:
        """Store what was counted. Raises StoreFull and duckdb.Error; the counts are kept then."""
        if not self._waiting:
            return

        uses, self._waiting = self._waiting, {}
        try:
            await self._truth.write(lambda pen: add_uses(pen, uses))
        except BaseException:
            for item, (count, at) in uses.items():
                later, last = self._waiting.get(item, (0, at))
                self._waiting[item] = (later + count, max(last, at))
            raise

    async def store_forever(self) -> None:
        """Store every few seconds. For the app's task group."""
        while True:
            await anyio.sleep(STORE_EVERY_S)
            try:
                await self.store()
            except (LarError, duckdb.Error):
                logger.exception("uses of items cannot be stored; trying again")
