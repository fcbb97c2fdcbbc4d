"""What is worked out of an item's text before it is stored: fingerprints, its vector, what is near it.

A model that is not there, fails or is slow never keeps an item from being stored: its vector follows from
the backlog of ingestion.
"""

import logging
import math

import anyio
import anyio.to_thread

from runtime.core.clock import Clock
from runtime.core.errors import LarError
from runtime.core.ids import ChunkId, ItemId, ModelId
from runtime.core.memories import ItemKind
from runtime.core.recall import Embedder
from runtime.recall.ingest.halves import Unfit, to_halves
from runtime.recall.marks import Shelfmark
from runtime.recall.memory.likeness import NEAR_COSINE, print_of
from runtime.recall.memory.remembering import Prepared
from runtime.recall.parts import VectorArm
from runtime.recall.truth import Truth

logger = logging.getLogger(__name__)

EMBED_LIMIT_S = 2.0
"""For the vector of one item: a hundred times what a loaded model takes; somebody waits for it."""
REST_S = 30.0
"""A model that was too slow is left to the backlog for so long."""
_NEAREST = 32
"""Vectors that are looked at: some of them are of other kinds, of other scopes, or of items that ended."""


class Preparer:
    """Asks the embedder and the vectors, within a short time."""

    def __init__(self, truth: Truth, embedder: Embedder, vectors: VectorArm, clock: Clock) -> None:
        self._truth = truth
        self._embedder = embedder
        self._vectors = vectors
        self._clock = clock
        self._resting: dict[ModelId, float] = {}

    async def prepare(self, home: Shelfmark, text: str, kind: ItemKind) -> Prepared:
        """Return what is known of a text. Modifies nothing."""
        marks = await anyio.to_thread.run_sync(print_of, text, kind)
        vector = await self._embed(home, text)
        if vector is None:
            return Prepared(marks)

        half = to_halves([vector], home.embedding.dimensions)[0]
        if isinstance(half, Unfit):
            logger.warning("an item's vector is unfit: %s", half.message)
            return Prepared(marks)

        return Prepared(marks, await self._near(home, vector), half, home.space)

    async def _embed(self, home: Shelfmark, text: str) -> bytes | None:
        """Return the text's vector as float32; None where it is left to the backlog."""
        embedding = home.embedding
        # The backlog learns how many dimensions a space has from its first vector.
        is_ready = embedding.dimensions is not None and self._embedder.is_installed(embedding.model)
        if not is_ready or self._clock.monotonic() < self._resting.get(embedding.model, -math.inf):
            return None

        try:
            with anyio.fail_after(EMBED_LIMIT_S):
                vectors = await self._embedder.embed(
                    embedding.model,
                    [embedding.document_prefix + text],
                    dimensions=embedding.dimensions,
                    is_background=False,
                )
        except TimeoutError:
            self._resting[embedding.model] = self._clock.monotonic() + REST_S
            logger.warning("a model was too slow for an item", extra={"model": embedding.model})
            return None
        except LarError as failure:
            logger.warning(
                "an item could not be embedded at once",
                extra={"model": embedding.model, "code": failure.fault.code},
            )
            return None

        return vectors[0]

    async def _near(self, home: Shelfmark, vector: bytes) -> tuple[ItemId, ...]:
        found = await self._vectors.search(home.ns, home.space, vector, _NEAREST, None)
        near = [each.chunk for each in found if each.score >= NEAR_COSINE]
        return await self._items_of(near)

    async def _items_of(self, chunks: list[ChunkId]) -> tuple[ItemId, ...]:
        if not chunks:
            return ()

        rows = await self._truth.read(
            "SELECT document FROM chunk WHERE id IN (SELECT unnest($1::BIGINT[])) ORDER BY id", [chunks]
        )
        return tuple(ItemId(row[0]) for row in rows)
