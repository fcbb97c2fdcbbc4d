"""What becomes of schemas: what is refused and how, what is bounded and how far, what is rewritten."""

import json
from typing import Any

import pytest

from runtime.backends.engines.llama.grammar.bounds import Limits
from runtime.backends.engines.llama.grammar.compiler import Compiler, lark_of_schema
from runtime.backends.engines.llama.grammar.guide import Guide
from runtime.backends.engines.llama.grammar.schema import bound_schema
from runtime.backends.protocol import Fault
from tests.kit.byte_tokenizer import END, ENDS, byte_tokenizer, encode

COMPILER = Compiler(byte_tokenizer(), ends=ENDS)


def bounded(schema: dict[str, Any], **limits: int) -> dict[str, Any]:
    written = bound_schema(schema, param="tools[0]", limits=Limits(**limits))
    assert not isinstance(written, Fault), written
    return written


def refusal(schema: dict[str, Any]) -> str:
    fault = bound_schema(schema, param="tools[0]")
    assert isinstance(fault, Fault), fault
    assert (fault.code, fault.param) == ("invalid_json_schema", "tools[0]")
    return fault.message


def accepts(schema: dict[str, Any], text: str, **limits: int) -> bool:
    guide = COMPILER.compile(lark_of_schema(bounded(schema, **limits)))
    assert isinstance(guide, Guide), guide
    for token in encode(text):
        if not guide.allows(token):
            return False

        guide.accept(token)

    return guide.allows(END)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("not", {"const": 1}),
        ("if", {"type": "string"}),
        ("then", {"minLength": 2}),
        ("else", False),
        ("contains", {"type": "string"}),
        ("dependentRequired", {"a": ["b"]}),
        ("dependentSchemas", {"a": {}}),
        ("dependencies", {"a": ["b"]}),
        ("unevaluatedProperties", False),
        ("unevaluatedItems", False),
        ("$dynamicRef", "#x"),
        ("uniqueItems", True),
        ("format", "regex"),
        ("pattern", "^(?=a)b"),
        ("pattern", "^(?!a)b"),
        ("pattern", "(?<=a)b"),
        ("pattern", "(?i)a"),
        ("pattern", r"(a)\1"),
        ("pattern", r"\bword\b"),
        ("pattern", "[[a]"),
        ("$ref", "https://example.com/schema.json"),
        ("$ref", "other.json#/a"),
        ("$ref", "#/$defs/nowhere"),
        ("$id", "https://example.com/inner"),
        ("minimum", 2**60),
        ("oneOf", [{"type": "number"}, {"type": "integer"}]),
        ("minLength", -1),
        ("type", "text"),
        ("properties", 3),
        ("items", 5),
        ("anyOf", []),
        ("enum", "a"),
        ("required", "a"),
        ("multipleOf", 0),
    ],
)
def test_a_keyword_that_cannot_be_honoured_is_named_with_its_place(keyword: str, value: Any) -> None:
    message = refusal({"type": "object", "properties": {"age": {keyword: value}}})

    assert f"properties.age.{keyword}: " in message


def test_a_place_inside_of_a_definition_is_named_as_it_stands_in_the_schema() -> None:
    schema = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "array", "items": {"not": {}}}}}

    assert "$defs.a/b.items.not: " in refusal(schema)


def test_a_branch_that_is_never_used_may_hold_anything() -> None:
    bounded({"type": "string", "$defs": {"unused": {"not": {}}}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"enum": []},
        {"type": "integer", "minimum": 0.2, "maximum": 0.8},
        {"type": "integer", "minimum": 1, "maximum": 4, "multipleOf": 5},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"type": "array", "items": False, "minItems": 1},
        {
            "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}},
            "$ref": "#/$defs/a",
        },
    ],
)
def test_a_schema_that_nothing_can_meet_is_refused(schema: dict[str, Any]) -> None:
    assert "no value can meet it" in refusal(schema)


