"""Jobs: their progress, waiting without polling, cancelling, retrying; those that somebody else drives."""

from pathlib import Path

import anyio
import pytest

from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import LOCAL_TENANT, JobId
from runtime.core.knowledge import DocumentFault, JobFailure
from runtime.core.recall_facts import RecallJobEnded
from runtime.recall.ingest.ingestion import Pace
from runtime.recall.ingest.jobs import FAILURES_SHOWN, KEPT_S
from tests.kit.clock import FakeClock
from tests.kit.ingest_stage import QUICK, ParagraphReader, built_stage, open_stage, text

FAULT = DocumentFault(code="unreachable", message="The server does not answer.")


async def test_a_job_tells_what_is_done_what_failed_and_what_it_is_at(tmp_path: Path) -> None:
    reached, go_on = anyio.Event(), anyio.Event()

    async def _before(name: str) -> None:
        if name == "c.txt":
            reached.set()
            await go_on.wait()

    async with open_stage(
        tmp_path, reader=ParagraphReader(_before), pace=Pace(readers=1, patience=QUICK)
    ) as stage:
        job, _ = await stage.add(text("a.txt", "x"), text("b.txt", "broken"), text("c.txt", "y"))
        await reached.wait()
        midway = await stage.ingestion.jobs.find(LOCAL_TENANT, job.id)
        assert (midway.status, midway.total, midway.current, midway.finished_at) == (
            "running",
            3,
            "c.txt",
            None,
        )
        as_it_is = await stage.ingestion.jobs.wait(LOCAL_TENANT, job.id, 0.01)
        assert as_it_is.finished_at is None

        go_on.set()
        ended = await stage.over(job)
        assert (ended.status, ended.total, ended.done, ended.failed) == ("completed", 3, 2, 1)
        assert [(each.name, each.fault.code) for each in ended.failures] == [("b.txt", "broken")]
        assert ended.current is None
        told = [fact for fact, _ in stage.facts if isinstance(fact, RecallJobEnded)]
        assert told == [RecallJobEnded(job=job.id, job_kind="ingest", status="completed", done=2, failed=1)]


