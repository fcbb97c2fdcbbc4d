"""The words of what agents remember: items with scope, provenance, two clocks and links.

World clock: `valid_from`, `valid_to` (when it is so). System clock: `created_at`, `ended_at` (when Lar knew
it). A revised item ends and its successor begins; nothing but `forget` removes. Times are seconds since the
epoch.
"""

from typing import Annotated, Literal

import msgspec

from runtime.core.filters import Attributes
from runtime.core.ids import ItemId, RunId

ItemKind = Literal["fact", "preference", "episode", "procedure", "summary"]
LinkKind = Literal["supersedes", "contradicts", "derived_from"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an item concerns. None: everybody of the tenant.

    A search in a scope sees items whose every named part is equal to the scope's: one of user u and agent a
    sees u's own, a's own, those of both and those of everybody, never another user's.
    """

    user: str | None = None
    agent: str | None = None
    session: str | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where an item comes from."""

    run: RunId | None = None
    message: str | None = None
    uri: str | None = None
    start: int | None = None
    end: int | None = None
    """Span of characters in the message or at the uri."""
    by: str | None = None
    """Who wrote it: a principal."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """From the item that carries it to another one."""

    kind: LinkKind
    to: ItemId


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is remembered."""

    id: ItemId
    kind: ItemKind
    text: str
    scope: Scope
    provenance: Provenance
    created_at: float
    ended_at: float | None = None
    """Until when Lar held it for true: set when it is revised or superseded."""
    valid_from: float | None = None
    valid_to: float | None = None
    expires_at: float | None = None
    importance: Share = 0.5
    confidence: Share = 1.0
    uses: int = 0
    last_used_at: float | None = None
    is_pinned: bool = False
    """Neither expires nor is consolidated away."""
    tags: tuple[str, ...] = ()
    attributes: Attributes = {}
    links: tuple[Link, ...] = ()
    superseded_by: ItemId | None = None


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to remember something."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
    kind: ItemKind = "fact"
    scope: Scope = Scope()
    provenance: Provenance = Provenance()
    valid_from: float | None = None
    valid_to: float | None = None
    expires_at: float | None = None
    importance: Share = 0.5
    confidence: Share = 1.0
    is_pinned: bool = False
    tags: tuple[str, ...] = ()
    attributes: Attributes = {}
    supersedes: tuple[ItemId, ...] = ()
    contradicts: tuple[ItemId, ...] = ()
    derived_from: tuple[ItemId, ...] = ()


class ItemChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to revise an item; UNSET stays as it is. A changed text makes a successor."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)] | msgspec.UnsetType = msgspec.UNSET
    valid_from: float | msgspec.UnsetType | None = msgspec.UNSET
    valid_to: float | msgspec.UnsetType | None = msgspec.UNSET
    expires_at: float | msgspec.UnsetType | None = msgspec.UNSET
    importance: Share | msgspec.UnsetType = msgspec.UNSET
    confidence: Share | msgspec.UnsetType = msgspec.UNSET
    is_pinned: bool | msgspec.UnsetType = msgspec.UNSET
    tags: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    attributes: Attributes | msgspec.UnsetType = msgspec.UNSET
    contradicts: tuple[ItemId, ...] | msgspec.UnsetType = msgspec.UNSET


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of something told to remember."""

    item: Item
    outcome: Literal["stored", "known", "similar"]
    """known: the same text was there, it counts as used · similar: stored, and `near` says much the same."""
    near: tuple[ItemId, ...] = ()


class ItemQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which items to list, the newest first."""

    scope: Scope | None = None
    """None: items of every scope."""
    kinds: tuple[ItemKind, ...] = ()
    tags: tuple[str, ...] = ()
    is_ended_wanted: bool = False
    """Whether those that were superseded or have expired are listed, too."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: ItemId | None = None


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an item."""

    at: float
    action: Literal["stored", "known", "revised", "superseded", "contradicted", "linked", "imported"]
    by: str | None = None
    run: RunId | None = None
    item: Item
    """As it was afterwards."""


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What went, and what stood on it."""

    items: tuple[ItemId, ...]
    depended: tuple[ItemId, ...] = ()
    """Items derived from them, or that superseded them: they stay, without the link."""
    documents: int = 0


class FoundItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item that a search found."""

    item: Item
    score: float
    text_score: float | None = None
    vector_score: float | None = None
