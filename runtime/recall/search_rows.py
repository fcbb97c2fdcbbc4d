"""What hits are made of, read from the truth: chunks, what stands around them, languages of documents."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple, TypeVar

import duckdb

from runtime.core.ids import ChunkId, DocumentId
from runtime.core.knowledge import StoredChunk
from runtime.recall.document_columns import CHUNK_COLUMNS, chunk_of
from runtime.recall.truth import Truth

T = TypeVar("T")

PARENT_CHARACTERS = 32_000
"""Of a section around a hit: some fifteen pages. A text without headings is one section, however long."""


class Section(NamedTuple):
    """The section of a hit."""

    text: str
    is_whole: bool


class _Outlined(NamedTuple):
    """A chunk without its text."""

    id: ChunkId
    ordinal: int
    start: int
    end: int
    heading: str


class _Cut(NamedTuple):
    document: DocumentId
    start: int
    end: int
    is_whole: bool


class HitRows:
    """Reads rows for hits."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._languages: dict[int, tuple[int, dict[str, float]]] = {}

    async def chunks(self, ids: Sequence[int]) -> dict[int, StoredChunk]:
        """Return chunks by their ids; one that is gone by now is not among them."""
        if not ids:
            return {}

        return await self.read(lambda cursor: read_chunks(cursor, ids))

    async def read(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Do `work` in a thread with a cursor; what needs several rows in turn waits for one thread once."""
        return await self._truth.database.use_cursor(work)

    async def around(
        self, ns: int, hits: Sequence[StoredChunk], count: int
    ) -> dict[ChunkId, list[StoredChunk]]:
        """Return for each hit its document's chunks up to `count` before and after it, in order."""
        outlines = await self._outlines(ns, hits)
        beside = {
            hit.id: [each.id for each in outlines[hit.document] if abs(each.ordinal - hit.ordinal) <= count]
            for hit in hits
        }
        # Two steps: a join that reads texts reads those of all chunks, and takes twenty times as long.
        chunks = await self.chunks(sorted({each for ids in beside.values() for each in ids}))
        return {hit: [chunks[each] for each in ids if each in chunks] for hit, ids in beside.items()}

    async def sections(self, ns: int, hits: Sequence[StoredChunk]) -> dict[ChunkId, Section]:
        """Return the section that each hit stands in: the chunks beside it under the same heading."""
        outlines = await self._outlines(ns, hits)
        cuts = {hit.id: _cut(hit, outlines[hit.document]) for hit in hits}
        texts = await self._texts(list(cuts.values()))
        return {
            chunk: Section(texts[cut.document, cut.start, cut.end], cut.is_whole)
            for chunk, cut in cuts.items()
            if (cut.document, cut.start, cut.end) in texts
        }

    async def languages(self, ns: int) -> dict[str, float]:
        """Return how many documents of a namespace are in which language; `""` where it is not known."""
        reached = self._truth.reached(ns)
        kept = self._languages.get(ns)
        if kept is None or kept[0] != reached:
            rows = await self._truth.read(
                "SELECT language, count(*) FROM document WHERE ns = $1 GROUP BY language", [ns]
            )
            kept = self._languages[ns] = (reached, {str(row[0]): float(row[1]) for row in rows})
        return kept[1]

    async def languages_of(self, chunks: Sequence[int]) -> dict[str, float]:
        """Return how many of the chunks are of documents in which language."""
        if not chunks:
            return {}

        rows = await self._truth.read(
            "SELECT document.language, count(*) FROM chunk JOIN document ON document.id = chunk.document "  # noqa: S608 - numbers
            f"WHERE chunk.id IN ({_numbers(chunks)}) GROUP BY document.language"
        )
        return {str(row[0]): float(row[1]) for row in rows}

    async def _outlines(
        self, ns: int, hits: Sequence[StoredChunk]
    ) -> defaultdict[DocumentId, list[_Outlined]]:
        """Return the chunks of the hits' documents in order, without their texts."""
        rows = await self._truth.read(
            "SELECT document, id, ordinal, span_start, span_end, heading FROM chunk "
            "WHERE ns = $1 AND document IN (SELECT unnest($2::VARCHAR[])) ORDER BY ordinal",
            [ns, list({hit.document for hit in hits})],
        )
        found: defaultdict[DocumentId, list[_Outlined]] = defaultdict(list)
        for document, *chunk in rows:
            found[DocumentId(document)].append(_Outlined(*chunk))
        return found

    async def _texts(self, cuts: Sequence[_Cut]) -> dict[tuple[DocumentId, int, int], str]:
        rows = await self._truth.read(
            "WITH cut AS (SELECT unnest($1::VARCHAR[]) AS cut_document, unnest($2::INTEGER[]) AS cut_start, "
            "unnest($3::INTEGER[]) AS cut_end) "
            "SELECT DISTINCT cut_document, cut_start, cut_end, "
            "substring(text, cut_start + 1, cut_end - cut_start) "
            "FROM body JOIN cut ON document = cut_document",
            [[each.document for each in cuts], [each.start for each in cuts], [each.end for each in cuts]],
        )
        return {(DocumentId(row[0]), row[1], row[2]): str(row[3]) for row in rows}


def read_chunks(cursor: duckdb.DuckDBPyConnection, ids: Sequence[int]) -> dict[int, StoredChunk]:
    """Return chunks by their ids; one that is gone by now is not among them."""
    if not ids:
        return {}

    rows = cursor.execute(
        f"SELECT {CHUNK_COLUMNS} FROM chunk WHERE id IN ({_numbers(ids)})"  # noqa: S608 - constants and numbers
    ).fetchall()
    return {int(row[0]): chunk_of(row) for row in rows}


def _numbers(ids: Iterable[int]) -> str:
    """Return ids as a list of literals: as a subquery two hundred of them take ten times as long."""
    return ",".join(str(int(each)) for each in ids)


def _cut(hit: StoredChunk, chunks: Sequence[_Outlined]) -> _Cut:
    """Return the span of the run of chunks under one heading that the hit is in, shortened around it."""
    place = next((at for at, chunk in enumerate(chunks) if chunk.id == hit.id), None)
    if place is None:
        return _Cut(hit.document, hit.start, hit.end, is_whole=True)

    heading = chunks[place].heading
    before = takewhile(lambda chunk: chunk.heading == heading, reversed(chunks[:place]))
    after = takewhile(lambda chunk: chunk.heading == heading, chunks[place:])
    start = min([hit.start, *(chunk.start for chunk in before)])
    end = max(chunk.end for chunk in after)
    if end - start <= PARENT_CHARACTERS:
        return _Cut(hit.document, start, end, is_whole=True)

    margin = max(PARENT_CHARACTERS - (hit.end - hit.start), 0) // 2
    return _Cut(hit.document, max(start, hit.start - margin), min(end, hit.end + margin), is_whole=False)
