"""Looking after the store, as `core.recall.Care`: the doctor and the snapshots, for operators."""

from collections.abc import Awaitable, Callable

from runtime.core.clock import Clock
from runtime.core.recall import Finding, StoredSnapshot
from runtime.recall.blobs import BlobStore
from runtime.recall.check import TextIndex as Counted
from runtime.recall.check import check_store
from runtime.recall.lexical.arm import TextIndex
from runtime.recall.snapshots import Snapshot, Snapshots
from runtime.recall.truth import Truth


class StoreCare:
    """Checks the store and copies it."""

    def __init__(
        self,
        truth: Truth,
        blobs: BlobStore,
        snapshots: Snapshots,
        clock: Clock,
        text: TextIndex,
        sweep: Callable[[], Awaitable[None]],
    ) -> None:
        self._truth = truth
        self._blobs = blobs
        self._snapshots = snapshots
        self._clock = clock
        self._text = text
        self._sweep = sweep

    async def check(self, *, is_repairing: bool) -> list[Finding]:
        """Read everything and return what is wrong; repairs nothing unless `is_repairing`."""
        await self._sweep()  # what is on its way out is no fault
        counted = Counted(counted=self._text.count, rebuild=self._text.rebuild)
        findings = await check_store(self._truth, self._blobs, text=counted, is_repairing=is_repairing)
        if is_repairing:  # reads every file of the index and makes anew what is wrong
            findings += [_mended(each) for each in await self._text.verify()]
        return findings

    async def snapshots(self) -> list[StoredSnapshot]:
        """Return the copies on disk, the newest first."""
        return [_told(each) for each in await self._snapshots.list_all()]

    async def take_snapshot(self) -> StoredSnapshot:
        """Copy the database as of this moment. Raises StoreFull, StoreDamaged."""
        return _told(await self._snapshots.take(self._clock.now()))


def _mended(message: str) -> Finding:
    return Finding(
        severity="inconsistency",
        where="text index",
        message=message,
        fix="It was made anew from the stored chunks.",
        is_repaired=True,
    )


def _told(snapshot: Snapshot) -> StoredSnapshot:
    return StoredSnapshot(
        name=snapshot.path.name, at=snapshot.at, size_bytes=snapshot.size_bytes, schema=snapshot.schema
    )
