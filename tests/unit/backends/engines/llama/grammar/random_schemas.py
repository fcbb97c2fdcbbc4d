"""Random schemas, with everything in them that is meant to be honoured, and some that is not."""

from typing import Any

from hypothesis import strategies as st

Schema = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "kind", "na me", "é", 'q"'])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-20, 20),
    st.sampled_from([0.5, -1.25, 3.0, 1e-3]),
    st.text('ab\n"\\é/', max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=3,
)
COUNTS = st.integers(0, 3)


def some(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Schema]:
    return st.fixed_dictionaries({}, optional=keywords)


ANNOTATIONS = some(
    {
        "title": st.just("A title"),
        "description": st.just("What it is"),
        "default": SCALARS,
        "deprecated": st.just(True),
    }
)
NUMBERS = some(
    {
        "minimum": st.integers(-30, 30),
        "maximum": st.integers(-30, 30) | st.sampled_from([0.5, 99.75, 1e18]),
        "exclusiveMinimum": st.integers(-30, 30),
        "exclusiveMaximum": st.integers(-30, 30),
        "multipleOf": st.sampled_from([1, 3, 0.5, 0.01]),
    }
)
STRINGS = some(
    {
        "minLength": COUNTS,
        "maxLength": st.integers(0, 40),
        "pattern": st.sampled_from(["^[ab]+$", "b", "^a|b$", "^[A-Z]{2}-\\d{1,3}$", "^$", "/"]),
        "format": st.sampled_from(["date", "email", "uuid", "date-time", "ipv4", "int32", "phone"]),
    }
)


def types(names: str) -> st.SearchStrategy[Schema]:
    each = names.split()
    listed = st.lists(st.sampled_from(["null", "boolean", *each]), min_size=1, max_size=3, unique=True)
    return st.fixed_dictionaries({}, optional={"type": st.sampled_from(each) | listed})


def with_inner(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    arrays = some(
        {
            "items": inner,
            "minItems": COUNTS,
            "maxItems": COUNTS,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "uniqueItems": st.booleans(),
        }
    )
    objects = some(
        {
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": inner | st.booleans(),
            "patternProperties": st.dictionaries(st.sampled_from(["^x-"]), inner, max_size=1),
            "propertyNames": st.sampled_from([{"enum": ["a", "b"]}, {"pattern": "^a"}, {"maxLength": 3}]),
            "minProperties": COUNTS,
            "maxProperties": COUNTS,
        }
    )
    unions = some(
        {
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
        }
    )
    references = st.sampled_from(["#/$defs/leaf", "#/$defs/tree", "#/$defs/list", "#"]).map(
        lambda to: {"$ref": to}
    )
    return st.one_of(
        joined(types("array"), arrays, ANNOTATIONS),
        joined(types("object"), objects, ANNOTATIONS),
        joined(types("object"), objects, ANNOTATIONS),
        joined(unions, types("object string number"), objects),
        joined(references, some({"description": st.just("x"), "minLength": COUNTS})),
    )


def joined(*parts: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


LEAVES = st.one_of(
    joined(types("integer number"), NUMBERS, ANNOTATIONS),
    joined(types("string"), STRINGS, ANNOTATIONS),
    VALUES.map(lambda value: {"const": value}),
    joined(
        st.lists(VALUES, max_size=4).map(lambda values: {"enum": values}),
        types("string number array"),
        STRINGS,
    ),
    st.sampled_from([{}, True, {"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]}]),
)

DEFINITIONS: Schema = {
    "leaf": {"type": "string", "maxLength": 5},
    "tree": {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        },
        "required": ["value"],
    },
    "list": {
        "type": "object",
        "properties": {
            "head": {"$ref": "#/$defs/leaf"},
            "tail": {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]},
        },
        "required": ["head", "tail"],
    },
}

SCHEMAS: st.SearchStrategy[Schema] = (
    st.recursive(LEAVES, with_inner, max_leaves=6)
    .filter(lambda schema: isinstance(schema, dict))
    .map(lambda schema: {**schema, "$defs": DEFINITIONS})
)
