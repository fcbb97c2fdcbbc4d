"""Fills: vectors for all of a namespace, in the background; and the swap at the end of a re-embedding.

    next_space set ──► fill: chunks without a vector there ──none left──► one transaction: space = next_space
                                                                                   │
    searches use the old space until then                 old vectors go in steps ◄┘

What a fill has done lies in the tables; after a restart it goes on with what is left. New documents get their
vectors in the old space by themselves and in the new one through the fill.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import anyio

from runtime.core.ids import DocumentId, JobId
from runtime.core.knowledge import DocumentFault, JobFailure
from runtime.core.minting import new_id
from runtime.recall.ingest.jobs import DurableJobs
from runtime.recall.ingest.stores import Stores, tell_soon
from runtime.recall.ingest.tasks import (
    EndedJob,
    NewJob,
    cancel_job,
    cancel_namespace,
    end_jobs,
    insert_failure,
    insert_job,
)
from runtime.recall.ingest.units import Unit, embedding_of
from runtime.recall.ingest.words_alone import namespaces_to_fill, take_notes_away
from runtime.recall.marks import Shelfmark
from runtime.recall.truth import Pen

logger = logging.getLogger(__name__)

_STEP = 20_000
"""Old vectors that are removed in one transaction: others wait for tens of milliseconds."""
_MEASURE_EVERY_S = 5.0
_LACKING = (
    "FROM chunk WHERE ns = $1 AND document NOT IN (SELECT unnest($3::VARCHAR[])) "
    "AND id NOT IN (SELECT chunk FROM vector WHERE space = $2)"
)


class Fills:
    """The fills under way."""

    def __init__(self, stores: Stores, jobs: DurableJobs) -> None:
        self._stores = stores
        self._jobs = jobs
        self._loop: asyncio.AbstractEventLoop | None = None
        self.units: list[Unit] = []

    def reembed(self, pen: Pen, mark: Shelfmark) -> None:
        """Write the job that fills a collection's next space, in place of one that filled another."""
        assert mark.next_space is not None
        now = self._stores.clock.now()
        ended = self._cancel_former(pen, mark.ns, now)
        job = JobId(new_id("job_"))
        new = NewJob(job, mark.tenant, "reembed", mark.collection, mark.ns, None, is_open=True)
        insert_job(pen, new, now)
        fill = Unit(mark.ns, mark.next_space, job=job)
        loop = self._loop
        if loop is not None:  # else it is found when ingestion starts
            pen.committed.append(lambda: tell_soon(loop, self._begin, fill))
            pen.committed.append(self._tidy_soon(loop))  # what the former one has made goes
            pen.committed.append(lambda: tell_soon(loop, self._jobs.tell_ended, ended))

    def forget(self, pen: Pen, ns: int) -> None:
        """Cancel all work and all jobs of a namespace that is being removed."""
        rows = pen.rows("SELECT document FROM work WHERE ns = ?", [ns])
        documents = [DocumentId(row[0]) for row in rows]
        ended = cancel_namespace(pen, ns, self._stores.clock.now())
        loop = self._loop
        if loop is not None:
            pen.committed.append(lambda: tell_soon(loop, self._jobs.tell_ended, ended))
            pen.committed.append(lambda: tell_soon(loop, self._stores.live.stop, documents))
            pen.committed.append(self._tidy_soon(loop))

    def heal(self, ns: int) -> None:
        """Make the vectors that chunks of a namespace lack. Call it in the thread of the loop."""
        mark = self._stores.marks.by_ns(ns)
        if mark is None:
            return

        for unit in self.units:
            if (unit.ns, unit.space) == (ns, mark.space):
                unit.begin_anew()
                self._stores.live.bells["vectors"].ring()
                return
        self._begin(Unit(ns, mark.space))

    async def restore(self) -> None:
        """Take up what a former process left: re-embeddings, what has no vectors, vectors of old spaces."""
        self._loop = asyncio.get_running_loop()
        rows = await self._stores.truth.read(
            "SELECT id, ns FROM job WHERE kind = 'reembed' AND is_open AND finished_at IS NULL"
        )
        for job, ns in rows:
            mark = self._stores.marks.by_ns(ns)
            if mark is None or mark.next_space is None:
                await self._cancel(JobId(job))
            elif all(unit.job != job for unit in self.units):
                failed = await self._stores.truth.read(
                    "SELECT document FROM task WHERE job = ? AND status = 'failed'", [job]
                )
                skipped = {DocumentId(row[0]) for row in failed}
                self._begin(Unit(ns, mark.next_space, job=JobId(job), skipped=skipped))
        lacking = await namespaces_to_fill(self._stores.truth)
        for mark in self._stores.marks.all_marks():
            if mark.kind == "memory" or mark.ns in lacking:
                self.heal(mark.ns)

    async def filled(self, unit: Unit) -> None:
        """End a fill that has nothing left, or begin it anew where more came in the meantime."""
        if unit.job is None:
            if unit.is_over:  # else it was begun anew a moment ago
                self._drop(unit)
                await take_notes_away(self._stores, unit.ns)
            return

        now = self._stores.clock.now()
        outcome = await self._stores.write(lambda pen: self._swap(pen, unit, now), self._tell_swapped)
        if outcome is None:
            unit.begin_anew()
        else:
            self._drop(unit)
            self._stores.live.bells["tidy"].ring()  # the old vectors go
        self._stores.live.bells["vectors"].ring()

    async def failed(self, unit: Unit, document: DocumentId, fault: DocumentFault) -> None:
        """Note that a document has no vectors in the new space, and why."""
        logger.warning("a document could not be embedded anew", extra={"document": document})
        if unit.job is None:
            return

        job = unit.job

        def _work(pen: Pen) -> None:
            rows = pen.rows("SELECT name FROM document WHERE id = ?", [document])
            if rows:
                insert_failure(pen, job, JobFailure(name=rows[0][0], document=document, fault=fault))

        await self._stores.truth.write(_work)

    async def measure_forever(self) -> None:
        """Keep the progress of re-embeddings true. For the task group of ingestion."""
        while True:
            for unit in [each for each in self.units if each.job is not None]:
                await self._measure(unit)
            await anyio.sleep(_MEASURE_EVERY_S)

    async def sweep_spaces(self) -> None:
        """Remove the vectors of spaces that no collection uses, in steps that nobody notices."""
        while True:
            rows = await self._stores.truth.read(
                "SELECT id FROM space WHERE id NOT IN (SELECT space FROM collection) AND id NOT IN "
                "(SELECT next_space FROM collection WHERE next_space IS NOT NULL) ORDER BY id LIMIT 1"
            )
            if not rows:
                return

            space = int(rows[0][0])
            while await self._stores.truth.write(partial(_remove_step, space=space), is_making_room=True):
                logger.debug("removing the vectors of a former embedding", extra={"space": space})

    async def _measure(self, unit: Unit) -> None:
        assert unit.job is not None
        if embedding_of(self._stores.marks.by_ns(unit.ns), unit.space) is None:  # it was given up meanwhile
            await self.filled(unit)
            return

        total = await self._stores.truth.read(
            "SELECT count(DISTINCT document) FROM chunk WHERE ns = ?", [unit.ns]
        )
        lacking = await self._stores.truth.read(
            f"SELECT count(DISTINCT document) {_LACKING}",
            [unit.ns, unit.space, [*unit.skipped]],
        )
        # Failed documents are listed as tasks and counted there.
        whole = int(total[0][0]) - len(unit.skipped)
        self._jobs.progress(unit.job, total=whole, done=whole - int(lacking[0][0]))

    def _tidy_soon(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Return what lets the sweep look, from the thread of the writer."""
        return lambda: tell_soon(loop, lambda bell: bell.ring(), self._stores.live.bells["tidy"])

    def _begin(self, unit: Unit) -> None:
        if unit.job is not None:
            self._jobs.adopt(unit.job)
        self.units.append(unit)
        self._stores.live.bells["vectors"].ring()

    def _drop(self, unit: Unit) -> None:
        unit.is_dropped = True
        if unit in self.units:
            self.units.remove(unit)

    def _swap(self, pen: Pen, unit: Unit, now: float) -> list[EndedJob] | None:
        """Let searches use the new space and end the job; None: something still lacks a vector there."""
        assert unit.job is not None
        rows = pen.rows("SELECT next_space FROM collection WHERE ns = ?", [unit.ns])
        if not rows or rows[0][0] != unit.space:
            return _cancel_if_open(pen, unit.job, now)

        skipped = [*unit.skipped]
        lacking = pen.rows(
            f"SELECT count(*) {_LACKING}",
            [unit.ns, unit.space, skipped],
        )
        if lacking[0][0]:
            return None

        pen.execute("UPDATE collection SET space = next_space, next_space = NULL WHERE ns = ?", [unit.ns])
        self._stores.marks.renew(pen, unit.ns)
        _fail_skipped(pen, unit.job, now)
        total = pen.rows("SELECT count(DISTINCT document) FROM chunk WHERE ns = ?", [unit.ns])
        done = int(total[0][0]) - len(skipped)
        pen.execute("UPDATE job SET is_open = false, total = $2, done = $2 WHERE id = $1", [unit.job, done])
        return end_jobs(pen, [unit.job], now)

    def _tell_swapped(self, ended: list[EndedJob] | None) -> None:
        self._jobs.tell_ended(ended or [])

    def _cancel_former(self, pen: Pen, ns: int, now: float) -> list[EndedJob]:
        rows = pen.rows("SELECT id FROM job WHERE kind = 'reembed' AND ns = ? AND finished_at IS NULL", [ns])
        return [each for row in rows for each in cancel_job(pen, JobId(row[0]), now)[1]]

    async def _cancel(self, job: JobId) -> None:
        now = self._stores.clock.now()
        await self._stores.write(lambda pen: _cancel_if_open(pen, job, now), self._jobs.tell_ended)


def _cancel_if_open(pen: Pen, job: JobId, now: float) -> list[EndedJob]:
    if not pen.rows("SELECT 1 FROM job WHERE id = ? AND finished_at IS NULL", [job]):
        return []
    return cancel_job(pen, job, now)[1]


def _fail_skipped(pen: Pen, job: JobId, now: float) -> None:
    """Let documents without vectors in the new space say so: they can be found by words alone."""
    rows = pen.rows("SELECT document, fault FROM task WHERE job = ? AND status = 'failed'", [job])
    for document, fault in rows:
        pen.execute(
            "UPDATE document SET status = 'failed', fault = ?, changed_at = ? WHERE id = ? "
            "AND status = 'completed'",
            [fault, now, document],
        )


def _remove_step(pen: Pen, space: int) -> bool:
    """Remove some of a space's vectors, or the space itself; return whether more is to be removed."""
    rows = pen.rows("SELECT chunk FROM vector WHERE space = ? LIMIT ?", [space, _STEP])
    if rows:
        pen.execute(
            "DELETE FROM vector WHERE space = $1 AND chunk IN (SELECT unnest($2::BIGINT[]))",
            [space, [row[0] for row in rows]],
        )
        return True

    pen.execute("DELETE FROM space WHERE id = ?", [space])
    pen.execute("DELETE FROM learnt WHERE space = ?", [space])
    return False
