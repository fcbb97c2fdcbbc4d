"""Vectors: unit length, little endian, and nothing that is no direction."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.embedding.vectors import VectorBroken, cosine, pack_unit, squash, unpack

NUMBERS = st.floats(-1e6, 1e6, width=32).filter(lambda number: number == 0 or abs(number) > 1e-6)
VALUES = st.lists(NUMBERS, min_size=1, max_size=50).filter(any)


@given(VALUES)
def test_a_packed_vector_has_length_one_and_keeps_its_direction(values: list[float]) -> None:
    vector = pack_unit(values)

    length = math.hypot(*values)
    assert math.hypot(*unpack(vector)) == pytest.approx(1, abs=1e-5)
    assert unpack(vector) == pytest.approx([value / length for value in values], abs=1e-6)
    assert cosine(vector, vector) == pytest.approx(1, abs=1e-5)


def test_numbers_are_little_endian_floats_of_four_bytes() -> None:
    assert pack_unit([0.0, 2.0]) == b"\x00\x00\x00\x00\x00\x00\x80\x3f"


def test_fewer_dimensions_are_the_first_numbers() -> None:
    assert pack_unit([3.0, 4.0, 100.0], 2) == struct.pack("<2f", 0.6, 0.8)


@pytest.mark.parametrize("values", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [1e300, 1e300]], ids=str)
def test_what_has_no_direction_is_broken(values: list[float]) -> None:
    with pytest.raises(VectorBroken):
        pack_unit(values)


@given(st.floats(-1e3, 1e3))
def test_a_score_lies_between_nought_and_one_and_grows_with_its_logit(logit: float) -> None:
    assert 0 <= squash(logit) <= 1
    assert squash(logit + 1) >= squash(logit)
    assert squash(logit) + squash(-logit) == pytest.approx(1)


def test_a_score_that_is_no_number_is_broken() -> None:
    with pytest.raises(VectorBroken):
        squash(math.nan)
