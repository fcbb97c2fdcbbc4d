"""Vector stores in OpenAI's words, and the way between them and Lar's collections and documents. Pure.

A vector store is a collection; a vector store's file is a document, known by the id of the file that it was
made of, or by its own where it was made of none.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from runtime.api.errors import invalid
from runtime.api.openai.sampling import Wire
from runtime.core.filters import Attributes
from runtime.core.knowledge import (
    Chunking,
    Collection,
    Document,
    DocumentCounts,
    DocumentFault,
    Expiry,
    NewDocument,
    StoredFile,
)

GIVEN_NAME = "lar:name"
"""In a collection's metadata: the name that its maker gave, where the collection could not have it."""
FILE_URI = "lar:"
"""How the uri of a document begins that was made of an uploaded file; the file's id follows."""
DAY_S = 86_400.0
PAIRS_LIMIT = 16
KEY_LIMIT = 64
VALUE_LIMIT = 512

Metadata = dict[str, str]
Days = Annotated[int, msgspec.Meta(ge=1, le=365)]
ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]

_UNSUPPORTED = ("unsupported_format",)
_INVALID = ("broken", "encrypted", "empty", "too_large", "no_text")


class ExpiresAfter(Wire, frozen=True, kw_only=True):
    """When a vector store goes by itself."""

    anchor: Literal["last_active_at"]
    days: Days


class StaticChunking(Wire, frozen=True, kw_only=True):
    """Sizes of chunks."""

    max_chunk_size_tokens: Annotated[int, msgspec.Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, msgspec.Meta(ge=0, le=2048)]


class AutoStrategy(Wire, frozen=True, kw_only=True, tag_field="type", tag="auto"):
    """The collection's own way."""


class StaticStrategy(Wire, frozen=True, kw_only=True, tag_field="type", tag="static"):
    """Sizes of one's own."""

    static: StaticChunking


Strategy = AutoStrategy | StaticStrategy


class WireCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Files by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class WireStore(msgspec.Struct, frozen=True, kw_only=True):
    """A vector store."""

    id: str
    object: str = "vector_store"
    created_at: int
    name: str
    description: str | None
    usage_bytes: int
    file_counts: WireCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfter | None
    expires_at: int | None
    last_active_at: int
    metadata: Metadata


class WireError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file could not be taken in."""

    code: ErrorCode
    message: str


class WireStoreFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a vector store."""

    id: str
    object: str = "vector_store.file"
    usage_bytes: int
    created_at: int
    vector_store_id: str
    status: str
    last_error: WireError | None
    chunking_strategy: StaticStrategy
    attributes: Attributes


def wire_store(collection: Collection, now: float) -> WireStore:
    """Say a collection in OpenAI's words."""
    expiry = collection.expiry
    expires_at = None if expiry is None else collection.last_active_at + expiry.days * DAY_S
    status: Literal["expired", "in_progress", "completed"] = (
        "in_progress" if collection.counts.in_progress else "completed"
    )
    if expires_at is not None and expires_at <= now:
        status = "expired"
    return WireStore(
        id=collection.id,
        created_at=int(collection.created_at),
        name=given_name(collection),
        description=collection.description or None,
        usage_bytes=collection.usage_bytes,
        file_counts=wire_counts(collection.counts),
        status=status,
        expires_after=None if expiry is None else ExpiresAfter(anchor="last_active_at", days=expiry.days),
        expires_at=None if expires_at is None else int(expires_at),
        last_active_at=int(collection.last_active_at),
        metadata={name: value for name, value in collection.metadata.items() if name != GIVEN_NAME},
    )


def wire_store_file(document: Document) -> WireStoreFile:
    """Say a document in OpenAI's words."""
    return WireStoreFile(
        id=file_id_of(document),
        usage_bytes=document.size_bytes,
        created_at=int(document.created_at),
        vector_store_id=document.collection,
        status=document.status,
        last_error=None if document.fault is None else wire_error(document.fault),
        chunking_strategy=StaticStrategy(
            static=StaticChunking(
                max_chunk_size_tokens=document.chunking.max_tokens,
                chunk_overlap_tokens=document.chunking.overlap_tokens,
            )
        ),
        attributes=document.attributes,
    )


