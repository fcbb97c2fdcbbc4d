"""Filters from free JSON to the core's words, and what is said of those that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.errors import Refused
from runtime.api.filters import filter_of
from runtime.core.filters import MAX_COMPARISONS, MAX_DEPTH, Comparison, Compound


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(depth - 1):
        inner = {"type": "and", "filters": [inner]}
    return inner


def test_a_filter_keeps_its_shape_and_the_types_of_its_values() -> None:
    found = filter_of(
        {
            "type": "or",
            "filters": [
                {"type": "eq", "key": "draft", "value": True},
                {"type": "nin", "key": "year", "value": [2024, 2025.5, "old"]},
                {"type": "not", "filters": [{"type": "exists", "key": "x", "value": False}]},
            ],
        },
        "filters",
    )

    assert found == Compound(
        type="or",
        filters=(
            Comparison(type="eq", key="draft", value=True),
            Comparison(type="nin", key="year", value=(2024, 2025.5, "old")),
            Compound(type="not", filters=(Comparison(type="exists", key="x", value=False),)),
        ),
    )


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "gte", "lt", "lte"])
def test_every_comparison_is_known(operator: str) -> None:
    found = filter_of({"type": operator, "key": "a", "value": "b"}, "filters")

    assert isinstance(found, Comparison)
    assert (found.type, found.key, found.value) == (operator, "a", "b")


@pytest.mark.parametrize(
    ("given_filter", "param"),
    [
        (5, "filters"),
        ({}, "filters.type"),
        ({"type": "eqq", "key": "a", "value": 1}, "filters.type"),
        ({"type": ["eq"], "key": "a", "value": 1}, "filters.type"),
        ({"type": "eq", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "", "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a"}, "filters.value"),
        ({"type": "eq", "key": "a", "value": None}, "filters.value"),
        ({"type": "eq", "key": "a", "value": [1]}, "filters.value"),
        ({"type": "eq", "key": "a", "value": 2**63}, "filters.value"),
        ({"type": "eq", "key": "a", "value": 1, "colour": 2}, "filters.colour"),
        ({"type": "gt", "key": "a", "value": True}, "filters.value"),
        ({"type": "in", "key": "a", "value": "b"}, "filters.value"),
        ({"type": "in", "key": "a", "value": [1, {}]}, "filters.value[1]"),
        ({"type": "in", "key": "a", "value": list(range(MAX_COMPARISONS + 1))}, "filters"),
        ({"type": "exists", "key": "a", "value": 1}, "filters.value"),
        ({"type": "contains", "key": "a", "value": 1}, "filters.value"),
        ({"type": "and"}, "filters.filters"),
        ({"type": "and", "filters": []}, "filters.filters"),
        ({"type": "not", "filters": [nested(1), nested(1)]}, "filters.filters"),
        ({"type": "and", "filters": [nested(1), {"type": "eq"}]}, "filters.filters[1].key"),
        (nested(MAX_DEPTH + 1), "filters"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(given_filter: Any, param: str) -> None:
    with pytest.raises(Refused) as refused:
        filter_of(given_filter, "filters")

    assert (refused.value.refusal.status, refused.value.refusal.param) == (400, param)


@pytest.mark.parametrize("kind", ["and", "or", "not"])
def test_a_filter_that_joins_nothing_is_refused_with_the_way_out(kind: str) -> None:
    with pytest.raises(Refused) as refused:
        filter_of({"type": kind, "filters": []}, "where")

    assert (refused.value.refusal.status, refused.value.refusal.param) == (400, "where.filters")
    assert "one filter at least" in refused.value.refusal.message
    assert "leave 'where' out" in refused.value.refusal.message


def test_the_deepest_filter_and_the_widest_are_taken() -> None:
    filter_of(nested(MAX_DEPTH), "filters")
    filter_of({"type": "in", "key": "a", "value": list(range(MAX_COMPARISONS))}, "filters")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "key", "value", "filters", "x"]), inner, max_size=4)
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["and", "not", "eq", "in"]), "filters": st.lists(inner, max_size=2)}
        )
    ),
    max_leaves=12,
)


def param_at_fault(value: Any) -> str | None:
    """Return where a filter is wrong; None where it is one."""
    try:
        filter_of(value, "filters")
    except Refused as refused:
        return refused.refusal.param
    return None


@given(JSON)
def test_no_json_whatever_is_more_than_refused(value: Any) -> None:
    param = param_at_fault(value)

    assert param is None or param.startswith("filters")
