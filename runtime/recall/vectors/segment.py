"""Rows of normalised float16 vectors, as a port, and the arithmetic that both of its kinds share.

A row neither moves nor changes: what goes is masked, and left behind when the rows that stay are `kept` in
a segment of their own. Not to be read while something is appended; `Shard` sees to that.
"""

from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Halves: TypeAlias = NDArray[np.float16]
Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int64]

_UNIT_SLACK = 1e-3
"""A vector of float16 parts is off the length 1 by so much at most, when it was normalised before."""
_EXPONENT = np.uint16(0x7C00)
"""The bits of a float16 that are all set in what is not finite."""
_SHIFT = np.int32(13)
_SIGN_AND_NUMBER = np.int32(-0x70002000)
_OFFSET = np.float32(2.0**112)


class Nearest(NamedTuple):
    """Rows with their inner products, the greatest first."""

    rows: Rows
    scores: Floats


class Segment(Protocol):
    """Vectors of one dimension, in rows numbered from 0 as they come."""

    @property
    def dimensions(self) -> int:
        """Parts of each vector."""

    @property
    def count(self) -> int:
        """How many rows there are."""

    @property
    def memory_bytes(self) -> int:
        """What the rows take."""

    def append(self, vectors: Halves) -> None:
        """Add rows behind the others."""

    def nearest(self, query: Floats, limit: int, mask: Mask | None) -> Nearest:
        """Return the rows nearest to a query of length 1, of those that the mask names; None: of all."""

    def take(self, rows: Rows) -> Halves:
        """Return a copy of rows."""

    def kept(self, rows: Rows) -> "Segment":
        """Return a segment of these rows alone, in their order."""


class MakeSegment(Protocol):
    """Makes an empty segment."""

    def __call__(self, dimensions: int, room: int = 0) -> Segment:
        """Return a segment with room for so many rows."""


def normalised(vectors: Halves) -> tuple[Halves, Mask]:
    """Return vectors at length 1, and which of them have a direction at all.

    Zero, endless and undefined vectors have none. What has length 1 already stays as it is, bit by bit.
    """
    is_finite = ((vectors.view(np.uint16) & _EXPONENT) != _EXPONENT).all(axis=1)
    floats = widened(vectors)
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", floats, floats))
    has_direction: Mask = is_finite & (lengths > 0)
    is_off = has_direction & (np.abs(lengths - 1) > _UNIT_SLACK)
    if is_off.any():
        vectors = vectors.copy()
        vectors[is_off] = (floats[is_off] / lengths[is_off, None]).astype(np.float16)
    return vectors, has_direction


def widened(halves: Halves) -> Floats:
    """Return finite float16 as float32, the same numbers: numpy's own conversion takes ten times longer.

    Sign, exponent and fraction are moved to where float32 has them; what then differs is the exponents'
    offset, a factor of 2^112.
    """
    bits: NDArray[np.int32] = halves.view(np.int16).astype(np.int32)
    np.left_shift(bits, _SHIFT, out=bits)
    np.bitwise_and(bits, _SIGN_AND_NUMBER, out=bits)
    floats: Floats = bits.view(np.float32)
    np.multiply(floats, _OFFSET, out=floats)
    return floats


def direction(vector: bytes) -> Floats | None:
    """Return a vector of little-endian float32 at length 1; None where it has no direction."""
    floats = np.frombuffer(vector, "<f4").astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        length = float(np.sqrt(floats @ floats))
    if not np.isfinite(length) or length == 0:
        return None
    return (floats / length).astype(np.float32)


def best(scores: Floats, limit: int) -> Rows:
    """Return where the greatest scores stand, the greatest first; of equal ones the first first."""
    if limit >= len(scores):
        return np.argsort(-scores, kind="stable")

    top = np.argpartition(-scores, limit)[:limit]
    top.sort()
    return top[np.argsort(-scores[top], kind="stable")]
