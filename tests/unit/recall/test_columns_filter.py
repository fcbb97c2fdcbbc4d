"""Filters over columns say what a look at each document would say; what means nothing is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.errors import RequestInvalid
from runtime.core.filters import Attributes, Filter
from runtime.recall.columns_filter import check_filter, matching
from runtime.recall.columns_table import DocumentRow, Table
from tests.kit.naive_recall import compare, joined, satisfies

HUGE = 2**53 + 1
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, -0.0, 2.0**53, HUGE, HUGE + 1, -HUGE, 10**400, -(10**400)]),
)
texts = st.sampled_from(["", "a", "A", "ab", "Straße", "STRASSE", "é", "z"])
scalars = st.one_of(texts, st.booleans(), numbers)
keys = st.sampled_from(["a", "b", "c"])
some_attributes = st.dictionaries(keys, scalars, max_size=3)
comparisons = st.one_of(
    st.builds(compare, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), keys, scalars),
    st.builds(compare, st.sampled_from(["in", "nin"]), keys, st.lists(scalars, max_size=4).map(tuple)),
    st.builds(compare, st.just("contains"), keys, texts),
    st.builds(compare, st.just("exists"), keys, st.booleans()),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(
            lambda kind, parts: joined(kind, *parts),
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda part: joined("not", part), inner),
    ),
    max_leaves=8,
)


def document(name: str, attributes: Attributes) -> DocumentRow:
    return DocumentRow(name, attributes, (), (None,) * 4, (0.0,) * 6)


def table_of(documents: list[Attributes]) -> Table:
    table = Table()
    table.put_documents([document(str(number), each) for number, each in enumerate(documents)])
    return table


def matches(where: Filter, *documents: Attributes) -> list[bool]:
    table = table_of(list(documents))
    return [bool(each) for each in matching(where, table.attributes, table.rows)]


@given(where=filters, documents=st.lists(some_attributes, max_size=12))
def test_columns_agree_with_a_look_at_each_document(where: Filter, documents: list[Attributes]) -> None:
    check_filter(where)

    assert matches(where, *documents) == [satisfies(each, where) for each in documents]


@given(
    where=filters,
    before=st.lists(some_attributes, min_size=1, max_size=8),
    after=st.dictionaries(st.integers(0, 10), some_attributes, max_size=6),
)
def test_changed_documents_are_seen_as_they_are_now(
    where: Filter, before: list[Attributes], after: dict[int, Attributes]
) -> None:
    table = table_of(before)
    table.put_documents([document(str(number), each) for number, each in after.items()])

    seen = matching(where, table.attributes, table.rows)

    now = {str(number): each for number, each in enumerate(before)} | {str(n): a for n, a in after.items()}
    assert {name: bool(seen[row]) for name, row in table.row_of.items()} == {
        name: satisfies(each, where) for name, each in now.items()
    }


def test_true_is_not_one() -> None:
    assert matches(compare("eq", "a", True), {"a": True}, {"a": 1}, {"a": 1.0}) == [True, False, False]
    assert matches(compare("in", "a", (1,)), {"a": True}, {"a": 1}, {"a": 1.0}) == [False, True, True]


def test_a_missing_attribute_or_one_of_another_type_satisfies_only_the_negative() -> None:
    documents: list[Attributes] = [{}, {"a": "text"}, {"a": 5}]

    assert matches(compare("ne", "a", 5), *documents) == [True, True, False]
    assert matches(compare("nin", "a", (5, "text")), *documents) == [True, False, False]
    assert matches(compare("exists", "a", False), *documents) == [True, False, False]
    assert matches(compare("gt", "a", 4), *documents) == [False, False, True]
    assert matches(compare("lt", "never", 4), *documents) == [False, False, False]


def test_whole_numbers_beyond_a_float_are_told_apart() -> None:
    documents: list[Attributes] = [{"a": HUGE - 1}, {"a": HUGE}, {"a": HUGE + 1}]

    assert matches(compare("eq", "a", HUGE), *documents) == [False, True, False]
    assert matches(compare("gt", "a", HUGE), *documents) == [False, False, True]
    assert matches(compare("lte", "a", HUGE - 1), *documents) == [True, False, False]


def test_contains_does_not_regard_case() -> None:
    assert matches(compare("contains", "a", "STRASSE"), {"a": "Lange Straße 5"}, {"a": "Weg"}) == [
        True,
        False,
    ]


def nested(depth: int) -> Filter:
    where: Filter = compare("eq", "a", 1)
    for _ in range(depth):
        where = joined("not", where)
    return where


@pytest.mark.parametrize(
    ("where", "word"),
    [
        (compare("in", "a", "x"), "list"),
        (compare("eq", "a", ("x",)), "use 'in'"),
        (compare("exists", "a", 1), "true or false"),
        (compare("contains", "a", 1), "text"),
        (joined("not"), "exactly one"),
        (joined("not", compare("eq", "a", 1), compare("eq", "a", 1)), "exactly one"),
        (joined("or"), "at least one"),
        (joined("and"), "at least one"),
        (nested(17), "nested deeper than 16"),
        (nested(5000), "nested deeper than 16"),
        (compare("in", "a", tuple(range(513))), "more than 512"),
        (joined("and", *[compare("eq", "a", 1)] * 513), "more than 512"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_filter_that_means_nothing_is_refused_by_name(where: Filter, word: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        check_filter(where)

    assert caught.value.fault.param == "filters"
    assert word in caught.value.fault.message


def test_the_largest_filters_are_taken() -> None:
    check_filter(nested(16))
    check_filter(compare("in", "a", tuple(range(512))))


def test_no_document_is_no_trouble() -> None:
    assert matching(compare("ne", "a", 1), {}, 0).tolist() == []
    assert np.array_equal(matching(joined("not", compare("exists", "a", True)), {}, 2), [True, True])
