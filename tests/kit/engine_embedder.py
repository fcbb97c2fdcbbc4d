"""The real embedder for tests of search: the onnx engine in its own interpreter."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np

from runtime.backends.protocol import Embed, Tuning
from runtime.core.ids import ModelId
from runtime.core.settings import DEFAULT_EMBEDDER
from tests.kit.engine_laws import Ledger
from tests.kit.remote_engine import Child

_TUNING = Tuning(context_tokens=512, sequences=32, threads=2, batch_tokens=2048)
_TEXTS = 32
"""At once."""


class EngineEmbedder:
    """One loaded model. A text that is too long is the mean of its halves, as in `core/embedding.py`."""

    def __init__(self, child: Child, path: Path) -> None:
        self._engine = child.create()
        self._engine.load(str(path), _TUNING, lambda fraction: None)
        self._ledger = Ledger(self._engine)
        self._numbers = count(1)
        self._lock = anyio.Lock()

    async def embed(
        self, model: ModelId, texts: Sequence[str], *, dimensions: int | None, is_background: bool
    ) -> list[bytes]:
        """Return one vector per text."""
        async with self._lock:
            return await anyio.to_thread.run_sync(self._embed_all, texts)

    async def rerank(self, model: ModelId, query: str, texts: Sequence[str]) -> list[float]:
        """Refuse: nothing here reranks."""
        raise AssertionError("nobody asked for it")

    def is_installed(self, model: ModelId) -> bool:
        """Whether it is this model."""
        return model == DEFAULT_EMBEDDER

    def close(self) -> None:
        """Free the model."""
        self._engine.close()

    def _embed_all(self, texts: Sequence[str]) -> list[bytes]:
        found: list[bytes] = []
        for first in range(0, len(texts), _TEXTS):
            found += self._embed(texts[first : first + _TEXTS])
        return found

    def _embed(self, texts: Sequence[str]) -> list[bytes]:
        account = self._ledger.play(Embed(seq=next(self._numbers), inputs=list(texts)))
        if account.fault is None:
            return account.vectors

        assert account.fault.code == "context_length_exceeded", account.fault
        if len(texts) > 1:
            return [vector for text in texts for vector in self._embed([text])]

        middle = texts[0].find(" ", len(texts[0]) // 2)
        halves = self._embed([texts[0][:middle]]) + self._embed([texts[0][middle:]])
        mean = np.mean([np.frombuffer(each, "<f4") for each in halves], axis=0)
        return [(mean / np.linalg.norm(mean)).astype("<f4").tobytes()]
