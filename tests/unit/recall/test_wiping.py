import anyio

from runtime.core.ids import CollectionId, DocumentId
from runtime.core.recall_facts import RecallForgotten, RecallIngested
from runtime.recall.wiping import Wiper

FORGOTTEN = RecallForgotten(collection=CollectionId("vs_1"), documents=1)
INGESTED = RecallIngested(collection=CollectionId("vs_1"), document=DocumentId("doc_1"), name="a", chunks=1)


class Index:
    """Counts how often it was rewritten, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.wiped = 0
        self.failures = failures
        self._changed = anyio.Event()

    async def compact(self) -> int:
        await anyio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise OSError("no space left")

        self.wiped += 1
        self._changed.set()
        self._changed = anyio.Event()
        return 1

    async def until(self, times: int) -> None:
        while self.wiped < times:
            await self._changed.wait()


async def test_what_a_former_process_left_is_wiped_after_the_start_and_every_removal_after_that() -> None:
    index = Index()
    wiper = Wiper(index.compact, gather_s=0)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wiper.run_forever)
            await index.until(1)
            wiper.note(INGESTED)
            await anyio.wait_all_tasks_blocked()
            assert index.wiped == 1

            wiper.note(FORGOTTEN)
            await index.until(2)
            tasks.cancel_scope.cancel()


async def test_a_wipe_that_fails_is_tried_again() -> None:
    index = Index(failures=2)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Wiper(index.compact, gather_s=0).run_forever)
            await index.until(1)
            tasks.cancel_scope.cancel()

    assert index.failures == 0
