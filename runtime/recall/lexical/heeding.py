"""What a question demands of every hit, whatever finds it: `+must` and `-not`, also of what vectors find.

Blocking, changes nothing. The demands narrow what a search may see, before any arm looks: so a page is full
although the nearest chunks were left out.
"""

from collections.abc import Sequence

import numpy as np
import tantivy
from numpy.typing import NDArray

from runtime.recall.lexical.asking import FEW, among
from runtime.recall.lexical.compose import View, compose_demands
from runtime.recall.lexical.query import Clause
from runtime.recall.parts import Allowed, Ids


class Heeded:
    """Fulfils `parts.Allowed`: what is left of it."""

    is_everything = False

    def __init__(self, ids: Ids) -> None:
        """Take chunks in ascending order."""
        self.ids = ids
        self.ids.setflags(write=False)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.ids)

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        """Tell of each id whether it is among them."""
        return np.isin(ids, self.ids)


def heed(view: View, demands: Sequence[Clause], language: str, allowed: Allowed) -> Allowed:
    """Return which of the chunks satisfy the demands."""
    must, barred = compose_demands(demands, language, view)
    ids = allowed.ids
    if must is not None:
        ids = np.intersect1d(ids, _matching(view, must, ids), assume_unique=True)
    if barred is not None:
        ids = np.setdiff1d(ids, _matching(view, barred, ids), assume_unique=True)
    return allowed if len(ids) == allowed.count else Heeded(ids)


def _matching(view: View, query: tantivy.Query, ids: Ids) -> Ids:
    """Return the chunks that match; those of `ids` are all that is wanted of them."""
    unscored = tantivy.Query.const_score_query(query, 0.0)
    asked = among(view, unscored, ids.tolist()) if len(ids) <= FEW else unscored
    limit = max(1, int(view.searcher.num_docs))
    hits = view.searcher.search(asked, limit=limit, count=False).hits
    found = view.searcher.fast_field_values("id", [address for _, address in hits])
    return np.unique(np.array(found, dtype=np.int64))
