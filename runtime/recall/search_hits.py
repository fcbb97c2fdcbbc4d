"""Makes a page of hits out of a ranking: reads chunks, drops copies, adds what stands around and why."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from runtime.core.ids import ChunkId, DocumentId
from runtime.core.knowledge import ArmScores, Document, Found, Hit, Query, Span, StoredChunk
from runtime.recall.documents import DocumentRows
from runtime.recall.parts import TextArm
from runtime.recall.search_candidates import Sight
from runtime.recall.search_duplicates import Shown
from runtime.recall.search_ranking import Ranking, explain
from runtime.recall.search_rows import PARENT_CHARACTERS, HitRows, Section

_MARGIN = 8
"""Chunks read beyond a page at once: so many of it may say the same as others before more must be read."""


class _Page(NamedTuple):
    places: list[int]
    is_more: bool


class _Surroundings(NamedTuple):
    documents: dict[DocumentId, Document]
    around: dict[ChunkId, list[StoredChunk]]
    sections: dict[ChunkId, Section]
    highlights: dict[int, tuple[Span, ...]]
    """By place."""
    reasons: dict[int, ArmScores]
    """By place."""


class HitMaker:
    """Reads what hits are made of."""

    def __init__(self, documents: DocumentRows, rows: HitRows, text: TextArm) -> None:
        self._documents = documents
        self._rows = rows
        self._text = text

    async def read(self, ranking: Ranking, places: Sequence[int]) -> None:
        """Read the chunks at these places into the ranking; those that are gone stay out."""
        missing = {ranking.id_at(place): place for place in places if place not in ranking.chunks}
        for chunk, stored in (await self._rows.chunks(list(missing))).items():
            ranking.chunks[missing[chunk]] = stored

    async def page(self, ranking: Ranking, sights: Sequence[Sight], query: Query) -> Found:
        """Return the hits of the query's page."""
        page = await self._choose(ranking, query)
        by_sight: defaultdict[int, list[int]] = defaultdict(list)
        for place in page.places:
            by_sight[int(ranking.gathered.sight[place])].append(place)

        hits: dict[int, Hit] = {}
        for sight, places in by_sight.items():
            hits |= await self._hits(ranking, sights[sight], places, query)
        return Found(
            hits=tuple(hits[place] for place in page.places if place in hits),
            is_more=page.is_more,
            notes=tuple(dict.fromkeys(ranking.notes)),
        )

    async def _choose(self, ranking: Ranking, query: Query) -> _Page:
        """Walk down the order to the end of the page, without copies if none are wanted."""
        wanted = query.offset + query.limit + 1
        # Where copies may stay, what lies before the page need not be read.
        at = 0 if query.is_deduplicated else query.offset
        kept: list[int] = [-1] * at
        shown = Shown()
        while len(kept) < wanted and at < len(ranking.order):
            following = _places(ranking.order[at : at + wanted - len(kept) + _MARGIN])
            at += len(following)
            await self.read(ranking, following)
            present = [place for place in following if place in ranking.chunks]
            if query.is_deduplicated:
                texts = [ranking.chunks[place].text for place in present]
                are_new = await anyio.to_thread.run_sync(_let_through, shown, texts)
                present = [place for place, is_new in zip(present, are_new, strict=True) if is_new]
            kept += present
        return _Page(kept[query.offset : wanted - 1], len(kept) >= wanted)

    async def _hits(
        self, ranking: Ranking, sight: Sight, places: Sequence[int], query: Query
    ) -> dict[int, Hit]:
        """Return the hits of one namespace by their places; one whose document is gone by now is missing."""
        ns = sight.mark.ns
        chunks = {place: ranking.chunks[place] for place in places}
        found = list(chunks.values())
        wanted = list(dict.fromkeys(chunk.document for chunk in found))
        documents = await self._documents.find_many(ns, wanted)
        about = _Surroundings(
            documents,
            await self._rows.around(ns, found, query.neighbours) if query.neighbours else {},
            await self._rows.sections(ns, found) if query.is_parent_wanted else {},
            await anyio.to_thread.run_sync(
                self._highlight, query.text, chunks, documents, sight.mark.language
            ),
            explain(ranking, places) if query.is_explained else {},
        )
        if not all(section.is_whole for section in about.sections.values()):
            ranking.notes.append(
                f"Sections were shortened to {PARENT_CHARACTERS} characters around their hits."
            )

        return {
            place: _hit(place, chunk, float(ranking.scores[place]), about)
            for place, chunk in chunks.items()
            if chunk.document in documents
        }

    def _highlight(
        self, query: str, chunks: dict[int, StoredChunk], documents: dict[DocumentId, Document], language: str
    ) -> dict[int, tuple[Span, ...]]:
        if not query.strip():
            return {}

        return {
            place: self._text.highlights(
                query, chunk.text, _language(documents.get(chunk.document), language)
            )
            for place, chunk in chunks.items()
        }


def _hit(place: int, chunk: StoredChunk, score: float, about: _Surroundings) -> Hit:
    beside = about.around.get(chunk.id, [])
    section = about.sections.get(chunk.id)
    return Hit(
        chunk=chunk,
        document=about.documents[chunk.document],
        score=score,
        highlights=about.highlights.get(place, ()),
        before=tuple(each for each in beside if each.ordinal < chunk.ordinal),
        after=tuple(each for each in beside if each.ordinal > chunk.ordinal),
        parent=None if section is None else section.text,
        scores=about.reasons.get(place),
    )


def _places(order: NDArray[np.int64]) -> list[int]:
    return [int(each) for each in order]


def _let_through(shown: Shown, texts: Sequence[str]) -> list[bool]:
    return [shown.is_new(text) for text in texts]


def _language(document: Document | None, collection: str) -> str:
    return (document.language if document is not None else "") or collection
