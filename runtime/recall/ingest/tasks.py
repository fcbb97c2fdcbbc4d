"""How rows of jobs, tasks and work change together: written with a pen inside somebody's transaction.

A document under way has one row of work and a live task in each job that waits for it. Whatever ends it goes
through `end_tasks`, which also ends the jobs that waited for nothing else.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from runtime.core.ids import CollectionId, DocumentId, JobId, SourceId, TenantId
from runtime.core.knowledge import DocumentFault, JobFailure, JobKind, JobStatus
from runtime.recall.ingest.live import Stage
from runtime.recall.truth import Pen

Outcome = Literal["done", "failed", "cancelled"]


class NewJob(NamedTuple):
    """A job to be stored."""

    id: JobId
    tenant: TenantId
    kind: JobKind
    collection: CollectionId | None
    ns: int | None
    source: SourceId | None
    is_open: bool
    """Whether somebody will end it; else it ends with its last task."""


class NewTask(NamedTuple):
    """A document that a job waits for."""

    document: DocumentId
    name: str
    is_done: bool
    """Whether there is nothing left to do with it."""


class EndedJob(NamedTuple):
    """A job that a transaction has ended."""

    id: JobId
    tenant: TenantId
    kind: JobKind
    status: JobStatus
    done: int
    failed: int


class NewWork(NamedTuple):
    """What is to be done with a document."""

    document: DocumentId
    stage: Stage
    size_bytes: int


def insert_job(pen: Pen, job: NewJob, now: float) -> None:
    """Store a job."""
    pen.execute(
        "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, 'running', ?, 0, 0, 0, ?, NULL, NULL)",
        [job.id, job.tenant, job.kind, job.collection, job.ns, job.source, job.is_open, now],
    )


def insert_tasks(pen: Pen, job: JobId, tasks: Sequence[NewTask]) -> None:
    """Add tasks to a job."""
    if not tasks:
        return

    first = _next_number(pen, job)
    pen.execute(
        "INSERT INTO task SELECT $1, unnest($2::INTEGER[]), unnest($3::VARCHAR[]), unnest($4::VARCHAR[]), "
        "unnest($5::VARCHAR[]), NULL",
        [
            job,
            [*range(first, first + len(tasks))],
            [each.document for each in tasks],
            [each.name for each in tasks],
            ["done" if each.is_done else "live" for each in tasks],
        ],
    )


def insert_failure(pen: Pen, job: JobId, failure: JobFailure) -> None:
    """Add a failed task to a job."""
    pen.execute(
        "INSERT INTO task VALUES (?, ?, ?, ?, 'failed', ?)",
        [job, _next_number(pen, job), failure.document, failure.name, fault_json(failure.fault)],
    )


def insert_work(pen: Pen, ns: int, tenant: TenantId, work: Sequence[NewWork]) -> None:
    """Note what is to be done with documents; the order given is the one in which it is done."""
    if not work:
        return

    first = int(pen.rows("SELECT coalesce(max(number), 0) + 1 FROM work")[0][0])
    # The same document may have been at work, and ended, earlier in this very transaction.
    pen.execute(
        "INSERT OR REPLACE INTO work SELECT unnest($1::VARCHAR[]), $2, $3, unnest($4::BIGINT[]), "
        "unnest($5::VARCHAR[]), unnest($6::BIGINT[])",
        [
            [each.document for each in work],
            ns,
            tenant,
            [*range(first, first + len(work))],
            [each.stage for each in work],
            [each.size_bytes for each in work],
        ],
    )


def is_at_stage(pen: Pen, document: DocumentId, stage: Stage) -> bool:
    """Tell whether a document is still to pass a stage: it may have been cancelled or removed meanwhile."""
    return bool(pen.rows("SELECT 1 FROM work WHERE document = ? AND stage = ?", [document, stage]))


def end_tasks(
    pen: Pen,
    documents: Sequence[DocumentId],
    outcome: Outcome,
    now: float,
    fault: DocumentFault | None = None,
) -> list[EndedJob]:
    """End what is at work with documents, whose rows stay as they are; return the jobs that end with it."""
    if not documents:
        return []

    ids = [*documents]
    rows = pen.rows(
        "SELECT DISTINCT job FROM task WHERE status = 'live' AND document IN (SELECT unnest($1::VARCHAR[]))",
        [ids],
    )
    pen.execute(
        "UPDATE task SET status = $2, fault = $3 WHERE status = 'live' "
        "AND document IN (SELECT unnest($1::VARCHAR[]))",
        [ids, outcome, None if fault is None else fault_json(fault)],
    )
    pen.execute("DELETE FROM work WHERE document IN (SELECT unnest($1::VARCHAR[]))", [ids])
    return end_jobs(pen, [JobId(row[0]) for row in rows], now)


def end_jobs(pen: Pen, jobs: Sequence[JobId], now: float) -> list[EndedJob]:
    """End those of the jobs that are waiting for nothing any more; return them."""
    rows = pen.rows(
        "SELECT id FROM job WHERE id IN (SELECT unnest($1::VARCHAR[])) AND finished_at IS NULL "
        "AND NOT is_open AND id NOT IN (SELECT job FROM task WHERE status = 'live' "
        "AND job IN (SELECT unnest($1::VARCHAR[])))",
        [[*jobs]],
    )
    ended = [str(row[0]) for row in rows]
    if not ended:
        return []

    pen.execute(
        "UPDATE job SET status = CASE WHEN fault IS NULL THEN 'completed' ELSE 'failed' END, "
        "finished_at = $2 WHERE id IN (SELECT unnest($1::VARCHAR[]))",
        [ended, now],
    )
    return ended_jobs(pen, ended)


def cancel_job(pen: Pen, job: JobId, now: float) -> tuple[list[DocumentId], list[EndedJob]]:
    """Cancel a job that has not ended; return the documents that nobody waits for any more, and the job."""
    rows = pen.rows(
        "SELECT DISTINCT document FROM task WHERE job = $1 AND status = 'live' AND document NOT IN "
        "(SELECT document FROM task WHERE job <> $1 AND status = 'live')",
        [job],
    )
    documents = [DocumentId(row[0]) for row in rows]
    cancel_documents(pen, documents, now)
    pen.execute("DELETE FROM work WHERE document IN (SELECT unnest($1::VARCHAR[]))", [documents])
    pen.execute("UPDATE task SET status = 'cancelled' WHERE job = ? AND status = 'live'", [job])
    pen.execute(
        "UPDATE job SET status = 'cancelled', is_open = false, finished_at = ? WHERE id = ?", [now, job]
    )
    return documents, ended_jobs(pen, [job])


def cancel_namespace(pen: Pen, ns: int, now: float) -> list[EndedJob]:
    """Cancel all work and all jobs of a namespace; return the jobs."""
    rows = pen.rows("SELECT document FROM work WHERE ns = ?", [ns])
    ended = end_tasks(pen, [DocumentId(row[0]) for row in rows], "cancelled", now)
    rows = pen.rows("SELECT id FROM job WHERE ns = ? AND finished_at IS NULL", [ns])
    for row in rows:
        ended += cancel_job(pen, JobId(row[0]), now)[1]
    return ended


def cancel_documents(pen: Pen, documents: Sequence[DocumentId], now: float) -> None:
    """Note that documents under way are not to be taken in; what is stored of them stays."""
    pen.execute(
        "UPDATE document SET status = 'cancelled', changed_at = $2 WHERE status = 'in_progress' "
        "AND id IN (SELECT unnest($1::VARCHAR[]))",
        [[*documents], now],
    )


def forget_gone(pen: Pen, now: float) -> list[EndedJob]:
    """End the work on documents that were removed, with their collection or alone."""
    rows = pen.rows(
        "SELECT document FROM work WHERE document NOT IN (SELECT id FROM document) UNION "
        "SELECT document FROM task WHERE status = 'live' AND document NOT IN (SELECT id FROM document)"
    )
    return end_tasks(pen, [DocumentId(row[0]) for row in rows], "cancelled", now)


def ended_jobs(pen: Pen, jobs: Sequence[str]) -> list[EndedJob]:
    """Return how jobs ended."""
    rows = pen.rows(
        "SELECT j.id, j.tenant, j.kind, j.status, "
        "any_value(j.done) + count(t.number) FILTER (WHERE t.status = 'done'), "
        "any_value(j.failed) + count(t.number) FILTER (WHERE t.status = 'failed') "
        "FROM job j LEFT JOIN task t ON t.job = j.id WHERE j.id IN (SELECT unnest($1::VARCHAR[])) "
        "GROUP BY ALL ORDER BY j.id",
        [[*jobs]],
    )
    return [EndedJob(*row) for row in rows]


def fault_json(fault: DocumentFault) -> str:
    """Return a fault as it is stored."""
    return msgspec.json.encode(fault).decode()


def _next_number(pen: Pen, job: JobId) -> int:
    return int(pen.rows("SELECT coalesce(max(number), 0) + 1 FROM task WHERE job = ?", [job])[0][0])
