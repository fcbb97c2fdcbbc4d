"""Asks one commit of an index: the best chunks, scores of given ones. Blocking, changes nothing.

A filter does not change scores. Few allowed chunks are looked up; of many, as many of the best are fetched as
it takes to fill the list, so that there are never fewer hits than exist.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tantivy
from numpy.typing import NDArray

from runtime.core.ids import ChunkId
from runtime.recall.lexical.compose import Asked, View, compose
from runtime.recall.lexical.query import parse
from runtime.recall.parts import Allowed, Ids, Scored, TextFound

FEW = 4000
"""Chunks up to which looking each of them up (a microsecond) costs less than fetching more of the best."""
_SPELT = 1500
"""Chunks up to which naming each costs less than a set, which the index compares with all of its own."""
_MARGIN = 1.5
"""Of the depth at which the allowed would fill the list if they stood evenly among all."""
_GROWTH = 4
_KEPT_QUESTIONS = 16
"""Those under way."""
_NOTHING = TextFound([], 0.0)


class Question(NamedTuple):
    """A question to one commit of an index."""

    commit: tuple[Path, int]
    """The index's folder and its mark."""
    text: str
    language: str


class Questions:
    """Composes questions and keeps the last: a search asks twice, to find and to score. For any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Question, Asked] = OrderedDict()
        self._lock = threading.Lock()

    def asked(self, question: Question, view: View) -> Asked:
        """Return a question as the index understands it."""
        with self._lock:
            kept = self._kept.get(question)
        if kept is not None:
            return kept

        asked = compose(parse(question.text), question.language, view)
        with self._lock:
            self._kept[question] = asked
            if len(self._kept) > _KEPT_QUESTIONS:
                self._kept.popitem(last=False)
        return asked


def find(view: View, asked: Asked, limit: int, allowed: Allowed | None) -> TextFound:
    """Return the best chunks for a question, all of them allowed."""
    if asked.query is None or limit < 1 or (allowed is not None and not allowed.count):
        return _NOTHING

    hits = _allowed(view, asked.query, limit, allowed)
    if not hits:
        return _NOTHING

    return TextFound(hits, _coverage(hits[0].score, asked))


def score(view: View, asked: Asked, chunks: Sequence[ChunkId]) -> list[float]:
    """Return what a question gives to each of the chunks, 0 where it does not match."""
    if asked.query is None or not chunks:
        return [0.0] * len(chunks)

    scores, ids = _fetched(view, among(view, asked.query, chunks), len(chunks))
    found = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    return [found.get(chunk, 0.0) for chunk in chunks]


def _allowed(view: View, query: tantivy.Query, limit: int, allowed: Allowed | None) -> list[Scored]:
    if allowed is None or allowed.is_everything:
        return _best(view, query, limit)

    if allowed.count <= max(FEW, limit):
        return _best(view, among(view, query, allowed.ids.tolist()), limit)

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


def among(view: View, query: tantivy.Query, chunks: Sequence[int]) -> tantivy.Query:
    """Return a query for those of the chunks that match another one, with its scores."""
    must = tantivy.Occur.Must
    ids = tantivy.Query.const_score_query(_named(view, chunks), 0.0)
    return tantivy.Query.boolean_query([(must, ids), (must, query)])


def _named(view: View, chunks: Sequence[int]) -> tantivy.Query:
    if len(chunks) > _SPELT:
        return tantivy.Query.term_set_query(view.schema, "id", [*chunks])

    should, term = tantivy.Occur.Should, tantivy.Query.term_query
    return tantivy.Query.boolean_query(
        [(should, term(view.schema, "id", each, index_option="basic")) for each in chunks]
    )


def _coverage(best: float, asked: Asked) -> float:
    return min(1.0, max(0.0, best / asked.ceiling)) if asked.ceiling > 0 else 1.0
