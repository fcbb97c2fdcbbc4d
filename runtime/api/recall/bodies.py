"""Bodies of Lar's own routes: the core's words, told strictly: an unknown field is an error, at any depth."""

from typing import Annotated, Any

import msgspec

from runtime.core.ids import ItemId
from runtime.core.knowledge import (
    Chunking,
    CollectionChange,
    Expiry,
    NewCollection,
    NewDocument,
    NewSource,
    Query,
)
from runtime.core.memories import ItemChange, NewItem, Provenance, Scope

DOCUMENTS_LIMIT = 1000
"""Documents in one request."""
ITEMS_LIMIT = 1000


class ChunkingBody(Chunking, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How texts are cut."""


class ExpiryBody(Expiry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a collection goes."""


class ScopeBody(Scope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom an item concerns."""


class ProvenanceBody(Provenance, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an item comes from."""


class NewCollectionBody(NewCollection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collection to be made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    chunking: ChunkingBody | None = None
    expiry: ExpiryBody | None = None


class CollectionChangeBody(CollectionChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a collection."""

    expiry: ExpiryBody | msgspec.UnsetType | None = msgspec.UNSET


class DocumentBody(NewDocument, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document to be taken in; `content` is base64."""

    chunking: ChunkingBody | None = None


class DocumentsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents to be taken in."""

    documents: Annotated[list[DocumentBody], msgspec.Meta(min_length=1, max_length=DOCUMENTS_LIMIT)]


class DocumentOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for every file of a form: its field `options`, as JSON."""

    attributes: dict[str, str | bool | int | float] = {}
    tags: tuple[str, ...] = ()
    language: str | None = None
    valid_from: float | None = None
    valid_to: float | None = None
    expires_at: float | None = None
    chunking: ChunkingBody | None = None


class AttributesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes of a document, in place of the former ones."""

    attributes: dict[str, str | bool | int | float]


class SearchBody(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search; collections are named by id or by name, none means all."""

    collections: tuple[str, ...] = ()  # type: ignore[assignment]  # names are no ids yet
    where: Any = None


class NewSourceBody(NewSource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place to be followed."""


class SourceChangeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a source."""

    is_paused: bool


class NewItemBody(NewItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something to be remembered."""

    scope: ScopeBody = ScopeBody()
    provenance: ProvenanceBody = ProvenanceBody()


class ItemChangeBody(ItemChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of an item."""


class ForgetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items to be forgotten."""

    items: Annotated[list[ItemId], msgspec.Meta(min_length=1, max_length=ITEMS_LIMIT)]


class MemorySearchBody(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search among what is remembered."""

    collections: tuple[()] = ()
    """There is one memory: nothing can be named here."""
    where: Any = None
    scope: ScopeBody | None = None
    """None: items of every scope."""
