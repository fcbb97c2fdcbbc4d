"""What a query may see of a namespace: its filter, its lists, both clocks, its scope, and nothing expired.

Pure. Besides the documents it tells until when the answer holds, unless something is written: the next
moment at which something expires, begins or ends.

Note for the arms: `is_everything` is said only where the query itself narrows nothing. A query with a scope
or a filter that everything happens to pass still has to be looked at chunk by chunk: what another user
writes between the narrowing and the scan must not be found.
"""

import math
from typing import NamedTuple

import numpy as np

from runtime.core.knowledge import Query
from runtime.core.memories import Scope
from runtime.recall.columns_filter import Mask, matching
from runtime.recall.columns_table import NOBODY, Table
from runtime.recall.parts import Ids
from runtime.recall.places import RowNumbers, find_places


class Narrowed:
    """Fulfils `parts.Allowed`; stays as it is while the table goes on."""

    def __init__(
        self, chunks: Ids, rows: RowNumbers, passing: Mask, count: int, *, is_everything: bool
    ) -> None:
        """Take chunks with their documents' rows, and of each row whether it passes; a false comes last."""
        self.count = count
        self.is_everything = is_everything
        self._chunks = chunks
        self._rows = rows
        self._passing = passing
        self._ids: Ids | None = None

    @property
    def ids(self) -> Ids:
        """All of them, ascending; not to be changed."""
        if self._ids is None:
            ids = self._chunks[self._passing[self._rows]]
            ids.setflags(write=False)
            self._ids = ids
        return self._ids

    def contains(self, ids: Ids) -> Mask:
        """Tell of each id whether it is among them."""
        # NOWHERE is the last row: the false one.
        return self._passing[find_places(self._chunks, self._rows, ids)]


class Answer(NamedTuple):
    """What a query may see, and from when until when that is so."""

    allowed: Narrowed
    since: float
    until: float
    """The first moment at which it may be otherwise."""

    def holds_at(self, now: float) -> bool:
        """Whether the answer is still right."""
        return self.since <= now < self.until


def narrow(table: Table, query: Query, scope: Scope | None, now: float) -> Answer:
    """Return what the query may see; its filter was checked."""
    at = now if query.valid_at is None else query.valid_at
    is_candidate = _timeless(table, query, scope)
    valid_from, valid_to, expires_at = (
        table.clock(name) for name in ("valid_from", "valid_to", "expires_at")
    )
    passing: Mask = np.zeros(table.rows + 1, np.bool_)
    passing[:-1] = is_candidate & (expires_at > now) & (valid_from <= at) & (at < valid_to)
    moments = [expires_at[is_candidate]]
    if query.valid_at is None:
        moments += [valid_from[is_candidate], valid_to[is_candidate]]
    count = int(table.chunk_counts[passing[:-1]].sum())
    is_everything = _narrows_nothing(query, scope) and count == table.live_chunks
    allowed = Narrowed(table.chunks.ids, table.chunks.places, passing, count, is_everything=is_everything)
    return Answer(allowed, now, min((_next(each, now) for each in moments), default=math.inf))


def _next(moments: "np.typing.NDArray[np.float64]", now: float) -> float:
    return float(np.min(moments[moments > now], initial=math.inf))


def _narrows_nothing(query: Query, scope: Scope | None) -> bool:
    lists = query.tags or query.documents or query.sources
    given = (scope, query.where, query.since, query.until, query.valid_at, query.known_at)
    return not lists and all(each is None for each in given)


def _timeless(table: Table, query: Query, scope: Scope | None) -> Mask:
    """Return the documents that the query may see as far as it does not depend on the present moment."""
    mask = table.chunk_counts > 0
    if query.where is not None:
        mask &= matching(query.where, table.attributes, table.rows)
    for tag in query.tags:
        mask &= _rows(table, table.rows_tagged(tag))
    if query.documents:
        known = [table.row_of[each] for each in query.documents if each in table.row_of]
        mask &= _rows(table, np.array(known, np.int64))
    if query.sources:
        codes = [table.dictionaries["source"].find(each) for each in query.sources]
        mask &= np.isin(table.coded("source"), [code for code in codes if code is not None])
    return mask & _known(table, query) & _in_scope(table, scope)


def _rows(table: Table, rows: RowNumbers) -> Mask:
    mask: Mask = np.zeros(table.rows, np.bool_)
    mask[rows] = True
    return mask


def _known(table: Table, query: Query) -> Mask:
    created_at, ended_at = table.clock("created_at"), table.clock("ended_at")
    if query.known_at is None:
        mask = np.isposinf(ended_at)
    else:
        mask = (created_at <= query.known_at) & (ended_at > query.known_at)
    if query.since is not None:
        mask &= created_at >= query.since
    if query.until is not None:
        mask &= created_at < query.until
    return mask


def _in_scope(table: Table, scope: Scope | None) -> Mask:
    mask: Mask = np.ones(table.rows, np.bool_)
    if scope is None:
        return mask

    for name, part in (("user", scope.user), ("agent", scope.agent), ("session", scope.session)):
        codes = table.coded(name)
        is_seen = codes == NOBODY
        code = None if part is None else table.dictionaries[name].find(part)
        if code is not None:
            is_seen |= codes == code
        mask &= is_seen
    return mask
