"""A truth in a folder, with arms that are simple enough to be right: they read rows and compare them all."""

import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.core.ids import ChunkId, DocumentId, ModelId, TenantId
from runtime.core.knowledge import Document, Embedding, Query, Span
from runtime.core.memories import Scope
from runtime.core.recall import Embedder
from runtime.core.recall_facts import RecallSearched
from runtime.recall.database import open_database
from runtime.recall.documents import DocumentRows, ItemColumns, insert_document
from runtime.recall.lexical.query import demands
from runtime.recall.marks import Marks, Shelfmark, add_space, load_marks
from runtime.recall.parts import Allowed, Ids, Scored, TextFound
from runtime.recall.schema import MIGRATIONS
from runtime.recall.search import HybridSearcher, Reading
from runtime.recall.search_candidates import Arms
from runtime.recall.search_models import QueryModels
from runtime.recall.search_rows import HitRows
from runtime.recall.truth import NewChunk, Pen, Truth, load_truth
from tests.kit.clock import FakeClock
from tests.kit.embedder import MODEL, WordEmbedder, vector_of, words_of

TENANT = TenantId("local")


class SomeIds:
    """Fulfils `parts.Allowed`."""

    def __init__(self, ids: Sequence[int], *, is_everything: bool) -> None:
        self.ids: Ids = np.array(sorted(ids), dtype=np.int64)
        self.is_everything = is_everything

    @property
    def count(self) -> int:
        return len(self.ids)

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        return np.isin(ids, self.ids)


class RowNarrowing:
    """Fulfils `parts.Narrowing`; knows tags, expiry and the scope's user."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def narrow(self, ns: int, query: Query, scope: Scope | None, now: float) -> Allowed:
        rows = await self._truth.read(
            "SELECT chunk.id, tags, expires_at, scope_user FROM chunk JOIN document "
            "ON document.id = chunk.document WHERE chunk.ns = $1",
            [ns],
        )
        user = scope.user if scope is not None else None
        seen = [
            chunk
            for chunk, tags, expires_at, owner in rows
            if {*query.tags} <= {*msgspec.json.decode(tags)}
            and (expires_at is None or expires_at > now)
            and (scope is None or owner in (None, user))
        ]
        return SomeIds(seen, is_everything=len(seen) == len(rows))

    async def weights(self, ns: int, ids: Ids) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = await self._truth.read(
            "SELECT chunk.id, document.created_at, coalesce(importance, 0.5) FROM chunk JOIN document "
            "ON document.id = chunk.document WHERE chunk.ns = $1",
            [ns],
        )
        known = {row[0]: row[1:] for row in rows}
        return (
            np.array([known[int(each)][0] for each in ids], dtype=np.float64),
            np.array([known[int(each)][1] for each in ids], dtype=np.float64),
        )


class RowText:
    """Fulfils `parts.TextArm`: words weighed by how rare they are."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.asked = 0
        self.scored: list[int] = []
        """How many chunks each call of `scores` was about."""
        self.problem: Exception | None = None

    async def search(
        self, ns: int, text: str, language: str, limit: int, allowed: Allowed | None
    ) -> TextFound:
        self.asked += 1
        if self.problem is not None:
            raise self.problem

        texts = await self._texts(ns)
        scores, bound = _score(texts, text)
        visible = set(texts) if allowed is None else {int(each) for each in allowed.ids}
        hits = [Scored(chunk, score) for chunk, score in scores.items() if score > 0 and chunk in visible]
        hits.sort(key=lambda hit: (-hit.score, hit.chunk))
        coverage = hits[0].score / bound if hits and bound else 0.0
        return TextFound(hits[:limit], coverage)

    async def scores(self, ns: int, text: str, language: str, chunks: Sequence[ChunkId]) -> list[float]:
        self.scored.append(len(chunks))
        scores, _ = _score(await self._texts(ns), text)
        return [scores.get(chunk, 0.0) for chunk in chunks]

    async def heed(self, ns: int, text: str, language: str, allowed: Allowed) -> Allowed:
        asked = demands(text)
        if not asked:
            return allowed

        if self.problem is not None:
            raise self.problem

        words = {chunk: set(words_of(found)) for chunk, found in (await self._texts(ns)).items()}
        left = [
            int(chunk)
            for chunk in allowed.ids
            if all((each.text in words[ChunkId(int(chunk))]) == (each.occur == "must") for each in asked)
        ]
        return SomeIds(left, is_everything=False)

    def highlights(self, query: str, text: str, language: str) -> tuple[Span, ...]:
        wanted = set(words_of(query))
        found, at = [], 0
        for word in words_of(text):
            start = text.lower().index(word, at)
            at = start + len(word)
            if word in wanted:
                found.append(Span(start, at))
        return tuple(found)

    async def _texts(self, ns: int) -> dict[ChunkId, str]:
        rows = await self._truth.read("SELECT id, text FROM chunk WHERE ns = $1", [ns])
        return {ChunkId(row[0]): row[1] for row in rows}