def test_a_definition_of_nothing_but_itself_is_refused() -> None:
    assert "nothing but itself" in refusal({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})


def test_a_schema_that_would_take_for_ever_is_refused() -> None:
    both = {"anyOf": [{"minLength": number} for number in range(40)]}

    assert "too many combinations" in refusal({"allOf": [both, both, both]})


def test_a_schema_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"type": "array", "items": schema}

    assert "nested too deeply" in refusal(schema)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string"}, '"12345"', '"123456"'),
        ({"type": "string", "minLength": 7}, '"1234567"', '"12345678"'),
        ({"type": "string", "maxLength": 7}, '"1234567"', '"12345678"'),
        ({"type": "array"}, "[1, 2, 3]", "[1, 2, 3, 4]"),
        ({"type": "array", "minItems": 5}, "[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 5, 6]"),
        ({"type": "number"}, "-1.25", "1.251"),
        ({"type": "number", "minimum": 0.125}, "0.125", "0.1251"),
        ({"type": "number"}, "9007199254740991", "9007199254740992"),
        ({"type": "integer", "maximum": 9223372036854775807}, "9007199254740991", "9007199254740992"),
        ({"type": "object"}, '{"a": 1, "b": 2}', '{"a": 1, "b": 2, "c": 3}'),
        ({"type": "object"}, '{"abcd": 1}', '{"abcde": 1}'),
        ({}, "[[[1]]]", "[[[[1]]]]"),
        ({"allOf": [{"type": "string"}, {"minLength": 8}]}, '"12345678"', '"123456789"'),
    ],
)
def test_what_is_open_is_bounded_and_minima_are_respected(
    schema: dict[str, Any], good: str, bad: str
) -> None:
    limits = {"characters": 5, "items": 3, "names": 2, "name_characters": 4, "decimals": 2, "depth": 3}

    assert accepts(schema, good, **limits)
    assert not accepts(schema, bad, **limits)


