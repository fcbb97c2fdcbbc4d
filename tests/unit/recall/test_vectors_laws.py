"""Whatever is written, searches and filters answer as a look at every row would, at each step."""

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.core.ids import ChunkId, DocumentId, SourceId
from runtime.core.knowledge import Query
from runtime.core.memories import Scope
from runtime.recall.columns import Columns
from runtime.recall.database import open_database
from runtime.recall.parts import Allowed
from runtime.recall.schema import MIGRATIONS
from runtime.recall.truth import Pen, Truth, load_truth
from runtime.recall.vectors.index import VectorIndex
from runtime.recall.vectors.numpy_segment import NumpySegment
from tests.kit.naive_recall import (
    Row,
    as_query,
    compare,
    cosines,
    is_seen,
    remove_document,
    rewrite_row,
    write_document,
)

DIMENSIONS = 8
SPACE = 1
OTHER_SPACE = 2
namespaces = itertools.count(1)

moments = st.sampled_from([None, 10.0, 20.0, 30.0])
scopes = st.builds(
    lambda user, agent: Scope(user=user, agent=agent),
    st.sampled_from([None, "u", "v"]),
    st.sampled_from([None, "a"]),
)
names = st.sampled_from(["d0", "d1", "d2", "d3", "d4"])
rows = st.builds(
    Row,
    id=names,
    attributes=st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([1, True, "x", 2.5]), max_size=2),
    tags=st.lists(st.sampled_from(["t", "s"]), max_size=2, unique=True).map(tuple),
    source=st.sampled_from([None, "s1", "s2"]),
    created_at=st.sampled_from([5.0, 15.0]),
    valid_from=moments,
    valid_to=moments,
    expires_at=moments,
    ended_at=moments,
    importance=st.sampled_from([None, 0.25]),
    scope=scopes,
)
queries = st.builds(
    lambda where, tags, documents, sources, times: as_query(
        where,
        tags=tags,
        documents=tuple(map(DocumentId, documents)),
        sources=tuple(map(SourceId, sources)),
        **times,
    ),
    st.sampled_from([None, compare("eq", "a", 1), compare("ne", "b", "x")]),
    st.lists(st.sampled_from(["t", "s", "never"]), max_size=1).map(tuple),
    st.one_of(st.just([]), st.lists(names, max_size=2)),
    st.one_of(st.just([]), st.lists(st.sampled_from(["s1", "never"]), max_size=2)),
    st.dictionaries(
        st.sampled_from(["since", "until", "valid_at", "known_at"]),
        st.sampled_from([10.0, 15.0, 20.0]),
        max_size=1,
    ),
)
steps = st.one_of(
    st.tuples(st.just("put"), rows, st.integers(1, 30)),
    st.tuples(st.just("change"), rows, st.just(0)),
    st.tuples(st.just("embed"), rows, st.integers(0, 5)),
    st.tuples(st.just("remove"), rows, st.just(0)),
    st.tuples(st.sampled_from(["drop", "forget", "trim", "nothing"]), rows, st.just(0)),
)
asks = st.tuples(
    queries, st.one_of(st.none(), scopes), st.sampled_from([5.0, 10.0, 25.0, 35.0]), st.integers(1, 40)
)


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    async with open_database(tmp_path / "recall.duckdb", MIGRATIONS) as database:
        yield await load_truth(database)


