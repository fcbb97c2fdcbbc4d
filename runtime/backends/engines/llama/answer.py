"""What a reader gets to see of the tokens of one seq. Pure."""

from collections.abc import Sequence

from runtime.backends.engines.llama.reasoning import Parts, ReasoningSplitter
from runtime.backends.engines.llama.text import StopCutter, Utf8Decoder


class Answer:
    """Bytes of tokens in, text and reasoning out. Stop strings count in the answer, not in the reasoning."""

    def __init__(self, stops: Sequence[str] = (), reasoning: ReasoningSplitter | None = None) -> None:
        self._decoder = Utf8Decoder()
        self._cutter = StopCutter(stops)
        self._splitter = reasoning

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was completed."""
        return self._cutter.is_stopped

    @property
    def is_reasoning(self) -> bool:
        """Whether the model is inside a <think> block."""
        return self._splitter is not None and self._splitter.is_inside

    def feed(self, piece: bytes) -> Parts:
        """Take a token's bytes; return what may be shown now."""
        parts = self._split(self._decoder.feed(piece))
        return Parts(text=self._cutter.feed(parts.text), reasoning=parts.reasoning)

    def flush(self) -> Parts:
        """Return what was held back, at the end."""
        last = self._split(self._decoder.flush())
        rest = Parts("", "") if self._splitter is None else self._splitter.flush()
        text = self._cutter.feed(last.text + rest.text)
        return Parts(text=text + self._cutter.flush(), reasoning=last.reasoning + rest.reasoning)

    def _split(self, text: str) -> Parts:
        return Parts(text=text, reasoning="") if self._splitter is None else self._splitter.feed(text)
