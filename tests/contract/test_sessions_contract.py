"""What every `core.agents.ports.Sessions` promises: the one in DuckDB and the fake of the agents' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.core.agents.ports import Session, SessionItem, Sessions
from runtime.core.errors import Conflict, NotFound
from runtime.core.ids import TenantId
from tests.kit.agent_rows import ADA, BOB, fake_agent_stores, items, open_agent_stores, said


@pytest.fixture(params=["fake", "disk"])
async def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sessions]:
    if request.param == "fake":
        yield fake_agent_stores().sessions
    else:
        async with open_agent_stores(tmp_path) as stores:
            yield stores.sessions


def session(name: str = "conv_1", tenant: TenantId = ADA, agent: str | None = None) -> Session:
    return Session(
        id=name, tenant=tenant, created_at=2.5, metadata={"k": "☃\n"}, agent=agent, title="t \x00 t"
    )


def places(found: list[SessionItem]) -> list[tuple[int, str]]:
    return [(each.place, each.item.id) for each in found]


async def test_a_session_is_found_as_it_was_made(sessions: Sessions) -> None:
    made = await sessions.create(session(agent="a"), items("msg_1", "msg_2"))

    assert made.items == 2
    assert (made.metadata, made.agent, made.title) == ({"k": "☃\n"}, "a", "t \x00 t")
    assert await sessions.find(ADA, "conv_1") == made
    assert await sessions.list_sessions(ADA) == [made]
    assert [each.item for each in await sessions.items(ADA, "conv_1")] == items("msg_1", "msg_2")


async def test_an_id_is_taken_once(sessions: Sessions) -> None:
    await sessions.create(session())

    for tenant in (ADA, BOB):
        with pytest.raises(Conflict):
            await sessions.create(session(tenant=tenant), items("msg_1"))

    assert await sessions.items(ADA, "conv_1") == []


async def test_items_keep_their_order_and_are_added_once(sessions: Sessions) -> None:
    await sessions.create(session(), items("msg_1", "msg_1"))

    added = await sessions.add(ADA, "conv_1", items("msg_3", "msg_2"))
    again = await sessions.add(ADA, "conv_1", [said("msg_1", "other"), *items("msg_4", "msg_3", "msg_4")])

    assert places(added) == [(1, "msg_3"), (2, "msg_2")]
    assert places(again) == [(0, "msg_1"), (3, "msg_4"), (1, "msg_3")]
    assert again[0].item == items("msg_1")[0]
    assert places(await sessions.items(ADA, "conv_1")) == [
        (0, "msg_1"),
        (1, "msg_3"),
        (2, "msg_2"),
        (3, "msg_4"),
    ]
    assert (await sessions.find(ADA, "conv_1")).items == 4
    assert await sessions.add(ADA, "conv_1", []) == []


async def test_items_are_read_in_pages_both_ways(sessions: Sessions) -> None:
    await sessions.create(session(), items("e", "d", "c", "b", "a"))

    async def page(**wanted: object) -> str:
        found = await sessions.items(ADA, "conv_1", **wanted)  # type: ignore[arg-type]  # the test gives what fits
        return "".join(each.item.id for each in found)

    assert await page() == "edcba"
    assert await page(limit=2) == "ed"
    assert await page(after="d", limit=2) == "cb"
    assert await page(is_newest_first=True, limit=2) == "ab"
    assert await page(is_newest_first=True, after="b") == "cde"
    assert await page(after="a") == await page(limit=0) == ""
    with pytest.raises(NotFound):
        await page(after="no")


async def test_a_removed_item_leaves_its_place_empty(sessions: Sessions) -> None:
    await sessions.create(session(), items("msg_1", "msg_2"))

    await sessions.remove_item(ADA, "conv_1", "msg_2")

    assert (await sessions.find(ADA, "conv_1")).items == 1
    with pytest.raises(NotFound):
        await sessions.item(ADA, "conv_1", "msg_2")
    with pytest.raises(NotFound):
        await sessions.remove_item(ADA, "conv_1", "msg_2")
    assert places(await sessions.add(ADA, "conv_1", items("msg_2"))) == [(2, "msg_2")]
    assert await sessions.item(ADA, "conv_1", "msg_2") == items("msg_2")[0]


async def test_the_same_item_may_be_in_several_sessions(sessions: Sessions) -> None:
    await sessions.create(session(), items("msg_1"))
    await sessions.create(session("conv_2"), [said("msg_1", "other")])

    await sessions.remove_item(ADA, "conv_1", "msg_1")

    assert await sessions.item(ADA, "conv_2", "msg_1") == said("msg_1", "other")


async def test_metadata_is_replaced(sessions: Sessions) -> None:
    await sessions.create(session(), items("msg_1"))

    changed = await sessions.change(ADA, "conv_1", {"a": "b"})

    assert (changed.metadata, changed.items, changed.title) == ({"a": "b"}, 1, "t \x00 t")
    assert await sessions.find(ADA, "conv_1") == changed


async def test_sessions_are_listed_in_pages_the_newest_first(sessions: Sessions) -> None:
    for number in range(5):
        await sessions.create(session(f"conv_{number}", agent="a" if number % 2 else None))
    await sessions.create(session("conv_9", BOB))

    async def page(**wanted: object) -> list[str]:
        found = await sessions.list_sessions(ADA, **wanted)  # type: ignore[arg-type]  # the test gives what fits
        return [each.id for each in found]

    assert await page(limit=2) == ["conv_4", "conv_3"]
    assert await page(after="conv_3") == ["conv_2", "conv_1", "conv_0"]
    assert await page(agent="a") == ["conv_3", "conv_1"]
    assert [each.id for each in await sessions.list_sessions(BOB)] == ["conv_9"]


async def test_a_removed_session_leaves_nothing(sessions: Sessions) -> None:
    await sessions.create(session(), items("msg_1"))

    await sessions.remove(ADA, "conv_1")

    with pytest.raises(NotFound):
        await sessions.find(ADA, "conv_1")
    await sessions.create(session())
    assert await sessions.items(ADA, "conv_1") == []


@pytest.mark.parametrize(("tenant", "name"), [(BOB, "conv_1"), (ADA, "conv_no")])
async def test_what_is_unknown_or_anothers_is_not_found(
    sessions: Sessions, tenant: TenantId, name: str
) -> None:
    made = await sessions.create(session(), items("msg_1"))

    for asked in (
        sessions.find(tenant, name),
        sessions.change(tenant, name, {}),
        sessions.add(tenant, name, items("msg_2")),
        sessions.add(tenant, name, []),
        sessions.items(tenant, name),
        sessions.item(tenant, name, "msg_1"),
        sessions.remove_item(tenant, name, "msg_1"),
        sessions.remove(tenant, name),
    ):
        with pytest.raises(NotFound):
            await asked

    assert await sessions.find(ADA, "conv_1") == made
    assert [each.item for each in await sessions.items(ADA, "conv_1")] == items("msg_1")
