"""One search's candidates in their order, and how each came to its place. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.core.knowledge import ArmScores, StoredChunk
from runtime.recall import fuse
from runtime.recall.parts import Ids


@dataclass(slots=True)
class Ranking:
    """Candidates with their scores. A place is a candidate's position in the columns."""

    gathered: fuse.Gathered
    fused: fuse.Fused
    weights: list[float]
    """The vectors' share of each group."""
    scores: fuse.Scores
    """Those that count, 0 to 1."""
    order: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Places of what is shown, the best first."""
    recency: fuse.Scores | None = None
    importance: fuse.Scores | None = None
    rerank: dict[int, float] = field(default_factory=dict)
    """By place."""
    chunks: dict[int, StoredChunk] = field(default_factory=dict)
    """By place, those read so far; one that is gone by now is missing."""
    notes: list[str] = field(default_factory=list)

    def id_at(self, place: int) -> int:
        """Return the chunk id of a candidate."""
        return int(self.gathered.candidates.ids[place])


def listing(ids: Sequence[Ids], created_at: Sequence[fuse.Scores]) -> Ranking:
    """Return chunks of several namespaces, the newest documents first, each one's chunks in order."""
    flat = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int64)
    created = np.concatenate(created_at) if created_at else np.zeros(0)
    sight: NDArray[np.int64] = np.repeat(np.arange(len(ids)), [len(each) for each in ids]).astype(np.int64)
    none = np.full(flat.shape, np.nan)
    zeros = np.zeros(flat.shape)
    candidates = fuse.Candidates(flat, none, none, np.zeros(flat.shape, dtype=np.int64))
    return Ranking(
        gathered=fuse.Gathered(candidates, none, sight, (), 0.0, ()),
        fused=fuse.Fused(zeros, zeros, zeros),
        weights=[0.0],
        scores=zeros,
        order=np.lexsort((flat, -created)).astype(np.int64),
    )


def explain(ranking: Ranking, places: Sequence[int]) -> dict[int, ArmScores]:
    """Return how the candidates at these places came to their scores."""
    candidates = ranking.gathered.candidates
    matched = np.where(candidates.text > 0.0, candidates.text, np.nan)
    by_text, by_vector = fuse.ranks(matched, candidates.ids), fuse.ranks(candidates.vector, candidates.ids)
    return {
        place: ArmScores(
            text=_number(ranking.gathered.bm25, place),
            vector=_number(candidates.vector, place),
            text_normalised=float(ranking.fused.text[place]),
            vector_normalised=float(ranking.fused.vector[place]),
            vector_weight=_weight(ranking, place),
            recency=_number(ranking.recency, place),
            importance=_number(ranking.importance, place),
            rerank=ranking.rerank.get(place),
            text_rank=by_text[place],
            vector_rank=by_vector[place],
        )
        for place in places
    }


def _weight(ranking: Ranking, place: int) -> float:
    """Return the vectors' share in this candidate's score: all or nothing where an arm is missing."""
    candidates = ranking.gathered.candidates
    if np.isnan(candidates.vector[place]):
        return 0.0

    return 1.0 if np.isnan(candidates.text[place]) else ranking.weights[int(candidates.group[place])]


def _number(column: fuse.Scores | None, place: int) -> float | None:
    if column is None or np.isnan(column[place]):
        return None

    return float(column[place])
