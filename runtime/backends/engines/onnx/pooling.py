"""How the states of a text's tokens become one vector. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.backends.engines.onnx.beside import Pooling

Floats = NDArray[np.float32]


def pool(states: Floats, mask: Floats, poolings: Sequence[Pooling]) -> Floats:
    """Return a vector for each row: what every pooling gives, one after the other.

    `states` is rows x tokens x width; `mask` is rows x tokens, 1.0 where a token counts. Each row counts at
    least its first, and those that count come first.
    """
    return np.concatenate([_pool(states, mask, each) for each in poolings], axis=1)


def _pool(states: Floats, mask: Floats, pooling: Pooling) -> Floats:
    counted = mask[:, :, None]
    found: Floats
    match pooling:
        case "cls":
            found = states[:, 0]
        case "lasttoken":
            found = states[np.arange(len(states)), mask.sum(axis=1).astype(np.int64) - 1]
        case "max":
            found = np.where(counted > 0, states, np.float32(-np.inf)).max(axis=1)
        case "mean":
            found = _sum(states, counted) / counted.sum(axis=1)
        case "mean_sqrt_len_tokens":
            found = _sum(states, counted) / np.sqrt(counted.sum(axis=1))
        case "weightedmean":
            places = np.arange(1, states.shape[1] + 1, dtype=np.float32)[None, :, None]
            found = _sum(states, counted * places) / (counted * places).sum(axis=1)

    return found


def _sum(states: Floats, weights: Floats) -> Floats:
    # A padded state may be no number at all, which no weight takes away.
    found: Floats = np.where(weights > 0, states * weights, np.float32(0)).sum(axis=1)
    return found
