"""Vectors as they leave an engine: of unit length, 32-bit floats, little endian. Pure, no numpy.

One vector costs microseconds here and milliseconds in the model that made it.
"""

import math
import struct
from collections.abc import Sequence
from operator import mul


class VectorBroken(Exception):
    """What the model gave is no direction: not finite, or all zeros. Its weights are damaged."""


def pack_unit(values: Sequence[float], dimensions: int | None = None) -> bytes:
    """Keep the first `dimensions` numbers, make them unit length, and pack them. Raises VectorBroken."""
    kept = values if dimensions is None else values[:dimensions]
    length = math.sqrt(sum(map(mul, kept, kept)))
    if not math.isfinite(length) or length <= 0.0:
        raise VectorBroken(f"a vector of {len(kept)} numbers has the length {length}")

    return struct.pack(f"<{len(kept)}f", *(value / length for value in kept))


def unpack(vector: bytes) -> tuple[float, ...]:
    """Return the numbers of a packed vector."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def cosine(one: bytes, other: bytes) -> float:
    """Return how alike two packed unit vectors are, -1 to 1."""
    product = float(sum(map(mul, unpack(one), unpack(other))))
    return max(-1.0, min(1.0, product))


def squash(logit: float) -> float:
    """Return a ranker's logit as a score from 0 to 1. Raises VectorBroken."""
    if not math.isfinite(logit):
        raise VectorBroken(f"a score is {logit}")

    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))

    return math.exp(logit) / (1.0 + math.exp(logit))
