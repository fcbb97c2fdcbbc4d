"""How good an order of documents is, against judgements of people. Pure; the measures of trec_eval.

`found`: ids of documents, the best first, each once. `judged`: the grade of each document for the query;
one that is not in it, or of grade 0, does not belong to the answer.
"""

import math
from collections.abc import Mapping, Sequence


def ndcg(found: Sequence[str], judged: Mapping[str, int], k: int) -> float:
    """Return the discounted gain of the first `k` over the greatest there could be; gains are the grades."""
    gains = [max(judged.get(each, 0), 0) for each in found[:k]]
    ideal = sorted((grade for grade in judged.values() if grade > 0), reverse=True)[:k]
    return _discounted(gains) / _discounted(ideal) if ideal else 0.0


def recall(found: Sequence[str], judged: Mapping[str, int], k: int) -> float:
    """Return the share of the documents that belong to the answer which is among the first `k`."""
    wanted = {each for each, grade in judged.items() if grade > 0}
    return len(wanted & set(found[:k])) / len(wanted) if wanted else 0.0


def reciprocal_rank(found: Sequence[str], judged: Mapping[str, int], k: int) -> float:
    """Return 1 over the rank of the first that belongs to the answer; 0 where none of the first `k` does."""
    ranks = (rank for rank, each in enumerate(found[:k], start=1) if judged.get(each, 0) > 0)
    return 1.0 / next(ranks, math.inf)


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that at least this share of the values does not exceed; 0 of nothing."""
    if not values:
        return 0.0

    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def _discounted(gains: Sequence[int]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
