"""What every `core.recall.Memories` promises: Lar's own, whatever finds words, and the fake of the faces."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import ItemId, TenantId
from runtime.core.knowledge import Query
from runtime.core.memories import ItemChange, ItemQuery, NewItem, Scope
from runtime.core.recall import Memories
from tests.kit.clock import FakeClock
from tests.kit.fake_recall import fake_recall
from tests.kit.memory_stage import open_memory_stage

ADA, BOB = TenantId("ada"), TenantId("bob")
ASKED = Query(text="tea", collections=())


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at."""

    memories: Memories
    clock: FakeClock


@pytest.fixture(params=["rows", "index", "fake"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "fake":
        clock = FakeClock()
        recall, _ = fake_recall(tmp_path, clock)
        yield Subject(recall.memories, clock)
        return

    async with open_memory_stage(tmp_path, is_indexed=request.param == "index") as stage:
        yield Subject(stage.memories, stage.clock)


async def test_what_was_remembered_is_found_listed_and_has_a_history(subject: Subject) -> None:
    told = NewItem(text="Ada drinks tea", kind="preference", tags=("drinks",), scope=Scope(user="ada"))

    remembered = await subject.memories.remember(ADA, told)

    item = remembered.item
    assert remembered.outcome == "stored"
    assert (item.text, item.kind, item.tags, item.scope) == (told.text, told.kind, told.tags, told.scope)
    assert await subject.memories.find(ADA, item.id) == item
    assert await subject.memories.list_all(ADA, ItemQuery(kinds=("preference",))) == [item]
    found = await subject.memories.search(ADA, ASKED, Scope(user="ada"))
    assert [each.item.id for each in found] == [item.id]
    assert [each.action for each in await subject.memories.history(ADA, item.id)] == ["stored"]


async def test_the_same_text_is_known(subject: Subject) -> None:
    first = await subject.memories.remember(ADA, NewItem(text="Ada drinks tea"))

    again = await subject.memories.remember(ADA, NewItem(text="Ada drinks tea"))

    assert (again.outcome, again.item.id) == ("known", first.item.id)


async def test_a_new_text_makes_a_successor_and_ends_the_old_item(subject: Subject) -> None:
    old = (await subject.memories.remember(ADA, NewItem(text="Ada drinks tea", tags=("a",)))).item
    subject.clock.advance(1)

    new = await subject.memories.revise(ADA, old.id, ItemChange(text="Ada drinks green tea"))

    assert new.id != old.id
    assert (new.text, new.tags) == ("Ada drinks green tea", ("a",))
    ended = await subject.memories.find(ADA, old.id)
    assert (ended.superseded_by, ended.ended_at) == (new.id, subject.clock.now())
    assert await subject.memories.list_all(ADA, ItemQuery()) == [new]
    with pytest.raises(Conflict, match=new.id):
        await subject.memories.revise(ADA, old.id, ItemChange(text="other"))
    actions = [each.action for each in await subject.memories.history(ADA, new.id)]
    assert (actions[0], actions[-1]) == ("stored", "revised")


async def test_other_changes_are_in_place(subject: Subject) -> None:
    item = (await subject.memories.remember(ADA, NewItem(text="Ada drinks tea"))).item

    changed = await subject.memories.revise(ADA, item.id, ItemChange(importance=0.9, tags=("b",)))

    assert (changed.id, changed.importance, changed.tags) == (item.id, 0.9, ("b",))
    assert await subject.memories.find(ADA, item.id) == changed


async def test_what_was_forgotten_is_nowhere(subject: Subject) -> None:
    item = (await subject.memories.remember(ADA, NewItem(text="Ada drinks tea"))).item

    assert (await subject.memories.forget(ADA, [item.id])).items == (item.id,)

    assert await subject.memories.list_all(ADA, ItemQuery(is_ended_wanted=True)) == []
    assert await subject.memories.search(ADA, ASKED, None) == []
    for call in (subject.memories.find, subject.memories.history):
        with pytest.raises(NotFound):
            await call(ADA, item.id)
    with pytest.raises(NotFound):
        await subject.memories.forget(ADA, [item.id])


async def test_tenants_do_not_see_each_other(subject: Subject) -> None:
    item = (await subject.memories.remember(ADA, NewItem(text="Ada drinks tea"))).item

    assert await subject.memories.list_all(BOB, ItemQuery()) == []
    assert await subject.memories.search(BOB, ASKED, None) == []
    for call in (
        subject.memories.find(BOB, item.id),
        subject.memories.history(BOB, item.id),
        subject.memories.forget(BOB, [item.id]),
        subject.memories.revise(BOB, item.id, ItemChange(importance=0.1)),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await subject.memories.remember(BOB, NewItem(text="Ada drinks tea"))).outcome == "stored"


async def test_links_to_nothing_are_refused(subject: Subject) -> None:
    with pytest.raises(NotFound):
        await subject.memories.remember(ADA, NewItem(text="a", derived_from=(ItemId("item_nobody"),)))

    assert await subject.memories.list_all(ADA, ItemQuery()) == []


async def test_what_is_exported_can_be_imported_and_twice_is_once(subject: Subject) -> None:
    await subject.memories.remember(ADA, NewItem(text="Ada drinks tea"))
    lines: list[Any] = [line async for line in subject.memories.export(ADA)]
    lines = msgspec.json.decode(msgspec.json.encode(lines))

    async def _lines() -> AsyncIterator[dict[str, Any]]:
        for line in lines:
            yield line

    assert await subject.memories.import_items(BOB, _lines()) == (1, [])
    assert (await subject.memories.import_items(BOB, _lines()))[1] == []

    assert [each.text for each in await subject.memories.list_all(BOB, ItemQuery())] == ["Ada drinks tea"]
    assert len(await subject.memories.list_all(ADA, ItemQuery())) == 1
