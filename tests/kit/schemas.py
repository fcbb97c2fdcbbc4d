"""Two hundred schemas as tools have them, all of which are meant to be accepted. The same ones each time."""

import itertools
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]


def _object(properties: Schema, required: list[str] | None = None, **more: Any) -> Schema:
    names = [*properties] if required is None else required
    return {"type": "object", "properties": properties, "required": names, **more}


def _strict(properties: Schema, **more: Any) -> Schema:
    return _object(properties, additionalProperties=False, **more)


def _array(items: Any, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
ADDRESS = _strict({"street": STRING, "city": STRING, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}})
POINT = _object({"lat": {"type": "number", "minimum": -90, "maximum": 90}, "lon": NUMBER})

TREE: Schema = {
    "$defs": {
        "node": _strict({"value": INTEGER, "children": _array({"$ref": "#/$defs/node"})}),
    },
    "$ref": "#/$defs/node",
}
LINKED: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "definitions": {
        "item": _strict(
            {"head": STRING, "tail": {"anyOf": [{"$ref": "#/definitions/item"}, {"type": "null"}]}}
        ),
    },
    **_strict({"list": {"$ref": "#/definitions/item"}}),
}
EXPRESSION: Schema = {
    "$defs": {
        "expression": {
            "oneOf": [
                _strict({"kind": {"const": "number"}, "value": NUMBER}),
                _strict(
                    {
                        "kind": {"const": "sum"},
                        "left": {"$ref": "#/$defs/expression"},
                        "right": {"$ref": "#/$defs/expression"},
                    }
                ),
            ]
        }
    },
    **_strict({"expression": {"$ref": "#/$defs/expression"}}),
}

BY_HAND: list[Schema] = [
    {"type": "object"},
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {}, "additionalProperties": False},
    {},
    {"type": "object", "properties": {"anything": {}}, "required": ["anything"]},
    _object({"location": {"type": "string", "description": "City and country"}}),
    _object(
        {"location": STRING, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}, ["location"]
    ),
    _strict({"query": STRING, "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": 100}}),
    _strict({"path": STRING, "content": STRING}),
    _object(
        {"command": STRING, "timeout_ms": {"type": "integer", "minimum": 0, "maximum": 600000}}, ["command"]
    ),
    _object({"expression": {"type": "string", "minLength": 1, "maxLength": 200}}),
    _object({"to": {"type": "string", "format": "email"}, "subject": STRING, "body": STRING}),
    _object(
        {"recipients": _array({"type": "string", "format": "email"}, minItems=1, maxItems=20), "text": STRING}
    ),
    _object({"start": {"type": "string", "format": "date"}, "end": {"type": "string", "format": "date"}}),
    _object(
        {"title": STRING, "at": {"type": "string", "format": "date-time"}, "remind": BOOLEAN}, ["title", "at"]
    ),
    _object({"id": {"type": "string", "format": "uuid"}}),
    _object(
        {"url": {"type": "string", "format": "uri"}, "method": {"enum": ["GET", "POST", "PUT", "DELETE"]}}
    ),
    _object(
        {"host": {"type": "string", "format": "hostname"}, "port": {"type": "integer", "maximum": 65535}}
    ),
    _object({"address": {"type": "string", "format": "ipv4"}, "other": {"type": "string", "format": "ipv6"}}),
    _object({"wait": {"type": "string", "format": "duration"}, "when": {"type": "string", "format": "time"}}),
    _object({"phone": {"type": "string", "pattern": "^\\+?[1-9]\\d{1,14}$"}}),
    _object(
        {
            "sku": {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
            "count": {"type": "integer", "minimum": 1},
        }
    ),
    _object({"colour": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}}),
    _object(
        {"price": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01}, "currency": {"const": "EUR"}}
    ),
    _object({"ratio": {"type": "number", "minimum": 0, "maximum": 1}}),
    _object({"temperature": {"type": "number", "exclusiveMaximum": 2.5, "minimum": -1.5}}),
    _object({"even": {"type": "integer", "multipleOf": 2, "minimum": -10, "maximum": 10}}),
    _object({"count": {"type": "integer", "maximum": 9223372036854775807, "minimum": 0, "format": "int64"}}),
    _object({"point": POINT, "radius_km": {"type": "number", "minimum": 0}}),
    _object({"points": _array(POINT, minItems=2, maxItems=5)}),
    _object({"pair": {"type": "array", "prefixItems": [STRING, INTEGER], "items": False, "minItems": 2}}),
    _object({"matrix": _array(_array(NUMBER, maxItems=3), maxItems=3)}),
    _object({"tags": _array(STRING), "flags": _array(BOOLEAN, maxItems=4)}, ["tags"]),
    _object({"days": _array({"enum": ["mon", "tue", "wed", "thu", "fri"]}, uniqueItems=True)}),
    _strict({"name": STRING, "address": ADDRESS}),
    _strict({"person": _strict({"name": STRING, "addresses": _array(ADDRESS, maxItems=3)})}),
    _object({"labels": {"type": "object", "additionalProperties": STRING}}),
    _object({"counts": {"type": "object", "additionalProperties": INTEGER, "maxProperties": 3}}),
    _object({"name": STRING}, additionalProperties={"type": "number"}),
    _object({"name": STRING, "age": INTEGER}, ["name"], additionalProperties=STRING),
    {
        "type": "object",
        "patternProperties": {"^x-": STRING, "^[0-9]+$": INTEGER},
        "additionalProperties": False,
    },
    {"type": "object", "propertyNames": {"enum": ["low", "high"]}, "additionalProperties": NUMBER},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,8}$"}, "additionalProperties": BOOLEAN},
    {"type": "object", "properties": {"email": STRING, "phone": STRING}, "minProperties": 1},
    {
        **_object({"email": STRING, "phone": STRING}, []),
        "anyOf": [{"required": ["email"]}, {"required": ["phone"]}],
    },
    {"anyOf": [_object({"city": STRING}), _object({"zip": STRING})]},
    {
        "oneOf": [
            _object({"kind": {"const": "a"}, "x": INTEGER}),
            _object({"kind": {"const": "b"}, "y": STRING}),
        ]
    },
    {"oneOf": [{"properties": {"by": {"const": "id"}}}, {"properties": {"by": {"const": "name"}}}]},
    {
        "allOf": [
            _object({"id": INTEGER}),
            _object({"name": STRING}),
            {"properties": {"name": {"maxLength": 20}}},
        ]
    },
    {
        "$defs": {"base": _object({"id": INTEGER})},
        "allOf": [{"$ref": "#/$defs/base"}, _object({"more": STRING})],
    },
    {"$defs": {"city": {"type": "string", "minLength": 1}}, **_object({"from": {"$ref": "#/$defs/city"}})},
    _object({"note": {"anyOf": [{"type": "string", "maxLength": 100}, {"type": "null"}], "default": None}}),
    _object({"value": {"type": ["string", "number", "boolean", "null"]}}),
    _object({"mode": {"enum": ["fast", 1, None, True, {"custom": [1]}]}}),
    _object({"version": {"const": 2}, "ok": {"const": True}, "nothing": {"type": "null"}}),
    TREE,
    LINKED,
    EXPRESSION,
    {"type": "object", "properties": {"name": STRING, "parent": {"$ref": "#"}}, "required": ["name"]},
    {"title": "Not an object", "type": "array", "items": _object({"a": INTEGER}), "minItems": 1},
    {"type": "string", "enum": ["positive", "neutral", "negative"]},
    {"type": "integer", "minimum": 1, "maximum": 5},
    _object({"größe": {"type": "integer"}, "日本": STRING, 'with "quotes"': BOOLEAN}),
    _object({"long": {"type": "string", "minLength": 40, "maxLength": 60}}),
    _object(
        {
            "code": {
                "type": "string",
                "readOnly": True,
                "examples": ["a"],
                "deprecated": False,
                "x-widget": "area",
            }
        }
    ),
]

