"""Jobs, as `core.recall.Jobs`: rows that outlive the process, read with the progress of their tasks.

A job over documents ends with its last task. One that somebody else drives (a sync, an import) is begun,
told about and ended by `begin`, `progress`, `note_failure` and `end`; documents may be added to it, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec

from runtime.core.errors import Conflict, Fault, NotFound
from runtime.core.ids import CollectionId, DocumentId, JobId, SourceId, TenantId
from runtime.core.knowledge import DocumentFault, Job, JobFailure, JobKind
from runtime.core.minting import new_id
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.tasks import (
    EndedJob,
    NewJob,
    NewTask,
    NewWork,
    cancel_job,
    end_jobs,
    fault_json,
    insert_failure,
    insert_job,
    insert_tasks,
    insert_work,
)
from runtime.recall.truth import Pen

FAILURES_SHOWN = 100
KEPT_S = 30 * 86400.0
"""How long a job that has ended can be looked at."""
_COLUMNS = "id, kind, collection, source, status, total, done, failed, created_at, finished_at, fault, ns"
_INTERRUPTED = DocumentFault(
    code="internal_error",
    message="The server stopped before this job was over. What it had found is taken in; begin it again.",
)


@dataclass(slots=True)
class _Told:
    """What was told of a job beside its tasks."""

    total: int = 0
    done: int = 0
    failed: int = 0
    current: str | None = None


class DurableJobs:
    """Finds, waits for, ends and retries jobs."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._told: dict[JobId, _Told] = {}

    async def find(self, tenant: TenantId, job: JobId) -> Job:
        """Return one. Raises NotFound."""
        rows = await self._stores.truth.read(
            f"SELECT {_COLUMNS} FROM job WHERE id = ? AND tenant = ?",  # noqa: S608 - constants
            [job, tenant],
        )
        if not rows:
            raise _no_job(job)
        return (await self._jobs(rows))[0]

    async def list_all(self, tenant: TenantId, *, limit: int = 100) -> list[Job]:
        """Return jobs, the newest first."""
        rows = await self._stores.truth.read(
            f"SELECT {_COLUMNS} FROM job WHERE tenant = ? ORDER BY id DESC LIMIT ?",  # noqa: S608 - constants
            [tenant, limit],
        )
        return await self._jobs(rows)

    async def wait(self, tenant: TenantId, job: JobId, limit_s: float) -> Job:
        """Return the job once it has ended, or as it is after `limit_s`. Raises NotFound."""
        ended = self._stores.live.job_bell(job).next
        try:
            found = await self.find(tenant, job)
        except NotFound:
            self._stores.live.end_jobs([job])
            raise

        if found.finished_at is not None:
            self._stores.live.end_jobs([job])
            return found

        with anyio.move_on_after(limit_s):
            await ended.wait()
        return await self.find(tenant, job)

    async def cancel(self, tenant: TenantId, job: JobId) -> Job:
        """End a job; what it has stored stays. Raises NotFound."""
        found = await self.find(tenant, job)
        if found.finished_at is not None:
            return found

        now = self._stores.clock.now()

        def _cancel(pen: Pen) -> tuple[list[DocumentId], list[EndedJob]]:
            rows = pen.rows("SELECT kind, ns FROM job WHERE id = ? AND finished_at IS NULL", [job])
            if not rows:
                return [], []

            kind, ns = rows[0]
            if kind == "reembed":
                self._stores.marks.abandon_space(pen, ns)
            return cancel_job(pen, job, now)

        await self._stores.write(_cancel, self._tell_cancelled)
        return await self.find(tenant, job)

    async def retry(self, tenant: TenantId, job: JobId) -> Job:
        """Begin a job over the documents that failed in this one. Raises NotFound, Conflict."""
        former = await self.find(tenant, job)
        if former.finished_at is None:
            raise _conflict("It is still under way: wait for its end, or cancel it.")

        again = JobId(new_id("job_"))
        now = self._stores.clock.now()
        is_begun = await self._stores.write(
            lambda pen: _retry(pen, tenant, job, again, now), lambda _: self._stores.live.ring_all()
        )
        if not is_begun:
            raise _conflict("None of its documents failed and is still there: there is nothing to retry.")

        return await self.find(tenant, again)

    async def begin(
        self,
        tenant: TenantId,
        kind: JobKind,
        collection: CollectionId | None = None,
        source: SourceId | None = None,
    ) -> Job:
        """Begin a job that the caller drives, and ends with `end`. A restart ends it as interrupted."""
        job = JobId(new_id("job_"))
        mark = None if collection is None else self._stores.marks.find_ns(tenant, collection)
        ns = None if mark is None else mark.ns
        new = NewJob(job, tenant, kind, collection, ns, source, is_open=True)
        now = self._stores.clock.now()
        await self._stores.truth.write(lambda pen: insert_job(pen, new, now))
        self._told[job] = _Told()
        return await self.find(tenant, job)

    def adopt(self, job: JobId) -> None:
        """Take up a job whose row is there already, as if it had been begun here."""
        self._told.setdefault(job, _Told())

    def is_live(self, job: JobId) -> bool:
        """Whether a job that was begun here goes on: False once it was cancelled or has ended."""
        return job in self._told

    def progress(
        self,
        job: JobId,
        *,
        total: int | None = None,
        done: int | None = None,
        failed: int | None = None,
        current: str | None = None,
    ) -> bool:
        """Note how far a job is, beside the documents that were added to it; return whether it goes on."""
        told = self._told.get(job)
        if told is None:
            return False

        told.total = told.total if total is None else total
        told.done = told.done if done is None else done
        told.failed = told.failed if failed is None else failed
        told.current = current
        return True

    async def note_failure(self, job: JobId, failure: JobFailure) -> None:
        """List something that could not be taken in; it counts in the job's total."""
        await self._stores.truth.write(lambda pen: insert_failure(pen, job, failure))

    async def end(self, job: JobId, fault: DocumentFault | None = None) -> None:
        """End a job that was begun here, once the documents that were added to it have ended.

        With a fault it ends as failed. Does nothing where it was cancelled.
        """
        told = self._told.get(job)
        if told is None:
            return

        told.current = None
        now = self._stores.clock.now()

        def _end(pen: Pen) -> list[EndedJob]:
            pen.execute(
                "UPDATE job SET is_open = false, total = ?, done = ?, failed = ?, fault = ? WHERE id = ? "
                "AND finished_at IS NULL",
                [told.total, told.done, told.failed, None if fault is None else fault_json(fault), job],
            )
            return end_jobs(pen, [job], now)

        await self._stores.write(_end, self.tell_ended)
        self._told.pop(job, None)

    async def end_interrupted(self) -> None:
        """End the jobs that a former process drove; those over documents and re-embeddings go on."""
        now = self._stores.clock.now()

        def _interrupt(pen: Pen) -> list[EndedJob]:
            rows = pen.rows("SELECT id FROM job WHERE is_open AND kind <> 'reembed' AND finished_at IS NULL")
            jobs = [JobId(row[0]) for row in rows if row[0] not in self._told]
            pen.execute(
                "UPDATE job SET is_open = false, fault = $2 WHERE id IN (SELECT unnest($1::VARCHAR[]))",
                [jobs, fault_json(_INTERRUPTED)],
            )
            return end_jobs(pen, jobs, now)

        await self._stores.write(_interrupt, self.tell_ended)

    async def remove_old(self) -> None:
        """Remove jobs that ended long ago, with their tasks."""
        before = self._stores.clock.now() - KEPT_S

        def _remove(pen: Pen) -> None:
            rows = pen.rows("SELECT id FROM job WHERE finished_at < ?", [before])
            jobs = [row[0] for row in rows]
            if jobs:
                pen.execute("DELETE FROM task WHERE job IN (SELECT unnest($1::VARCHAR[]))", [jobs])
                pen.execute("DELETE FROM job WHERE id IN (SELECT unnest($1::VARCHAR[]))", [jobs])

        await self._stores.truth.write(_remove)

    def tell_ended(self, ended: Sequence[EndedJob]) -> None:
        """Let everybody know that jobs have ended."""
        for each in ended:
            self._told.pop(each.id, None)
        self._stores.tell_ended(ended)

    def _tell_cancelled(self, cancelled: tuple[Sequence[DocumentId], Sequence[EndedJob]]) -> None:
        documents, ended = cancelled
        self.tell_ended(ended)
        self._stores.live.stop(documents)
        self._stores.live.ring_all()

    async def _jobs(self, rows: Sequence[tuple[Any, ...]]) -> list[Job]:
        """Return the jobs of rows, with the state of their tasks."""
        truth, ids = self._stores.truth, [row[0] for row in rows]
        counts: dict[str, dict[str, int]] = {each: {} for each in ids}
        for job, status, count in await truth.read(_COUNTS, [ids]):
            counts[job][status] = count

        failures: dict[str, list[JobFailure]] = {each: [] for each in ids}
        failed = [each for each in ids if counts[each].get("failed")]
        for job, name, document, fault in await truth.read(_FAILURES, [failed]) if failed else []:
            failures[job].append(_failure(name, document, fault))

        live = [each for each in ids if counts[each].get("live")]
        names = self._stores.live.names
        at_work = await truth.read(_AT_WORK, [live, [*names]]) if live and names else []
        newest_last = {document: place for place, document in enumerate(names)}
        at_work.sort(key=lambda row: newest_last.get(DocumentId(row[1]), -1))
        current = {job: names[document] for job, document in at_work if document in names}
        return [self._job(row, counts[row[0]], tuple(failures[row[0]]), current.get(row[0])) for row in rows]

    def _job(
        self,
        row: Sequence[Any],
        counts: dict[str, int],
        failures: tuple[JobFailure, ...],
        current: str | None,
    ) -> Job:
        is_live = row[9] is None
        told = self._told.get(JobId(row[0])) or _Told(total=row[5], done=row[6], failed=row[7])
        has_begun = set(counts) != {"live"} or current is not None
        return Job(
            id=JobId(row[0]),
            kind=row[1],
            collection=None if row[2] is None else CollectionId(row[2]),
            source=None if row[3] is None else SourceId(row[3]),
            status="queued" if row[4] == "running" and not has_begun else row[4],
            total=told.total + sum(counts.values()),
            done=told.done + counts.get("done", 0),
            failed=told.failed + counts.get("failed", 0),
            current=(current or told.current) if is_live else None,
            created_at=row[8],
            finished_at=row[9],
            failures=failures,
            fault=None if row[10] is None else msgspec.json.decode(row[10], type=DocumentFault),
            note=self._note(row[11]) if is_live and row[11] is not None else None,
        )

    def _note(self, ns: int) -> str | None:
        """Return what holds up a model that the namespace waits for."""
        mark, held = self._stores.marks.by_ns(ns), self._stores.live.held
        if mark is None:
            return None

        following = None if mark.next_embedding is None else held.get(mark.next_embedding.model)
        return held.get(mark.embedding.model) or following


