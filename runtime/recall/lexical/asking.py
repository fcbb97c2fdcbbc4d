"""Asks one commit of an index: the best chunks, scores of given ones. Blocking, changes nothing.

A filter does not change scores. Few allowed chunks are looked up; of many, as many of the best are fetched as
it takes to fill the list, so that there are never fewer hits than exist.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import tantivy
from numpy.typing import NDArray

from runtime.core.ids import ChunkId
from runtime.recall.lexical.compose import Asked, View, compose
from runtime.recall.lexical.query import parse
from runtime.recall.parts import Allowed, Ids, Scored, TextFound

FEW = 4000
"""Chunks up to which looking each of them up (a microsecond) costs less than fetching more of the best."""
_MARGIN = 1.5
"""Of the depth at which the allowed would fill the list if they stood evenly among all."""
_GROWTH = 4
_NOTHING = TextFound([], 0.0)


def find(view: View, text: str, language: str, limit: int, allowed: Allowed | None) -> TextFound:
    """Return the best chunks for a question, all of them allowed."""
    asked = compose(parse(text), language, view)
    if asked.query is None or limit < 1 or (allowed is not None and not allowed.count):
        return _NOTHING

    hits = _allowed(view, asked.query, limit, allowed)
    if not hits:
        return _NOTHING

    return TextFound(hits, _coverage(hits[0].score, asked))


def score(view: View, text: str, language: str, chunks: Sequence[ChunkId]) -> list[float]:
    """Return what a question gives to each of the chunks, 0 where it does not match."""
    asked = compose(parse(text), language, view)
    if asked.query is None or not chunks:
        return [0.0] * len(chunks)

    found = dict(_best(view, _among(view, asked.query, chunks), len(chunks)))
    return [found.get(chunk, 0.0) for chunk in chunks]


def _allowed(view: View, query: tantivy.Query, limit: int, allowed: Allowed | None) -> list[Scored]:
    if allowed is None or allowed.is_everything:
        return _best(view, query, limit)

    if allowed.count <= max(FEW, limit):
        return _best(view, _among(view, query, allowed.ids.tolist()), limit)

    total = int(view.searcher.num_docs)
    depth = int(limit * max(1.0, total / allowed.count) * _MARGIN)
    while True:
        scores, ids = _fetched(view, query, min(depth, total))
        seen = allowed.contains(ids)
        if int(seen.sum()) >= limit or len(ids) < depth:
            return _in_order(scores[seen], ids[seen])[:limit]
        depth *= _GROWTH


def _best(view: View, query: tantivy.Query, limit: int) -> list[Scored]:
    return _in_order(*_fetched(view, query, limit))


def _fetched(view: View, query: tantivy.Query, limit: int) -> tuple[NDArray[np.float64], Ids]:
    hits = view.searcher.search(query, limit=limit, count=False).hits
    ids = view.searcher.fast_field_values("id", [address for _, address in hits])
    return np.array([score for score, _ in hits], dtype=np.float64), np.array(ids, dtype=np.int64)


def _in_order(scores: NDArray[np.float64], ids: Ids) -> list[Scored]:
    """Return the best first, equals by their number."""
    order = np.lexsort((ids, -scores))
    found = zip(ids[order].tolist(), scores[order].tolist(), strict=True)
    return [Scored(ChunkId(chunk), score) for chunk, score in found]


def _among(view: View, query: tantivy.Query, chunks: Iterable[int]) -> tantivy.Query:
    ids = tantivy.Query.term_set_query(view.schema, "id", [*chunks])
    must = tantivy.Occur.Must
    return tantivy.Query.boolean_query([(must, tantivy.Query.const_score_query(ids, 0.0)), (must, query)])


def _coverage(best: float, asked: Asked) -> float:
    return min(1.0, max(0.0, best / asked.ceiling)) if asked.ceiling > 0 else 1.0
