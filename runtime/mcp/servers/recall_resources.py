"""Documents and memories as MCP resources: listed in pages, read by address, named by templates.

recall://collection/{collection}/document/{document}
recall://memory/{item}
"""

import re
from collections.abc import Callable
from typing import NoReturn

import mcp.types as wire
from mcp.shared.exceptions import MCPError

from runtime.core.errors import LarError, NotFound, StoreUnavailable
from runtime.core.ids import CollectionId, DocumentId, ItemId, TenantId
from runtime.core.knowledge import Document
from runtime.core.memories import Item, ItemQuery
from runtime.core.tools import Caller
from runtime.mcp.servers.reach import RecallReach

_PAGE = 100
_DOCUMENT = re.compile(r"recall://collection/(?P<collection>[\w-]+)/document/(?P<document>[\w-]+)")
_ITEM = re.compile(r"recall://memory/(?P<item>[\w-]+)")
_CURSOR = re.compile(r"(?P<place>[\w-]+):(?P<after>[\w-]*)")
_MEMORIES = "memories"
_TITLE_LENGTH = 80


class RecallResources:
    """The resources of each tenant."""

    def __init__(self, view: Callable[[Caller], RecallReach]) -> None:
        self._view = view
        """Recall as a caller may reach it."""

    async def list_all(
        self, caller: Caller, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourcesResult:
        """List a page: the documents of each collection in turn, then what is remembered."""
        recall, tenant = self._view(caller), caller.principal.tenant
        collections = [str(each.id) for each in await recall.collections.list_all(tenant)]
        places = [*collections, _MEMORIES]
        place, after = _place(params.cursor if params is not None else None, places)
        resources: list[wire.Resource] = []
        for at in range(places.index(place), len(places)):
            place = places[at]
            found = await _some(recall, tenant, place, after, _PAGE + 1 - len(resources))
            resources += found
            if len(resources) > _PAGE:
                shown = resources[:_PAGE]
                return wire.ListResourcesResult(resources=shown, next_cursor=_cursor(shown[-1], place, found))
            after = None
        return wire.ListResourcesResult(resources=resources)

    async def templates(self) -> wire.ListResourceTemplatesResult:
        """Tell how resources are addressed."""
        return wire.ListResourceTemplatesResult(
            resource_templates=[
                wire.ResourceTemplate(
                    name="document",
                    title="Document",
                    uri_template="recall://collection/{collection}/document/{document}",
                    description="The text of a document as it was read, by the ids of both.",
                    mime_type="text/plain",
                ),
                wire.ResourceTemplate(
                    name="memory",
                    title="Memory",
                    uri_template="recall://memory/{item}",
                    description="Something that is remembered, by its id.",
                    mime_type="text/plain",
                ),
            ]
        )

    async def read(self, caller: Caller, uri: str) -> wire.ReadResourceResult:
        """Return the text of a resource. Raises MCPError."""
        try:
            text = await _text(self._view(caller), caller.principal.tenant, uri)
        except NotFound:
            _not_found(uri)
        except (LarError, StoreUnavailable) as problem:
            raise MCPError(wire.INTERNAL_ERROR, str(problem)) from problem
        contents = wire.TextResourceContents(uri=uri, mime_type="text/plain", text=text)
        return wire.ReadResourceResult(contents=[contents])


async def _text(recall: RecallReach, tenant: TenantId, uri: str) -> str:
    if match := _ITEM.fullmatch(uri):
        return (await recall.memories.find(tenant, ItemId(match["item"]))).text

    match = _DOCUMENT.fullmatch(uri)
    if match is None:
        _not_found(uri)
    document = await recall.documents.find(tenant, DocumentId(match["document"]))
    if document.collection != match["collection"]:
        _not_found(uri)
    return await recall.documents.text(tenant, document.id)


async def _some(
    recall: RecallReach, tenant: TenantId, place: str, after: str | None, limit: int
) -> list[wire.Resource]:
    if place == _MEMORIES:
        query = ItemQuery(limit=limit, after=None if after is None else ItemId(after))
        return [_item(each) for each in await recall.memories.list_all(tenant, query)]

    documents = await recall.documents.list_all(
        tenant,
        CollectionId(place),
        limit=limit,
        after=None if after is None else DocumentId(after),
    )
    return [_document(each) for each in documents]


def _place(cursor: str | None, places: list[str]) -> tuple[str, str | None]:
    """Return where a page begins. Raises MCPError for a cursor that no list has given."""
    if cursor is None:
        return places[0], None

    match = _CURSOR.fullmatch(cursor)
    if match is None or match["place"] not in places:
        raise MCPError(wire.INVALID_PARAMS, "The cursor is of no list of resources, or of one that is gone.")
    return match["place"], match["after"] or None


def _cursor(last: wire.Resource, place: str, found: list[wire.Resource]) -> str:
    """Return where the next page begins: after the last that is shown, in the place that it came from."""
    after = last.uri.rsplit("/", 1)[-1] if last in found else ""
    return f"{place}:{after}"


def _document(document: Document) -> wire.Resource:
    return wire.Resource(
        uri=f"recall://collection/{document.collection}/document/{document.id}",
        name=document.name,
        title=document.title or document.name,
        description=document.uri,
        mime_type="text/plain",
    )


def _item(item: Item) -> wire.Resource:
    text = " ".join(item.text.split())
    return wire.Resource(
        uri=f"recall://memory/{item.id}",
        name=item.id,
        title=text[:_TITLE_LENGTH],
        description=item.kind,
        mime_type="text/plain",
    )


def _not_found(uri: str) -> NoReturn:
    raise MCPError(wire.INVALID_PARAMS, f"There is no resource '{uri[:200]}'.", {"uri": uri})