_COUNTS = (
    "SELECT job, status, count(*) FROM task WHERE job IN (SELECT unnest($1::VARCHAR[])) GROUP BY job, status"
)
_FAILURES = (
    "SELECT job, name, document, fault FROM task WHERE status = 'failed' "  # noqa: S608 - constants
    "AND job IN (SELECT unnest($1::VARCHAR[])) "
    f"QUALIFY row_number() OVER (PARTITION BY job ORDER BY number DESC) <= {FAILURES_SHOWN} "
    "ORDER BY job, number DESC"
)
_AT_WORK = (
    "SELECT job, document FROM task WHERE status = 'live' AND job IN (SELECT unnest($1::VARCHAR[])) "
    "AND document IN (SELECT unnest($2::VARCHAR[]))"
)


def _retry(pen: Pen, tenant: TenantId, former: JobId, again: JobId, now: float) -> bool:
    """Store a job over the failed documents of a former one; False where there are none."""
    rows = pen.rows(
        "SELECT d.id, t.name, d.chunks, d.size_bytes FROM task t JOIN document d ON d.id = t.document "
        "WHERE t.job = ? AND t.status = 'failed' AND d.status = 'failed' ORDER BY t.number",
        [former],
    )
    if not rows:
        return False

    kind, collection, ns, source = pen.rows(
        "SELECT kind, collection, ns, source FROM job WHERE id = ?", [former]
    )[0]
    if kind == "reembed":  # the swap is over; what is left is vectors of single documents
        kind = "ingest"
    documents = [row[0] for row in rows]
    pen.execute(
        "UPDATE document SET status = 'in_progress', fault = NULL, changed_at = $2 "
        "WHERE id IN (SELECT unnest($1::VARCHAR[]))",
        [documents, now],
    )
    insert_job(pen, NewJob(again, tenant, kind, collection, ns, source, is_open=False), now)
    insert_tasks(pen, again, [NewTask(DocumentId(row[0]), row[1], is_done=False) for row in rows])
    work = [NewWork(DocumentId(row[0]), "vectors" if row[2] else "read", row[3]) for row in rows]
    insert_work(pen, ns, tenant, work)
    return True


def _failure(name: str, document: str | None, fault: str) -> JobFailure:
    return JobFailure(
        name=name,
        document=None if document is None else DocumentId(document),
        fault=msgspec.json.decode(fault, type=DocumentFault),
    )


def _no_job(job: JobId) -> NotFound:
    return NotFound(Fault(code="not_found", message=f"There is no job '{job}'."))


def _conflict(message: str) -> Conflict:
    return Conflict(Fault(code="conflict", message=message))
