"""What every part of ingestion stands on, and how it tells what has happened."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from runtime.core.clock import Clock
from runtime.core.fact import Fact
from runtime.core.ids import DocumentId, TenantId
from runtime.core.recall_facts import RecallForgotten, RecallJobEnded
from runtime.recall.blobs import BlobStore
from runtime.recall.documents import DocumentRows
from runtime.recall.ingest.live import Live
from runtime.recall.ingest.tasks import EndedJob
from runtime.recall.marks import Marks
from runtime.recall.truth import Pen, Truth

Publish = Callable[[Fact, TenantId], object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stores:
    """The truth with what lies around it."""

    truth: Truth
    marks: Marks
    documents: DocumentRows
    blobs: BlobStore
    clock: Clock
    publish: Publish
    live: Live = field(default_factory=Live)

    async def write(self, work: Callable[[Pen], T], tell: Callable[[T], object]) -> T:
        """Run `work` in a transaction, then `tell` what it returned, even if nobody waits any more.

        Raises what `work` raises, and StoreFull.
        """
        loop = asyncio.get_running_loop()

        def _work(pen: Pen) -> T:
            result = work(pen)
            pen.committed.append(lambda: tell_soon(loop, tell, result))
            return result

        return await self.truth.write(_work)

    def tell_forgotten(self, ns: int, documents: Sequence[DocumentId]) -> None:
        """Publish that documents of a namespace went, if any did: their words are wiped then."""
        mark = self.marks.by_ns(ns)
        if documents and mark is not None:
            self.publish(RecallForgotten(collection=mark.collection, documents=len(documents)), mark.tenant)

    def tell_ended(self, jobs: Sequence[EndedJob]) -> None:
        """Wake those who wait for jobs that have ended, and publish their ends."""
        self.live.end_jobs([each.id for each in jobs])
        for each in jobs:
            fact = RecallJobEnded(
                job=each.id, job_kind=each.kind, status=each.status, done=each.done, failed=each.failed
            )
            self.publish(fact, each.tenant)


def tell_soon(loop: asyncio.AbstractEventLoop, tell: Callable[[T], object], told: T) -> None:
    """Tell something in the thread of the loop; called in that of the writer."""
    loop.call_soon_threadsafe(tell, told)