class Model:
    """What must be found, beside the truth that it is written to."""

    def __init__(self, truth: Truth, seed: int) -> None:
        self.truth = truth
        self.ns = next(namespaces)
        self.rows: dict[str, Row] = {}
        self.chunks: dict[str, list[ChunkId]] = {}
        self.vectors: dict[ChunkId, NDArray[np.float16]] = {}
        self._chance = np.random.default_rng(seed)

    async def step(self, kind: str, row: Row, size: int) -> None:
        """Write one thing."""
        known = row.id in self.rows
        match kind:
            case "put":
                await self._put(row, size)
            case "change" if known:
                await self.truth.write(
                    lambda pen: rewrite_row(
                        pen, self.ns, replace(row, id=self._name(row.id)), self.chunks[row.id]
                    )
                )
                self.rows[row.id] = row
            case "embed" if known:
                await self._embed(row.id, size)
            case "remove" if known:
                await self.truth.write(lambda pen: remove_document(pen, self.ns, self._name(row.id)))
                self._forget(row.id)
            case "drop":
                await self.truth.write(lambda pen: pen.drop_namespace(self.ns))
                for name in list(self.rows):
                    self._forget(name)
            case "trim":
                await self.truth.trim(self.truth.newest)
            case _:
                """Nothing is written: a step on what is not there, or one that concerns the readers alone."""

    def seen(self, query: Query, scope: Scope | None, now: float) -> list[ChunkId]:
        """Return the chunks that a query may see."""
        named = replace_documents(query, self._name)
        return sorted(
            chunk
            for name, row in self.rows.items()
            if is_seen(replace(row, id=self._name(name)), named, scope, now)
            for chunk in self.chunks[name]
        )

    def query(self, query: Query) -> Query:
        """Return the query with this namespace's names of documents."""
        return replace_documents(query, self._name)

    async def _put(self, row: Row, size: int) -> None:
        def _write(pen: Pen) -> list[ChunkId]:
            if row.id in self.rows:
                remove_document(pen, self.ns, self._name(row.id))
            return write_document(pen, self.ns, replace(row, id=self._name(row.id)), size)

        chunks = await self.truth.write(_write)
        self._forget(row.id)
        self.rows[row.id], self.chunks[row.id] = row, chunks
        await self._embed(row.id, size // 2)

    async def _embed(self, name: str, size: int) -> None:
        chunks = self.chunks[name][:size]
        vectors = [self._vector() for _ in chunks]
        blobs = [(chunk, vector.tobytes()) for chunk, vector in zip(chunks, vectors, strict=True)]

        def _write(pen: Pen) -> None:
            pen.put_vectors(self.ns, SPACE, blobs)
            pen.put_vectors(self.ns, OTHER_SPACE, [(chunk, b"\0\x3c" * 3) for chunk in chunks])

        await self.truth.write(_write)
        self.vectors.update(zip(chunks, vectors, strict=True))

    def _vector(self) -> NDArray[np.float16]:
        kind = self._chance.integers(12)
        vector = self._chance.standard_normal(DIMENSIONS) * self._chance.choice([0.01, 1, 100])
        if kind == 0:
            vector[:] = 0
        if kind == 1:
            vector[0] = np.nan
        if kind == 2:
            vector[1] = np.inf
        result: NDArray[np.float16] = vector.astype("<f2")
        return result

    def _name(self, name: str) -> str:
        return f"{name}-{self.ns}"

    def _forget(self, name: str) -> None:
        self.rows.pop(name, None)
        for chunk in self.chunks.pop(name, []):
            self.vectors.pop(chunk, None)


def replace_documents(query: Query, rename: Callable[[str], str]) -> Query:
    documents = tuple(DocumentId(rename(each)) for each in query.documents)
    return as_query(
        query.where,
        tags=query.tags,
        documents=documents,
        sources=query.sources,
        since=query.since,
        until=query.until,
        valid_at=query.valid_at,
        known_at=query.known_at,
    )


async def check_search(model: Model, index: VectorIndex, limit: int, allowed: Allowed | None) -> None:
    vector = np.random.default_rng(limit).standard_normal(DIMENSIONS).astype("<f4")
    exact = cosines(model.vectors, vector)
    if allowed is not None:
        exact = {chunk: score for chunk, score in exact.items() if chunk in set(allowed.ids.tolist())}

    found = await index.search(model.ns, SPACE, vector.tobytes(), limit, allowed)

    assert [each.score for each in found] == pytest.approx(
        sorted(exact.values(), reverse=True)[:limit], abs=3e-3
    )
    assert all(exact[each.chunk] == pytest.approx(each.score, abs=3e-3) for each in found)
    assert len({each.chunk for each in found}) == len(found)


async def check_chunks(model: Model, index: VectorIndex) -> None:
    vector = np.ones(DIMENSIONS, "<f4")
    exact = cosines(model.vectors, vector)
    chunks = [ChunkId(10**12), *(chunk for each in model.chunks.values() for chunk in each)]

    scores = await index.scores(model.ns, SPACE, vector.tobytes(), chunks)
    vectors = await index.vectors(model.ns, SPACE, chunks)

    assert [score is None for score in scores] == [chunk not in exact for chunk in chunks]
    assert [score or 0.0 for score in scores] == pytest.approx([exact.get(c, 0.0) for c in chunks], abs=3e-3)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [chunk in exact for chunk in chunks], atol=3e-3)


