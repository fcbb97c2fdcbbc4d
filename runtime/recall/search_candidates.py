"""What both arms find, brought together: the union of their best, each scored exactly by both.

           ┌─ words ──► best by BM25 ─┐
each shelf ┤                          ├─► union ─► what an arm has not scored yet ─► columns
           └─ vector ─► best by cosine┘
An arm that fails is left out and said aloud; only where none is left does the search fail.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

import anyio
import numpy as np

from runtime.core.ids import ChunkId
from runtime.core.knowledge import Query
from runtime.recall.fuse import Candidates, Gathered
from runtime.recall.lexical.query import wanted
from runtime.recall.marks import Shelfmark
from runtime.recall.parts import Allowed, Narrowing, Scored, TextArm, TextFound, VectorArm
from runtime.recall.search_models import Missing, QueryModels

logger = logging.getLogger(__name__)

ARM_LIMIT_S = 30.0
"""For one arm and namespace: milliseconds, or seconds while vectors are read from disk for the first time."""
T = TypeVar("T")
Ask = Callable[[], Coroutine[Any, Any, None]]


class Arms(NamedTuple):
    """What a search looks with."""

    text: TextArm
    vector: VectorArm
    narrowing: Narrowing


class Sight(NamedTuple):
    """One namespace, and what the search may see of it."""

    mark: Shelfmark
    allowed: Allowed


@dataclass(slots=True)
class _Finding:
    """What is known of one namespace so far; None: an arm has no part in it."""

    group: int
    text: TextFound | None = None
    nearest: list[Scored] | None = None
    ids: list[ChunkId] = field(default_factory=list)
    bm25: dict[ChunkId, float] = field(default_factory=dict)
    cosine: dict[ChunkId, float | None] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """What BM25 is multiplied with to be the share of what the question could have scored here.

        How rare a word is differs between namespaces, and BM25 with it; this share can be compared.
        """
        if self.text is None or not self.text.hits or self.text.hits[0].score <= 0:
            return 1.0

        return self.text.coverage / self.text.hits[0].score


async def heed(text: TextArm, query: Query, sights: Sequence[Sight]) -> tuple[list[Sight], tuple[str, ...]]:
    """Return what the question's signs leave to see, for every arm; a note where that cannot be told."""
    heeded: list[Sight] = []
    try:
        with anyio.fail_after(ARM_LIMIT_S):
            for mark, allowed in sights:
                left = await text.heed(mark.ns, query.text, mark.language, allowed)
                heeded.append(Sight(mark, left))
    except Exception:  # the border of an arm: the other one answers, the reader is told
        logger.exception("the signs of a question could not be heeded")
        return [*sights], ("The index of words failed: '+' and '-' before words were not heeded.",)

    return [sight for sight in heeded if sight.allowed.count], ()


