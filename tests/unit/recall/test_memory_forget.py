"""Forgetting: nothing of an item is left anywhere, what stood on it stays and is told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import tantivy

from runtime.core.errors import NotFound
from runtime.core.ids import ItemId
from runtime.core.memories import ItemChange, ItemQuery
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.lexical.arm import TextIndex
from tests.kit.memory_stage import ADA, BOB, MemoryStage, ids_of, open_memory_stage

SECRET = "xyzzyplugh"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[MemoryStage]:
    async with open_memory_stage(tmp_path) as opened:
        yield opened


async def test_nothing_of_a_forgotten_item_is_in_any_table(stage: MemoryStage) -> None:
    await stage.learn()
    kept = await stage.remember("Ada drinks tea")
    item = await stage.remember(f"Ada says {SECRET}", tags=(SECRET,), attributes={"a": SECRET})
    await stage.memories.revise(ADA, item.id, ItemChange(importance=0.9, contradicts=(kept.id,)))
    assert SECRET in str(await stage.search(SECRET))

    forgotten = await stage.memories.forget(ADA, [item.id])

    assert forgotten.items == (item.id,)
    assert await stage.mentions(SECRET) == []
    assert await stage.mentions(item.id) == []
    rows = await stage.truth.read("SELECT count(*) FROM vector")
    assert rows == [(1,)]
    assert SECRET not in str(await stage.search(SECRET))
    assert SECRET not in str(await stage.search(SECRET, known_at=stage.clock.now()))
    assert ids_of(await stage.memories.list_all(ADA, ItemQuery(is_ended_wanted=True))) == [kept.id]
    assert item.id not in str(await stage.lines())
    assert (await stage.memories.find(ADA, kept.id)).links == ()
    with pytest.raises(NotFound):
        await stage.memories.history(ADA, item.id)
    fact, tenant = stage.facts[-1]
    assert isinstance(fact, RecallForgotten)
    assert (fact.items, tenant) == (1, ADA)


async def test_former_wordings_go_with_an_item_but_not_what_it_superseded_on_purpose(
    stage: MemoryStage,
) -> None:
    other = await stage.remember("Ada lives in Lisbon")
    first = await stage.remember(f"Ada lives in {SECRET}", supersedes=(other.id,))
    second = await stage.memories.revise(ADA, first.id, ItemChange(text=f"Ada lives at {SECRET}"))
    third = await stage.memories.revise(ADA, second.id, ItemChange(text="Ada lives in Porto"))

    forgotten = await stage.memories.forget(ADA, [third.id])

    assert set(forgotten.items) == {first.id, second.id, third.id}
    assert await stage.mentions(SECRET) == []
    left = await stage.memories.find(ADA, other.id)
    assert left.superseded_by is None
    assert left.ended_at is not None


async def test_what_stood_on_a_forgotten_item_stays_without_the_link(stage: MemoryStage) -> None:
    origin = await stage.remember("a long talk")
    derived = await stage.remember("a summary of it", derived_from=(origin.id,))
    newer = await stage.remember("another talk", supersedes=(origin.id,))
    disputing = await stage.remember("there was no talk", contradicts=(origin.id,))

    forgotten = await stage.memories.forget(ADA, [origin.id])

    assert set(forgotten.depended) == {derived.id, newer.id}
    for item in (derived, newer, disputing):
        assert (await stage.memories.find(ADA, item.id)).links == ()
        assert origin.id not in str(await stage.memories.history(ADA, item.id))


async def test_nothing_goes_where_one_of_the_items_is_not_there(stage: MemoryStage) -> None:
    item = await stage.remember("mine")
    theirs = await stage.remember("theirs", BOB)

    for unknown in (ItemId("item_nobody"), theirs.id):
        with pytest.raises(NotFound) as refused:
            await stage.memories.forget(ADA, [item.id, unknown])
        assert refused.value.fault.param == "items[1]"

    assert (await stage.memories.find(ADA, item.id)).text == "mine"
    assert (await stage.memories.forget(ADA, [item.id, item.id])).items == (item.id,)
    assert (await stage.memories.forget(ADA, [])).items == ()


async def test_what_was_forgotten_can_be_remembered_anew(stage: MemoryStage) -> None:
    item = await stage.remember("Ada drinks tea")
    await stage.search("tea")
    await stage.memories.forget(ADA, [item.id])
    await stage.memories.aclose()

    again = await stage.remember("Ada drinks tea")

    assert again.id != item.id
    assert [each.action for each in await stage.memories.history(ADA, again.id)] == ["stored"]


async def test_no_word_of_a_forgotten_item_is_left_in_the_text_index(tmp_path: Path) -> None:
    async with open_memory_stage(tmp_path, is_indexed=True) as stage:
        for number in range(5):
            await stage.remember(f"Ada drinks tea number {number}")
        item = await stage.remember(f"Ada says {SECRET} 77123")
        assert await stage.search(SECRET) == [item.text]
        assert {SECRET, "77123", "drinks"} <= _terms(tmp_path / "text")

        await stage.memories.forget(ADA, [item.id])

        assert await stage.search(SECRET) == []
        assert isinstance(stage.text, TextIndex)
        await stage.text.compact()
        terms = _terms(tmp_path / "text")
        assert "drinks" in terms
        assert not {SECRET, "77123"} & terms
        assert await stage.search("tea number 3", limit=1) == ["Ada drinks tea number 3"]


def _terms(folder: Path) -> set[str]:
    """Return every word in the dictionaries of an index's segments, of removed entries, too."""
    found: set[str] = set()
    for meta in folder.rglob("meta.json"):
        searcher = tantivy.Index.open(str(meta.parent)).searcher()
        for field in ("text", "plain", "title"):
            found.update(term for term, _ in searcher.terms_with_prefix(field, ""))
    return found
