"""Finds: narrows, asks both arms, fuses, reranks, drops what says the same twice, and makes hits of the rest.

The one search of Recall, for documents and for what agents remember. It decides nothing about scores:
`fuse.py` does; and it reads no rows: `search_rows.py` does.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import anyio.to_thread
import msgspec
import numpy as np

from runtime.core.clock import Clock
from runtime.core.ids import TenantId
from runtime.core.knowledge import Found, Query
from runtime.core.memories import Scope
from runtime.core.recall_facts import RecallSearched
from runtime.recall import fuse
from runtime.recall.documents import DocumentRows
from runtime.recall.lexical.query import wanted
from runtime.recall.marks import Marks, Shelfmark
from runtime.recall.search_candidates import Arms, Gathering, Sight, heed
from runtime.recall.search_hits import HitMaker
from runtime.recall.search_languages import known_languages, known_share
from runtime.recall.search_models import Missing, QueryModels
from runtime.recall.search_ranking import Ranking, listing
from runtime.recall.search_rows import HitRows

DEPTH = 100
"""Candidates of each arm; more only for later pages, in steps, so that pages of one depth fit together."""
RERANKED = 30
"""The best hits that a cross-encoder reads: a second or so on two cores."""
_LANGUAGE_SAMPLE = 10
"""Of the best by words: their language is that of the question, since words hit their own language."""


class Publish(Protocol):
    """Tells the bus a fact of a tenant."""

    def __call__(self, event: RecallSearched, *, tenant: TenantId) -> object:
        """Publish; never waits."""


class Reading(NamedTuple):
    """Where hits are read."""

    marks: Marks
    documents: DocumentRows
    rows: HitRows


class HybridSearcher:
    """The search, as `core.recall.Searcher`."""

    def __init__(
        self, reading: Reading, arms: Arms, models: QueryModels, clock: Clock, publish: Publish
    ) -> None:
        self._reading = reading
        self._arms = arms
        self._models = models
        self._clock = clock
        self._publish = publish
        self._hits = HitMaker(reading.documents, reading.rows, arms.text)

    async def search(self, tenant: TenantId, query: Query) -> Found:
        """Search collections of the tenant. Raises NotFound; no text of a query is ever an error.

        Without words that it looks for the query lists what its filters and signs let through, the newest
        document first, with score 0. What `+must` and `-not` leave out is no hit, whatever the arm. An arm
        that cannot take part is told in the notes.
        """
        named = dict.fromkeys(query.collections)
        marks = [self._reading.marks.find_ns(tenant, collection) for collection in named]
        for mark in marks:
            self._reading.marks.touch(mark.ns, self._clock.now())
        return await self.search_in(tenant, marks, query, None)

    async def search_in(
        self, tenant: TenantId, marks: Sequence[Shelfmark], query: Query, scope: Scope | None
    ) -> Found:
        """Search namespaces, seeing what a scope sees; the caller answers for their being the tenant's."""
        started = self._clock.monotonic()
        # Half a character of UTF-16 can be in a str, yet in no index.
        text = query.text.encode(errors="replace").decode()
        query = msgspec.structs.replace(query, text=text)
        sights, notes = await heed(self._arms.text, query, await self._narrow(marks, query, scope))
        if wanted(text).strip():
            ranking = await self._rank(sights, query)
        else:
            ranking = await self._newest(sights)
        ranking.notes[:0] = notes

        found = await self._hits.page(ranking, sights, query)
        took_s = self._clock.monotonic() - started
        fact = RecallSearched(
            collections=tuple(mark.collection for mark in marks),
            hits=len(found.hits),
            took_s=took_s,
            is_degraded=bool(notes or ranking.gathered.notes),
        )
        self._publish(fact, tenant=tenant)
        return msgspec.structs.replace(found, took_s=took_s)

    async def _narrow(self, marks: Sequence[Shelfmark], query: Query, scope: Scope | None) -> list[Sight]:
        now = self._clock.now()
        sights = [
            Sight(mark, await self._arms.narrowing.narrow(mark.ns, query, scope, now)) for mark in marks
        ]
        return [sight for sight in sights if sight.allowed.count]

    async def _rank(self, sights: Sequence[Sight], query: Query) -> Ranking:
        gathered = await Gathering(self._arms, self._models, query, sights).gather(_depth(query))
        weights = await self._weights(gathered, sights, query)
        fused = fuse.fuse(gathered.candidates, weights)
        ranking = Ranking(gathered, fused, weights, fused.scores, notes=[*gathered.notes])
        await self._add_priors(ranking, sights, query)
        await self._rerank(ranking, query)
        ranking.order = fuse.best_first(ranking.scores, gathered.candidates.ids, query.threshold)
        return ranking

    async def _newest(self, sights: Sequence[Sight]) -> Ranking:
        """Return everything that may be seen, by the time it came here, chunks of a document in order."""
        ids = [sight.allowed.ids for sight in sights]
        created = [
            (await self._arms.narrowing.weights(sight.mark.ns, sight.allowed.ids))[0] for sight in sights
        ]
        return await anyio.to_thread.run_sync(listing, ids, created)

    async def _weights(self, gathered: fuse.Gathered, sights: Sequence[Sight], query: Query) -> list[float]:
        """Return the vectors' share of each group: as asked for, or by coverage and language."""
        if query.vector_weight is not None or query.arm != "hybrid":
            return [1.0 if query.vector_weight is None else query.vector_weight] * len(gathered.embeddings)

        weights = []
        for group, embedding in enumerate(gathered.embeddings):
            known = known_languages(embedding.model)
            share = 1.0
            if known is not None:
                share = await self._known_share(known, group, gathered, sights)
            weights.append(fuse.vector_weight(gathered.coverage, share))
        return weights

    async def _known_share(
        self, known: frozenset[str], group: int, gathered: fuse.Gathered, sights: Sequence[Sight]
    ) -> float:
        """Return the share of the texts in question that are in a known language.

        Where a collection holds texts of both sorts, those that the words found best speak for the question.
        """
        candidates = gathered.candidates
        members = candidates.group == group
        places = np.unique(gathered.sight[members])
        texts: Counter[str] = Counter()
        for place in places:
            mark = sights[place].mark
            texts.update(
                await self._reading.rows.languages(mark.ns)
                if mark.language == "auto"
                else {mark.language: 1.0}
            )
        share = known_share(texts, known)
        if share in (0.0, 1.0):
            return share

        matched = np.flatnonzero(members & (np.nan_to_num(candidates.text) > 0.0))
        best = matched[fuse.best_first(candidates.text[matched], candidates.ids[matched])[:_LANGUAGE_SAMPLE]]
        sample = await self._reading.rows.languages_of([int(each) for each in candidates.ids[best]])
        return known_share(sample, known) if sample else share

    async def _add_priors(self, ranking: Ranking, sights: Sequence[Sight], query: Query) -> None:
        if not query.recency_weight and not query.importance_weight:
            return

        candidates = ranking.gathered.candidates
        created, importance = np.zeros(candidates.ids.shape), np.zeros(candidates.ids.shape)
        for place, sight in enumerate(sights):
            members = ranking.gathered.sight == place
            created[members], importance[members] = await self._arms.narrowing.weights(
                sight.mark.ns, candidates.ids[members]
            )
        if query.recency_weight:
            ranking.recency = fuse.recency(created, self._clock.now(), query.recency_half_life_s)
            ranking.scores = fuse.with_prior(ranking.scores, ranking.recency, query.recency_weight)
        if query.importance_weight:
            ranking.importance = importance
            ranking.scores = fuse.with_prior(ranking.scores, importance, query.importance_weight)

    async def _rerank(self, ranking: Ranking, query: Query) -> None:
        chosen = self._models.choose_reranker(query.rerank)
        if isinstance(chosen, Missing):
            ranking.notes.append(chosen.note)
        if chosen is None or isinstance(chosen, Missing) or query.offset >= RERANKED:
            return

        ids = ranking.gathered.candidates.ids
        best = [int(place) for place in fuse.best_first(ranking.scores, ids)[:RERANKED]]
        await self._hits.read(ranking, best)
        texts = {place: ranking.chunks[place] for place in best if place in ranking.chunks}
        if not texts:
            return

        judged = await self._models.rerank(
            chosen, wanted(query.text), [chunk.text for chunk in texts.values()]
        )
        if isinstance(judged, Missing):
            ranking.notes.append(judged.note)
            return

        places = np.array(list(texts), dtype=np.int64)
        ranking.rerank = dict(zip(texts, judged, strict=True))
        ranking.scores = ranking.scores.copy()
        ranking.scores[places] = fuse.reranked(ranking.scores[places], np.array(judged, dtype=np.float64))


def _depth(query: Query) -> int:
    """Return how many candidates each arm gives for a page to be whole."""
    depth = DEPTH
    while depth <= query.offset + query.limit:
        depth *= 2
    return depth