def wire_counts(counts: DocumentCounts) -> WireCounts:
    """Say counts with their sum."""
    return WireCounts(
        in_progress=counts.in_progress,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        total=counts.total,
    )


def wire_error(fault: DocumentFault) -> WireError:
    """Say why a document failed with one of OpenAI's three codes; the message keeps the rest."""
    code: ErrorCode = "server_error"
    if fault.code in _UNSUPPORTED:
        code = "unsupported_file"
    elif fault.code in _INVALID:
        code = "invalid_file"
    return WireError(code=code, message=fault.message)


def file_id_of(document: Document) -> str:
    """Return the id by which a vector store knows a document."""
    return document.file or document.id


def document_of(file: StoredFile, attributes: Attributes, chunking: Chunking | None) -> NewDocument:
    """Return what is told to take a file in.

    Two files of one name, or of one content, stand side by side, as with OpenAI: a file's id is what makes
    its document unique.
    """
    return NewDocument(
        name=file.name,
        uri=f"{FILE_URI}{file.id}",
        file=file.id,
        attributes=attributes,
        chunking=chunking,
        replaces="uri",
    )


def given_name(collection: Collection) -> str:
    """Return the name that the maker of a vector store gave it."""
    return collection.metadata.get(GIVEN_NAME, collection.name)


def chunking_of(strategy: Strategy | None, param: str) -> Chunking | None:
    """Return how to cut; None: as the collection does. Raises Refused."""
    if not isinstance(strategy, StaticStrategy):
        return None

    sizes = strategy.static
    if sizes.chunk_overlap_tokens * 2 > sizes.max_chunk_size_tokens:
        place = f"{param}.static.chunk_overlap_tokens"
        message = f"'{place}' must be at most half of 'max_chunk_size_tokens'."
        raise invalid(message, place)
    return Chunking(max_tokens=sizes.max_chunk_size_tokens, overlap_tokens=sizes.chunk_overlap_tokens)


def expiry_of(given: ExpiresAfter | None) -> Expiry | None:
    """Return when a collection goes by itself."""
    return None if given is None else Expiry(days=given.days)


def check_metadata(given: Mapping[str, str] | None, param: str = "metadata") -> dict[str, str]:
    """Return the pairs, none where nothing was given. Raises Refused."""
    pairs = dict(given or {})
    _check_pairs(pairs, param)
    if GIVEN_NAME in pairs:
        raise invalid(f"'{param}' cannot have the key '{GIVEN_NAME}': Lar uses it itself.", param)
    return pairs


def check_attributes(given: Mapping[str, Any] | None, param: str = "attributes") -> Attributes:
    """Return the attributes, none where nothing was given. Raises Refused."""
    pairs = dict(given or {})
    _check_pairs(pairs, param)
    for key, value in pairs.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise invalid(f"'{param}.{key}' needs more than 64 bits.", f"{param}.{key}")
    return pairs


def _check_pairs(pairs: Mapping[str, object], param: str) -> None:
    if len(pairs) > PAIRS_LIMIT:
        raise invalid(f"'{param}' has {len(pairs)} pairs; {PAIRS_LIMIT} are the limit.", param)

    for key, value in pairs.items():
        if not 1 <= len(key) <= KEY_LIMIT:
            message = f"'{param}' has a key of {len(key)} characters; 1 to {KEY_LIMIT} are allowed."
            raise invalid(message, param)

        if isinstance(value, str) and len(value) > VALUE_LIMIT:
            place = f"{param}.{key}"
            raise invalid(f"'{place}' has {len(value)} characters; {VALUE_LIMIT} are the limit.", place)