_SCALARS: dict[str, Any] = {
    "text": STRING,
    "short": {"type": "string", "maxLength": 12},
    "choice": {"enum": ["one", "two", "three"]},
    "whole": {"type": "integer", "minimum": -5, "maximum": 500},
    "real": {"type": "number", "minimum": 0, "exclusiveMaximum": 10},
    "flag": BOOLEAN,
    "day": {"type": "string", "format": "date"},
    "maybe": {"type": ["string", "null"], "maxLength": 20},
    "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{2,4}$"},
}


def _composed() -> Iterator[Schema]:
    """Each pair of scalars in one of four compositions, in turn."""
    for number, (left, right) in enumerate(itertools.product(_SCALARS, repeat=2)):
        one, other = _SCALARS[left], _SCALARS[right]
        for shape in (number % 4, (number + 1) % 4):
            match shape:
                case 0:
                    yield _strict({left: one, f"second_{right}": other})
                case 1:
                    yield _object(
                        {"items": _array(_object({left: one, f"other_{right}": other}, [left]), maxItems=3)}
                    )
                case 2:
                    yield {
                        "$defs": {"part": _strict({left: one})},
                        **_object({"part": {"$ref": "#/$defs/part"}, "extra": other}, ["part"]),
                    }
                case _:
                    yield _strict(
                        {
                            "which": {
                                "anyOf": [
                                    _strict({"kind": {"const": "left"}, left: one}),
                                    _strict({"kind": {"const": "right"}, f"its_{right}": other}),
                                ]
                            }
                        }
                    )


SCHEMAS: list[Schema] = [*BY_HAND, *itertools.islice(_composed(), 200 - len(BY_HAND))]
