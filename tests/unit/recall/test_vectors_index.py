"""The vector arm: wrong queries are named, odd rows break nothing, and memory stays within its budget."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import numpy as np
import pytest

from runtime.core.errors import RequestInvalid
from runtime.core.ids import ChunkId
from runtime.recall.database import open_database
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Pen, Truth, load_truth
from runtime.recall.vectors.index import VectorIndex
from tests.kit.naive_recall import Row, write_document

NS, SPACE = 1, 1
QUERY = np.array([1, 0, 0, 0], "<f4").tobytes()


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    async with open_database(tmp_path / "recall.duckdb", MIGRATIONS) as database:
        yield await load_truth(database)


@pytest.fixture
async def index(truth: Truth) -> AsyncIterator[VectorIndex]:
    opened = VectorIndex(truth)
    yield opened
    await opened.aclose()


def half(*parts: float) -> bytes:
    return np.array(parts, "<f2").tobytes()


def writing(ns: int, *blobs: bytes, name: str = "d", space: int = SPACE) -> Callable[[Pen], list[ChunkId]]:
    def _write(pen: Pen) -> list[ChunkId]:
        chunks = write_document(pen, ns, Row(id=f"{name}-{ns}"), len(blobs))
        pen.put_vectors(ns, space, list(zip(chunks, blobs, strict=True)))
        return chunks

    return _write


async def found(index: VectorIndex, ns: int = NS, vector: bytes = QUERY) -> list[int]:
    return [each.chunk for each in await index.search(ns, SPACE, vector, 10, None)]


async def test_a_query_of_another_length_is_refused_with_both_numbers(
    truth: Truth, index: VectorIndex
) -> None:
    await truth.write(writing(NS, half(1, 0, 0, 0)))
    short = np.ones(3, "<f4").tobytes()

    with pytest.raises(RequestInvalid) as searched:
        await index.search(NS, SPACE, short, 10, None)
    with pytest.raises(RequestInvalid):
        await index.scores(NS, SPACE, short, [ChunkId(1)])

    assert "has 3 dimensions" in searched.value.fault.message
    assert "have 4" in searched.value.fault.message


async def test_a_query_without_direction_finds_nothing(truth: Truth, index: VectorIndex) -> None:
    (chunk,) = await truth.write(writing(NS, half(1, 0, 0, 0)))

    for vector in (np.zeros(4, "<f4"), np.full(4, np.nan, "<f4")):
        assert await found(index, vector=vector.tobytes()) == []
        assert await index.scores(NS, SPACE, vector.tobytes(), [chunk]) == [None]


async def test_blobs_that_are_no_vectors_do_not_hide_the_others(
    truth: Truth, index: VectorIndex, caplog: pytest.LogCaptureFixture
) -> None:
    chunks = await truth.write(
        writing(NS, half(1, 0, 0, 0), b"", b"\x01", half(1, 0), half(0, 0, 0, 0), half(2, 1, 0, 0))
    )

    assert await found(index) == [chunks[0], chunks[5]]
    assert "left out" in caplog.text


async def test_a_namespace_without_vectors_answers_and_is_followed(truth: Truth, index: VectorIndex) -> None:
    before = await found(index)
    none = await index.vectors(NS, SPACE, [ChunkId(1), ChunkId(2)])
    chunks = await truth.write(writing(NS, half(1, 0, 0, 0)))

    assert before == []
    assert not none.any()
    assert len(none) == 2
    assert await found(index) == chunks


async def test_namespaces_and_spaces_do_not_see_each_other(truth: Truth, index: VectorIndex) -> None:
    first = await truth.write(writing(1, half(1, 0, 0, 0)))
    second = await truth.write(writing(2, half(1, 0, 0, 0)))
    await truth.write(writing(1, half(1, 0, 0, 0), name="e", space=9))

    assert await found(index, 1) == first
    assert await found(index, 2) == second
    assert [each is None for each in await index.scores(1, SPACE, QUERY, [*first, *second])] == [False, True]


async def test_a_trimmed_log_hides_no_change(truth: Truth, index: VectorIndex) -> None:
    first = await truth.write(writing(NS, half(1, 0, 0, 0)))
    before = await found(index)
    second = await truth.write(writing(NS, half(1, 1, 0, 0), name="e"))
    await truth.write(writing(2, half(1, 0, 0, 0)))
    await truth.trim(truth.newest)

    assert before == first
    assert await found(index) == [*first, *second]


async def test_shards_beyond_the_budget_go_and_come_back(truth: Truth) -> None:
    index = VectorIndex(truth, budget_bytes=1)
    chunks = [await truth.write(writing(ns, half(1, 0, 0, 0))) for ns in (1, 2, 3)]

    for _ in range(2):
        assert [await found(index, ns) for ns in (1, 2, 3)] == chunks
    held = index.memory_bytes
    await found(index, 3)
    index.forget(3)

    assert held > 0
    assert index.memory_bytes == 0
    assert await found(index, 3) == chunks[2]
    await index.aclose()
    assert index.memory_bytes == 0


async def test_a_newer_space_takes_the_place_of_the_former_one_in_memory(
    truth: Truth, index: VectorIndex
) -> None:
    chunks = await truth.write(writing(NS, half(1.0, 0.0, 0.0, 0.0)))
    newer = SPACE + 1
    await truth.write(lambda pen: pen.put_vectors(NS, newer, [(chunks[0], half(1.0, 0.0, 0.0, 0.0))]))
    await found(index)
    held = index.memory_bytes

    assert [each.chunk for each in await index.search(NS, newer, QUERY, 5, None)] == chunks

    assert index.memory_bytes == held


async def test_cells_are_learnt_beside_the_searches_and_serve_then(truth: Truth) -> None:
    index = VectorIndex(truth, cells_from=2000)
    middles = np.random.default_rng(1).standard_normal((20, 16))
    vectors = middles[np.arange(2500) % 20] + 0.3 * np.random.default_rng(2).standard_normal((2500, 16))
    chunks = await truth.write(writing(NS, *[each.astype("<f2").tobytes() for each in vectors]))
    query = middles[3].astype("<f4").tobytes()
    exact = await found(index, vector=query)

    learner = index._learner
    assert learner is not None
    with anyio.fail_after(60):
        await anyio.to_thread.run_sync(learner.join, 50.0)
    by_cells = await found(index, vector=query)
    async with index._shelf.use((NS, SPACE)) as held:
        assert held.shard.cells is not None

    assert len(chunks) == 2500
    assert by_cells == exact
    await index.aclose()
