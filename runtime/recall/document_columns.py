"""How documents and chunks stand in the columns of their tables, there and back. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from runtime.core.filters import Attributes
from runtime.core.ids import ChunkId, DocumentId, FileId, SourceId
from runtime.core.knowledge import Chunking, Document, DocumentFault, StoredChunk
from runtime.recall.marks import Shelfmark

COLUMNS = (
    "id, ns, name, title, uri, media_type, language, status, fault, notes, attributes, tags, source, file, "
    "content_hash, size_bytes, chunks, chunking, created_at, changed_at, valid_from, valid_to, expires_at"
)
CHUNK_COLUMNS = "id, document, ordinal, span_start, span_end, text, heading"
_fault = msgspec.json.Decoder(DocumentFault)
_texts = msgspec.json.Decoder(tuple[str, ...])
_attributes = msgspec.json.Decoder(Attributes)
_chunking = msgspec.json.Decoder(Chunking)


def chunk_of(row: Sequence[Any]) -> StoredChunk:
    """Return the chunk of a row: id, document, ordinal, span_start, span_end, text, heading."""
    return StoredChunk(
        id=ChunkId(row[0]),
        document=DocumentId(row[1]),
        ordinal=row[2],
        start=row[3],
        end=row[4],
        text=row[5],
        heading=_texts.decode(row[6]),
    )


def values_of(ns: int, document: Document) -> list[Any]:
    """Return the values of a document in the order of COLUMNS."""
    return [
        document.id,
        ns,
        document.name,
        document.title,
        document.uri,
        document.media_type,
        document.language,
        document.status,
        None if document.fault is None else as_json(document.fault),
        as_json(document.notes),
        as_json(document.attributes),
        as_json(document.tags),
        document.source,
        document.file,
        document.content_hash,
        document.size_bytes,
        document.chunks,
        as_json(document.chunking),
        document.created_at,
        document.changed_at,
        document.valid_from,
        document.valid_to,
        document.expires_at,
    ]


def document_of(row: Sequence[Any], mark: Shelfmark) -> Document:
    """Return the document of a row of COLUMNS in its collection."""
    return Document(
        id=DocumentId(row[0]),
        collection=mark.collection,
        name=row[2],
        title=row[3],
        uri=row[4],
        media_type=row[5],
        language=row[6],
        status=row[7],
        fault=None if row[8] is None else _fault.decode(row[8]),
        notes=_texts.decode(row[9]),
        attributes=_attributes.decode(row[10]),
        tags=_texts.decode(row[11]),
        source=None if row[12] is None else SourceId(row[12]),
        file=None if row[13] is None else FileId(row[13]),
        content_hash=row[14],
        size_bytes=row[15],
        chunks=row[16],
        chunking=_chunking.decode(row[17]),
        created_at=row[18],
        changed_at=row[19],
        valid_from=row[20],
        valid_to=row[21],
        expires_at=row[22],
    )


def as_json(value: Any) -> str:
    """Return a value as the text that stands for it in a column."""
    return msgspec.json.encode(value).decode()
