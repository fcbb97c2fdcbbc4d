"""How the parts of Recall see each other: words and ports inside the package.

parse ─► Parsed ─► chunk ─► ingest ─► Truth ─► TextArm, VectorArm, Columns ─► search
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.core.ids import ChunkId
from runtime.core.knowledge import Query, Span
from runtime.core.memories import Scope

Ids: TypeAlias = NDArray[np.int64]
"""Chunk ids."""


class Allowed(Protocol):
    """The chunks of one namespace that a search may see."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def is_everything(self) -> bool:
        """Whether the query narrows nothing and nothing is left out: then an arm need not look further."""

    @property
    def ids(self) -> Ids:
        """All of them, ascending; not to be changed."""

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        """Tell of each id whether it is among them."""


class Narrowing(Protocol):
    """Knows what filters look at: attributes, tags, sources, clocks and scopes of a namespace's documents."""

    async def narrow(self, ns: int, query: Query, scope: Scope | None, now: float) -> Allowed:
        """Return what the query may see of a namespace, as of its newest commit. Expired is never seen."""

    async def weights(self, ns: int, ids: Ids) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return of each chunk its document's `created_at` and importance (0.5 where none was given)."""


class Scored(NamedTuple):
    """A chunk with an arm's score, greater is better."""

    chunk: ChunkId
    score: float


class TextFound(NamedTuple):
    """What the text arm found."""

    hits: list[Scored]
    """By BM25, the best first."""
    coverage: float
    """The best score over the greatest that the query's terms could give (sum of idf times 2.2), 0 to 1."""


class TextArm(Protocol):
    """Finds by words. Waits until it has followed what was committed before the call."""

    async def search(
        self, ns: int, text: str, language: str, limit: int, allowed: Allowed | None
    ) -> TextFound:
        """Return the best chunks of a namespace; `allowed` None: all. No text is an error."""

    async def scores(self, ns: int, text: str, language: str, chunks: Sequence[ChunkId]) -> list[float]:
        """Return BM25 of the given chunks, 0 where nothing matches; the same numbers as `search` gives."""

    async def heed(self, ns: int, text: str, language: str, allowed: Allowed) -> Allowed:
        """Return those of the allowed chunks that the text's signs (`+must`, `-not`) let through."""

    def highlights(self, query: str, text: str, language: str) -> tuple[Span, ...]:
        """Return where words of the query stand in the text, inflected forms included."""


class VectorArm(Protocol):
    """Finds by vectors, exactly, as of the newest commit. A vector is little-endian float32 of any norm."""

    async def search(
        self, ns: int, space: int, vector: bytes, limit: int, allowed: Allowed | None
    ) -> list[Scored]:
        """Return the nearest chunks by cosine; `allowed` None: all."""

    async def scores(
        self, ns: int, space: int, vector: bytes, chunks: Sequence[ChunkId]
    ) -> list[float | None]:
        """Return the cosine of the given chunks; None where a chunk has no vector (yet)."""

    async def vectors(self, ns: int, space: int, chunks: Sequence[ChunkId]) -> NDArray[np.float32]:
        """Return normalised vectors, one row each; zeros where a chunk has none."""


class Section(NamedTuple):
    """A part of a text under a heading."""

    start: int
    end: int
    heading: tuple[str, ...]
    """Titles from the outermost to its own; empty before the first heading."""


class Parsed(NamedTuple):
    """What a format's reader made of a document."""

    text: str
    """Plain text in reading order, paragraphs apart by an empty line; offsets count its code points."""
    title: str = ""
    sections: tuple[Section, ...] = ()
    """Ascending, covering the text without gaps; empty: one without a heading."""
    media_type: str = "text/plain"
    language: str = ""
    """ISO 639-1 code, empty where it could not be told."""
    notes: tuple[str, ...] = ()
    """What was left out and why."""
    keeps_lines: bool = False
    """Source code and tables: cut at line ends, never inside a line that fits."""
