"""The models that a search asks: the embedder for the query's vector, the cross-encoder for the best hits.

A model that is not there, fails or is too slow never ends a search: what it would have told is `Missing`,
with words for the reader.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import anyio

from runtime.core.clock import Clock
from runtime.core.errors import LarError
from runtime.core.ids import ModelId
from runtime.core.knowledge import Embedding
from runtime.core.recall import Embedder

logger = logging.getLogger(__name__)

EMBED_LIMIT_S = 20.0
"""For a query's vector: milliseconds once the model is loaded, seconds while it is being loaded."""
RERANK_LIMIT_S = 20.0
"""For the cross-encoder to read the best hits."""
REST_S = 30.0
"""A model that was too slow is not asked again for so long: searches do not queue up behind a hang."""
_KEPT_VECTORS = 1024
"""Vectors of queries that are kept; 1.5 KiB each."""
_QUERY_CHARACTERS = 4000
"""What an embedder reads of a query; beyond a thousand tokens its vector says little."""

_RANKED_CHARACTERS = 800
"""What a cross-encoder reads of a query: some 200 tokens, so that most of the smallest window, 512, is left
for passages. What does not fit beside it is scored in parts, the smaller the room the more of them."""


class Missing(NamedTuple):
    """That a model could not tell, in words for the reader."""

    note: str


class _Key(NamedTuple):
    model: ModelId
    dimensions: int | None
    text: str


class QueryModels:
    """Asks the models, remembers vectors of queries."""

    def __init__(self, embedder: Embedder, reranker: ModelId | None, clock: Clock) -> None:
        self._embedder = embedder
        self._reranker = reranker
        self._clock = clock
        self._vectors: OrderedDict[_Key, bytes] = OrderedDict()
        self._resting: dict[ModelId, float] = {}

    async def vector(self, embedding: Embedding, text: str) -> bytes | Missing:
        """Return the vector of a query as the collection's embedder makes it."""
        model = embedding.model
        if reason := self._why_not(model):
            return Missing(f"Found by words alone: {reason}")

        prefixed = embedding.query_prefix + text[:_QUERY_CHARACTERS]
        key = _Key(model, embedding.dimensions, prefixed)
        if (kept := self._vectors.get(key)) is not None:
            self._vectors.move_to_end(key)
            return kept

        try:
            with anyio.fail_after(EMBED_LIMIT_S):
                vectors = await self._embedder.embed(
                    model, [prefixed], dimensions=embedding.dimensions, is_background=False
                )
        except TimeoutError:
            return Missing(f"Found by words alone: {self._rest(model, EMBED_LIMIT_S)}")
        except LarError as failure:
            logger.warning("a query was not embedded", extra={"model": model, "code": failure.fault.code})
            return Missing(f"Found by words alone: '{model}' failed. {failure.fault.message}")

        self._keep(key, vectors[0])
        return vectors[0]

    def choose_reranker(self, asked: ModelId | Literal["auto", "none"]) -> ModelId | Missing | None:
        """Return the cross-encoder to ask; None: none is wanted; Missing: the named one cannot answer."""
        if asked == "none":
            return None

        if asked == "auto":
            is_there = self._reranker is not None and self._why_not(self._reranker) is None
            return self._reranker if is_there else None

        reason = self._why_not(asked)
        return asked if reason is None else Missing(f"Not reranked: {reason}")

    async def rerank(self, model: ModelId, text: str, passages: Sequence[str]) -> list[float] | Missing:
        """Return how well each passage answers the query, greater is better."""
        try:
            with anyio.fail_after(RERANK_LIMIT_S):
                scores = await self._embedder.rerank(model, text[:_RANKED_CHARACTERS], passages)
        except TimeoutError:
            return Missing(f"Not reranked: {self._rest(model, RERANK_LIMIT_S)}")
        except LarError as failure:
            logger.warning("hits were not reranked", extra={"model": model, "code": failure.fault.code})
            return Missing(f"Not reranked: '{model}' failed. {failure.fault.message}")

        if len(scores) != len(passages) or not all(map(math.isfinite, scores)):
            return Missing(f"Not reranked: '{model}' gave no usable scores.")

        return scores

    def _why_not(self, model: ModelId) -> str | None:
        if not self._embedder.is_installed(model):
            return f"'{model}' is not installed. 'lar models install {model}' does that."

        if self._clock.monotonic() < self._resting.get(model, -math.inf):
            return f"'{model}' was too slow a moment ago and is left alone for {REST_S:.0f} s."

        return None

    def _rest(self, model: ModelId, limit_s: float) -> str:
        self._resting[model] = self._clock.monotonic() + REST_S
        logger.warning("a model was too slow for a search", extra={"model": model, "limit_s": limit_s})
        return f"'{model}' did not answer within {limit_s:.0f} s."

    def _keep(self, key: _Key, vector: bytes) -> None:
        self._vectors[key] = vector
        while len(self._vectors) > _KEPT_VECTORS:
            self._vectors.popitem(last=False)
