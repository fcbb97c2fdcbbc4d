"""Makes a page of hits out of a ranking: reads chunks, drops copies, adds what stands around and why."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from runtime.core.ids import ChunkId, DocumentId
from runtime.core.knowledge import ArmScores, Document, Found, Hit, Query, Span, StoredChunk
from runtime.recall.documents import DocumentRows
from runtime.recall.parts import TextArm
from runtime.recall.search_candidates import Sight
from runtime.recall.search_duplicates import Shown
from runtime.recall.search_ranking import Ranking, explain
from runtime.recall.search_rows import PARENT_CHARACTERS, HitRows, Section, read_chunks

_MARGIN = 4
"""Chunks read beyond a page at once: so many of it may say the same as others before more must be read."""


class _Page(NamedTuple):
    """What a page shows, read in one go."""

    places: list[int]
    is_more: bool
    documents: dict[DocumentId, Document]
    highlights: dict[int, tuple[Span, ...]]
    """By place."""


class _Surroundings(NamedTuple):
    around: dict[ChunkId, list[StoredChunk]]
    sections: dict[ChunkId, Section]
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
        await self._rows.read(lambda cursor: _read(cursor, ranking, places))

    async def page(self, ranking: Ranking, sights: Sequence[Sight], query: Query) -> Found:
        """Return the hits of the query's page."""
        page = await self._rows.read(lambda cursor: self._page(cursor, ranking, sights, query))
        hits: dict[int, Hit] = {}
        for sight, places in _by_sight(ranking, page.places).items():
            hits |= await self._hits(ranking, sights[sight], places, page, query)
        return Found(
            hits=tuple(hits[place] for place in page.places if place in hits),
            is_more=page.is_more,
            notes=tuple(dict.fromkeys(ranking.notes)),
        )

    def _page(
        self, cursor: duckdb.DuckDBPyConnection, ranking: Ranking, sights: Sequence[Sight], query: Query
    ) -> _Page:
        """Choose and read what the page shows, in one thread: to change it costs a third of a millisecond."""
        kept, is_more = _choose(cursor, ranking, query)
        documents: dict[DocumentId, Document] = {}
        highlights: dict[int, tuple[Span, ...]] = {}
        for sight, places in _by_sight(ranking, kept).items():
            mark = sights[sight].mark
            wanted = dict.fromkeys(ranking.chunks[place].document for place in places)
            documents |= self._documents.find_with(cursor, mark.ns, list(wanted))
            highlights |= self._highlights(query.text, ranking, places, documents, mark.language)
        return _Page(kept, is_more, documents, highlights)

    def _highlights(
        self,
        query: str,
        ranking: Ranking,
        places: Sequence[int],
        documents: dict[DocumentId, Document],
        language: str,
    ) -> dict[int, tuple[Span, ...]]:
        if not query.strip():
            return {}

        chunks = {place: ranking.chunks[place] for place in places}
        return {
            place: self._text.highlights(
                query, chunk.text, _language(documents.get(chunk.document), language)
            )
            for place, chunk in chunks.items()
        }

    async def _hits(
        self, ranking: Ranking, sight: Sight, places: Sequence[int], page: _Page, query: Query
    ) -> dict[int, Hit]:
        """Return the hits of one namespace by their places; one whose document is gone by now is missing."""
        ns = sight.mark.ns
        found = [ranking.chunks[place] for place in places]
        about = _Surroundings(
            await self._rows.around(ns, found, query.neighbours) if query.neighbours else {},
            await self._rows.sections(ns, found) if query.is_parent_wanted else {},
            explain(ranking, places) if query.is_explained else {},
        )
        if not all(section.is_whole for section in about.sections.values()):
            ranking.notes.append(
                f"Sections were shortened to {PARENT_CHARACTERS} characters around their hits."
            )

        return {
            place: _hit(place, chunk, float(ranking.scores[place]), page, about)
            for place, chunk in zip(places, found, strict=True)
            if chunk.document in page.documents
        }


def _read(cursor: duckdb.DuckDBPyConnection, ranking: Ranking, places: Sequence[int]) -> None:
    missing = {ranking.id_at(place): place for place in places if place not in ranking.chunks}
    for chunk, stored in read_chunks(cursor, list(missing)).items():
        ranking.chunks[missing[chunk]] = stored


def _choose(cursor: duckdb.DuckDBPyConnection, ranking: Ranking, query: Query) -> tuple[list[int], bool]:
    """Walk down the order to the end of the page, past copies if none are wanted; tell if there is more."""
    wanted = query.offset + query.limit + 1
    # Where copies may stay, what lies before the page need not be read.
    at = 0 if query.is_deduplicated else query.offset
    kept: list[int] = [-1] * at
    shown = Shown()
    while len(kept) < wanted and at < len(ranking.order):
        following = _places(ranking.order[at : at + wanted - len(kept) + _MARGIN])
        at += len(following)
        _read(cursor, ranking, following)
        present = [place for place in following if place in ranking.chunks]
        if query.is_deduplicated:
            present = [place for place in present if shown.is_new(ranking.chunks[place].text)]
        kept += present
    return kept[query.offset : wanted - 1], len(kept) >= wanted


def _by_sight(ranking: Ranking, places: Sequence[int]) -> dict[int, list[int]]:
    by_sight: defaultdict[int, list[int]] = defaultdict(list)
    for place in places:
        by_sight[int(ranking.gathered.sight[place])].append(place)
    return by_sight


def _hit(place: int, chunk: StoredChunk, score: float, page: _Page, about: _Surroundings) -> Hit:
    beside = about.around.get(chunk.id, [])
    section = about.sections.get(chunk.id)
    return Hit(
        chunk=chunk,
        document=page.documents[chunk.document],
        score=score,
        highlights=page.highlights.get(place, ()),
        before=tuple(each for each in beside if each.ordinal < chunk.ordinal),
        after=tuple(each for each in beside if each.ordinal > chunk.ordinal),
        parent=None if section is None else section.text,
        scores=about.reasons.get(place),
    )


def _places(order: NDArray[np.int64]) -> list[int]:
    return [int(each) for each in order]


def _language(document: Document | None, collection: str) -> str:
    return (document.language if document is not None else "") or collection
