"""What a reader gets to see of the tokens of one seq. Pure."""

from runtime.backends.engines.llama.calls.reader import Parts, Reader
from runtime.backends.engines.llama.text import Utf8Decoder
from runtime.backends.protocol import Fault


class Answer:
    """Bytes of tokens in; text, reasoning and tool calls out."""

    def __init__(self, reader: Reader) -> None:
        self._decoder = Utf8Decoder()
        self._reader = reader

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was completed."""
        return self._reader.is_stopped

    @property
    def is_reasoning(self) -> bool:
        """Whether the model is writing its reasoning."""
        return self._reader.is_reasoning

    @property
    def stop(self) -> str | None:
        """The stop string that was completed."""
        return self._reader.stop

    @property
    def has_calls(self) -> bool:
        """Whether at least one tool call is whole."""
        return self._reader.has_calls

    @property
    def fault(self) -> Fault | None:
        """After the flush: why this is not what was asked for."""
        return self._reader.fault

    def feed(self, piece: bytes) -> Parts:
        """Take a token's bytes; return what may be shown now."""
        return self._reader.feed(self._decoder.feed(piece))

    def flush(self, *, is_cut: bool = False) -> Parts:
        """Return what was held back; `is_cut` where the model had more to say (length, cancelled)."""
        last = self._reader.feed(self._decoder.flush())
        rest = self._reader.flush(is_cut=is_cut)
        return Parts(last.text + rest.text, last.reasoning + rest.reasoning, last.calls + rest.calls)
