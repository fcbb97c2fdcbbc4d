"""What turns texts into vectors: a model, as the desk of this package sees it."""

from collections.abc import Sequence
from typing import Protocol


class EncodeFailed(Exception):
    """The library could not compute a batch; the message says why."""


class Encoder(Protocol):
    """A loaded embedding model."""

    name: str
    """How the engine speaks of itself to people."""
    limit: int
    """Tokens that one input may have, special ones included."""
    dimensions: int
    """Numbers in a vector."""
    vocabulary: int
    """Token ids are below this."""
    batch_tokens: int
    """Tokens that several inputs of one call may have together; one alone may have up to `limit`."""
    is_padded: bool
    """Whether every row of a batch costs as much as its longest one."""
    is_ranker: bool
    """Whether it scores pairs of query and document, and makes no vectors."""

    def tokenize(self, text: str, *, adds_special: bool, parses_special: bool) -> list[int]:
        """Return the tokens of a text."""

    def wrap(self, tokens: Sequence[int]) -> list[int]:
        """Put the special tokens around that the model expects, where they are not there already."""

    def pair(self, query: str, document: str) -> list[int]:
        """Return the tokens of a query with a document, as a ranker reads them; nothing is cut."""

    def spell(self, token: int) -> bytes:
        """Return the bytes that one token stands for."""

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""

    def encode(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Compute a batch: for each row its vector, not normalised, or its score. Raises EncodeFailed."""

    def close(self) -> None:
        """Free the model."""
