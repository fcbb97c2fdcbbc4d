"""What every `core.agents.ports.Records` promises: the one in DuckDB and the fake of the agents' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.core.agents.ports import Records
from runtime.core.errors import Conflict
from tests.kit.agent_rows import ADA, BOB, fake_agent_stores, open_agent_stores


@pytest.fixture(params=["fake", "disk"])
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    if request.param == "fake":
        yield fake_agent_stores().records
    else:
        async with open_agent_stores(tmp_path) as stores:
            yield stores.records


async def test_a_record_is_kept_as_it_came_and_replaced(records: Records) -> None:
    await records.put(ADA, "batch", "b ☃", b"\x00\xff{}")
    assert await records.get(ADA, "batch", "b ☃") == b"\x00\xff{}"

    await records.put(ADA, "batch", "b ☃", b"")

    assert await records.get(ADA, "batch", "b ☃") == b""
    assert await records.list_records(ADA, "batch") == [(ADA, "b ☃", b"")]


async def test_what_must_be_new_is_refused_where_it_is_not(records: Records) -> None:
    await records.put(ADA, "batch", "b", b"1", only_new=True)

    with pytest.raises(Conflict):
        await records.put(ADA, "batch", "b", b"2", only_new=True)

    assert await records.get(ADA, "batch", "b") == b"1"


async def test_kinds_and_tenants_are_apart(records: Records) -> None:
    await records.put(ADA, "batch", "b", b"1")
    await records.put(ADA, "chat", "b", b"2")
    await records.put(BOB, "batch", "b", b"3", only_new=True)

    assert await records.remove(ADA, "batch", "b") is True
    assert await records.remove(ADA, "batch", "b") is False

    assert await records.get(ADA, "batch", "b") is None
    assert await records.get(ADA, "chat", "b") == b"2"
    assert await records.get(BOB, "batch", "b") == b"3"
    assert await records.list_records(ADA, "batch") == []
    await records.put(ADA, "batch", "b", b"4", only_new=True)
    assert await records.get(ADA, "batch", "b") == b"4"


async def test_records_are_listed_in_pages_both_ways(records: Records) -> None:
    for key in "caebd":
        await records.put(ADA, "k", key, key.encode())
    await records.put(BOB, "k", "x", b"x")

    async def page(**wanted: object) -> str:
        found = await records.list_records(ADA, "k", **wanted)  # type: ignore[arg-type]  # the test gives what fits
        return "".join(key for _, key, _ in found)

    assert await page() == "abcde"
    assert await page(limit=2) == "ab"
    assert await page(after="b", limit=2) == "cd"
    assert await page(is_newest_first=True, limit=2) == "ed"
    assert await page(is_newest_first=True, after="b") == "a"
    assert await page(after="bb", limit=1) == "c"
    assert await page(limit=0) == ""


async def test_a_page_of_all_tenants_never_parts_those_with_the_same_key(records: Records) -> None:
    for tenant, key in ((ADA, "a"), (ADA, "b"), (BOB, "b"), (BOB, "c")):
        await records.put(tenant, "k", key, b"")

    first = await records.list_records(None, "k", limit=2)
    second = await records.list_records(None, "k", limit=2, after="b")
    back = await records.list_records(None, "k", limit=2, is_newest_first=True)

    assert [(owner, key) for owner, key, _ in first] == [(ADA, "a"), (ADA, "b"), (BOB, "b")]
    assert [(owner, key) for owner, key, _ in second] == [(BOB, "c")]
    assert [(owner, key) for owner, key, _ in back] == [(BOB, "c"), (BOB, "b"), (ADA, "b")]
