"""Export and import: what went out comes in as it was, once; wrong lines are named."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.core.memories import Item, ItemChange, ItemQuery, Link, Scope
from tests.kit.memory_stage import ADA, BOB, MemoryStage, open_memory_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[MemoryStage]:
    async with open_memory_stage(tmp_path / "one") as opened:
        yield opened


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[MemoryStage]:
    async with open_memory_stage(tmp_path / "other") as opened:
        yield opened


async def fill(stage: MemoryStage) -> Item:
    """Remember something of every sort; return the item at the end of a chain."""
    source = await stage.remember("a talk", kind="episode", scope=Scope(user="ada", agent="a"))
    stage.clock.advance(1)
    old = await stage.remember("Ada lives in Lisbon", tags=("home",), derived_from=(source.id,))
    stage.clock.advance(1)
    new = await stage.memories.revise(ADA, old.id, ItemChange(text="Ada lives in Porto"), by="bob")
    stage.clock.advance(1)
    newest = await stage.remember(
        "Ada moved to Faro", supersedes=(new.id,), attributes={"n": 1.5, "b": False}
    )
    stage.clock.advance(1)
    await stage.remember("Ada never moved", contradicts=(newest.id,), expires_at=stage.clock.now() + 1)
    await stage.search("Faro")
    await stage.memories.aclose()
    return newest


async def everything(stage: MemoryStage) -> list[Item]:
    return await stage.memories.list_all(ADA, ItemQuery(is_ended_wanted=True))


async def test_a_memory_comes_in_as_it_went_out_and_twice_changes_nothing(
    stage: MemoryStage, other: MemoryStage
) -> None:
    newest = await fill(stage)
    lines = json.loads(json.dumps(await stage.lines()))

    assert await other.take_in(lines) == (5, [])

    assert json.loads(json.dumps(await other.lines())) == lines
    assert await everything(other) == await everything(stage)
    assert await other.memories.history(ADA, newest.id) == await stage.memories.history(ADA, newest.id)
    assert await other.search("Faro") == await stage.search("Faro")
    assert other.healed
    before = await other.truth.read("SELECT count(*) FROM item_history")
    assert await other.take_in(lines) == (0, [])
    assert json.loads(json.dumps(await other.lines())) == lines
    assert await other.truth.read("SELECT count(*) FROM item_history") == before


async def test_an_import_in_any_order_is_the_same(stage: MemoryStage, other: MemoryStage) -> None:
    await fill(stage)
    lines = await stage.lines()

    await other.take_in(lines[2:])
    stored, wrong = await other.take_in(lines[::-1])

    assert (stored, wrong) == (2, [])
    assert await everything(other) == await everything(stage)


async def test_forgetting_after_an_import_takes_former_wordings_along(
    stage: MemoryStage, other: MemoryStage
) -> None:
    await stage.learn()
    old = await stage.remember("my secret is xyzzy")
    new = await stage.memories.revise(ADA, old.id, ItemChange(text="my secret is plugh"))
    await other.take_in(await stage.lines())

    forgotten = await other.memories.forget(ADA, [new.id])

    assert set(forgotten.items) == {old.id, new.id}


async def test_ids_of_another_tenant_do_not_clash_and_stay_the_same_at_the_next_import(
    stage: MemoryStage,
) -> None:
    newest = await fill(stage)
    lines = await stage.lines()

    assert await stage.take_in(lines, BOB) == (5, [])
    assert await stage.take_in(lines, BOB) == (0, [])

    assert await stage.lines() == lines
    theirs = await stage.lines(BOB)
    assert newest.id not in json.dumps(theirs)
    assert [line["item"]["text"] for line in theirs] == [line["item"]["text"] for line in lines]
    assert [len(line["item"]["links"]) for line in theirs] == [len(line["item"]["links"]) for line in lines]
    await stage.memories.forget(ADA, [newest.id])
    assert await stage.take_in(lines, BOB) == (0, [])
    assert await stage.lines(BOB) == theirs


async def test_a_line_by_hand_needs_a_version_and_a_text_only(stage: MemoryStage) -> None:
    line: dict[str, Any] = {"version": 1, "item": {"text": "Ada drinks tea", "scope": {"user": "ada"}}}

    assert await stage.take_in([line, line]) == (1, [])
    assert await stage.take_in([line]) == (0, [])

    (item,) = await everything(stage)
    assert (item.text, item.scope, item.created_at) == (
        "Ada drinks tea",
        Scope(user="ada"),
        stage.clock.now(),
    )
    assert [each.action for each in await stage.memories.history(ADA, item.id)] == ["imported"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"item": {"text": "a"}}, "`version`"),
        ({"version": 2, "item": {"text": "a"}}, "`version`"),
        ({"version": 1, "item": {}}, "`text`"),
        ({"version": 1, "item": {"text": ""}}, "`item.text`"),
        ({"version": 1, "item": {"text": " "}}, "`text`"),
        ({"version": 1, "item": {"text": "a", "kind": "thing"}}, "`item.kind`"),
        ({"version": 1, "item": {"text": "a", "importance": 2}}, "`item.importance`"),
        ({"version": 1, "item": {"text": "a", "scope": {"usr": "ada"}}}, "`usr`"),
        ({"version": 1, "item": {"text": "a", "id": "../x"}}, "`item.id`"),
        ({"version": 1, "item": {"text": "a", "created_at": float("inf")}}, "`item.created_at`"),
        ({"version": 1, "item": {"text": "a", "attributes": {"kind": "b"}}}, "`attributes.kind`"),
        ({"version": 1, "item": {"text": "a", "superseded_by": "b"}}, "`item.superseded_by`"),
        ({"version": 1, "item": {"text": "a"}, "more": 1}, "`more`"),
    ],
)
async def test_a_wrong_line_is_named_and_the_others_come(
    stage: MemoryStage, line: dict[str, Any], reason: str
) -> None:
    good = {"version": 1, "item": {"text": "good"}}

    stored, wrong = await stage.take_in([good, line])

    assert stored == 1
    (message,) = wrong
    assert message.startswith("line 2: ")
    assert reason in message
    assert [item.text for item in await everything(stage)] == ["good"]


async def test_links_to_what_is_not_there_and_circles_are_left_out_and_named(stage: MemoryStage) -> None:
    def line(item: str, **more: Any) -> dict[str, Any]:
        return {"version": 1, "item": {"id": item, "text": item, **more}}

    def link(kind: str, to: str) -> dict[str, str]:
        return {"kind": kind, "to": to}

    lines = [
        line("a", links=[link("derived_from", "b")]),
        line("b", links=[link("derived_from", "a"), link("contradicts", "nobody")]),
        line("c", ended_at=1.0, superseded_by="d"),
        line("d", ended_at=1.0, superseded_by="c"),
        line("e", ended_at=1.0, superseded_by="nobody"),
    ]

    stored, wrong = await stage.take_in(lines)

    assert stored == 5
    assert [message.partition(":")[0] for message in wrong] == ["line 2", "line 2", "line 4", "line 5"]
    assert (await stage.memories.find(ADA, _id("a"))).links == (Link(kind="derived_from", to=_id("b")),)
    assert len(await stage.memories.history(ADA, _id("d"))) == 2


def _id(name: str) -> Any:
    return name
