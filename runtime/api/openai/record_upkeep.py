"""Lets records go that are kept for a time only: stored chat completions, and batches that are over."""

import logging
from collections.abc import Callable

import anyio
import msgspec

from runtime.api.openai import batch_words, stored_chats
from runtime.core.agents.ports import Records
from runtime.core.clock import Clock
from runtime.core.errors import LarError

logger = logging.getLogger(__name__)

KEPT_S = 30 * 86_400.0
"""As OpenAI keeps stored completions; a batch's files go after the same time."""
EVERY_S = 3600.0
_READ_AT_ONCE = 200

Born = Callable[[bytes], float]
"""Says when a record was made."""


class _ChatHead(msgspec.Struct):
    """The part of a stored completion that tells its age."""

    created: float


class _Chat(msgspec.Struct):
    completion: _ChatHead


class RecordUpkeep:
    """Looks every hour for what is too old."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def run_forever(self) -> None:
        """Forget what is too old. For the app's task group."""
        while True:
            try:
                await self.forget_old()
            except LarError as problem:
                logger.warning("old records could not be removed", extra={"cause": problem.fault.message})
            await anyio.sleep(EVERY_S)

    async def forget_old(self) -> int:
        """Remove what is too old; return how many."""
        return await self._forget(stored_chats.KIND, _chat_age) + await self._forget(
            batch_words.KIND, _batch_age
        )

    async def _forget(self, kind: str, born: Born) -> int:
        """Remove the records of a kind from the oldest on, up to the first that is young."""
        count = 0
        while True:
            rows = await self._records.list_records(None, kind, limit=_READ_AT_ONCE)
            old = [(tenant, key) for tenant, key, body in rows if born(body) < self._clock.now() - KEPT_S]
            for tenant, key in old:
                await self._records.remove(tenant, kind, key)
            count += len(old)
            if len(old) < _READ_AT_ONCE:
                return count


def _chat_age(body: bytes) -> float:
    return msgspec.json.decode(body, type=_Chat).completion.created


def _batch_age(body: bytes) -> float:
    """Return when a batch was made; one that is not over never grows old."""
    state = msgspec.json.decode(body, type=batch_words.BatchState)
    return state.created_at if state.status in batch_words.OVER else float("inf")
