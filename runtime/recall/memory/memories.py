"""The memory as the rest of Lar sees it, as `core.recall.Memories`.

Each call finds the tenant's own namespace and hands the work to the transaction that does it; nothing is kept
here but counts of use that wait to be stored. Of what is forgotten nothing is left in any table or index;
snapshots of the database hold it until they are replaced, so many nights later as snapshots are kept.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskStatus

from runtime.core.ids import ItemId, TenantId
from runtime.core.knowledge import Hit, Job, Query
from runtime.core.memories import (
    Forgotten,
    FoundItem,
    HistoryEntry,
    Item,
    ItemChange,
    ItemQuery,
    NewItem,
    Remembered,
    Scope,
)
from runtime.core.recall_facts import RecallForgotten
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.checks import check_span, checked
from runtime.recall.memory.forgetting import forget
from runtime.recall.memory.given import Given
from runtime.recall.memory.history import SELECT_CHAIN, SELECT_HISTORY, Diary, entry_of
from runtime.recall.memory.links import Wanted
from runtime.recall.memory.preparing import Preparer
from runtime.recall.memory.remembering import item_of_new, store
from runtime.recall.memory.revising import change_in_place, put_successor
from runtime.recall.memory.rows import SELECT_BY_ID, item_of, live, no_item, seen_from, selection
from runtime.recall.memory.tidying import Tidying
from runtime.recall.memory.transfer import Transfer
from runtime.recall.memory.uses import Uses

_LIST = selection(
    f"($2 OR {live('$3')}) AND ($4 OR ({seen_from('$5', '$6', '$7')})) "
    "AND (len($8::VARCHAR[]) = 0 OR list_contains($8::VARCHAR[], kind)) "
    "AND list_has_all(from_json(tags, '[\"VARCHAR\"]'), $9::VARCHAR[]) "
    "AND ($10 IS NULL OR (created_at, id) < ($10::DOUBLE, $11::VARCHAR)) "
    "ORDER BY created_at DESC, id DESC LIMIT $12",
    order="created_at DESC, id DESC",
)


class RecallMemories:
    """Remembers, revises, forgets and finds items."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._preparer = Preparer(given.truth, given.embedder, given.vectors, given.clock)
        self._uses = Uses(given.truth)
        self._tidying = Tidying(given)
        self._transfer = Transfer(given)

    async def remember(self, tenant: TenantId, new: NewItem) -> Remembered:
        """Store an item, or find that it is known; returns once it is safe and searchable.

        What is known already gains tags, attributes and links of what is told, and counts as used. Raises
        NotFound and RequestInvalid naming the field, Conflict.
        """
        new = checked(new)
        now = self._given.clock.now()
        item = item_of_new(new, now)
        check_span(item)
        wanted = Wanted(new.supersedes, new.contradicts, new.derived_from)
        home = await self._given.homes.memory_of(tenant)
        prepared = await self._preparer.prepare(home, item.text, item.kind)
        remembered = await self._given.truth.write(lambda pen: store(pen, home, item, wanted, prepared, now))
        if prepared.vector is None:
            self._given.heal(home.ns)
        return remembered

    async def revise(self, tenant: TenantId, item: ItemId, change: ItemChange, by: str | None = None) -> Item:
        """Change an item; a new text makes a successor, which is returned.

        Raises NotFound, Conflict naming the successor of an item that has one, RequestInvalid.
        """
        change = checked(change)
        now = self._given.clock.now()
        home = self._home(tenant, item)
        before = await self.find(tenant, item)
        if isinstance(change.text, msgspec.UnsetType) or change.text == before.text:
            return await self._given.truth.write(
                lambda pen: change_in_place(pen, home, item, change, Diary(pen, home.ns, now, by))
            )

        prepared = await self._preparer.prepare(home, change.text, before.kind)
        successor = await self._given.truth.write(
            lambda pen: put_successor(pen, home, item, change, prepared, Diary(pen, home.ns, now, by))
        )
        if prepared.vector is None:
            self._given.heal(home.ns)
        return successor

    async def forget(self, tenant: TenantId, items: Sequence[ItemId]) -> Forgotten:
        """Remove items, their former wordings and their history from everywhere.

        Raises NotFound before anything goes.
        """
        if not items:
            return Forgotten(items=())

        home = self._home(tenant, items[0], "items[0]")
        forgotten = await self._given.truth.write(lambda pen: forget(pen, home.ns, items))
        fact = RecallForgotten(collection=home.collection, items=len(forgotten.items))
        self._given.publish(fact, tenant)
        return forgotten

    async def find(self, tenant: TenantId, item: ItemId) -> Item:
        """Return an item. Raises NotFound."""
        home = self._home(tenant, item)
        found = await self._find_many(home, [item])
        if item not in found:
            raise no_item(item)
        return found[item]

    async def list_all(self, tenant: TenantId, query: ItemQuery) -> list[Item]:
        """Return items, the newest first. Raises NotFound where `after` is not there any more."""
        home = self._given.marks.memory_of(tenant)
        if home is None:
            return []

        after = None if query.after is None else await self.find(tenant, query.after)
        scope = query.scope or Scope()
        rows = await self._given.truth.read(
            _LIST,
            [
                home.ns,
                query.is_ended_wanted,
                self._given.clock.now(),
                query.scope is None,
                *msgspec.structs.astuple(scope),
                [*query.kinds],
                [*query.tags],
                None if after is None else after.created_at,
                None if after is None else after.id,
                query.limit,
            ],
        )
        return [item_of(row) for row in rows]

    async def history(self, tenant: TenantId, item: ItemId) -> list[HistoryEntry]:
        """Return what happened to an item and to those that it superseded, the oldest first.

        Raises NotFound.
        """
        home = self._home(tenant, item)
        chain = [row[0] for row in await self._given.truth.read(SELECT_CHAIN, [home.ns, item])]
        if not chain:
            raise no_item(item)

        return [entry_of(row) for row in await self._given.truth.read(SELECT_HISTORY, [home.ns, chain])]

    async def search(self, tenant: TenantId, query: Query, scope: Scope | None) -> list[FoundItem]:
        """Search items; `query.collections` is not looked at. Notes their use."""
        home = self._given.marks.memory_of(tenant)
        if home is None:
            return []

        asked = msgspec.structs.replace(query, collections=(home.collection,), is_explained=True)
        found = await self._given.search_in(tenant, [home], asked, scope)
        best: dict[ItemId, Hit] = {}
        for hit in found.hits:
            best.setdefault(ItemId(hit.document.id), hit)
        items = await self._find_many(home, list(best))
        self._uses.note(items, self._given.clock.now())
        return [_found_item(items[each], hit) for each, hit in best.items() if each in items]

    async def consolidate(self, tenant: TenantId) -> Job:
        """Begin to merge what is said twice and to end what has expired, or return the job that does so."""
        return await self._tidying.begin(tenant)

    async def export(self, tenant: TenantId) -> AsyncIterator[Mapping[str, Any]]:
        """Yield everything that is remembered, the oldest first, ready to be written as JSONL."""
        async for line in self._transfer.export(tenant):
            yield line

    async def import_items(
        self, tenant: TenantId, lines: AsyncIterator[Mapping[str, Any]]
    ) -> tuple[int, list[str]]:
        """Store what `export` wrote; return how many items came, and what was wrong with the others.

        What is here already is left as it is, so that importing twice changes nothing.
        """
        return await self._transfer.take_in(tenant, lines)

    async def resume(self) -> None:
        """Take up jobs of a former process. Before ingestion begins, which ends what nobody takes up."""
        await self._tidying.resume()

    async def run_forever(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Store counts of use and drive consolidations. For the app's task group."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._uses.store_forever)
            await tasks.start(self._tidying.run_forever)
            task_status.started()

    async def aclose(self) -> None:
        """Store the counts of use that wait."""
        await self._uses.store()

    def _home(self, tenant: TenantId, item: ItemId, param: str | None = None) -> Shelfmark:
        """Return where the tenant's items lie. Raises NotFound where there are none at all."""
        home = self._given.marks.memory_of(tenant)
        if home is None:
            raise no_item(item, param)
        return home

    async def _find_many(self, home: Shelfmark, items: Sequence[ItemId]) -> dict[ItemId, Item]:
        if not items:
            return {}

        rows = await self._given.truth.read(SELECT_BY_ID, [home.ns, [*items]])
        return {ItemId(row[0]): item_of(row) for row in rows}


def _found_item(item: Item, hit: Hit) -> FoundItem:
    scores = hit.scores
    return FoundItem(
        item=item,
        score=hit.score,
        text_score=None if scores is None else scores.text,
        vector_score=None if scores is None else scores.vector,
    )
