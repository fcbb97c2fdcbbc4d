"""Token ids of the scripted engine, made up: a piece's id is a hash of its text, below two to the 31st.

The engine remembers the pieces that it gave ids to, so that it can turn them back into text. An id that it
never gave reads as `<id>`.
"""

import hashlib
from collections.abc import Iterable, Sequence

SIZE = 2**31
_MOST_REMEMBERED = 1_000_000
"""Pieces; then the memory begins anew."""


class Vocabulary:
    """What the engine remembers of its ids."""

    def __init__(self) -> None:
        self._pieces: dict[int, str] = {}

    def number(self, pieces: Iterable[str]) -> list[int]:
        """Return the ids of pieces. The same piece has the same id, unless two that met share a hash."""
        if len(self._pieces) > _MOST_REMEMBERED:
            self._pieces.clear()

        return [self._number(piece) for piece in pieces]

    def spell(self, token: int) -> str:
        """Return the piece of an id."""
        return self._pieces.get(token, f"<{token}>")

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of ids."""
        return "".join(map(self.spell, tokens))

    def _number(self, piece: str) -> int:
        digest = hashlib.sha256(piece.encode("utf-8", "surrogatepass")).digest()
        token = int.from_bytes(digest[:4], "big") % SIZE
        while self._pieces.setdefault(token, piece) != piece:
            token = (token + 1) % SIZE

        return token