def test_recursion_ends_at_the_depth_and_keeps_the_other_branches() -> None:
    tail = {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
    schema = {"type": "object", "properties": {"tail": tail}, "required": ["tail"]}

    assert accepts(schema, '{"tail": {"tail": {"tail": null}}}', depth=2)
    assert not accepts(schema, '{"tail": {"tail": {"tail": {"tail": null}}}}', depth=2)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, '{"a": 1}', "5"),
        ({"properties": {"a": {"type": "integer"}}}, "{}", '{"b": 1}'),
        ({"type": "object", "properties": {}}, "{}", '{"b": 1}'),
        ({"type": ["string", "null"]}, "null", "1"),
        ({"type": "string", "nullable": True}, '"a"', "null"),
        ({"enum": [1, "a"], "type": "string"}, '"a"', "1"),
        ({"enum": [True]}, "true", "1"),
        ({"const": {"a": [1, None]}}, '{"a": [1, null]}', '{"a": [1]}'),
        ({"enum": ["a", "b"], "const": "b"}, '"b"', '"a"'),
        ({"type": "string", "format": "date"}, '"2024-02-29"', '"2023-02-29"'),
        ({"type": "string", "format": "phone-number"}, '"any"', "1"),
        ({"type": "integer", "format": "int32"}, "7", "7.5"),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, "2", "1"),
        ({"type": "array", "items": [{"const": 1}], "additionalItems": {"const": 2}}, "[1, 2]", "[2]"),
        ({"type": "array", "uniqueItems": True, "maxItems": 1}, "[1]", "[1, 1]"),
        ({"type": "array", "uniqueItems": True, "items": {"enum": [1, 2, 3]}}, "[1, 3]", "[1, 1]"),
        (
            {"type": "array", "uniqueItems": True, "items": {"enum": [None, "", "abc"], "minLength": 3}},
            '[null, "abc"]',
            '[null, ""]',
        ),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": False}, "[1]", "[1, 1]"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "1", "null"),
        ({"propertyNames": {"enum": ["a"]}, "additionalProperties": {"const": 1}}, '{"a": 1}', '{"b": 1}'),
        ({"type": "object", "propertyNames": {"pattern": "^a"}}, '{"ab": 1}', '{"b": 1}'),
        ({"properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2}, '{"a": 1, "b": 1}', '{"a": 1}'),
        (
            {"properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 2},
            '{"a": 1, "c": 1}',
            '{"a": 1, "b": 1, "c": 1}',
        ),
        ({"properties": {"a": {}}, "additionalProperties": {"const": 1}}, '{"a": 2, "b": 1}', '{"b": 2}'),
        ({"type": "object", "additionalProperties": {}, "required": ["z"]}, '{"z": 1}', "{}"),
        ({"$ref": "#leaf", "$defs": {"x": {"$anchor": "leaf", "const": 1}}}, "1", "2"),
        (
            {
                "$id": "https://example.com/a",
                "$ref": "https://example.com/a#/$defs/x",
                "$defs": {"x": {"const": 1}},
            },
            "1",
            "2",
        ),
        ({"$ref": "#/$defs/x", "maxLength": 1, "$defs": {"x": {"type": "string"}}}, '"a"', '"ab"'),
        ({"type": "integer", "allOf": [{"multipleOf": 4}, {"multipleOf": 6}]}, "24", "8"),
        ({"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, '"ab"', '"aa"'),
    ],
)
def test_a_schema_keeps_its_meaning(schema: dict[str, Any], good: str, bad: str) -> None:
    assert accepts(schema, good)
    assert not accepts(schema, bad)


@pytest.mark.parametrize(
    "branches",
    [
        [{"properties": {"kind": {"const": "a"}}}, {"properties": {"kind": {"const": "b"}}}],
        [
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
            {"type": "object", "required": ["b"]},
        ],
        [{"type": "string", "maxLength": 2}, {"type": "string", "minLength": 3}],
        [{"type": "integer", "maximum": 2}, {"type": "number", "exclusiveMinimum": 2}],
        [
            {"type": "array", "prefixItems": [{"const": 1}], "minItems": 1},
            {"type": "array", "items": {"const": 2}, "minItems": 1},
        ],
        [{"$ref": "#/$defs/a"}, {"type": "null"}],
    ],
)
def test_branches_that_are_apart_may_stand_in_one_of(branches: list[Any]) -> None:
    bounded({"oneOf": branches, "$defs": {"a": {"type": "object", "properties": {"inner": {"$ref": "#"}}}}})


def test_a_name_has_one_spelling_and_so_cannot_come_twice() -> None:
    schema = {
        "properties": {"a": {"const": 1}},
        "required": ["a"],
        "additionalProperties": {"type": "string"},
    }

    assert not accepts(schema, '{"a": 1, "\\u0061": "x"}')
    assert not accepts({"type": "string"}, '"\\u0041"')


def test_the_layout_is_that_of_json_dumps() -> None:
    value = {"a": [1, 2.5, {"b": None}], "c": 'é"\n\\'}
    schema = {"properties": {"a": {"type": "array"}, "c": {"type": "string"}}}

    assert accepts(schema, json.dumps(value, ensure_ascii=False))
    assert not accepts(schema, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    assert not accepts(schema, json.dumps(value, ensure_ascii=False, indent=1))


def test_options_for_llguidance_in_a_request_have_no_effect() -> None:
    schema = {
        "type": "object",
        "x-guidance": {"lenient": True, "whitespace_flexible": True},
        "properties": {},
    }

    assert bounded(schema) == bounded({"type": "object", "properties": {}})


def test_whole_numbers_that_doubles_cannot_hold_are_not_listed() -> None:
    assert "beyond 2**53" in refusal({"enum": [9007199254740993]})
    assert bounded({"enum": [1, 9007199254740993]})["enum"] == [1]
