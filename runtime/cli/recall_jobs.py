"""`lar recall jobs`: the work behind the scenes, listed, followed, ended or repeated."""

import argparse

from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandFailed, notice, say_json, say_table
from runtime.cli.recall_calls import TENANT, clean, day, one_line, with_recall
from runtime.cli.recall_progress import JobsView, follow
from runtime.core.ids import JobId
from runtime.core.knowledge import Job


def jobs(chosen: argparse.Namespace) -> int:
    """Print jobs; exit code 1 where the one that is named has failed."""
    if chosen.job is None:
        return _list(chosen)

    job = with_recall(lambda recall: _one(recall, chosen))
    if chosen.json:
        say_json(job)
    else:
        say_table(("JOB", "KIND", "STATUS", "DONE", "FAILED", "BEGUN", "NOW"), [_row(job)])
        tell_failures(job)
    return EXIT_FAILED if job.status == "failed" or job.failures else EXIT_OK


def tell_failures(job: Job) -> None:
    """Print what failed in a job, each with cause and fix."""
    for failure in job.failures:
        notice(f"✖ {clean(failure.name)}: {clean(failure.fault.message)}")
    if job.fault is not None:
        notice(f"✖ {clean(job.fault.message)}")


def _list(chosen: argparse.Namespace) -> int:
    if chosen.wait or chosen.cancel or chosen.retry:
        raise CommandFailed("Name a job: lar recall jobs JOB --wait.", EXIT_USAGE)

    found = with_recall(lambda recall: recall.jobs.list_all(TENANT, limit=max(1, min(chosen.limit, 1000))))
    if chosen.json:
        say_json(found)
    elif found:
        headers = ("JOB", "KIND", "STATUS", "DONE", "FAILED", "BEGUN", "NOW")
        say_table(headers, [_row(each) for each in found])
    else:
        notice("There were no jobs lately.")
    return EXIT_OK


async def _one(recall: RemoteRecall, chosen: argparse.Namespace) -> Job:
    job = JobId(chosen.job)
    if chosen.cancel:
        return await recall.jobs.cancel(TENANT, job)

    if chosen.retry:
        return await recall.jobs.retry(TENANT, job)

    found = await recall.jobs.find(TENANT, job)
    if not chosen.wait:
        return found

    with JobsView(found.total, is_shown=not chosen.json) as view:
        return await follow(recall, found, view)


def _row(job: Job) -> list[str]:
    return [
        job.id,
        job.kind,
        job.status,
        f"{job.done}/{job.total}",
        str(job.failed),
        day(job.created_at),
        one_line(job.note or job.current or "", 100),
    ]
