"""What is done now and then: what has expired goes, contents that nobody names go, a snapshot is taken.

Each task is tried by itself: one that fails is logged and tried again at its next turn.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import duckdb

from runtime.core.clock import Clock
from runtime.core.errors import LarError, StoreUnavailable
from runtime.core.ids import CollectionId, DocumentId, TenantId
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.blobs import BlobStore
from runtime.recall.collections import StoredCollections
from runtime.recall.documents import remove_documents
from runtime.recall.files import StoredFiles, named_hashes
from runtime.recall.marks import Marks
from runtime.recall.snapshots import Snapshots
from runtime.recall.truth import Pen, Truth

logger = logging.getLogger(__name__)

EVERY_S = 60.0
"""Between two rounds: what has expired is never shown, so that nothing depends on when it goes."""
_KEPT_CHANGES = 10_000
"""Entries that stay in the log although every durable index has them: an index in memory that was last used
a moment ago need not be loaded anew."""
_REMOVED_AT_ONCE = 500
"""Expired documents per transaction: others write in between."""

Publish = Callable[[TenantId, RecallForgotten], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upkeep:
    """The tasks, and what they work on.

    `followed` returns the seq up to which every durable index has followed the log; `publish` tells what
    went; `before_removal` removes what another part keeps of documents, in the same transaction.
    """

    truth: Truth
    marks: Marks
    collections: StoredCollections
    files: StoredFiles
    blobs: BlobStore
    snapshots: Snapshots
    clock: Clock
    followed: Callable[[], int]
    publish: Publish
    before_removal: Callable[[Pen, list[DocumentId]], None]

    async def run_forever(self) -> None:
        """Do a round now and every minute. For Recall's task group."""
        while True:
            await self.run_once()
            await anyio.sleep(EVERY_S)

    async def run_once(self) -> None:
        """Do one round."""
        now = self.clock.now()
        tasks: tuple[tuple[str, Callable[[], Awaitable[Any]]], ...] = (
            ("note when collections were used", self.marks.write_touched),
            ("remove expired collections", self.remove_expired_collections),
            ("remove expired documents", self.remove_expired_documents),
            ("remove expired files", self.files.remove_expired),
            ("remove contents without a name", lambda: self.blobs.sweep(lambda: named_hashes(self.truth))),
            ("trim the log of changes", self.trim),
            ("take the nightly snapshot", lambda: self.snapshots.take_if_due(now)),
        )
        for name, task in tasks:
            try:
                await task()
            except (LarError, StoreUnavailable, duckdb.Error, OSError):
                logger.exception("a task of upkeep has failed", extra={"task": name})

    async def remove_expired_collections(self) -> None:
        """Remove collections whose time is over."""
        for tenant, collection, documents in await self.collections.remove_expired():
            self.publish(tenant, RecallForgotten(collection=collection, documents=documents))

    async def remove_expired_documents(self) -> None:
        """Remove documents whose time is over; items of memory stay until they are forgotten."""
        while removed := await self.truth.write(self._remove_expired, is_making_room=True):
            for (tenant, collection), documents in removed.items():
                self.publish(tenant, RecallForgotten(collection=collection, documents=documents))

    async def trim(self) -> None:
        """Remove what every durable index has followed from the log of changes, save the newest."""
        up_to = self.followed() - _KEPT_CHANGES
        if up_to > 0:
            await self.truth.trim(up_to)

    def _remove_expired(self, pen: Pen) -> dict[tuple[TenantId, CollectionId], int]:
        rows = pen.rows(
            "SELECT d.ns, d.tenant, c.id, list(d.id) FROM (SELECT id, ns, tenant FROM document "
            "WHERE expires_at <= $1 "
            "AND ns IN (SELECT ns FROM collection WHERE kind = 'documents') LIMIT $2) d "
            "JOIN collection c ON c.ns = d.ns GROUP BY ALL",
            [self.clock.now(), _REMOVED_AT_ONCE],
        )
        for ns, _, _, documents in rows:
            ids = [DocumentId(each) for each in documents]
            self.before_removal(pen, ids)
            remove_documents(pen, ns, ids)
        return {
            (TenantId(tenant), CollectionId(collection)): len(documents)
            for _, tenant, collection, documents in rows
        }
