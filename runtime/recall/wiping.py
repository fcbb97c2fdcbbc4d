"""Wipes what was forgotten from the files of the text index, where removed words stay until a rewrite.

Several removals in a row are wiped together. What a former process did not come to is wiped after the start.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio
import duckdb

from runtime.core.errors import LarError, StoreUnavailable
from runtime.core.fact import Fact
from runtime.core.recall_facts import RecallForgotten

logger = logging.getLogger(__name__)

GATHER_S = 300.0
"""After the first removal: rewriting the index of 100,000 chunks takes seconds, so one serves many."""


class Wiper:
    """Knows whether something was forgotten since the last wipe."""

    def __init__(self, compact: Callable[[], Awaitable[int]], gather_s: float = GATHER_S) -> None:
        self._compact = compact
        self._gather_s = gather_s
        self._forgotten = anyio.Event()
        self._forgotten.set()

    def note(self, fact: Fact) -> None:
        """Look at a fact; only removals matter."""
        if isinstance(fact, RecallForgotten):
            self._forgotten.set()

    async def run_forever(self) -> None:
        """Wipe some time after a removal. For Recall's task group."""
        while True:
            await self._forgotten.wait()
            await anyio.sleep(self._gather_s)
            self._forgotten = anyio.Event()
            try:
                rewritten = await self._compact()
            except (LarError, StoreUnavailable, duckdb.Error, OSError, ValueError):
                logger.exception("forgotten words could not be wiped from the text index")
                self._forgotten.set()
            else:
                logger.info("wiped what was forgotten", extra={"indexes": rewritten})