class RowVectors:
    """Fulfils `parts.VectorArm`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.asked = 0
        self.scored: list[int] = []
        self.problem: Exception | None = None

    async def search(
        self, ns: int, space: int, vector: bytes, limit: int, allowed: Allowed | None
    ) -> list[Scored]:
        self.asked += 1
        if self.problem is not None:
            raise self.problem

        ids, rows = await self._rows(ns, space)
        if not len(ids):
            return []
        seen = np.ones(len(ids), dtype=bool) if allowed is None else allowed.contains(ids)
        cosines = rows @ np.frombuffer(vector, "<f4")
        order = [place for place in np.lexsort((ids, -cosines)) if seen[place]]
        return [Scored(ChunkId(int(ids[place])), float(cosines[place])) for place in order[:limit]]

    async def scores(
        self, ns: int, space: int, vector: bytes, chunks: Sequence[ChunkId]
    ) -> list[float | None]:
        self.scored.append(len(chunks))
        ids, rows = await self._rows(ns, space)
        cosines = dict(zip(ids.tolist(), (rows @ np.frombuffer(vector, "<f4")).tolist(), strict=True))
        return [cosines.get(chunk) for chunk in chunks]

    async def vectors(self, ns: int, space: int, chunks: Sequence[ChunkId]) -> NDArray[np.float32]:
        ids, rows = await self._rows(ns, space)
        by_id = dict(zip(ids.tolist(), rows, strict=True))
        return np.array([by_id.get(chunk, np.zeros(rows.shape[1])) for chunk in chunks], dtype=np.float32)

    async def _rows(self, ns: int, space: int) -> tuple[Ids, NDArray[np.float32]]:
        found = await self._truth.read(
            "SELECT chunk, e FROM vector WHERE ns = $1 AND space = $2 ORDER BY chunk", [ns, space]
        )
        ids = np.array([row[0] for row in found], dtype=np.int64)
        rows = [np.frombuffer(row[1], "<f2").astype(np.float32) for row in found]
        return ids, np.array(rows, dtype=np.float32).reshape(len(found), -1)


@dataclass(slots=True)
class Told:
    """Collects what is published."""

    facts: list[tuple[TenantId, RecallSearched]] = field(default_factory=list)

    def __call__(self, event: RecallSearched, *, tenant: TenantId) -> None:
        self.facts.append((tenant, event))


@dataclass(slots=True)
class SearchStage:
    """Everything that a search stands on."""

    truth: Truth
    marks: Marks
    clock: FakeClock
    arms: Arms
    embedder: Embedder
    told: Told
    searcher: HybridSearcher
    embed: Callable[[Sequence[str]], Awaitable[list[bytes]]]
    """Makes the vectors of documents."""

    @property
    def words(self) -> WordEmbedder:
        """The embedder, where it is that of tests."""
        assert isinstance(self.embedder, WordEmbedder)
        return self.embedder

    @property
    def text(self) -> RowText:
        """The arm of words, where it is that of tests."""
        assert isinstance(self.arms.text, RowText)
        return self.arms.text

    @property
    def vectors(self) -> RowVectors:
        """The arm of vectors, where it is that of tests."""
        assert isinstance(self.arms.vector, RowVectors)
        return self.arms.vector

    async def collection(
        self,
        name: str,
        *,
        tenant: TenantId = TENANT,
        model: ModelId = MODEL,
        language: str = "auto",
        kind: str = "documents",
    ) -> Shelfmark:
        """Make a collection."""

        def _make(pen: Pen) -> int:
            ns = pen.next_ns()
            space = add_space(pen, ns, Embedding(model=model))
            pen.execute(
                "INSERT INTO collection (id, ns, tenant, name, kind, description, language, chunking, "
                "metadata, created_at, last_active_at, space) "
                "VALUES (?, ?, ?, ?, ?, '', ?, '{}', '{}', 0, 0, ?)",
                [f"vs_{name}", ns, tenant, name, kind, language, space],
            )
            self.marks.renew(pen, ns)
            return ns

        mark = self.marks.by_ns(await self.truth.write(_make))
        assert mark is not None
        return mark

    async def document(
        self,
        mark: Shelfmark,
        name: str,
        *texts: str,
        is_embedded: bool = True,
        language: str = "en",
        headings: Sequence[str] = (),
        item: ItemColumns | None = None,
        **columns: Any,
    ) -> DocumentId:
        """Store a document of these chunks, their vectors with it."""
        document = DocumentId(f"doc_{mark.ns}_{name}")
        told = {"created_at": self.clock.now(), "changed_at": self.clock.now(), **columns}
        row = Document(
            id=document, collection=mark.collection, name=name, status="completed", language=language, **told
        )

        vectors = await self.embed(texts) if is_embedded else []

        def _store(pen: Pen) -> None:
            insert_document(pen, mark.ns, mark.tenant, row, item=item)
            pen.execute("INSERT INTO body VALUES (?, ?, ?)", [document, mark.ns, "\n".join(texts)])
            chunks, start = [], 0
            for ordinal, text in enumerate(texts):
                heading = [headings[ordinal]] if headings else []
                encoded = msgspec.json.encode(heading).decode()
                chunks.append(NewChunk(ordinal, start, start + len(text), encoded, text))
                start += len(text) + 1
            ids = pen.put_chunks(mark.ns, document, chunks)
            if is_embedded:
                halves = [np.frombuffer(each, "<f4").astype("<f2").tobytes() for each in vectors]
                pen.put_vectors(mark.ns, mark.space, list(zip(ids, halves, strict=True)))

        await self.truth.write(_store)
        return document


@asynccontextmanager
async def open_search_stage(folder: Path, *, reranker: ModelId | None = None) -> AsyncIterator[SearchStage]:
    """Open an empty truth with a search over it, its arms made of rows, its embedder of words."""
    async with open_database(folder / "recall.duckdb", MIGRATIONS) as database:
        truth = await load_truth(database)
        arms = Arms(RowText(truth), RowVectors(truth), RowNarrowing(truth))
        embedder = WordEmbedder()

        async def _embed(texts: Sequence[str]) -> list[bytes]:
            return [vector_of(text) for text in texts]

        yield await make_stage(truth, arms, embedder, _embed, reranker=reranker)


async def make_stage(
    truth: Truth,
    arms: Arms,
    embedder: Embedder,
    embed: Callable[[Sequence[str]], Awaitable[list[bytes]]],
    *,
    reranker: ModelId | None = None,
) -> SearchStage:
    """Return a search over any arms."""
    marks = await load_marks(truth)
    clock, told = FakeClock(), Told()
    searcher = HybridSearcher(
        Reading(marks, DocumentRows(truth, marks, clock), HitRows(truth)),
        arms,
        QueryModels(embedder, reranker, clock),
        clock,
        told,
    )
    return SearchStage(truth, marks, clock, arms, embedder, told, searcher, embed)


def _score(texts: dict[ChunkId, str], query: str) -> tuple[dict[ChunkId, float], float]:
    """Return each text's score and the greatest that the query's words could give."""
    words = {chunk: set(words_of(text)) for chunk, text in texts.items()}
    frequency = Counter(word for found in words.values() for word in found)
    rarity = {word: math.log(1 + len(texts) / (1 + frequency[word])) for word in set(words_of(query))}
    scores = {
        chunk: sum(rarity[word] for word in rarity if word in found) / (1 + 0.01 * len(found))
        for chunk, found in words.items()
    }
    return scores, sum(rarity.values())
