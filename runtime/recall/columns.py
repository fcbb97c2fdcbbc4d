"""The columns that filters look at, in memory: one table per namespace, in step with the truth.

A table is loaded when its namespace is first searched, asks the truth before each answer how far it has
come, and is given up again when memory runs short. Answers are kept until something of the namespace is
written, or the next moment at which time alone changes them.

`narrow` returns everything there is as one that says so (`is_everything`); see `columns_query.Narrowed`.
"""

from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from runtime.core.knowledge import Query
from runtime.core.memories import Scope
from runtime.recall.columns_filter import check_filter
from runtime.recall.columns_query import Answer, narrow
from runtime.recall.columns_reading import Delta, Loaded, apply_delta, load_table, read_delta
from runtime.recall.columns_table import Table
from runtime.recall.parts import Allowed, Ids
from runtime.recall.places import NOWHERE
from runtime.recall.shelf import Shelf
from runtime.recall.truth import Truth

DEFAULT_BUDGET_BYTES = 512 * 1024**2
"""Some ten million chunks of a million documents."""
_KEPT_ANSWERS = 64
"""Per namespace; filters come from few kinds of question."""
_WORKERS = 2
_LOADS = 2
_UNKNOWN_IMPORTANCE = 0.5


@dataclass(slots=True, eq=False)
class _Held:
    """A table on the shelf."""

    table: Table
    followed: int
    answers: dict[str, Answer] = field(default_factory=dict)
    """The longest unused first."""
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by the one who reads or changes the table."""


class Columns:
    """Fulfils `parts.Narrowing`."""

    def __init__(self, truth: Truth, *, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        self._truth = truth
        self._shelf: Shelf[int, _Held] = Shelf(self._load, lambda held: held.table.memory_bytes, budget_bytes)
        self._workers = anyio.CapacityLimiter(_WORKERS)
        self._loads = anyio.CapacityLimiter(_LOADS)

    @property
    def memory_bytes(self) -> int:
        """About what all tables take."""
        return self._shelf.memory_bytes

    async def narrow(self, ns: int, query: Query, scope: Scope | None, now: float) -> Allowed:
        """Return what the query may see of a namespace, as of its newest commit. Raises RequestInvalid."""
        if query.where is not None:
            check_filter(query.where)
        key = _key(query, scope)
        async with self._shelf.use(ns) as held, held.lock:
            await self._follow(held, ns)
            answer = held.answers.pop(key, None)
            if answer is None or not answer.holds_at(now):
                answer = await anyio.to_thread.run_sync(
                    narrow, held.table, query, scope, now, limiter=self._workers
                )
            held.answers[key] = answer
            if len(held.answers) > _KEPT_ANSWERS:
                del held.answers[next(iter(held.answers))]
            return answer.allowed

    async def weights(self, ns: int, ids: Ids) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return of each chunk its document's `created_at` and importance; 0 and 0.5 where it is gone."""
        async with self._shelf.use(ns) as held, held.lock:
            await self._follow(held, ns)
            rows = held.table.chunks.find(ids)
            is_known = rows != NOWHERE
            created_at = np.zeros(len(ids))
            importance = np.full(len(ids), _UNKNOWN_IMPORTANCE)
            created_at[is_known] = held.table.clock("created_at")[rows[is_known]]
            importance[is_known] = held.table.clock("importance")[rows[is_known]]
            return created_at, importance

    def forget(self, ns: int) -> None:
        """Give up all that is held of a namespace; it is loaded again when it is searched again."""
        self._shelf.forget(lambda key: key == ns)

    async def _load(self, ns: int) -> _Held:
        loaded = await self._read(ns)
        return _Held(loaded.table, loaded.followed)

    async def _read(self, ns: int) -> Loaded:
        return await self._truth.database.read_snapshot(lambda cursor: load_table(cursor, ns), self._loads)

    async def _follow(self, held: _Held, ns: int) -> None:
        """Bring a table to the newest commit before this call. For holders of its lock."""
        if self._truth.reached(ns) <= held.followed:
            return

        delta = await self._delta(held, ns)
        if delta is not None:
            await anyio.to_thread.run_sync(apply_delta, held.table, delta, limiter=self._workers)
            held.followed = delta.followed
        if delta is None or held.table.is_worn:
            held.table, held.followed = await self._read(ns)
        if delta is None or delta.touches_something:
            held.answers.clear()

    async def _delta(self, held: _Held, ns: int) -> Delta | None:
        followed = held.followed
        return await self._truth.database.read_snapshot(
            lambda cursor: read_delta(cursor, ns, followed), self._loads
        )


def _key(query: Query, scope: Scope | None) -> str:
    """Return what an answer depends on, as text: True, 1 and 1.0 are equal keys, but not equal values."""
    asked = (query.where, query.tags, query.documents, query.sources)
    times = (query.since, query.until, query.valid_at, query.known_at)
    return repr((asked, times, scope))
