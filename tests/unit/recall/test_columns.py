"""Answers of the columns are kept as long as they hold: until a write, or until time alone changes them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.core.errors import RequestInvalid
from runtime.core.knowledge import Query
from runtime.core.memories import Scope
from runtime.recall.columns import Columns
from runtime.recall.database import open_database
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Pen, Truth, load_truth
from tests.kit.naive_recall import (
    Row,
    as_query,
    compare,
    joined,
    remove_document,
    rewrite_row,
    write_document,
)

NS = 1
ALL = as_query()


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    async with open_database(tmp_path / "recall.duckdb", MIGRATIONS) as database:
        yield await load_truth(database)


@pytest.fixture
def columns(truth: Truth) -> Columns:
    return Columns(truth)


async def put(truth: Truth, *rows: Row) -> list[int]:
    def _write(pen: Pen) -> list[int]:
        return [chunk for row in rows for chunk in write_document(pen, NS, row, 1)]

    return await truth.write(_write)


async def seen(
    columns: Columns, query: Query = ALL, now: float = 0.0, scope: Scope | None = None
) -> list[int]:
    ids: list[int] = (await columns.narrow(NS, query, scope, now)).ids.tolist()
    return ids


async def test_an_answer_is_kept_until_something_is_written(truth: Truth, columns: Columns) -> None:
    await put(truth, Row(id="a"))
    first = await columns.narrow(NS, ALL, None, 1.0)
    second = await columns.narrow(NS, ALL, None, 2.0)
    await put(truth, Row(id="b"))
    third = await columns.narrow(NS, ALL, None, 3.0)

    assert second is first
    assert third is not first
    assert (first.count, third.count) == (1, 2)
    assert len(first.ids) == 1, "what was given stays as it was"


async def test_an_answer_is_kept_while_only_vectors_come(truth: Truth, columns: Columns) -> None:
    (chunk,) = await put(truth, Row(id="a"))
    first = await columns.narrow(NS, ALL, None, 1.0)
    await truth.write(lambda pen: pen.put_vectors(NS, 1, [(chunk, b"\0\x3c" * 4)]))  # type: ignore[list-item]  # a chunk's id as it came

    assert await columns.narrow(NS, ALL, None, 2.0) is first


async def test_what_expires_begins_or_ends_is_seen_to_the_second(truth: Truth, columns: Columns) -> None:
    expiring, coming, going, _ = await put(
        truth,
        Row(id="expiring", expires_at=10.0),
        Row(id="coming", valid_from=20.0),
        Row(id="going", valid_to=30.0),
        Row(id="past", expires_at=1.0),
    )

    at = {now: await seen(columns, now=now) for now in (5.0, 9.9, 10.0, 19.9, 20.0, 29.9, 30.0, 5.0)}

    assert at == {
        5.0: [expiring, going],
        9.9: [expiring, going],
        10.0: [going],
        19.9: [going],
        20.0: [coming, going],
        29.9: [coming, going],
        30.0: [coming],
    }


async def test_expired_is_never_seen_not_even_as_it_was(truth: Truth, columns: Columns) -> None:
    await put(truth, Row(id="a", expires_at=10.0))

    assert await seen(columns, as_query(valid_at=5.0, known_at=5.0), now=11.0) == []


async def test_only_a_query_that_narrows_nothing_sees_everything(truth: Truth, columns: Columns) -> None:
    await put(truth, Row(id="a", attributes={"x": 1}, tags=("t",)))

    async def says(query: Query, scope: Scope | None = None) -> tuple[int, bool]:
        allowed = await columns.narrow(NS, query, scope, 0.0)
        return allowed.count, allowed.is_everything

    assert await says(ALL) == (1, True)
    assert await says(as_query(compare("eq", "x", 1))) == (1, False)
    assert await says(as_query(tags=("t",))) == (1, False)
    assert await says(ALL, Scope(user="u")) == (1, False)
    await put(truth, Row(id="b", expires_at=-1.0))
    assert await says(ALL) == (1, False)


async def test_another_users_items_are_never_seen(truth: Truth, columns: Columns) -> None:
    ada, bob, everybody, both = await put(
        truth,
        Row(id="ada", scope=Scope(user="ada")),
        Row(id="bob", scope=Scope(user="bob")),
        Row(id="everybody"),
        Row(id="both", scope=Scope(user="ada", agent="cook")),
    )

    assert await seen(columns, scope=Scope(user="ada")) == [ada, everybody]
    assert await seen(columns, scope=Scope(user="ada", agent="cook")) == [ada, everybody, both]
    assert await seen(columns, scope=Scope(user="eve")) == [everybody]
    assert await seen(columns, scope=Scope()) == [everybody]
    assert await seen(columns) == [ada, bob, everybody, both]


async def test_true_and_one_are_not_the_same_question(truth: Truth, columns: Columns) -> None:
    one, true = await put(truth, Row(id="one", attributes={"x": 1}), Row(id="true", attributes={"x": True}))

    assert await seen(columns, as_query(compare("eq", "x", 1))) == [one]
    assert await seen(columns, as_query(compare("eq", "x", True))) == [true]


async def test_a_filter_that_means_nothing_is_refused(columns: Columns) -> None:
    with pytest.raises(RequestInvalid, match="at least one"):
        await columns.narrow(NS, as_query(joined("and")), None, 0.0)


async def test_a_worn_table_is_read_anew(truth: Truth, columns: Columns) -> None:
    def _write(pen: Pen) -> None:
        write_document(pen, NS, Row(id="big"), 1500)
        write_document(pen, NS, Row(id="small"), 2)

    await truth.write(_write)
    before = await columns.narrow(NS, ALL, None, 0.0)
    full = columns.memory_bytes
    await truth.write(lambda pen: remove_document(pen, NS, "big"))
    after = await columns.narrow(NS, ALL, None, 0.0)

    assert (before.count, after.count) == (1502, 2)
    assert len(before.ids) == 1502
    assert columns.memory_bytes < full - 1500 * (8 + 4) / 2


async def test_changed_attributes_are_seen_through_any_chunk(truth: Truth, columns: Columns) -> None:
    (chunk,) = await put(truth, Row(id="a", attributes={"x": 1}))
    before = await seen(columns, as_query(compare("eq", "x", 2)))
    await truth.write(lambda pen: rewrite_row(pen, NS, Row(id="a", attributes={"x": 2}), [chunk]))  # type: ignore[list-item]  # a chunk's id as it came

    assert before == []
    assert await seen(columns, as_query(compare("eq", "x", 2))) == [chunk]
