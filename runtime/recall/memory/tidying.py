"""Consolidation as a job: one at a time for each tenant, taken up again after a restart."""

import logging
from functools import partial

import anyio
import duckdb
from anyio.abc import TaskStatus

from runtime.core.errors import LarError
from runtime.core.ids import ItemId, JobId, TenantId
from runtime.core.knowledge import DocumentFault, Job
from runtime.recall.memory.consolidating import SELECT_REPEATED, count_expired, end_expired, merge_repeated
from runtime.recall.memory.given import Given

logger = logging.getLogger(__name__)

_FAILED = DocumentFault(
    code="internal_error",
    message="The memory could not be consolidated; 'lar logs' tells why. Begin it again.",
)


class Tidying:
    """Begins and drives consolidations."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._waiting: dict[TenantId, JobId] = {}
        """Jobs that have begun and not ended, in the order of their beginning."""
        self._arrived = anyio.Event()
        self._lock = anyio.Lock()

    async def begin(self, tenant: TenantId) -> Job:
        """Begin a consolidation, or return the one under way."""
        async with self._lock:
            if (job := self._waiting.get(tenant)) is not None:
                found = await self._given.jobs.find(tenant, job)
                if found.finished_at is None:
                    return found

            begun = await self._given.jobs.begin(tenant, "consolidate")
            self._waiting[tenant] = begun.id
            self._arrived.set()
            return begun

    async def resume(self) -> None:
        """Take up what a former process has begun. Before jobs end what nobody takes up."""
        rows = await self._given.truth.read(
            "SELECT id, tenant FROM job WHERE kind = 'consolidate' AND finished_at IS NULL ORDER BY id"
        )
        for job, tenant in rows:
            self._given.jobs.adopt(JobId(job))
            former = self._waiting.pop(TenantId(tenant), None)
            if former is not None:
                await self._given.jobs.end(former)
            self._waiting[TenantId(tenant)] = JobId(job)
            self._arrived.set()

    async def run_forever(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Do what has begun, one after the other. For the app's task group."""
        task_status.started()
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            while self._waiting:
                tenant, job = next(iter(self._waiting.items()))
                fault = await self._try(tenant, job)
                await self._given.jobs.end(job, fault)
                if self._waiting.get(tenant) == job:
                    del self._waiting[tenant]

    async def _try(self, tenant: TenantId, job: JobId) -> DocumentFault | None:
        try:
            await self.consolidate(tenant, job)
        except (LarError, duckdb.Error):
            logger.exception("a memory could not be consolidated", extra={"tenant": tenant})
            return _FAILED

        return None

    async def consolidate(self, tenant: TenantId, job: JobId) -> None:
        """End what has expired and merge what is said twice, until it is done or the job was cancelled."""
        home = self._given.marks.memory_of(tenant)
        if home is None:
            return

        truth, jobs, now = self._given.truth, self._given.jobs, self._given.clock.now()
        expired = await truth.write(lambda pen: count_expired(pen, home.ns, now))
        rows = await truth.read(SELECT_REPEATED, [home.ns, now])
        groups = [[ItemId(each) for each in row[0]] for row in rows]
        total = expired + sum(len(group) - 1 for group in groups)
        done = 0
        while jobs.progress(job, total=total, done=done):
            ended = await truth.write(lambda pen: end_expired(pen, home, now))
            if not ended:
                break
            done = min(done + ended, total)

        for group in groups:
            if not jobs.progress(job, total=total, done=done):
                return
            await truth.write(partial(merge_repeated, home=home, group=group, now=now))
            done = min(done + len(group) - 1, total)
        jobs.progress(job, total=total, done=total)
