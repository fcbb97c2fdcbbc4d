"""Pooling against sums that are written out; padding, even of no number at all, never counts."""

import math

import numpy as np
import pytest

from runtime.backends.engines.onnx.beside import Pooling
from runtime.backends.engines.onnx.pooling import pool

NAN = math.nan
STATES = np.array([[[1, 2], [3, 6], [5, -2]], [[4, -8], [NAN, NAN], [NAN, NAN]]], dtype=np.float32)
MASK = np.array([[1, 1, 1], [1, 0, 0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("pooling", "first"),
    [
        ("cls", [1, 2]),
        ("lasttoken", [5, -2]),
        ("max", [5, 6]),
        ("mean", [3, 2]),
        ("mean_sqrt_len_tokens", [9 / math.sqrt(3), 6 / math.sqrt(3)]),
        ("weightedmean", [(1 + 6 + 15) / 6, (2 + 12 - 6) / 6]),
    ],
)
def test_states_are_pooled_over_the_tokens_that_count(pooling: Pooling, first: list[float]) -> None:
    vectors = pool(STATES, MASK, [pooling])

    assert vectors.tolist() == [pytest.approx(first), [4, -8]]


def test_several_poolings_make_one_longer_vector() -> None:
    assert pool(STATES, MASK, ["cls", "max"]).tolist() == [[1, 2, 5, 6], [4, -8, 4, -8]]
