"""What a running server remembers, and the care of its store, shaped like the ports of the core."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from runtime.api.remote.wire import LONG_LIMIT_S, SEARCH_LIMIT_S, Wire, part
from runtime.core.ids import ItemId, TenantId
from runtime.core.knowledge import Job, Query
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
from runtime.core.recall import Finding, StoredSnapshot

_HIGHEST_LIMIT = 999
"""Of one request."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of lines that were sent."""

    imported: int
    refused: int
    problems: tuple[str, ...] = ()


class _Items(msgspec.Struct):
    items: list[Item]


class _FoundItems(msgspec.Struct):
    items: list[FoundItem]


class _History(msgspec.Struct):
    history: list[HistoryEntry]


class _Check(msgspec.Struct):
    findings: list[Finding]


class _Snapshots(msgspec.Struct):
    snapshots: list[StoredSnapshot]


class RemoteMemories:
    """What agents remember."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def remember(self, _tenant: TenantId, new: NewItem) -> Remembered:
        """Store an item, or find that it is known. Raises NotFound, RequestInvalid."""
        return await self._wire.ask("POST", "/memories", Remembered, body=new, limit_s=SEARCH_LIMIT_S)

    async def revise(
        self, _tenant: TenantId, item: ItemId, change: ItemChange, by: str | None = None
    ) -> Item:
        """Change an item; the server notes the key's principal, not `by`. Raises NotFound, Conflict."""
        del by
        path = f"/memories/{part(item)}"
        return await self._wire.ask("PATCH", path, Item, body=change, limit_s=SEARCH_LIMIT_S)

    async def forget(self, _tenant: TenantId, items: Sequence[ItemId]) -> Forgotten:
        """Remove items from everywhere, all or none of them. Raises NotFound."""
        body = {"items": list(items)}
        return await self._wire.ask("POST", "/memories/forget", Forgotten, body=body, limit_s=SEARCH_LIMIT_S)

    async def find(self, _tenant: TenantId, item: ItemId) -> Item:
        """Return an item. Raises NotFound."""
        return await self._wire.ask("GET", f"/memories/{part(item)}", Item)

    async def list_all(self, _tenant: TenantId, query: ItemQuery) -> list[Item]:
        """Return items, the newest first."""
        params = {"limit": str(min(query.limit, _HIGHEST_LIMIT))}
        if query.is_ended_wanted:
            params["ended"] = "true"
        if query.after is not None:
            params["after"] = query.after
        scope = {} if query.scope is None else msgspec.structs.asdict(query.scope)
        pairs = [*params.items(), *((name, value) for name, value in scope.items() if value is not None)]
        pairs += [("kind", each) for each in query.kinds] + [("tag", each) for each in query.tags]
        return (await self._wire.ask("GET", "/memories", _Items, params=pairs)).items

    async def history(self, _tenant: TenantId, item: ItemId) -> list[HistoryEntry]:
        """Return what happened to an item and to those that it superseded, the oldest first."""
        return (await self._wire.ask("GET", f"/memories/{part(item)}/history", _History)).history

    async def search(self, _tenant: TenantId, query: Query, scope: Scope | None) -> list[FoundItem]:
        """Search items; `query.collections` is not looked at."""
        told = {**msgspec.structs.asdict(query), "collections": (), "scope": scope}
        answer = await self._wire.ask(
            "POST", "/memories/search", _FoundItems, body=told, limit_s=SEARCH_LIMIT_S
        )
        return answer.items

    async def consolidate(self, _tenant: TenantId) -> Job:
        """Begin to merge near-duplicates and to end what has expired."""
        return await self._wire.ask("POST", "/memories/consolidate", Job)

    async def export(self) -> AsyncIterator[bytes]:
        """Yield everything that is remembered, as pieces of lines of JSON."""
        async for piece in self._wire.pieces("/memories/export"):
            yield piece

    async def import_lines(self, lines: AsyncIterator[bytes]) -> Imported:
        """Store lines that an export wrote."""
        return await self._wire.ask(
            "POST",
            "/memories/import",
            Imported,
            data=lines,
            headers={"Content-Type": "application/x-ndjson"},
            limit_s=LONG_LIMIT_S,
        )


class RemoteCare:
    """Looking after the store; the key must be an operator's."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def check(self, *, is_repairing: bool) -> list[Finding]:
        """Read everything and return what is wrong; modifies nothing unless `is_repairing`."""
        body = {"repair": is_repairing}
        answer = await self._wire.ask("POST", "/doctor", _Check, body=body, limit_s=LONG_LIMIT_S)
        return answer.findings

    async def snapshots(self) -> list[StoredSnapshot]:
        """Return the copies on disk, the newest first."""
        return (await self._wire.ask("GET", "/snapshots", _Snapshots)).snapshots

    async def take_snapshot(self) -> StoredSnapshot:
        """Copy the database as of this moment. Raises StoreFull, StoreDamaged."""
        return await self._wire.ask("POST", "/snapshots", StoredSnapshot, limit_s=LONG_LIMIT_S)
