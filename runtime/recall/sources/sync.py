"""One sync of a source: its place is looked at, what is new is stored, and what is gone goes.

A document is stored before its entry, so a crash between the two costs one identical look. Removals, and what
the next look is given, are written together once the look has come to its end; a look that failed or was cut
short removes nothing.
"""

import logging
import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from runtime.core.clock import Clock
from runtime.core.errors import LarError, NotFound
from runtime.core.fetching import MIB
from runtime.core.ids import CollectionId, DocumentId, JobId
from runtime.core.knowledge import DocumentFault, JobFailure, NewDocument, SourceKind
from runtime.core.recall_facts import SourceSynced
from runtime.recall.ingest.ingestion import Ingestion
from runtime.recall.ingest.intake import NAME_LIMIT
from runtime.recall.ingest.stores import Stores
from runtime.recall.ingest.tasks import EndedJob, end_tasks
from runtime.recall.sources.origin import (
    Changed,
    Entry,
    Finished,
    Gone,
    Listed,
    Look,
    Origin,
    OriginFailed,
    Refused,
    Same,
    Seen,
)
from runtime.recall.sources.rows import (
    SourceRow,
    SourceRows,
    no_source,
    note_misses,
    remove_entries,
    store_entry,
    update_source,
)
from runtime.recall.sources.schedule import after_failure, after_success
from runtime.recall.sources.tally import Tally, entry_of, name_of
from runtime.recall.sources.tokens import FindHost, token_of
from runtime.recall.sweeping import DOCUMENTS_AT_ONCE
from runtime.recall.truth import Pen

logger = logging.getLogger(__name__)

MISSES = 2
"""Looks in a row that do not find an entry before it is taken for gone, where that is not certain."""
_LOT = 32
"""Documents that are stored together, in a place that hands them out quickly."""
_LOT_BYTES = 4 * MIB
_LOT_S = 0.5
_VAGUE = frozenset({"", "application/octet-stream", "binary/octet-stream", "text/plain"})
"""Media types that tell less than content and name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What syncs stand on."""

    stores: Stores
    ingestion: Ingestion
    rows: SourceRows
    origins: Mapping[SourceKind, Origin]
    folder: Path
    """For what is being fetched; emptied at each start."""
    environment: Mapping[str, str]
    """Where the tokens are that sources name."""
    find_host: FindHost
    """Tells where a token would go."""
    dice: Callable[[], float] = random.random

    @property
    def clock(self) -> Clock:
        """The clock of the store."""
        return self.stores.clock


class Removed(NamedTuple):
    """Documents that a transaction has removed, and the jobs that ended with the work on them."""

    documents: list[DocumentId]
    jobs: list[EndedJob]


