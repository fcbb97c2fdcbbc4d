"""Units and batches lose nothing and double nothing, whatever comes of them; halves are unit vectors."""

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.ids import ChunkId, DocumentId
from runtime.recall.ingest.halves import Unfit, to_halves
from runtime.recall.ingest.units import Batch, Size, Text, Unit, compose


def unit(number: int, count: int) -> Unit:
    document = DocumentId(f"doc_{number}")
    texts = deque(Text(ChunkId(1000 * number + index), document, f"text {index}") for index in range(count))
    return Unit(1, 1, document, texts=texts, is_dry=True)


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=8),
    st.lists(st.booleans(), max_size=40),
    st.integers(1, 50),
)
def test_every_text_is_stored_once_and_in_order_however_often_batches_fail(
    counts: list[int], successes: list[bool], texts: int
) -> None:
    units = [unit(number, count) for number, count in enumerate(counts)]
    waiting, size = deque(units), Size()
    size.texts = texts
    outcomes, stored = deque(successes), list[Text]()
    open_batches = list[Batch]()
    while (batch := compose(waiting, size)) is not None or open_batches:
        if batch is not None:
            assert len(batch.parts) <= texts
            open_batches.append(batch)
        if batch is None or len(open_batches) == 2:
            ended = open_batches.pop(0)
            if outcomes.popleft() if outcomes else True:
                stored += [part.text for part in ended.parts]
                ended.settle()
                ended.give_back()  # too late: it is settled
            else:
                ended.give_back()
                ended.settle()

    assert sorted(text.chunk for text in stored) == sorted(
        1000 * number + index for number, count in enumerate(counts) for index in range(count)
    )
    assert all(each.is_over for each in units)


def test_what_is_split_is_settled_and_its_documents_are_apart() -> None:
    units = deque([unit(1, 3), unit(2, 2)])
    batch = compose(units, Size())
    assert batch is not None
    parts = batch.split()
    batch.give_back()

    assert [each.documents for each in parts] == [["doc_1"], ["doc_2"]]
    assert [each.in_flight for each in (parts[0].parts[0].unit, parts[1].parts[0].unit)] == [3, 2]
    for part in parts:
        part.settle()
    assert all(each.is_over for each in units)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=64).filter(
        lambda v: any(abs(x) > 1e-3 for x in v)
    )
)
def test_halves_point_where_the_vector_pointed_and_have_unit_length(numbers: list[float]) -> None:
    vector = np.array(numbers, "<f4")
    (half,) = to_halves([vector.tobytes()], None)

    assert isinstance(half, bytes)
    stored = np.frombuffer(half, "<f2").astype(np.float64)
    exact = vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64))
    assert np.abs(stored - exact).max() < 1e-3


def test_a_vector_of_another_length_is_unfit_and_its_neighbours_are_not() -> None:
    good, odd = np.ones(4, "<f4").tobytes(), np.ones(5, "<f4").tobytes()
    kinds = [type(each) for each in to_halves([good, odd, good, b"", good[:3]], 4)]
    assert kinds == [bytes, Unfit, bytes, Unfit, Unfit]
