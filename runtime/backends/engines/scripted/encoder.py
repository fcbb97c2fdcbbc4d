"""How the scripted engine makes vectors: texts that share words point in similar directions.

Each word stands for a direction of 256 signs, a hash of it; a text is the sum of its words, whatever their
order and case. A text without words stands for itself.
"""

import hashlib
import re
from collections.abc import Sequence

from runtime.backends.engines.scripted.pieces import split_pieces
from runtime.backends.engines.scripted.vocabulary import SIZE, Vocabulary

DIMENSIONS = 256
_BATCH_TOKENS = 4096
_WORD = re.compile(r"[^\W_]+")


class ScriptedEncoder:
    """A made-up embedding model over the engine's vocabulary."""

    name = "scripted"
    dimensions = DIMENSIONS
    vocabulary = SIZE
    is_padded = False
    is_ranker = False

    def __init__(self, vocabulary: Vocabulary, limit: int) -> None:
        self.limit = limit
        self.batch_tokens = _BATCH_TOKENS
        self._vocabulary = vocabulary

    def tokenize(self, text: str, *, adds_special: bool, parses_special: bool) -> list[int]:  # noqa: ARG002 - it has no special tokens
        """Return the tokens of a text."""
        return self._vocabulary.number(split_pieces(text))

    def wrap(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens as they are: there are no special ones."""
        return list(tokens)

    def pair(self, query: str, document: str) -> list[int]:
        """Return the tokens of both texts."""
        return self._vocabulary.number([*split_pieces(query), *split_pieces(document)])

    def spell(self, token: int) -> bytes:
        """Return the bytes of a token."""
        return self._vocabulary.spell(token).encode("utf-8", "replace")

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self._vocabulary.text(tokens)

    def encode(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the sum of each row's words."""
        return [_sum(self._vocabulary.text(row)) for row in rows]

    def close(self) -> None:
        """Do nothing: there is no model."""


def _sum(text: str) -> list[float]:
    words = _WORD.findall(text.lower()) or [text]
    total = [0.0] * DIMENSIONS
    for word in words:
        for place, sign in enumerate(_direction(word)):
            total[place] += sign

    # Words that cancel each other out leave no direction; the text itself gives one.
    return total if any(total) else [float(sign) for sign in _direction(text)]


def _direction(word: str) -> list[int]:
    digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
    return [1 if byte >> bit & 1 else -1 for byte in digest for bit in range(8)]
