"""The words of Recall's documents: collections, documents, files, sources, jobs, queries and hits.

A document lies in a collection; its text is cut into chunks; a search returns hits, each a chunk with where
it comes from. Offsets count characters (code points) of the document's text. Times are seconds since the
epoch. `core/memories.py` has the words of what agents remember.
"""

from typing import Annotated, Literal

import msgspec

from runtime.core.filters import Attributes, Filter
from runtime.core.ids import ChunkId, CollectionId, DocumentId, FileId, JobId, ModelId, SourceId

CollectionKind = Literal["documents", "memory"]
DocumentStatus = Literal["in_progress", "completed", "failed", "cancelled"]
"""in_progress: its words are found already, its vectors are still being made, or it waits to be read."""


class Chunking(msgspec.Struct, frozen=True, kw_only=True):
    """How a document's text is cut."""

    max_tokens: Annotated[int, msgspec.Meta(ge=16, le=4096)] = 256
    overlap_tokens: Annotated[int, msgspec.Meta(ge=0, le=2048)] = 0
    """At most half of `max_tokens`."""


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """What makes the vectors of a collection; another one means other vectors for all of it."""

    model: ModelId
    dimensions: int | None = None
    """None until the first vector is made, unless fewer than the model's own were asked for."""
    query_prefix: str = ""
    document_prefix: str = ""


class Expiry(msgspec.Struct, frozen=True, kw_only=True):
    """When a collection goes by itself."""

    days: Annotated[int, msgspec.Meta(ge=1, le=3650)]
    anchor: Literal["last_active_at"] = "last_active_at"


class DocumentCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of a collection by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_progress + self.completed + self.failed + self.cancelled


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A set of documents that are searched together; its name is unique within its tenant."""

    id: CollectionId
    name: str
    """Any text of 1 to 256 characters: data, never a path."""
    kind: CollectionKind = "documents"
    description: str = ""
    language: str = "auto"
    """ISO 639-1 code of its texts; `auto`: found out for each document."""
    embedding: Embedding
    chunking: Chunking = Chunking()
    metadata: dict[str, str] = {}
    created_at: float
    last_active_at: float
    expiry: Expiry | None = None
    counts: DocumentCounts = DocumentCounts()
    chunks: int = 0
    usage_bytes: int = 0
    """Of texts and vectors, not counting what the indexes take."""
    is_reembedding: bool = False
    """Whether vectors of another embedding are being made; the old ones serve until all are there."""


class NewCollection(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to make a collection; None: Lar's default."""

    name: str
    description: str = ""
    language: str = "auto"
    embedding_model: ModelId | None = None
    dimensions: int | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None
    chunking: Chunking | None = None
    metadata: dict[str, str] = {}
    expiry: Expiry | None = None


class CollectionChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to change a collection; UNSET stays as it is. A changed embedding starts a job."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    expiry: Expiry | msgspec.UnsetType | None = msgspec.UNSET
    embedding_model: ModelId | msgspec.UnsetType = msgspec.UNSET
    dimensions: int | msgspec.UnsetType | None = msgspec.UNSET


class DocumentFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a document could not be taken in."""

    code: Literal[
        "unsupported_format",
        "broken",
        "encrypted",
        "empty",
        "too_large",
        "no_text",
        "too_slow",
        "not_found",
        "refused",
        "unreachable",
        "embedding_failed",
        "internal_error",
    ]
    message: str
    """Cause and fix."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One document of a collection."""

    id: DocumentId
    collection: CollectionId
    name: str
    """The file's name or a title: data, never a path."""
    title: str = ""
    uri: str | None = None
    """Where it came from."""
    media_type: str = "text/plain"
    language: str = ""
    """ISO 639-1; empty where it could not be told."""
    status: DocumentStatus
    fault: DocumentFault | None = None
    notes: tuple[str, ...] = ()
    """What was left out and why, such as scanned pages without OCR."""
    attributes: Attributes = {}
    tags: tuple[str, ...] = ()
    source: SourceId | None = None
    file: FileId | None = None
    content_hash: str = ""
    """SHA-256 of the bytes that were given."""
    size_bytes: int = 0
    chunks: int = 0
    created_at: float
    changed_at: float
    valid_from: float | None = None
    valid_to: float | None = None
    """In the world; None: open."""
    expires_at: float | None = None
    chunking: Chunking = Chunking()


class NewDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to take a document in. Exactly one of `text`, `content` and `file` is given."""

    name: str
    text: str | None = None
    content: bytes | None = None
    file: FileId | None = None
    media_type: str | None = None
    """None: found out by content and name."""
    uri: str | None = None
    attributes: Attributes = {}
    tags: tuple[str, ...] = ()
    language: str | None = None
    valid_from: float | None = None
    valid_to: float | None = None
    expires_at: float | None = None
    chunking: Chunking | None = None
    source: SourceId | None = None
    replaces: Literal["name", "uri", "nothing"] = "name"
    """A document of the same name (or uri) in the collection gives way to this one once it is stored."""


class StoredChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document."""

    id: ChunkId
    document: DocumentId
    ordinal: int
    start: int
    end: int
    text: str
    heading: tuple[str, ...] = ()
    """Titles of the sections it stands in, the outermost first."""


