"""The onnx engine: embedding and ranking models as ONNX files, on the processor."""

from collections.abc import Callable, Set
from pathlib import Path

import onnxruntime

from runtime.backends.engines.contract import LoadRefused, StepFrame
from runtime.backends.engines.embedding.desk import Desk
from runtime.backends.engines.onnx.encoder import open_encoder
from runtime.backends.protocol import Fault, ModelFacts, Tuning, Work


class OnnxEngine:
    """One embedding or ranking model. Loads it; the desk does the rest."""

    name = "onnx"
    version = str(onnxruntime.__version__)

    def __init__(self) -> None:
        self._loaded: Desk | None = None

    def load(self, path: str | None, tuning: Tuning, report: Callable[[float], None]) -> ModelFacts:
        """Load the model. Raises LoadRefused."""
        if path is None:
            raise LoadRefused(Fault(code="model_broken", message="The onnx engine needs a file of weights."))

        encoder = open_encoder(Path(path), tuning)
        self._loaded = Desk(encoder)
        report(1.0)
        return ModelFacts(
            context_tokens=encoder.limit,
            sequences=tuning.sequences,
            vocabulary=encoder.vocabulary,
            description=encoder.description,
            dimensions=0 if encoder.is_ranker else encoder.dimensions,
            features=("rerank", "tokenize") if encoder.is_ranker else ("embeddings", "rerank", "tokenize"),
        )

    def submit(self, request: Work) -> None:
        """Take a piece of work; the next step looks at it."""
        self._desk.submit(request)

    def cancel(self, seq: int) -> None:
        """End the seq at the next step."""
        self._desk.cancel(seq)

    def interrupt(self, seq: int) -> None:
        """Do nothing: a step is one batch, over in a second or so."""

    def step(self, blocked: Set[int]) -> list[StepFrame]:
        """Compute one batch and give what is ready."""
        return self._desk.step(blocked)

    def is_busy(self) -> bool:
        """Whether any seq is live."""
        return self._loaded is not None and self._loaded.is_busy()

    def gauges(self) -> dict[str, float]:
        """Return what the desk counts."""
        return self._desk.gauges() if self._loaded is not None else {}

    def close(self) -> None:
        """Free the model; whatever lives is dropped."""
        if self._loaded is not None:
            self._loaded.close()
            self._loaded = None

    @property
    def _desk(self) -> Desk:
        assert self._loaded is not None, "load comes first"
        return self._loaded
