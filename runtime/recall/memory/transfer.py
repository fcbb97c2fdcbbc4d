"""Export and import of a memory: lines out in pages, lines in by steps."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import anyio.to_thread

from runtime.core.ids import ItemId, TenantId
from runtime.core.memories import HistoryEntry
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.exchange import Line, line_of, read_line
from runtime.recall.memory.given import Given
from runtime.recall.memory.history import SELECT_HISTORY, entry_of
from runtime.recall.memory.importing import Arrival, Relation, store_arrivals, store_relations
from runtime.recall.memory.likeness import print_of
from runtime.recall.memory.rows import item_of, selection

PAGE_ITEMS = 200
"""Items that are read, or stored, at once."""
MAX_WRONG = 1000
"""Messages about lines; what is wrong beyond them is counted only."""
_PAGE = selection(
    "($2 IS NULL OR (created_at, id) > ($2::DOUBLE, $3::VARCHAR)) ORDER BY created_at, id LIMIT $4"
)


class Transfer:
    """Writes and reads lines."""

    def __init__(self, given: Given) -> None:
        self._given = given

    async def export(self, tenant: TenantId) -> AsyncIterator[Mapping[str, Any]]:
        """Yield a line for each item, the oldest first."""
        home = self._given.marks.memory_of(tenant)
        after: tuple[float | None, ItemId | None] = (None, None)
        while home is not None:
            rows = await self._given.truth.read(_PAGE, [home.ns, *after, PAGE_ITEMS])
            if not rows:
                return

            items = [item_of(row) for row in rows]
            after = (items[-1].created_at, items[-1].id)
            history, former = await self._rest(home, [each.id for each in items])
            for item in items:
                yield line_of(item, history.get(item.id, []), is_former=item.id in former)

    async def take_in(
        self, tenant: TenantId, lines: AsyncIterator[Mapping[str, Any]]
    ) -> tuple[int, list[str]]:
        """Store what is new of the lines; return how many items came, and what was wrong with the others."""
        home = await self._given.homes.memory_of(tenant)
        now = self._given.clock.now()
        stored, number, unsaid = 0, 0, 0
        wrong: list[str] = []
        relations: list[Relation] = []
        step: list[tuple[int, Line]] = []
        async for told in lines:
            number += 1
            line = read_line(told, now)
            if isinstance(line, Line):
                step.append((number, line))
            elif len(wrong) < MAX_WRONG:
                wrong.append(f"line {number}: {line.message}")
            else:
                unsaid += 1
            if len(step) == PAGE_ITEMS:
                stored += await self._store(home, step, relations, now)
                step = []

        stored += await self._store(home, step, relations, now)
        for at in range(0, len(relations), PAGE_ITEMS):
            part = relations[at : at + PAGE_ITEMS]
            relate = partial(store_relations, home=home, relations=part, now=now)
            wrong += await self._given.truth.write(relate)
        if unsaid:
            wrong.append(f"{unsaid} more lines are wrong, too")
        self._given.heal(home.ns)
        return stored, wrong

    async def _store(
        self, home: Shelfmark, step: Sequence[tuple[int, Line]], relations: list[Relation], now: float
    ) -> int:
        if not step:
            return 0

        arrivals = await anyio.to_thread.run_sync(_arrivals, step)
        arrived = await self._given.truth.write(lambda pen: store_arrivals(pen, home, arrivals, now))
        relations += arrived.relations
        return arrived.stored

    async def _rest(
        self, home: Shelfmark, ids: Sequence[ItemId]
    ) -> tuple[dict[ItemId, list[HistoryEntry]], set[ItemId]]:
        """Return the history of items, and which of them gave way to another wording of themselves."""
        history: dict[ItemId, list[HistoryEntry]] = {}
        for row in await self._given.truth.read(SELECT_HISTORY, [home.ns, [*ids]]):
            history.setdefault(ItemId(row[0]), []).append(entry_of(row))
        rows = await self._given.truth.read(
            "SELECT id FROM item WHERE ns = $1 AND is_former AND id IN (SELECT unnest($2::VARCHAR[]))",
            [home.ns, [*ids]],
        )
        return history, {ItemId(row[0]) for row in rows}


def _arrivals(step: Sequence[tuple[int, Line]]) -> list[Arrival]:
    return [Arrival(number, line, print_of(line.item.text, line.item.kind)) for number, line in step]