class Span(msgspec.Struct, frozen=True):
    """A range of characters; `end` is not part of it."""

    start: int
    end: int


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A search."""

    text: str
    collections: tuple[CollectionId, ...]
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    arm: Literal["hybrid", "text", "vector"] = "hybrid"
    where: Filter | None = None
    tags: tuple[str, ...] = ()
    """A hit has all of them."""
    documents: tuple[DocumentId, ...] = ()
    sources: tuple[SourceId, ...] = ()
    since: float | None = None
    until: float | None = None
    """Of when a document came here (`created_at`): from `since` on, before `until`."""
    valid_at: float | None = None
    """As it was in the world then; None: now."""
    known_at: float | None = None
    """As Lar knew it then; None: now. Looks at items of memory, whose former versions are kept."""
    threshold: float = 0.0
    """Hits below this score, of 0 to 1, are left out."""
    vector_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """The share of the vectors in the score; None: by how well the words cover the question."""
    recency_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    recency_half_life_s: Annotated[float, msgspec.Meta(gt=0)] = 30 * 86400.0
    importance_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    rerank: ModelId | Literal["auto", "none"] = "auto"
    """A cross-encoder that looks at the best hits again; auto: that of the settings, if it is installed."""
    is_deduplicated: bool = True
    neighbours: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    """Chunks before and after each hit to hand out beside it."""
    is_parent_wanted: bool = False
    """Hand out the whole section that a hit stands in."""
    is_explained: bool = False


class ArmScores(msgspec.Struct, frozen=True, kw_only=True):
    """How a score came about; None: that arm had no part in it."""

    text: float | None = None
    """BM25, as it is."""
    vector: float | None = None
    """Cosine similarity."""
    text_normalised: float = 0.0
    vector_normalised: float = 0.0
    vector_weight: float = 0.0
    recency: float | None = None
    importance: float | None = None
    rerank: float | None = None
    text_rank: int | None = None
    vector_rank: int | None = None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found, with where it comes from."""

    chunk: StoredChunk
    document: Document
    score: float
    """0 to 1 within this search."""
    highlights: tuple[Span, ...] = ()
    """Words of the query in the chunk's text, counted from the chunk's beginning."""
    before: tuple[StoredChunk, ...] = ()
    after: tuple[StoredChunk, ...] = ()
    parent: str | None = None
    """Text of the section."""
    scores: ArmScores | None = None
    """Where an explanation was asked for."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search returns."""

    hits: tuple[Hit, ...]
    is_more: bool = False
    """Whether a greater offset would return something."""
    notes: tuple[str, ...] = ()
    """What the reader must know: an arm that could not take part, and why."""
    took_s: float = 0.0


NOTHING_TO_SEARCH = "There is nothing to search: no collection is there yet, or policies close them all."
"""Noted where a search over all finds no collection."""


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file as it came."""

    id: FileId
    name: str
    purpose: str
    size_bytes: int
    sha256: str
    media_type: str
    created_at: float
    expires_at: float | None = None


SourceKind = Literal["page", "sitemap", "feed", "git", "folder"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A place whose documents a collection keeps in step with."""

    id: SourceId
    collection: CollectionId
    kind: SourceKind
    uri: str
    interval_s: float
    is_paused: bool = False
    created_at: float
    synced_at: float | None = None
    """When it was last in step; None: never yet."""
    next_at: float | None = None
    documents: int = 0
    fault: DocumentFault | None = None
    """Why the last attempt failed."""
    notes: tuple[str, ...] = ()
    job: JobId | None = None
    """The job that syncs it now."""


class NewSource(msgspec.Struct, frozen=True, kw_only=True):
    """What is told to follow a place."""

    uri: str
    kind: SourceKind | None = None
    """None: by the uri and what is there."""
    interval_s: Annotated[float, msgspec.Meta(ge=60)] = 3600.0
    include: tuple[str, ...] = ()
    """Glob patterns of paths; empty: all."""
    exclude: tuple[str, ...] = ()
    max_documents: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    tags: tuple[str, ...] = ()
    attributes: Attributes = {}
    branch: str | None = None
    """Of a git repository; None: the one it names itself."""
    secret: str | None = None
    """Name of an environment variable that holds a token for the place; never the token itself."""


JobKind = Literal["ingest", "sync", "reembed", "consolidate", "import"]
JobStatus = Literal["queued", "running", "completed", "failed", "cancelled"]


class JobFailure(msgspec.Struct, frozen=True, kw_only=True):
    """One document of a job that could not be taken in."""

    name: str
    document: DocumentId | None = None
    fault: DocumentFault


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Work that goes on behind the scenes and survives a restart. Completed with failures: see `failures`."""

    id: JobId
    kind: JobKind
    collection: CollectionId | None = None
    source: SourceId | None = None
    status: JobStatus
    total: int = 0
    """Documents; grows while a source is being listed."""
    done: int = 0
    failed: int = 0
    current: str | None = None
    created_at: float
    finished_at: float | None = None
    failures: tuple[JobFailure, ...] = ()
    """The newest hundred at most."""
    fault: DocumentFault | None = None
    """Why the job as a whole failed."""
    note: str | None = None
    """What holds it up at present, such as a model that is being installed."""
