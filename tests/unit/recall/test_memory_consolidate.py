"""Consolidation: what is said twice becomes one, what has expired ends, what is pinned is left alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.core.knowledge import Job
from runtime.core.memories import Item, ItemQuery, Link, NewItem, Scope
from runtime.recall.memory.likeness import sayings_of
from tests.kit.memory_stage import ADA, BOB, MemoryStage, ids_of, open_memory_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[MemoryStage]:
    async with open_memory_stage(tmp_path) as opened:
        yield opened


async def consolidate(stage: MemoryStage, job: Job | None = None) -> Job:
    begun = job or await stage.memories.consolidate(ADA)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await tasks.start(stage.memories.run_forever)
            ended = await stage.jobs.wait(ADA, begun.id, 5)
            tasks.cancel_scope.cancel()
    return ended


async def listed(stage: MemoryStage, **told: Any) -> list[Item]:
    return await stage.memories.list_all(ADA, ItemQuery(**told))


async def test_what_is_said_twice_becomes_one_and_the_more_used_stays(stage: MemoryStage) -> None:
    older = await stage.remember("The user lives in Lisbon.", tags=("a",), importance=0.2)
    stage.clock.advance(1)
    used = await stage.remember("the user lives in Lisbon", tags=("b",), attributes={"sure": True})
    await stage.search("Lisbon")
    stage.clock.advance(1)
    await stage.memories.remember(ADA, NewItem(text=used.text))

    job = await consolidate(stage)

    assert (job.status, job.total, job.done) == ("completed", 1, 1)
    (kept,) = await listed(stage)
    assert kept.id == used.id
    assert kept.tags == ("b", "a")
    assert set(kept.links) == {
        Link(kind="supersedes", to=older.id),
        Link(kind="derived_from", to=older.id),
    }
    ended = await stage.memories.find(ADA, older.id)
    assert (ended.superseded_by, ended.ended_at) == (used.id, stage.clock.now())
    assert [each.action for each in await stage.memories.history(ADA, used.id)][-2:] == [
        "superseded",
        "linked",
    ]
    assert await stage.search("Lisbon") == ["the user lives in Lisbon"]


async def test_of_equally_used_ones_the_oldest_stays(stage: MemoryStage) -> None:
    texts = ["User likes Tea.", "User likes the tea", "user likes tea!"]
    assert len({sayings_of(text) for text in texts}) == 1
    items = []
    for text in texts:
        items.append(await stage.remember(text))
        stage.clock.advance(1)

    await consolidate(stage)

    assert ids_of(await listed(stage)) == [items[0].id]
    forgotten = await stage.memories.forget(ADA, [items[0].id])
    assert set(forgotten.items) == set(ids_of(items))


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "preference"},
        {"scope": Scope(user="bob")},
        {"valid_to": 2e9},
        {"is_pinned": True},
        {"attributes": {"project": "y"}},
        {"attributes": {"project": True}},
    ],
)
async def test_what_differs_otherwise_is_not_merged(stage: MemoryStage, other: dict[str, Any]) -> None:
    await stage.remember("The user lives in Lisbon.", attributes={"project": 1})
    await stage.remember("the user lives in Lisbon", ADA, **other)

    job = await consolidate(stage)

    assert job.status == "completed"
    assert len(await listed(stage)) == 2


async def test_items_that_contradict_each_other_are_not_merged(stage: MemoryStage) -> None:
    one = await stage.remember("The code is Red")
    await stage.remember("The code is red", contradicts=(one.id,))

    await consolidate(stage)

    assert len(await listed(stage)) == 2


async def test_contradictions_of_a_merged_item_go_over_to_the_one_that_stays(stage: MemoryStage) -> None:
    kept = await stage.remember("The shop is open")
    stage.clock.advance(1)
    merged = await stage.remember("the shop is open!")
    other = await stage.remember("Sundays are quiet", contradicts=(merged.id,))

    await consolidate(stage)

    assert Link(kind="contradicts", to=other.id) in (await stage.memories.find(ADA, kept.id)).links
    assert Link(kind="contradicts", to=kept.id) in (await stage.memories.find(ADA, other.id)).links


async def test_what_has_expired_ends_when_it_expired_but_not_what_is_pinned(stage: MemoryStage) -> None:
    at = stage.clock.now() + 10
    gone = await stage.remember("gone", expires_at=at)
    pinned = await stage.remember("pinned", expires_at=at, is_pinned=True)
    stage.clock.advance(20)

    job = await consolidate(stage)

    assert (job.total, job.done) == (1, 1)
    assert (await stage.memories.find(ADA, gone.id)).ended_at == at
    assert (await stage.memories.find(ADA, pinned.id)) == pinned
    assert (await consolidate(stage)).total == 0


async def test_a_job_that_a_kill_cut_short_is_taken_up_again(tmp_path: Path) -> None:
    async with open_memory_stage(tmp_path) as stage:
        await stage.remember("User likes tea.")
        await stage.remember("User likes tea!")
        begun = await stage.memories.consolidate(ADA)
        assert (await stage.memories.consolidate(ADA)).id == begun.id

    async with open_memory_stage(tmp_path) as stage:
        await stage.memories.resume()
        await stage.jobs.end_interrupted()
        job = await consolidate(stage, begun)

        assert (job.status, job.done) == ("completed", 1)
        assert len(await listed(stage)) == 1


async def test_a_cancelled_job_stops_and_the_memory_of_others_is_not_touched(stage: MemoryStage) -> None:
    for tenant in (ADA, BOB):
        await stage.remember("User likes tea.", tenant)
        await stage.remember("User likes tea!", tenant)
    begun = await stage.memories.consolidate(ADA)
    await stage.jobs.cancel(ADA, begun.id)

    assert (await consolidate(stage, begun)).status == "cancelled"
    assert len(await listed(stage)) == 2
    assert (await consolidate(stage)).done == 1
    assert len(await stage.memories.list_all(BOB, ItemQuery())) == 2
