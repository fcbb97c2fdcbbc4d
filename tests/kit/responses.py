"""What requests to the Responses API are read with in tests: a sealer, no files, items by their ids."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from runtime.api.responses.errors import item_not_found
from runtime.api.responses.files_in import InputFiles, ReadText
from runtime.api.responses.items_in import Outside, read_input
from runtime.api.responses.items_out import ItemWords
from runtime.api.responses.sealing import Sealer
from runtime.core.agents.items import AnyItem
from runtime.core.ids import LOCAL_TENANT, TenantId
from runtime.core.recall import Files

SEALER = Sealer(bytes(range(64)))
EVERYTHING = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)


class KeptItems:
    """Items by their ids."""

    def __init__(self, items: Mapping[str, Sequence[AnyItem]] | None = None) -> None:
        self._items = items or {}

    async def item(self, tenant: TenantId, item: str) -> Sequence[AnyItem]:
        """Return what is kept. Raises Refused."""
        if item not in self._items:
            raise item_not_found(item)
        return self._items[item]


def counted() -> Callable[[str], str]:
    """Return what mints ids in the order of asking."""
    numbers = count()
    return lambda prefix: f"{prefix}{next(numbers)}"


def make_outside(
    items: Mapping[str, Sequence[AnyItem]] | None = None,
    *,
    files: Files | None = None,
    read_text: ReadText | None = None,
    tenant: TenantId = LOCAL_TENANT,
) -> Outside:
    """Return what an input may name that is not in it."""
    return Outside(
        tenant=tenant,
        files=InputFiles(files, tenant, read_text),
        stored=KeptItems(items),
        sealer=SEALER,
        mint=counted(),
    )


def make_words(*include: str, tenant: TenantId = LOCAL_TENANT) -> ItemWords:
    """Return how items are shown; with nothing named, without what must be asked for."""
    return ItemWords(tenant, SEALER, include)


async def read_items(*given: dict[str, Any], outside: Outside | None = None) -> list[AnyItem]:
    """Return what items of the wire are."""
    return (await read_input(list(given), outside or make_outside())).items
