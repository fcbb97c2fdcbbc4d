"""Items that are kept here, found by their ids: some clients send the id of an item instead of the item.

What was given lately is known by heart; of all else the store knows the run, by the time in the id.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from runtime.api.responses.errors import item_not_found
from runtime.core.agents.fold import fold
from runtime.core.agents.items import Answered, AnyItem, Called
from runtime.core.agents.ports import AgentRuns
from runtime.core.errors import NotFound
from runtime.core.ids import RunId, TenantId

_KNOWN = 20_000
"""Items whose responses are known by heart: some megabytes."""


class ItemPlaces:
    """In which runs items are; shared by all requests."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[TenantId, str], RunId] = OrderedDict()

    def note(self, tenant: TenantId, run: RunId, items: Iterable[AnyItem]) -> None:
        """Remember where items are."""
        for item in items:
            self._runs[tenant, item.id] = run
            self._runs.move_to_end((tenant, item.id))
        while len(self._runs) > _KNOWN:
            self._runs.popitem(last=False)

    def find(self, tenant: TenantId, item: str) -> RunId | None:
        """Return the run that has an item, where it is known by heart."""
        return self._runs.get((tenant, item))


class StoredRunItems:
    """Finds items in stored runs, and in what a connection remembers."""

    def __init__(self, runs: AgentRuns, places: ItemPlaces, near: Sequence[AnyItem] = ()) -> None:
        self._runs = runs
        self._places = places
        self._near = near
        """Looked at first: the conversation that the request continues."""

    async def item(self, tenant: TenantId, item: str) -> Sequence[AnyItem]:
        """Return an item, a call that Lar carried out with its result. Raises Refused (404)."""
        found = _with_result(self._near, item)
        run = None if found else self._places.find(tenant, item)
        if run is not None:
            found = _with_result(await self._items_of(tenant, run), item)
        if not found:
            found = await self._search(tenant, item)
        if not found:
            raise item_not_found(item)
        return found

    async def _search(self, tenant: TenantId, item: str) -> Sequence[AnyItem]:
        for run in await self._runs.runs_naming(tenant, item):
            items = await self._items_of(tenant, run)
            if found := _with_result(items, item):
                self._places.note(tenant, run, items)
                return found
        return ()

    async def _items_of(self, tenant: TenantId, run: RunId) -> list[AnyItem]:
        try:
            state = fold(await self._runs.steps(tenant, run))
        except NotFound:
            return []
        return [*state.input, *state.output]


def _with_result(items: Sequence[AnyItem], item: str) -> Sequence[AnyItem]:
    found = next((each for each in items if each.id == item), None)
    if found is None:
        return ()

    if isinstance(found, Called) and not found.by_client:
        results = (e for e in items if isinstance(e, Answered) and e.call_id == found.call_id)
        return (found, *results)
    return (found,)
