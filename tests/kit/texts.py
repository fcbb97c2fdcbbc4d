"""Documents in a truth of their own, for tests of the text index."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runtime.core.ids import ChunkId, DocumentId
from runtime.recall.parts import Ids
from runtime.recall.truth import NewChunk, Pen, Truth

_DOCUMENT = (
    "INSERT INTO document (id, ns, tenant, name, title, media_type, language, status, notes, attributes, "
    "tags, content_hash, size_bytes, chunks, chunking, replaces, created_at, changed_at) "
    "VALUES ($1, $2, 'local', $3, $4, 'text/plain', $5, 'completed', '[]', '{}', '[]', '', "
    "0, 1, '{}', 'name', 0, 0)"
)


async def put(
    truth: Truth,
    ns: int,
    document: str,
    *texts: str,
    title: str = "",
    language: str = "en",
    heading: Sequence[str] = (),
) -> list[ChunkId]:
    """Store a document, a chunk per text."""

    def _work(pen: Pen) -> list[ChunkId]:
        pen.execute(_DOCUMENT, [document, ns, document, title, language])
        new = [
            NewChunk(place, 0, len(each), json.dumps([*heading]), each) for place, each in enumerate(texts)
        ]
        return pen.put_chunks(ns, DocumentId(document), new)

    return await truth.write(_work)


async def remove(truth: Truth, ns: int, *documents: str) -> None:
    """Remove documents with their chunks."""

    def _work(pen: Pen) -> None:
        pen.remove_chunks(ns, [DocumentId(each) for each in documents])
        pen.execute("DELETE FROM document WHERE id IN (SELECT unnest($1::VARCHAR[]))", [[*documents]])

    await truth.write(_work)


@dataclass
class AllowedIds:
    """Implements `parts.Allowed` over a list."""

    given: Sequence[int]
    ids: Ids = field(init=False)

    def __post_init__(self) -> None:
        self.ids = np.array(sorted(self.given), dtype=np.int64)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.given)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return False

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        """Tell of each id whether it is among them."""
        return np.isin(ids, self.ids)