class Gathering:
    """One search on its way through the arms. Used once."""

    def __init__(self, arms: Arms, models: QueryModels, query: Query, sights: Sequence[Sight]) -> None:
        """Take sights that were heeded."""
        self._arms = arms
        self._models = models
        self._query = query
        self._sights = sights
        self._embeddings = list(dict.fromkeys(sight.mark.embedding for sight in sights))
        self._findings = [_Finding(self._embeddings.index(sight.mark.embedding)) for sight in sights]
        self._vectors: list[bytes | None] = [None] * len(self._embeddings)
        self._notes: dict[str, None] = {}
        self._failures: list[Exception] = []

    async def gather(self, depth: int) -> Gathered:
        """Return the union of the best `depth` of each arm and namespace. Raises what the last arm raised."""
        looks: list[Ask] = []
        if self._query.arm != "vector":
            looks += [partial(self._look_by_words, place, depth) for place in range(len(self._sights))]
        if self._query.arm != "text":
            looks += [partial(self._look_by_vector, group, depth) for group in range(len(self._embeddings))]
        await _side_by_side(looks)

        is_blind = all(each.text is None and each.nearest is None for each in self._findings)
        if is_blind and self._failures:
            raise self._failures[0]

        await _side_by_side(
            [partial(self._score_the_rest, place, depth) for place in range(len(self._sights))]
        )
        return self._columns()

    async def _look_by_words(self, place: int, depth: int) -> None:
        mark, allowed = self._sights[place]
        self._findings[place].text = await self._attempt(
            lambda: self._arms.text.search(mark.ns, self._query.text, mark.language, depth, allowed),
            "The index of words failed: found by meaning alone.",
        )

    async def _look_by_vector(self, group: int, depth: int) -> None:
        made = await self._models.vector(self._embeddings[group], wanted(self._query.text))
        if isinstance(made, Missing):
            self._notes[made.note] = None
            return

        self._vectors[group] = made
        places = [place for place, finding in enumerate(self._findings) if finding.group == group]
        await _side_by_side([partial(self._look_near, place, made, depth) for place in places])

    async def _look_near(self, place: int, vector: bytes, depth: int) -> None:
        mark, allowed = self._sights[place]
        self._findings[place].nearest = await self._attempt(
            lambda: self._arms.vector.search(mark.ns, mark.space, vector, depth, allowed),
            "The index of vectors failed: found by words alone.",
        )

    async def _score_the_rest(self, place: int, depth: int) -> None:
        """Ask each arm about what only the other has found; an arm that gave less than `depth` gave all."""
        finding = self._findings[place]
        by_words = finding.text.hits if finding.text is not None else []
        by_vector = finding.nearest or []
        finding.bm25.update(by_words)
        finding.cosine.update(by_vector)
        finding.ids = list(dict.fromkeys([each.chunk for each in (*by_words, *by_vector)]))
        unread = [chunk for chunk in finding.ids if chunk not in finding.bm25]
        unseen = [chunk for chunk in finding.ids if chunk not in finding.cosine]
        asks: list[Ask] = []
        if unread and len(by_words) >= depth:
            asks.append(partial(self._score_words, place, unread))
        if unseen and len(by_vector) >= depth:
            asks.append(partial(self._score_vectors, place, unseen))
        await _side_by_side(asks)

    async def _score_words(self, place: int, chunks: Sequence[ChunkId]) -> None:
        mark = self._sights[place].mark
        scores = await self._attempt(
            lambda: self._arms.text.scores(mark.ns, self._query.text, mark.language, chunks),
            "The index of words failed: found by meaning alone.",
        )
        self._findings[place].bm25.update(zip(chunks, scores or (), strict=False))

    async def _score_vectors(self, place: int, chunks: Sequence[ChunkId]) -> None:
        finding, mark = self._findings[place], self._sights[place].mark
        vector = self._vectors[finding.group]
        assert vector is not None, "the arm has found something"
        scores = await self._attempt(
            lambda: self._arms.vector.scores(mark.ns, mark.space, vector, chunks),
            "The index of vectors failed: found by words alone.",
        )
        finding.cosine.update(zip(chunks, scores or (), strict=False))

    async def _attempt(self, ask: Callable[[], Awaitable[T]], note: str) -> T | None:
        """Return what an arm says; None, with a note, where it fails or takes too long."""
        try:
            with anyio.fail_after(ARM_LIMIT_S):
                return await ask()
        except Exception as problem:  # the border of an arm: the other one answers, the reader is told
            logger.exception("an arm of the search failed")
            self._failures.append(problem)
            self._notes[note] = None
            return None

    def _columns(self) -> Gathered:
        ids: list[int] = []
        text: list[float] = []
        vector: list[float] = []
        share: list[float] = []
        sight: list[int] = []
        for place, finding in enumerate(self._findings):
            ids += finding.ids
            sight += [place] * len(finding.ids)
            unread = np.nan if finding.text is None else 0.0
            text += [finding.bm25.get(chunk, unread) for chunk in finding.ids]
            share += [finding.share] * len(finding.ids)
            cosines = (finding.cosine.get(chunk) for chunk in finding.ids)
            vector += [np.nan if cosine is None else cosine for cosine in cosines]

        places = np.array(sight, dtype=np.int64)
        groups = np.array([each.group for each in self._findings], dtype=np.int64)
        bm25 = np.array(text, dtype=np.float64)
        candidates = Candidates(
            np.array(ids, dtype=np.int64), bm25 * np.array(share), np.array(vector), groups[places]
        )
        coverage = max((each.text.coverage for each in self._findings if each.text is not None), default=0.0)
        return Gathered(candidates, bm25, places, tuple(self._embeddings), coverage, tuple(self._notes))


async def _side_by_side(asks: Sequence[Ask]) -> None:
    """Await all of them; a single one, as most often, without a task of its own."""
    if len(asks) == 1:
        await asks[0]()
        return

    async with anyio.create_task_group() as tasks:
        for ask in asks:
            tasks.start_soon(ask)
