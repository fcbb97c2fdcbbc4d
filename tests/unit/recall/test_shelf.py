"""Things on a shelf are loaded once, kept while in use, and go by disuse beyond the budget."""

import anyio
import pytest

from runtime.recall.shelf import Shelf


class Store:
    """Loads what it is asked for, and remembers it."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.gate: anyio.Event | None = None
        self.failures = 0

    async def load(self, key: str) -> str:
        self.loads.append(key)
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError
        return key * 10

    def shelf(self, budget: int) -> Shelf[str, str]:
        return Shelf(self.load, len, budget)


async def use(shelf: Shelf[str, str], key: str) -> str:
    async with shelf.use(key) as thing:
        return thing


async def test_many_who_ask_at_once_load_once() -> None:
    store = Store()
    store.gate = anyio.Event()
    shelf = store.shelf(1000)
    got: list[str] = []

    async def _ask() -> None:
        got.append(await use(shelf, "a"))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(_ask)
            await anyio.wait_all_tasks_blocked()
            store.gate.set()

    assert store.loads == ["a"]
    assert got == ["a" * 10] * 5


async def test_the_longest_unused_goes_first() -> None:
    store = Store()
    shelf = store.shelf(20)
    for key in ("a", "b", "a", "c"):
        await use(shelf, key)

    assert shelf.keys == ["a", "c"]
    assert shelf.memory_bytes == 20
    assert store.loads == ["a", "b", "c"]


async def test_what_is_in_use_stays_until_it_is_not() -> None:
    shelf = Store().shelf(10)

    async with shelf.use("a"):
        await use(shelf, "b")
        during = shelf.keys
    after = shelf.keys

    assert during == ["a", "b"]
    assert after == ["b"]


async def test_the_last_used_stays_even_beyond_the_budget() -> None:
    store = Store()
    shelf = store.shelf(0)

    await use(shelf, "a")
    await use(shelf, "a")

    assert store.loads == ["a"]


async def test_a_failed_load_is_told_and_tried_again_by_the_next() -> None:
    store = Store()
    store.failures = 1
    shelf = store.shelf(100)

    with pytest.raises(OSError):
        await use(shelf, "a")

    assert shelf.keys == []
    assert await use(shelf, "a") == "a" * 10


async def test_a_cancelled_load_does_not_leave_the_others_waiting() -> None:
    store = Store()
    store.gate = anyio.Event()
    shelf = store.shelf(100)
    first = anyio.CancelScope()
    got: list[str] = []

    async def _leave() -> None:
        with first:
            await use(shelf, "a")

    async def _stay() -> None:
        got.append(await use(shelf, "a"))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(_stay)
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            store.gate.set()

    assert store.loads == ["a", "a"]
    assert got == ["a" * 10]


async def test_what_is_forgotten_while_it_loads_is_not_kept() -> None:
    store = Store()
    store.gate = anyio.Event()
    shelf = store.shelf(100)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use, shelf, "a")
        await anyio.wait_all_tasks_blocked()
        shelf.forget(lambda key: key == "a")
        store.gate.set()

    assert shelf.keys == []
