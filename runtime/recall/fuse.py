"""How the scores of both arms become one order. Pure: numbers in, numbers out; it knows no store.

    BM25   ─ spread ─┐
                     ├─ weigh ─► priors ─► rerank ─► best first
    cosine ─ spread ─┘

Scores are added, not ranks: over twelve collections the sum of spread scores reaches a mean nDCG@10 of .688,
reciprocal ranks (k = 60) .637, words alone .623. Bruch, Gai, Ingber, "An Analysis of Fusion Functions for
Hybrid Retrieval" (2023) find the same. What was measured here: docs/decisions/011.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.core.knowledge import Embedding
from runtime.recall.parts import Ids

Scores: TypeAlias = NDArray[np.float64]

EVEN_WEIGHT = 0.5
"""The vectors' share where the words cover the question. From .4 to .6 the mean moves by less than .011."""
UNCOVERED_WEIGHT = 0.9
"""Their share where the words do not: a question in other words, or in another language than the texts."""
UNCOVERED_BELOW = 0.1
"""Of the coverage, whose median is .04 for questions in another language and .21 to .51 for others."""
FOREIGN_WEIGHT = 0.2
"""Their share where the embedder does not know the language of the texts: noise that breaks ties, no more."""
RERANK_WEIGHT = 0.8
"""Of the cross-encoder among the hits it has looked at. It has read question and text side by side, so it
decides; the rest keeps exact words from being overruled by a narrow margin."""


class Candidates(NamedTuple):
    """Columns side by side: what either arm found, scored by both."""

    ids: Ids
    text: Scores
    """BM25 or a share of it, 0 where no word matches; NaN where the arm had no part."""
    vector: Scores
    """Cosine; NaN where a chunk has no vector (yet)."""
    group: NDArray[np.int64]
    """Chunks of one group have vectors of one embedding: only those can be compared."""


class Gathered(NamedTuple):
    """What both arms found in all namespaces."""

    candidates: Candidates
    bm25: Scores
    """As the arm of words gave it; NaN where it had no part."""
    sight: NDArray[np.int64]
    """Of each candidate the place of its namespace."""
    embeddings: tuple[Embedding, ...]
    """Of each group."""
    coverage: float
    """How well words cover the question, where they do it best."""
    notes: tuple[str, ...]


class Fused(NamedTuple):
    """What became of candidates, in their order; everything from 0 to 1."""

    scores: Scores
    text: Scores
    vector: Scores
    """Spread scores; 0 where an arm had no part in one."""


def spread(scores: Scores, floor: float | None = None) -> Scores:
    """Return scores moved and stretched so that the least is 0 and the greatest 1; NaN stays NaN.

    `floor`: what counts as least in place of the least score. Where all are equal they are 1, or 0 if none
    is above the floor.
    """
    known = scores[~np.isnan(scores)]
    if known.size == 0:
        return scores.copy()

    greatest = float(known.max())
    least = float(known.min()) if floor is None else floor
    if greatest <= least:
        equal = 1.0 if floor is None else 0.0
        return np.where(np.isnan(scores), np.nan, equal)

    return np.clip((scores - least) / (greatest - least), 0.0, 1.0)


def fuse(candidates: Candidates, weights: Sequence[float]) -> Fused:
    """Return the weighed sum of both arms; `weights`: the vectors' share, one for each group.

    A chunk that one arm cannot judge is judged by the other alone: one without a vector yet ranks by its
    words, as if its vector said the same. Where vectors of one embedding are all there is, the cosine itself
    is the score, so that a threshold means the same in every search.
    """
    if len(weights) == 1 and np.isnan(candidates.text).all():
        cosine = np.clip(np.nan_to_num(candidates.vector), 0.0, 1.0)
        return Fused(cosine, np.zeros(cosine.shape), cosine)

    text = spread(candidates.text, floor=0.0)
    vector = np.full(candidates.vector.shape, np.nan)
    share = np.zeros(candidates.vector.shape)
    for group, weight in enumerate(weights):
        members = candidates.group == group
        vector[members] = spread(candidates.vector[members])
        share[members] = weight

    share = np.where(np.isnan(vector), 0.0, np.where(np.isnan(text), 1.0, share))
    text, vector = np.nan_to_num(text), np.nan_to_num(vector)
    return Fused(np.clip((1.0 - share) * text + share * vector, 0.0, 1.0), text, vector)


def vector_weight(coverage: float, known: float) -> float:
    """Return the vectors' share in the score.

    coverage: of the question by words, 0 to 1 · known: the share of the texts in question whose language the
    embedder knows, 0 to 1. A model for one language on texts of another one costs more than it brings
    (Portuguese with an English model: even weights lose .03 nDCG against words alone), whatever the words
    cover, so `known` limits what coverage allows.
    """
    trusted = UNCOVERED_WEIGHT if coverage < UNCOVERED_BELOW else EVEN_WEIGHT
    known = min(max(known, 0.0), 1.0)
    return known * trusted + (1.0 - known) * FOREIGN_WEIGHT


def recency(created_at: Scores, now: float, half_life_s: float) -> Scores:
    """Return 1 for what is new, half of it after each half-life; what lies in the future is new."""
    return np.exp2(-np.maximum(now - created_at, 0.0) / half_life_s)


def with_prior(scores: Scores, prior: Scores, weight: float) -> Scores:
    """Return scores lowered by up to `weight` where the prior (0 to 1) is low.

    It multiplies: what does not fit the question is not lifted by being new or important.
    """
    return scores * (1.0 - weight * (1.0 - np.clip(prior, 0.0, 1.0)))


def reranked(scores: Scores, judged: Scores) -> Scores:
    """Return scores of the best candidates blended with a cross-encoder's, of any scale.

    None falls below the least of `scores`, hence below what was not judged.
    """
    if scores.size == 0:
        return scores.copy()

    least = float(scores.min())
    theirs = least + (1.0 - least) * spread(judged)
    return np.clip((1.0 - RERANK_WEIGHT) * scores + RERANK_WEIGHT * theirs, least, 1.0)


def best_first(scores: Scores, ids: Ids, threshold: float = 0.0) -> NDArray[np.int64]:
    """Return the places of candidates from the threshold on, the best first; of equals the older first."""
    order = np.lexsort((ids, -scores))
    return order[scores[order] >= threshold].astype(np.int64)


def ranks(scores: Scores, ids: Ids) -> list[int | None]:
    """Return the place of each candidate by one arm's score, counted from 1; None where it has none."""
    order = np.lexsort((ids, -np.nan_to_num(scores, nan=-np.inf)))
    places: list[int | None] = [None] * len(ids)
    for rank, place in enumerate(order, start=1):
        if not np.isnan(scores[place]):
            places[place] = rank
    return places