async def check_narrowing(
    model: Model, columns: Columns, query: Query, scope: Scope | None, now: float
) -> Allowed:
    allowed = await columns.narrow(model.ns, model.query(query), scope, now)

    seen = model.seen(query, scope, now)
    every = [chunk for each in model.chunks.values() for chunk in each]
    assert allowed.ids.tolist() == seen
    assert allowed.count == len(seen)
    assert not allowed.is_everything or len(seen) == len(every)
    asked = np.array([0, *every, 10**12], np.int64)
    assert asked[allowed.contains(asked)].tolist() == [chunk for chunk in every if chunk in set(seen)]
    created_at, importance = await columns.weights(model.ns, asked)
    row_of = {chunk: model.rows[name] for name, chunks in model.chunks.items() for chunk in chunks}
    told = [row_of.get(ChunkId(int(chunk))) for chunk in asked]
    assert created_at.tolist() == [0.0 if row is None else row.created_at for row in told]
    assert importance.tolist() == [
        0.5 if row is None or row.importance is None else row.importance for row in told
    ]
    return allowed


@pytest.mark.parametrize(
    "more", [{}, {"make_segment": NumpySegment}, {"budget_bytes": 0}], ids=["faiss", "numpy", "no room"]
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.tuples(steps, asks), min_size=1, max_size=12), seed=st.integers(0, 1000))
async def test_every_answer_is_that_of_the_newest_commit(
    truth: Truth, more: dict[str, Any], steps: list[Any], seed: int
) -> None:
    model = Model(truth, seed)
    index = VectorIndex(truth, **more)
    columns = Columns(truth, budget_bytes=more.get("budget_bytes", 2**20))
    try:
        for (kind, row, size), (query, scope, now, limit) in steps:
            if kind == "forget":
                index.forget(model.ns)
                columns.forget(model.ns)
            await model.step(kind, row, size)

            allowed = await check_narrowing(model, columns, query, scope, now)
            await check_search(model, index, limit, allowed)
            await check_search(model, index, limit, None)
            await check_chunks(model, index)
    finally:
        await index.aclose()


async def test_readers_beside_a_writer_see_whole_commits(truth: Truth) -> None:
    model = Model(truth, 1)
    index, columns = VectorIndex(truth, budget_bytes=0), Columns(truth, budget_bytes=0)
    ns, pairs = model.ns, 40
    vector = np.ones(DIMENSIONS, "<f2").tobytes()
    is_written = anyio.Event()
    seen: list[int] = []

    def _replace(pen: Pen, version: int) -> None:
        # Two documents always go and come together: a reader that sees one of them sees the other.
        for name in ("left", "right"):
            if version:
                remove_document(pen, ns, f"{name}-{version - 1}-{ns}")
            chunks = write_document(pen, ns, Row(id=f"{name}-{version}-{ns}"), 3)
            pen.put_vectors(ns, SPACE, [(chunk, vector) for chunk in chunks])

    async def _read() -> None:
        while not is_written.is_set():
            before = truth.reached(ns)
            found = await index.search(ns, SPACE, np.ones(DIMENSIONS, "<f4").tobytes(), 100, None)
            everything = await columns.narrow(ns, as_query(), None, 0.0)
            assert len(found) == everything.count == (6 if before else len(found))
            seen.append(len(found))
            index.forget(ns + len(seen) % 2)

    await truth.write(lambda pen: _replace(pen, 0))
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(_read)
            for version in range(1, pairs):
                await truth.write(partial(_replace, version=version))
            is_written.set()

    assert seen
    assert set(seen) == {6}
    await index.aclose()