class Sync:
    """Brings one source in step, as a job that was begun for it."""

    def __init__(self, given: Given, row: SourceRow, job: JobId) -> None:
        self._given = given
        self._row = row
        self._job = job
        self._jobs = given.ingestion.jobs
        self._tally = Tally()
        self._known: dict[str, Entry] = {}
        self._held: list[tuple[Changed, NewDocument]] = []
        self._held_bytes = 0
        self._stored_at = float("-inf")

    async def run(self, scope: anyio.CancelScope) -> None:
        """Look until the end, until the job is cancelled, or until `scope` is; then say how it went.

        Raises what the store raises where it cannot be written.
        """
        ended = self._given.stores.live.job_bell(self._job).next
        with scope:
            if self._jobs.is_live(self._job):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_cancel_after, ended, tasks.cancel_scope)
                    await self._look()
                    tasks.cancel_scope.cancel()
        await self._settle()

    async def _look(self) -> None:
        """Go through the place; what goes wrong is kept as the sync's fault."""
        folder = self._given.folder / self._job
        try:
            await anyio.Path(folder).mkdir(parents=True)
            await self._go_through(folder)
        except OriginFailed as failed:
            self._tally.fault, self._tally.retry_after_s = failed.fault, failed.retry_after_s
        except NotFound:
            logger.debug("a sync lost its job or its collection", extra={"job": self._job})
        except LarError as problem:  # the disk is full, the store is damaged
            self._tally.fault = DocumentFault(code="internal_error", message=problem.fault.message)
        except Exception:
            # The border between all places and the rest: a defect of one must not stop the others.
            logger.exception("a source could not be looked at", extra={"source": self._row.id})
            message = "Lar failed while it looked at this place. Its log has the cause; it will try again."
            self._tally.fault = DocumentFault(code="internal_error", message=message)
        finally:
            with anyio.CancelScope(shield=True):  # a few small files of this look alone
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def _go_through(self, folder: Path) -> None:
        row = self._row
        self._known = await self._given.rows.known(row.id)
        asked = Look(
            uri=row.told.uri,
            token=await token_of(row.told, self._given.environment, self._given.find_host),
            include=row.told.include,
            exclude=row.told.exclude,
            branch=row.told.branch,
            state=row.state,
            most_entries=row.told.max_documents,
        )
        try:
            async with aclosing(self._given.origins[row.kind].look(asked, self._known, folder)) as seen:
                async for each in seen:
                    await self._take(each)
        except OriginFailed:
            await self._store()
            raise
        if self._tally.finished is None:
            raise RuntimeError(f"the look at a {row.kind} ended without its last word")

    async def _take(self, seen: Seen) -> None:
        current: str | None = None
        match seen:
            case Listed():
                self._tally.listed = seen.entries
            case Same():
                self._tally.same += 1
                self._tally.found.add(seen.key)
            case Changed():
                current = seen.name
                self._tell(current)
                await self._keep(seen)
            case Refused():
                self._tally.refused.append(seen)
                self._tally.found.add(seen.key)
                failure = JobFailure(name=seen.key[:NAME_LIMIT], fault=seen.fault)
                await self._jobs.note_failure(self._job, failure)
            case Gone():
                self._tally.gone.append(seen)
            case Finished():
                await self._store()
                self._tally.finished = seen
        self._tell(current)

    def _tell(self, current: str | None) -> None:
        """Say how far the job is; documents and failures count themselves."""
        tally = self._tally
        beside = max(tally.listed - tally.stored - len(tally.refused), tally.same)
        self._jobs.progress(self._job, total=beside, done=tally.same, current=current)

    async def _keep(self, seen: Changed) -> None:
        """Hold what was found until there is a lot of it, or a while has passed: then store it."""
        body = anyio.Path(seen.body)
        content = await body.read_bytes()
        await body.unlink(missing_ok=True)
        self._held.append((seen, self._document(seen, content)))
        self._held_bytes += len(content)
        is_many = len(self._held) >= _LOT or self._held_bytes >= _LOT_BYTES
        if is_many or self._given.clock.monotonic() - self._stored_at >= _LOT_S:
            await self._store()

    async def _store(self) -> None:
        """Store what is held, then remember it."""
        lot, self._held, self._held_bytes = self._held, [], 0
        if not lot:
            return
        row = self._row
        documents = self._given.ingestion.documents
        added = await documents.add_to(self._job, row.tenant, self._collection(), [each for _, each in lot])
        by_uri = {each.uri: each.id for each in added}
        entries = [(entry_of(seen, by_uri.get(seen.uri)), seen.uri) for seen, _ in lot]

        def _write(pen: Pen) -> Removed:
            moved = [each for entry, uri in entries for each in store_entry(pen, row, entry, uri)]
            return self._end(pen, moved)

        await self._given.stores.write(_write, self._tell_removed)
        for entry, _ in entries:
            self._count(entry)
        self._stored_at = self._given.clock.monotonic()

    def _count(self, entry: Entry) -> None:
        tally, former = self._tally, self._known.get(entry.key)
        tally.stored += 1
        tally.found.add(entry.key)
        if former is None:
            tally.added += 1
        elif former.document != entry.document:
            tally.changed += 1

    def _document(self, seen: Changed, content: bytes) -> NewDocument:
        told = self._row.told
        return NewDocument(
            name=name_of(seen),
            content=content,
            media_type=None if seen.media_type in _VAGUE else seen.media_type,
            uri=seen.uri,
            attributes=told.attributes,
            tags=told.tags,
            source=self._row.id,
            replaces="uri",
        )

    def _collection(self) -> CollectionId:
        mark = self._given.stores.marks.by_ns(self._row.ns)
        if mark is None:
            raise no_source(self._row.id)
        return mark.collection

    async def _settle(self) -> None:
        """Write how the sync went, end its job, and tell."""
        tally = self._tally
        if tally.finished is not None:
            await self._finish(tally.finished)
        elif tally.fault is not None:
            await self._fail(tally.fault)
        else:
            await self._give_up()
        await self._jobs.end(self._job, tally.fault)
        if tally.finished is not None or tally.fault is not None:
            self._publish()

    async def _finish(self, finished: Finished) -> None:
        given, row, now = self._given, self._row, self._given.clock.now()
        gone, missed = self._judge_gone()
        while len(gone) > DOCUMENTS_AT_ONCE:  # others write in between
            await self._remove(gone[:DOCUMENTS_AT_ONCE])
            gone = gone[DOCUMENTS_AT_ONCE:]

        def _write(pen: Pen) -> Removed:
            removed = self._end(pen, remove_entries(pen, row, gone))
            note_misses(pen, row.id, missed)
            update_source(
                pen,
                row.id,
                state=finished.state,
                synced_at=now,
                failures=0,
                fault=None,
                notes=self._tally.notes,
            )
            self._plan(pen, after_success(now, row.told.interval_s, given.dice()))
            return removed

        removed = await given.stores.write(_write, self._tell_removed)
        self._tally.removed += len(removed.documents)

    async def _remove(self, keys: list[str]) -> None:
        """Forget entries with their documents. Where the sync is cut off, the next one does the rest."""
        row = self._row
        removed = await self._given.stores.write(
            lambda pen: self._end(pen, remove_entries(pen, row, keys)), self._tell_removed
        )
        self._tally.removed += len(removed.documents)

    def _end(self, pen: Pen, documents: list[DocumentId]) -> Removed:
        return Removed(documents, end_tasks(pen, documents, "cancelled", self._given.clock.now()))

    def _tell_removed(self, removed: Removed) -> None:
        self._given.stores.live.stop(removed.documents)
        self._jobs.tell_ended(removed.jobs)
        self._given.stores.tell_forgotten(self._row.ns, removed.documents)

    def _judge_gone(self) -> tuple[list[str], dict[str, int]]:
        """Return the keys to forget, and how often others have been missed now."""
        gone: list[str] = []
        missed = {key: 0 for key in self._tally.found if key in self._known and self._known[key].misses}
        for each in self._tally.gone:
            entry = self._known.get(each.key)
            if entry is None or each.key in self._tally.found:
                continue
            if each.is_certain or entry.misses + 1 >= MISSES:
                gone.append(each.key)
            else:
                missed[each.key] = entry.misses + 1
        return gone, missed

    async def _fail(self, fault: DocumentFault) -> None:
        row, now, retry = self._row, self._given.clock.now(), self._tally.retry_after_s
        failures = row.failures + 1
        due = after_failure(now, row.told.interval_s, failures, retry, self._given.dice())

        def _write(pen: Pen) -> None:
            update_source(pen, row.id, failures=failures, fault=fault)
            self._plan(pen, due)

        await self._given.stores.truth.write(_write)

    async def _give_up(self) -> None:
        """Plan the next look of a source whose present one was cut short."""
        due = after_success(self._given.clock.now(), self._row.told.interval_s, self._given.dice())
        await self._given.stores.truth.write(lambda pen: self._plan(pen, due))

    def _plan(self, pen: Pen, due: float) -> None:
        pen.execute("UPDATE source SET next_at = ? WHERE id = ? AND NOT is_paused", [due, self._row.id])

    def _publish(self) -> None:
        tally, row, stores = self._tally, self._row, self._given.stores
        mark = stores.marks.by_ns(row.ns)
        if mark is None:  # removed with its collection meanwhile
            return
        fact = SourceSynced(
            collection=mark.collection,
            source=row.id,
            uri=row.told.uri,
            added=tally.added,
            changed=tally.changed,
            removed=tally.removed,
            failed=len(tally.refused),
            fault=None if tally.fault is None else tally.fault.message,
        )
        stores.publish(fact, row.tenant)


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
