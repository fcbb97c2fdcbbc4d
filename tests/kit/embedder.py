"""An embedder without a model: each word falls into one of 64 dimensions, so like texts are near each other.

It counts what it is asked, and can be told to fail, to be slow or to hang, as tests need it.
"""

import hashlib
import math
import re
import struct
from collections.abc import Awaitable, Callable, Sequence

from runtime.core.errors import Fault, ModelUnavailable
from runtime.core.ids import ModelId

DIMENSIONS = 64
MODEL = ModelId("words")
_WORD = re.compile(r"\w+")


class WordEmbedder:
    """Implements `core.recall.Embedder`."""

    def __init__(
        self,
        *,
        installed: Sequence[ModelId] = (MODEL,),
        before: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    ) -> None:
        self.installed = set(installed)
        self.before = before
        """Awaited with the texts before each answer: raises, waits or hangs where a test wants that."""
        self.batches: list[list[str]] = []
        self.models: list[ModelId] = []
        self.are_background: list[bool] = []

    async def embed(
        self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
    ) -> list[bytes]:
        """Return one vector per text."""
        self._ask_for(model)
        self.batches.append([*texts])
        self.models.append(model)
        self.are_background.append(is_background)
        if self.before is not None:
            await self.before(texts)
        return [vector_of(text, dimensions or DIMENSIONS) for text in texts]

    async def rerank(self, model: ModelId, query: str, texts: Sequence[str]) -> list[float]:
        """Return the share of the query's words that each text has."""
        self._ask_for(model)
        wanted = set(words_of(query))
        return [len(wanted & set(words_of(text))) / max(len(wanted), 1) for text in texts]

    def is_installed(self, model: ModelId) -> bool:
        """Whether the model could answer without an installation."""
        return model in self.installed

    def _ask_for(self, model: ModelId) -> None:
        if model not in self.installed:
            fault = Fault(code="model_not_found", message=f"'{model}' is not installed.", param="model")
            raise ModelUnavailable(fault)


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower())


def vector_of(text: str, dimensions: int = DIMENSIONS) -> bytes:
    """Return the unit vector of a text's words as little-endian float32; never all zeros."""
    numbers = [0.0] * dimensions
    for word in words_of(text):
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        numbers[int.from_bytes(digest[:4], "little") % dimensions] += 1.0 if digest[4] & 1 else -1.0
    if not any(numbers):
        numbers[0] = 1.0
    length = math.sqrt(sum(each * each for each in numbers))
    return struct.pack(f"<{dimensions}f", *(each / length for each in numbers))
