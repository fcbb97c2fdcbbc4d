"""From the vectors of a model to those that are stored: unit length, 16-bit floats, little endian."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_FLOAT = np.dtype("<f4")
_HALF = np.dtype("<f2")
_TINY = 1e-12


class Unfit(NamedTuple):
    """Why a vector cannot be stored."""

    message: str


def to_halves(vectors: Sequence[bytes], dimensions: int | None) -> list[bytes | Unfit]:
    """Return each vector as it is stored. `dimensions` None: as many as the first one has."""
    expected = dimensions or (len(vectors[0]) // _FLOAT.itemsize if vectors else 0)
    return [_to_half(each, expected) for each in vectors]


def _to_half(vector: bytes, dimensions: int) -> bytes | Unfit:
    found = len(vector) / _FLOAT.itemsize
    if found != dimensions or not dimensions:
        return Unfit(
            f"The model gave a vector of {found:g} dimensions; those of this collection have {dimensions}. "
            "Another model answers to this name: change the collection's embedding to make all vectors anew."
        )

    numbers = np.frombuffer(vector, _FLOAT).astype(np.float64)
    if not np.isfinite(numbers).all():
        return Unfit("The model gave a vector with NaN or infinity in it: its weights are damaged.")

    norm = float(np.linalg.norm(numbers))
    if norm < _TINY:
        return Unfit("The model gave a vector of zeros, which points nowhere.")

    return bytes((numbers / norm).astype(_HALF).tobytes())
