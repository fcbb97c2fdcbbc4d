"""All of ingestion under one roof: what faces ask, what other parts of Recall follow, what runs behind.

documents.add ──► work (durable) ──► read and cut ──► words can be found ──► vectors ──► completed
"""

import logging
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

from runtime.core.recall import Embedder
from runtime.recall.ingest.intake import Intake
from runtime.recall.ingest.jobs import DurableJobs
from runtime.recall.ingest.lane import Patience
from runtime.recall.ingest.reading import Reader, ReadStage
from runtime.recall.ingest.reembed import Fills
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.tasks import forget_gone
from runtime.recall.ingest.vectors import VectorStage
from runtime.recall.marks import Shelfmark
from runtime.recall.parse.limits import Limits
from runtime.recall.sweeping import sweep
from runtime.recall.truth import Pen

logger = logging.getLogger(__name__)

_TIDY_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is done side by side, and how long things may take."""

    readers: int = 2
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    patience: Patience = Patience()  # noqa: RUF009 - frozen


class Ingestion:
    """Takes documents in, and makes the vectors of all that Recall stores."""

    def __init__(self, stores: Stores, reader: Reader, embedder: Embedder, pace: Pace) -> None:
        self._stores = stores
        self.jobs = DurableJobs(stores)
        self.documents = Intake(stores, self.jobs)
        self._fills = Fills(stores, self.jobs)
        self._reading = ReadStage(stores, reader, pace.limits, pace.readers)
        self._vectors = VectorStage(stores, embedder, pace.patience, self._fills)

    async def run_forever(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Go on with what a former process left, then do what comes. Cancelling it loses nothing."""
        await self._restore()
        task_status.started()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._reading.run_forever)
            tasks.start_soon(self._vectors.run_forever)
            tasks.start_soon(self._fills.measure_forever)
            tasks.start_soon(self._tidy_forever)

    def reembed(self, pen: Pen, mark: Shelfmark) -> None:
        """Write the job that fills a collection's `next_space`; for whoever has just set that."""
        self._fills.reembed(pen, mark)

    def forget(self, pen: Pen, mark: Shelfmark) -> None:
        """End all work on a collection; for whoever is just removing it."""
        self._fills.forget(pen, mark.ns)

    def heal(self, ns: int) -> None:
        """Make the vectors that chunks of a namespace lack, in the background."""
        self._fills.heal(ns)

    async def sweep(self) -> None:
        """Remove, in steps, the rows that nothing leads to any more."""
        await sweep(self._stores.truth)
        await self._fills.sweep_spaces()

    async def _restore(self) -> None:
        live, truth = self._stores.live, self._stores.truth
        live.learnt.update(row[0] for row in await truth.read("SELECT space FROM learnt"))
        await self.jobs.end_interrupted()
        await self._forget_gone()
        await self._fills.restore()

    async def _forget_gone(self) -> None:
        now = self._stores.clock.now()
        await self._stores.write(lambda pen: forget_gone(pen, now), self.jobs.tell_ended)

    async def _tidy_forever(self) -> None:
        while True:
            rung = self._stores.live.bells["tidy"].next
            try:
                await self.jobs.remove_old()
                await self.sweep()
                await self._forget_gone()
            except Exception:
                # The border of what is done on the side: it is tried again in an hour.
                logger.exception("old jobs and vectors could not be removed")
            with anyio.move_on_after(_TIDY_EVERY_S):
                await rung.wait()
