"""Sources, as `core.recall.Sources`: places that collections are kept in step with."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.ids import CollectionId, SourceId, TenantId
from runtime.core.knowledge import Job, NewSource, Source
from runtime.core.minting import new_id
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.ingest.stores import tell_soon
from runtime.recall.ingest.tasks import end_tasks
from runtime.recall.marks import Shelfmark
from runtime.recall.sources.following import QUIET_S, Following, Watch
from runtime.recall.sources.kinds import is_local, kind_of, path_of
from runtime.recall.sources.rows import (
    SourceRow,
    forget_sources,
    insert_source,
    no_source,
    remove_source,
    update_source,
)
from runtime.recall.sources.sync import Given, Removed
from runtime.recall.sources.tokens import is_readable_on_its_way, no_token, readable_on_its_way
from runtime.recall.sweeping import sweep_source
from runtime.recall.truth import Pen


class RecallSources:
    """Follows places for all tenants. The faces say who may name files and secrets of this machine."""

    def __init__(self, given: Given, watch: Watch, quiet_s: float = QUIET_S) -> None:
        self._given = given
        self._rows = given.rows
        self._following = Following(given, watch, quiet_s)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run_forever(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Sync what is due, for ever. Cancelling it loses nothing."""
        self._loop = asyncio.get_running_loop()
        await self._following.run_forever(task_status=task_status)

    def wake(self) -> None:
        """Look at what is due now; for whoever has moved the clock."""
        self._following.wake()

    def forget(self, pen: Pen, mark: Shelfmark) -> None:
        """Forget the sources of a collection; for whoever is just removing it, with its jobs."""
        forget_sources(pen, mark)
        loop = self._loop
        if loop is not None:
            pen.committed.append(lambda: tell_soon(loop, _call, self._following.wake))

    async def add(self, tenant: TenantId, collection: CollectionId, new: NewSource) -> Source:
        """Follow a place and begin its first sync. Raises NotFound, Conflict, RequestInvalid."""
        mark = self._given.stores.marks.find_ns(tenant, collection)
        kind = kind_of(new)
        await self._check_here(new)
        now = self._given.clock.now()
        row = SourceRow(
            id=SourceId(new_id("src_")),
            ns=mark.ns,
            tenant=tenant,
            kind=kind,
            told=new,
            created_at=now,
            next_at=now,
        )
        await self._given.stores.truth.write(lambda pen: insert_source(pen, row, mark))
        await self._following.ask(row)
        return await self.find(tenant, row.id)

    async def list_all(self, tenant: TenantId, collection: CollectionId | None = None) -> list[Source]:
        """Return sources by creation. Raises NotFound where there is no such collection."""
        mark = None if collection is None else self._given.stores.marks.find_ns(tenant, collection)
        return await self._rows.describe(await self._rows.list_all(tenant, None if mark is None else mark.ns))

    async def find(self, tenant: TenantId, source: SourceId) -> Source:
        """Return one. Raises NotFound."""
        found = await self._rows.describe([await self._rows.find(tenant, source)])
        if not found:
            raise no_source(source)
        return found[0]

    async def sync(self, tenant: TenantId, source: SourceId) -> Job:
        """Begin a sync now, or return the one under way; of a paused source, too. Raises NotFound."""
        return await self._following.ask(await self._rows.find(tenant, source))

    async def pause(self, tenant: TenantId, source: SourceId, *, is_paused: bool) -> Source:
        """Stop or resume following; what is resumed is looked at soon. Raises NotFound."""
        row = await self._rows.find(tenant, source)
        if row.is_paused == is_paused:
            return await self.find(tenant, source)

        due = None if is_paused else self._given.clock.now()
        await self._given.stores.truth.write(
            lambda pen: update_source(pen, source, is_paused=is_paused, next_at=due, failures=0)
        )
        if is_paused:
            await self._following.stop(source)
        self._following.wake()
        return await self.find(tenant, source)

    async def remove(self, tenant: TenantId, source: SourceId, *, is_keeping_documents: bool) -> None:
        """Follow it no more. Raises NotFound."""
        row = await self._rows.find(tenant, source)
        stores, jobs = self._given.stores, self._given.ingestion.jobs
        now = self._given.clock.now()

        def _remove(pen: Pen) -> Removed:
            documents = remove_source(pen, row, is_keeping_documents=is_keeping_documents)
            return Removed(documents, end_tasks(pen, documents, "cancelled", now))

        def _tell(removed: Removed) -> None:
            stores.live.stop(removed.documents)
            jobs.tell_ended(removed.jobs)

        await self._following.hold(source)
        try:
            removed = await stores.write(_remove, _tell)
            await self._sweep(row, removed)
        finally:
            self._following.let_go(source)
        mark = stores.marks.by_ns(row.ns)
        if removed.documents and mark is not None:
            count = len(removed.documents)
            stores.publish(RecallForgotten(collection=mark.collection, documents=count), tenant)

    async def _sweep(self, row: SourceRow, removed: Removed) -> None:
        """Remove, in steps, the documents that did not go with the source; a restart goes on with it."""
        if not removed.documents:
            return

        stores = self._given.stores
        try:
            while await stores.truth.write(
                partial(sweep_source, ns=row.ns, source=row.id), is_making_room=True
            ):
                pass
        finally:
            stores.live.bells["tidy"].ring()  # goes on where nobody waits any more

    async def _check_here(self, new: NewSource) -> None:
        """Refuse what this machine does not have: a folder, a token. Raises RequestInvalid."""
        if is_local(new.uri):
            path = Path(path_of(new.uri))
            if not await anyio.to_thread.run_sync(path.is_dir):
                _refuse("uri", f"There is no folder '{path}' on the machine of the server.")
        if new.secret is None:
            return

        if not self._given.environment.get(new.secret):
            _refuse("secret", no_token(new.secret).message)
        if await is_readable_on_its_way(new.uri, self._given.find_host):
            _refuse("uri", readable_on_its_way(new.uri).message)


def _call(told: Callable[[], None]) -> None:
    told()


def _refuse(param: str, message: str) -> NoReturn:
    raise RequestInvalid(Fault(code="invalid_request", message=message, param=param))
