"""The llama engine: one GGUF model, generating or embedding, behind the contract of all engines."""

from collections.abc import Callable, Set
from pathlib import Path

import llama_cpp

from runtime.backends.engines.contract import LoadRefused, StepFrame
from runtime.backends.engines.llama.context import ComputeFailed
from runtime.backends.engines.llama.embedding import EmbeddingEngine
from runtime.backends.engines.llama.generator import Generator
from runtime.backends.engines.llama.logs import LogFilter
from runtime.backends.engines.llama.model import Model, Weights
from runtime.backends.engines.llama.stage import Stage
from runtime.backends.protocol import Fault, ModelFacts, Tuning, Work


class LlamaEngine:
    """One GGUF model in llama.cpp. What it does is done by a Generator or an EmbeddingEngine."""

    name = "llama"
    version = str(llama_cpp.__version__)

    def __init__(self) -> None:
        self._logs = LogFilter()
        self._weights: Weights | None = None
        self._inner: Generator | EmbeddingEngine | None = None

    def load(self, path: str | None, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        """Load the model. Raises LoadRefused."""
        if path is None:
            raise LoadRefused(Fault(code="model_broken", message="The llama engine needs a file of weights."))

        self._logs.install()
        llama_cpp.llama_backend_init()
        try:
            return self._open(Path(path), tuning, report)
        except LoadRefused:
            self.close()
            raise

    def submit(self, request: Work) -> None:
        """Take a piece of work; the next step looks at it."""
        self._loaded.submit(request)

    def cancel(self, seq: int) -> None:
        """End the seq at the next step."""
        self._loaded.cancel(seq)

    def interrupt(self, seq: int) -> None:
        """Cut the running step short if most of it is for this seq. May be called from another thread."""
        inner = self._inner
        if inner is not None:
            inner.interrupt(seq)

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Advance every seq that can be advanced."""
        return self._loaded.step(blocked)

    def is_busy(self) -> bool:
        """Whether any seq is live or waits."""
        return self._inner is not None and self._inner.is_busy()

    def gauges(self) -> dict[str, float]:
        """Return what the engine counts of itself."""
        return {} if self._inner is None else self._inner.gauges()

    def close(self) -> None:
        """Free the model; whatever lives is dropped, its prefixes are saved."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None
        if self._weights is not None:
            self._weights.close()
            self._weights = None
        self._logs.remove()

    @property
    def _loaded(self) -> Generator | EmbeddingEngine:
        assert self._inner is not None, "load comes first"
        return self._inner

    def _open(self, path: Path, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        weights = self._weights = Weights(path, tuning, report, self._logs)
        if weights.is_embedding:
            embedding = self._inner = EmbeddingEngine(weights.pointer, weights.vocabulary, tuning)
            return embedding.facts()

        model = Model(weights, tuning, self._logs)
        try:
            stage = Stage(model, path, tuning, self._logs)
        except ComputeFailed as error:
            model.close()
            message = f"The model was read but cannot compute: {error}. {self._logs.last_words()}"
            raise LoadRefused(Fault(code="engine_failed", message=message)) from error

        self._inner = Generator(stage)
        return model.facts(stage.limit, tuning.sequences)
