"""What the tools of recall take and give: structs, from which their JSON schemas are made."""

from typing import Annotated, Any

import msgspec

from runtime.core.filters import Attributes
from runtime.core.memories import ItemKind, Share
from runtime.mcp.servers.offering import told


class ScopeGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a memory concerns; leave out what does not matter."""

    user: Annotated[str | None, told("The user it concerns")] = None
    agent: Annotated[str | None, told("The agent it concerns")] = None
    session: Annotated[str | None, told("The conversation it concerns")] = None


class SearchGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of search."""

    query: Annotated[str, told("What to look for: a question or key words", min_length=1, max_length=8000)]
    where: Annotated[list[str], told("Names or ids of collections; empty: all")] = []
    include_memory: Annotated[bool, told("Also search what is remembered")] = True
    limit: Annotated[int, told("Passages at most", ge=1, le=50)] = 8
    filter: Annotated[
        dict[str, Any] | None,
        told(
            'Narrow by attributes: {"type": "eq|ne|gt|gte|lt|lte|in|nin|contains|exists", "key": …, '
            '"value": …}, or {"type": "and|or|not", "filters": […]}'
        ),
    ] = None
    tags: Annotated[list[str], told("Tags that every passage has")] = []
    scope: ScopeGiven | None = None
    """Of memory; everything that concerns everybody is found as well."""


class ReadGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of read."""

    id: Annotated[str, told("Id of a document (doc_…) or of a memory (item_…), as search or list gave it")]
    start: Annotated[int, told("First character to read", ge=0)] = 0
    limit: Annotated[int, told("Characters at most", ge=1, le=100_000)] = 20_000


class RememberGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of remember."""

    text: Annotated[
        str, told("One self-contained statement, with names, not pronouns", min_length=1, max_length=20_000)
    ]
    kind: ItemKind = "fact"
    scope: ScopeGiven = ScopeGiven()
    importance: Share = 0.5
    tags: list[str] = []
    supersedes: Annotated[list[str], told("Ids of memories that this one replaces")] = []
    expires_at: Annotated[float | None, told("Seconds since the epoch; left out: never")] = None


class ReviseGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of revise; what is left out stays as it is."""

    id: Annotated[str, told("Id of the memory (item_…)")]
    text: (
        Annotated[
            str,
            told(
                "The new text; the memory then gets a successor of another id",
                min_length=1,
                max_length=20_000,
            ),
        ]
        | None
    ) = None
    importance: Share | None = None
    confidence: Share | None = None
    tags: list[str] | None = None
    is_pinned: bool | None = None


class ForgetGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of forget."""

    ids: Annotated[
        list[str],
        told(
            "Ids of memories (item_…) and documents (doc_…); they go for good", min_length=1, max_length=100
        ),
    ]


class IngestGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of ingest."""

    collection: Annotated[str, told("Name or id of the collection")]
    name: Annotated[
        str, told("Name of the document; one of this name is replaced", min_length=1, max_length=512)
    ]
    text: Annotated[str, told("Its text; Markdown headings become sections", min_length=1)]
    uri: Annotated[str | None, told("Where it comes from")] = None
    tags: list[str] = []
    attributes: Attributes = {}


class ListGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of list."""

    of: Annotated[
        str, told("'collections', 'memories', or the name or id of a collection: its documents")
    ] = "collections"
    limit: Annotated[int, told("Lines at most", ge=1, le=200)] = 50
    cursor: Annotated[str | None, told("`next_cursor` of the former answer: what comes after it")] = None


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of a document."""

    document: str
    name: str
    title: str
    heading: list[str]
    text: str
    score: float
    start: int
    end: int
    uri: str | None = None
    resource: str
    """Address of the whole document as a resource."""


class MemoryFound(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is remembered."""

    id: str
    kind: str
    text: str
    created_at: float
    score: float | None = None
    is_current: bool = True
    superseded_by: str | None = None
    tags: list[str] = []


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of search."""

    passages: list[Passage]
    memories: list[MemoryFound]
    notes: list[str] = []


class ReadResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of read."""

    id: str
    name: str
    text: str
    start: int
    total: int
    """Characters of the whole."""
    is_more: bool


class RememberResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of remember and revise."""

    id: str
    outcome: str
    text: str
    near: list[str] = []
    """Memories that say much the same."""


class ForgetResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of forget."""

    forgotten: list[str]
    depended: list[str]
    """Memories derived from them or in their place: they stay."""


class IngestResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of ingest."""

    document: str
    status: str
    chunks: int
    job: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list."""

    id: str
    name: str
    detail: str


class ListResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of list."""

    lines: list[Line]
    next_cursor: str | None = None
