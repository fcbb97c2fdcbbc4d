from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui import asked
from tui.form import Field, Wrong, hint, read_answer, read_form

FORM = asked.question()["question"]["form"]


def field(**about: Any) -> Field:
    return read_form({"properties": {"it": about}})[0]


def read(about: dict[str, Any], text: str) -> Any:
    fields = read_form({"properties": {"it": about}, "required": ["it"]})
    answer = read_answer(fields, {"it": text})
    return answer if isinstance(answer, Wrong) else answer["it"]


def test_a_schema_becomes_fields_in_its_order_with_what_is_needed_marked() -> None:
    fields = read_form(FORM)
    assert [(each.name, each.kind, each.is_required, each.start) for each in fields] == [
        ("title", "text", True, ""),
        ("count", "integer", False, "2"),
        ("private", "choice", False, "no"),
        ("state", "choice", True, ""),
    ]


def test_what_was_written_becomes_the_values_that_the_schema_wants() -> None:
    written = {"title": "tea", "count": "3", "private": "yes", "state": "closed"}
    assert read_answer(read_form(FORM), written) == {
        "title": "tea",
        "count": 3,
        "private": True,
        "state": "closed",
    }


def test_what_is_left_empty_is_left_out_and_what_is_needed_is_complained_about() -> None:
    fields = read_form(FORM)
    assert read_answer(fields, {"title": "tea", "state": "open", "count": " "}) == {
        "title": "tea",
        "state": "open",
    }
    assert read_answer(fields, {"title": "tea"}) == Wrong("state", "State: this is needed")


@pytest.mark.parametrize(
    ("about", "text", "value"),
    [
        ({"type": "number"}, " 2.5 ", 2.5),
        ({"type": "integer"}, "-7", -7),
        ({"type": "boolean"}, "no", False),
        ({"enum": ["a", "b"], "enumNames": ["Ah", "Be"]}, "Be", "b"),
        ({"oneOf": [{"const": "#f00", "title": "Red"}]}, "Red", "#f00"),
        ({"type": "array", "items": {"enum": ["x", "y", "z"]}}, "x, z", ["x", "z"]),
        ({"type": "array", "items": {"anyOf": [{"const": 1, "title": "One"}]}}, "One", [1]),
        ({"type": "string"}, " as it is ", " as it is "),
        ("nonsense", "x", "x"),
    ],
)
def test_each_kind_is_read(about: dict[str, Any], text: str, value: Any) -> None:
    assert read(about, text) == value


@pytest.mark.parametrize(
    ("about", "text", "words"),
    [
        ({"type": "integer"}, "2.5", "it: '2.5' is no whole number"),
        ({"type": "number"}, "nan", "it: 'nan' is no number"),
        ({"type": "number", "minimum": 1}, "0", "it: at least 1"),
        ({"type": "integer", "maximum": 5}, "6", "it: at most 5"),
        ({"type": "string", "minLength": 3}, "ab", "it: at least 3 letters"),
        ({"enum": ["a"]}, "c", "it: 'c' is not offered"),
        ({"type": "array", "items": {"enum": ["x"]}, "minItems": 2}, "x", "it: at least 2"),
    ],
)
def test_what_the_schema_does_not_allow_is_told(about: dict[str, Any], text: str, words: str) -> None:
    assert read(about, text) == Wrong("it", words)


def test_a_hint_says_what_may_be_written() -> None:
    assert hint(field(type="integer", minimum=1, maximum=5)) == "whole number, 1 to 5"
    assert hint(field(type="string", maxLength=80)) == "text, at most 80 letters"
    assert hint(field(type="boolean")) == "one of: yes · no"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=10,
)
_about = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "number", "integer", "boolean", "array", "object", 7]),
        "enum": _json,
        "oneOf": _json,
        "items": _json,
        "default": _json,
        "minimum": _json,
        "maxLength": _json,
        "required": _json,
    },
)


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), _about | _json, max_size=4), _json, st.text(max_size=8)
)
def test_whatever_a_server_sends_is_a_form_that_can_be_answered_or_complains(
    properties: dict[str, Any], required: Any, text: str
) -> None:
    fields = read_form({"properties": properties, "required": required})
    assert [each.name for each in fields] == list(properties)
    answer = read_answer(fields, dict.fromkeys(properties, text))
    assert isinstance(answer, Wrong) or set(answer) <= set(properties)


@given(st.integers(-100, 100))
def test_a_default_that_is_left_as_it_is_comes_back_as_it_was(number: int) -> None:
    fields = read_form({"properties": {"it": {"type": "integer", "default": number}}})
    assert read_answer(fields, {"it": fields[0].start}) == {"it": number}
