"""The search for the smallest value that meets a schema, with jsonschema as the judge."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable

from runtime.backends.engines.scripted.conformity import Inspection, is_same
from runtime.backends.engines.scripted.minimal import find_minimal
from runtime.backends.engines.scripted.schema import Document, SchemaRefused

JSON = dict[str, Any]


def assert_meets(value: Any, schema: Any) -> None:
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def refusal(schema: Any) -> SchemaRefused:
    with pytest.raises(SchemaRefused) as refused:
        find_minimal(schema)
    return refused.value


# ---- what is found


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "null"}, None),
        ({"type": "boolean"}, False),
        ({"type": "integer"}, 0),
        ({"type": "string"}, ""),
        ({"type": "array"}, []),
        ({"type": "object"}, {}),
        ({"type": ["string", "null"]}, ""),
        ({}, None),
        (True, None),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"enum": ["red", "green"]}, "red"),
        ({"enum": ["red", 3], "type": "integer"}, 3),
        ({"default": 5, "type": "integer"}, 5),
        ({"default": "five", "type": "integer"}, 0),
        ({"examples": ["x", "yy"], "type": "string", "minLength": 2}, "yy"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "minimum": 4, "multipleOf": 7}, 7),
        ({"type": "integer", "multipleOf": 1.5, "minimum": 1}, 3),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "minimum": 0.25, "maximum": 0.75}, 0.25),
        ({"type": "number", "minimum": 0.25, "multipleOf": 0.1}, 0.4),
        ({"type": "integer", "minimum": 10**400}, 10**400),
        ({"minimum": 2}, 2),
        ({"type": "string", "minLength": 3}, "aaa"),
        ({"type": "string", "format": "date", "minLength": 2}, "2000-01-01"),
        ({"type": "string", "format": "email", "minLength": 20}, "aaaaaaaa@example.com"),
        ({"type": "string", "format": "of-our-own"}, ""),
        ({"type": "string", "pattern": "^$"}, ""),
        ({"type": "string", "pattern": "^ab", "examples": ["abc"]}, "abc"),
        ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [0, 0]),
        ({"type": "array", "minItems": 3, "uniqueItems": True, "items": {"minimum": 5}}, [5, 6, 7]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 3}, [1, 2, None]),
        ({"type": "array", "contains": {"const": "x"}, "minContains": 2}, ["x", "x"]),
        ({"type": "array", "prefixItems": [{"type": "null"}], "contains": {"const": 3}}, [None, 3]),
        ({"required": ["b", "a"], "properties": {"a": {"const": 1}, "b": {"const": 2}}}, {"a": 1, "b": 2}),
        ({"required": ["z"], "additionalProperties": {"type": "integer"}}, {"z": 0}),
        ({"required": ["x_1"], "patternProperties": {"^x_": {"type": "integer"}}}, {"x_1": 0}),
        ({"properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "minProperties": 1}, {"a": 0}),
        ({"type": "object", "minProperties": 2}, {"property1": None, "property2": None}),
        ({"required": ["a"], "dependentRequired": {"a": ["b"]}}, {"a": None, "b": None}),
        ({"anyOf": [False, {"const": 4}]}, 4),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 0.5),
        ({"allOf": [{"type": "integer"}, {"minimum": 2}, {"multipleOf": 3}]}, 3),
        ({"not": {"type": ["null", "boolean"]}}, 0),
        ({"type": "object", "if": {"required": ["a"]}, "else": {"required": ["b"]}}, {"b": None}),
        ({"type": "boolean", "if": {"const": False}, "then": False}, True),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, 1),
        ({"$ref": "#/$defs/two/anyOf/1", "$defs": {"two": {"anyOf": [{"const": 1}, {"const": 2}]}}}, 2),
    ],
)  # fmt: skip
def test_the_smallest_value_is_found(schema: Any, value: Any) -> None:
    found = find_minimal(schema)

    assert_meets(found, schema)
    assert is_same(found, value)


@pytest.mark.parametrize(
    "name",
    [
        "date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4",
        "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid", "json-pointer",
        "relative-json-pointer",
    ],
)  # fmt: skip
def test_many_different_strings_of_a_format_are_found(name: str) -> None:
    schema = {
        "type": "array",
        "items": {"type": "string", "format": name},
        "minItems": 20,
        "uniqueItems": True,
    }

    assert_meets(find_minimal(schema), schema)


def test_a_schema_that_contains_itself_ends_as_early_as_it_can() -> None:
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        },
        "required": ["value", "next", "children"],
    }
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}

    found = find_minimal(schema)

    assert found == {"value": 0, "next": None, "children": []}
    assert_meets(found, schema)


def test_a_tree_that_must_have_a_few_levels_has_just_them() -> None:
    level: JSON = {"type": "string"}
    for _ in range(25):
        level = {"type": "object", "properties": {"inner": level}, "required": ["inner"]}

    assert_meets(find_minimal(level), level)


def test_a_further_schema_narrows_the_first() -> None:
    assert find_minimal({"type": ["null", "object"]}, {"type": "object"}) == {}


# ---- what is refused


@pytest.mark.parametrize(
    ("schema", "keyword", "path"),
    [
        (False, "false", "#"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "minimum", "#"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength", "#"),
        ({"type": "string", "minLength": 10**9}, "minLength", "#"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems", "#"),
        ({"type": "array", "minItems": 10**9}, "minItems", "#"),
        ({"type": "object", "minProperties": 10**9}, "minProperties", "#"),
        ({"type": "string", "pattern": "^\\d{4}$"}, "pattern", "#"),
        ({"minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}}, "uniqueItems", "#/items"),
        ({"required": ["a"], "properties": {"a": {"minimum": 2, "maximum": 1}}}, "minimum", "#/properties/a"),
        ({"required": ["a"], "additionalProperties": False}, "false", "#/additionalProperties"),
        ({"minProperties": 2, "additionalProperties": False}, "false", "#/additionalProperties"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "type", "#/allOf/1"),
        ({"enum": [1], "const": 2}, "enum", "#"),
        ({"not": {}}, "not", "#"),
        ({"$ref": "https://example.com/schema"}, "$ref", "#"),
        ({"$ref": "#/$defs/missing"}, "$ref", "#"),
        ({"$ref": "#"}, "$ref", "#"),
        ({"required": ["in"], "properties": {"in": {"$ref": "#"}}}, "$ref", "#/properties/in"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties", "#"),
        ({"type": "strnig"}, "type", "#"),
        ({"type": []}, "type", "#"),
        ({"enum": []}, "enum", "#"),
        ({"properties": {"a/b": {"minLength": "3"}}, "required": ["a/b"]}, "minLength", "#/properties/a~1b"),
        ({"properties": []}, "properties", "#"),
        ({"multipleOf": 0}, "multipleOf", "#"),
        ({"pattern": "("}, "pattern", "#"),
        ({"anyOf": []}, "anyOf", "#"),
        ({"anyOf": [3]}, "anyOf", "#"),
        ("text", "schema", "#"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_met_is_refused_with_keyword_and_path(
    schema: Any, keyword: str, path: str
) -> None:
    refused = refusal(schema)

    assert (refused.keyword, refused.path) == (keyword, path)
    assert refused.why


def test_a_search_that_would_take_too_long_is_given_up() -> None:
    wide: JSON = {"type": "string"}
    for _ in range(14):
        wide = {"type": "object", "properties": {"a": wide, "b": wide}, "required": ["a", "b"]}

    assert "too complex" in refusal(wide).why


def test_a_schema_that_nests_beyond_all_measure_is_refused() -> None:
    deep: JSON = {"type": "string"}
    for _ in range(400):
        deep = {"allOf": [deep]}

    assert "deep" in refusal(deep).why


# ---- laws, over made-up schemas

NAMES = st.sampled_from(["a", "b", "c d", "é"])
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, -2.5, "", "a", "bb"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
FORMATS = st.sampled_from(["date", "email", "ipv4", "ipv6", "uuid", "no-such-format"])


def some_of(**keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[JSON]:
    """Return objects that hold any of the keywords."""
    return st.fixed_dictionaries({}, optional=keywords)


def loose_objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[JSON]:
    """Return schemas that may contradict themselves."""
    listed = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        some_of(
            type=st.just("object"),
            properties=st.dictionaries(NAMES, inner, max_size=3),
            required=st.lists(NAMES, unique=True, max_size=3),
            additionalProperties=inner,
            patternProperties=st.dictionaries(st.sampled_from(["^a", "d$"]), inner, max_size=1),
            minProperties=st.integers(0, 3),
            maxProperties=st.integers(0, 3),
            propertyNames=inner,
            dependentRequired=st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=2), max_size=2),
        ),
        some_of(
            type=st.just("array"),
            items=inner,
            prefixItems=listed,
            minItems=st.integers(0, 3),
            maxItems=st.integers(0, 3),
            uniqueItems=st.booleans(),
            contains=inner,
            minContains=st.integers(0, 2),
            maxContains=st.integers(0, 2),
        ),
        some_of(allOf=listed, anyOf=listed, oneOf=listed),
        some_of(**{"not": inner, "if": inner, "then": inner, "else": inner}),
        inner.map(
            lambda schema: {"$ref": "#/$defs/x", "$defs": {"x": schema}} if schema else {"$ref": "#/x"}
        ),
    )


LOOSE_LEAVES = st.one_of(
    st.booleans(),
    some_of(
        type=st.sampled_from(["integer", "number", ["number", "null"]]),
        minimum=st.integers(-6, 6),
        maximum=st.integers(-6, 6),
        exclusiveMinimum=st.sampled_from([-1, 0, 0.5, 3]),
        exclusiveMaximum=st.sampled_from([-1, 1, 1.5, 4]),
        multipleOf=st.sampled_from([1, 2, 3, 0.5, 2.5]),
    ),
    some_of(type=st.just("string"), minLength=st.integers(0, 3), maxLength=st.integers(0, 3)),
    some_of(enum=st.lists(VALUES, min_size=1, max_size=3), const=VALUES, default=VALUES),
    some_of(
        type=st.sampled_from(["null", "boolean", "string", "array", "object"]), examples=st.lists(VALUES)
    ),
)
LOOSE = st.recursive(LOOSE_LEAVES, loose_objects, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(LOOSE)
def test_what_is_found_is_right_whatever_the_schema(schema: Any) -> None:
    try:
        found = find_minimal(schema)
    except SchemaRefused:
        return

    assert Draft202012Validator(schema).is_valid(found)


@settings(max_examples=300, deadline=None)
@given(LOOSE, VALUES)
def test_conformity_is_judged_as_jsonschema_judges_it(schema: Any, value: Any) -> None:
    try:
        violation = Inspection(Document(schema)).find_violation(value, schema, "#")
    except SchemaRefused:
        assert "$ref" in str(schema), "nothing else is malformed here"
        return

    try:
        is_valid = Draft202012Validator(schema).is_valid(value)
    except Unresolvable:
        assert "$ref" in str(schema)
        return  # it looked where this side had no need to

    assert (violation is None) == is_valid


@st.composite
def ranges(draw: st.DrawFn, low: int, high: int) -> tuple[int, int]:
    one, other = draw(st.integers(low, high)), draw(st.integers(low, high))
    return min(one, other), max(one, other)


def sound_objects(inner: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    """Return schemas that a value can meet, made of such schemas."""
    properties = st.dictionaries(NAMES, inner, max_size=4)
    return st.one_of(
        properties.flatmap(
            lambda named: some_of(
                required=st.lists(st.sampled_from(sorted(named) or ["a"]), unique=True, max_size=len(named)),
                minProperties=st.integers(0, len(named)),
            ).map(lambda rest: {**rest, "properties": named, "type": "object", "additionalProperties": False})
        ),
        st.tuples(inner, ranges(0, 4)).map(
            lambda each: {"type": "array", "items": each[0], "minItems": each[1][0], "maxItems": each[1][1]}
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda schemas: {"anyOf": [False, {"not": {}}, *schemas]}
        ),
        inner.map(lambda schema: {"allOf": [schema, {"description": "the same"}, True]}),
        inner.map(
            lambda schema: {"oneOf": [{"properties": {"of": schema}, "required": ["of"]}, {"const": 1}]}
        ),
    )


SOUND_LEAVES = st.one_of(
    ranges(-100, 100).map(lambda span: {"type": "integer", "minimum": span[0], "maximum": span[1]}),
    ranges(-100, 100).map(
        lambda span: {"type": "number", "exclusiveMinimum": span[0], "exclusiveMaximum": span[1] + 1}
    ),
    st.builds(
        lambda low, step: {"type": "number", "minimum": low, "multipleOf": step},
        st.floats(-50, 50, allow_nan=False).map(lambda number: round(number, 3)),
        st.sampled_from([0.1, 0.25, 0.01, 3, 7.5]),
    ),
    ranges(0, 30).map(lambda span: {"type": "string", "minLength": span[0], "maxLength": span[1]}),
    FORMATS.map(lambda name: {"type": "string", "format": name}),
    VALUES.map(lambda value: {"const": value}),
    st.lists(VALUES, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}]),
    st.builds(lambda value: {"type": "string", "default": value, "examples": [value]}, VALUES),
    st.just({"$ref": "#/$defs/tree"}),
    st.integers(1, 20).map(
        lambda count: {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": count}
    ),
)
TREE = {
    "type": "object",
    "properties": {
        "left": {"$ref": "#/$defs/tree"},
        "right": {"oneOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
    },
    "required": ["right"],
}
SOUND = st.recursive(SOUND_LEAVES, sound_objects, max_leaves=8)


@settings(max_examples=300, deadline=None)
@given(SOUND)
def test_every_schema_that_can_be_met_is_met(schema: JSON) -> None:
    whole = {**schema, "$defs": {"tree": TREE}}

    assert_meets(find_minimal(whole), whole)