async def test_a_job_lists_its_newest_hundred_failures_and_counts_all(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job, _ = await stage.add(*(text(f"{index}.txt", f"broken {index}") for index in range(120)))
        ended = await stage.over(job)

        assert (ended.failed, len(ended.failures)) == (120, FAILURES_SHOWN)
        assert {each.name for each in ended.failures} == {f"{index}.txt" for index in range(20, 120)}


async def test_a_job_over_nothing_has_ended(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        job, documents = await stage.add()

        assert documents == ()
        assert (job.status, job.total) == ("completed", 0)


async def test_a_cancelled_job_stops_and_keeps_what_it_has_stored(tmp_path: Path) -> None:
    reached = anyio.Event()

    async def _before(name: str) -> None:
        if name != "a.txt":
            reached.set()
            await anyio.sleep_forever()

    async with open_stage(tmp_path, reader=ParagraphReader(_before)) as stage:
        first, (kept,) = await stage.add(text("a.txt", "x"))
        await stage.over(first)
        job, documents = await stage.add(text("a.txt", "x"), *(text(f"{n}.txt", "y") for n in range(5)))
        await reached.wait()
        cancelled = await stage.ingestion.jobs.cancel(LOCAL_TENANT, job.id)

        assert (cancelled.status, cancelled.done, cancelled.total) == ("cancelled", 1, 6)
        assert await stage.ingestion.jobs.cancel(LOCAL_TENANT, job.id) == cancelled
        states = [(await stage.ingestion.documents.find(LOCAL_TENANT, each.id)).status for each in documents]
        assert states == ["completed", *["cancelled"] * 5]
        assert documents[0].id == kept.id
        stage.reader.before = None
        await stage.taken_in(text("later.txt", "z"))
        await stage.check()


async def test_cancelling_one_job_leaves_what_another_one_waits_for(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        one, _ = await stage.add(text("a.txt", "x"))
        other, _ = await stage.add(text("a.txt", "x"), text("b.txt", "y"))
        assert (await stage.ingestion.jobs.cancel(LOCAL_TENANT, other.id)).status == "cancelled"

        async with anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: stage.ingestion.run_forever(task_status=task_status))
            assert (await stage.over(one)).done == 1
            tasks.cancel_scope.cancel()
        assert stage.reader.read_names == ["a.txt"]
        await stage.check()


async def test_failed_documents_are_retried_as_a_new_job(tmp_path: Path) -> None:
    is_mended = False

    async def _before(name: str) -> None:
        if name.startswith("odd") and not is_mended:
            raise OSError("no")

    async with open_stage(tmp_path, reader=ParagraphReader(_before)) as stage:
        job, _ = await stage.add(text("a.txt", "x"), text("odd1.txt", "y"), text("odd2.txt", "z"))
        ended = await stage.over(job)
        assert (ended.done, ended.failed) == (1, 2)

        is_mended = True
        again = await stage.ingestion.jobs.retry(LOCAL_TENANT, job.id)
        assert again.id != job.id
        assert again.total == 2
        ended = await stage.over(again)
        assert (ended.done, ended.failed) == (2, 0)
        with pytest.raises(Conflict):
            await stage.ingestion.jobs.retry(LOCAL_TENANT, job.id)
        assert stage.reader.read_names.count("a.txt") == 1
        await stage.check()


async def test_a_job_under_way_is_not_retried(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        job, _ = await stage.add(text("a.txt", "x"))
        with pytest.raises(Conflict):
            await stage.ingestion.jobs.retry(LOCAL_TENANT, job.id)


async def test_a_driven_job_takes_documents_and_ends_with_the_last_of_them(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        jobs, collection = stage.ingestion.jobs, await stage.collection()
        job = await jobs.begin(LOCAL_TENANT, "sync", collection.id)
        assert (job.status, job.kind, job.collection) == ("running", "sync", collection.id)

        await stage.ingestion.documents.add_to(job.id, LOCAL_TENANT, collection.id, [text("a", "x")])
        await stage.ingestion.documents.add_to(job.id, LOCAL_TENANT, collection.id, [text("b", "broken")])
        await jobs.note_failure(job.id, JobFailure(name="https://c.example/", fault=FAULT))
        assert jobs.progress(job.id, current="listing")
        await jobs.end(job.id)

        ended = await stage.over(job)
        assert (ended.status, ended.total, ended.done, ended.failed) == ("completed", 3, 1, 2)
        assert not jobs.progress(job.id, done=7)
        with pytest.raises(NotFound):
            await stage.ingestion.documents.add_to(job.id, LOCAL_TENANT, collection.id, [text("c", "x")])


async def test_a_driven_job_without_documents_counts_what_it_is_told(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        jobs = stage.ingestion.jobs
        job = await jobs.begin(LOCAL_TENANT, "import")
        jobs.progress(job.id, total=10, done=3, failed=1, current="line 4")
        midway = await jobs.find(LOCAL_TENANT, job.id)
        assert (midway.total, midway.done, midway.failed, midway.current) == (10, 3, 1, "line 4")

        await jobs.end(job.id, FAULT)
        ended = await jobs.find(LOCAL_TENANT, job.id)
        assert (ended.status, ended.fault, ended.done) == ("failed", FAULT, 3)


async def test_a_driven_job_learns_that_it_was_cancelled(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        jobs = stage.ingestion.jobs
        job = await jobs.begin(LOCAL_TENANT, "consolidate")
        assert jobs.is_live(job.id)
        await jobs.cancel(LOCAL_TENANT, job.id)

        assert not jobs.is_live(job.id)
        assert not jobs.progress(job.id, done=1)
        await jobs.end(job.id)
        assert (await jobs.find(LOCAL_TENANT, job.id)).status == "cancelled"


async def test_a_restart_ends_driven_jobs_and_goes_on_with_the_others(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        collection = await stage.collection()
        sync = await stage.ingestion.jobs.begin(LOCAL_TENANT, "sync", collection.id)
        await stage.ingestion.documents.add_to(sync.id, LOCAL_TENANT, collection.id, [text("a", "x")])
        ingest, _ = await stage.add(text("b", "y"))

    async with open_stage(tmp_path) as stage:
        ended = await stage.over(sync)
        assert (ended.status, ended.done) == ("failed", 1)
        assert ended.fault is not None
        assert "begin it again" in ended.fault.message
        assert (await stage.over(ingest)).status == "completed"
        await stage.check()


async def test_waiting_for_a_job_that_is_not_there_says_so(tmp_path: Path) -> None:
    async with built_stage(tmp_path) as stage:
        with pytest.raises(NotFound):
            await stage.ingestion.jobs.wait(LOCAL_TENANT, JobId("job_none"), 5)


async def test_many_wait_for_one_job_and_all_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    async with open_stage(tmp_path) as stage:
        job = await stage.ingestion.jobs.begin(LOCAL_TENANT, "import")

        async def _wait() -> None:
            told.append((await stage.over(job)).status)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(_wait)
            await anyio.wait_all_tasks_blocked()
            await stage.ingestion.jobs.end(job.id)
    assert told == ["completed"] * 5


async def test_jobs_are_listed_the_newest_first_and_kept_for_thirty_days(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_stage(tmp_path, clock=clock) as stage:
        old, _ = await stage.add(text("a", "x"))
        await stage.over(old)
        clock.advance(KEPT_S - 1)
        new, _ = await stage.add(text("b", "x"))
        await stage.over(new)
        clock.advance(2)
        await stage.ingestion.jobs.remove_old()

        assert [each.id for each in await stage.ingestion.jobs.list_all(LOCAL_TENANT)] == [new.id]
        assert await stage.count("task") == 1
        assert await stage.count("document") == 2
