"""Sketches of schemas: short, true to what an answer needs to know, and none where words are lacking."""

import json
from typing import Any

import pytest
from hypothesis import given

from runtime.backends.engines.llama.calls.notes import ask_for_json
from runtime.backends.engines.llama.calls.sketch import sketch_schema
from tests.unit.backends.engines.llama.grammar.random_schemas import SCHEMAS, Schema


def an_object(**properties: Any) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "sketch"),
    [
        (an_object(a={"type": "string"}) | {"required": ["a"]}, '{"a": string}'),
        (an_object(a={"type": ["integer", "null"]}), '{"a"?: integer | null}'),
        (an_object(a={"type": "string", "description": "Its name."}), '{"a"?: string (Its name.)}'),
        ({"enum": ["on", 1, None]}, '"on" | 1 | null'),
        ({"const": {"é": 1}}, '{"é": 1}'),
        ({"anyOf": [{"type": "number", "maximum": 9}, {"type": "boolean"}]}, "number (up to 9) | boolean"),
        ({"type": "integer", "minimum": 1, "maximum": 5}, "integer (1 to 5)"),
        ({"type": "string", "minLength": 2, "maxLength": 2}, "string (2 characters)"),
        ({"type": "string", "format": "date"}, "string (date)"),
        ({"type": "string", "pattern": "^a+$"}, "string like ^a+$"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, "[number] (from 2 items)"),
        ({"type": "array", "prefixItems": [{"type": "number"}, {}], "items": False}, "[number, any value]"),
        (
            {"type": "array", "prefixItems": [{"type": "number"}], "items": {"type": "null"}},
            "[number, null, ...]",
        ),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "{any name: number}"),
        ({"type": "object"}, "{any name: any value}"),
        ({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"const": 1}}}, "[1]"),
    ],
)
def test_a_schema_is_sketched(schema: Schema, sketch: str) -> None:
    assert sketch_schema(schema) == sketch


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"type": "string"}]},
        {"type": "object", "patternProperties": {"^x": {}}},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"minimum": 3},
        {"type": "array", "items": [{"type": "string"}]},
    ],
)
def test_what_a_sketch_has_no_words_for_is_told_as_the_schema_itself(schema: Schema) -> None:
    assert sketch_schema(schema) is None
    assert json.dumps(schema) in ask_for_json(schema)[0].text


@given(SCHEMAS)
def test_any_schema_is_sketched_or_not_and_every_required_name_is_told(schema: Schema) -> None:
    sketch = sketch_schema(schema)

    if sketch is not None and isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        assert "anyOf" in schema or all(
            f"{json.dumps(each, ensure_ascii=False)}" in sketch for each in schema["properties"]
        )
