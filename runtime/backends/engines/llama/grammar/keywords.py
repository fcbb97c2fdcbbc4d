"""The keywords of JSON Schema: which are honoured, which are harmless, which are refused, and why. Pure.

A keyword that is none of these is no keyword of JSON Schema, and means nothing to a validator either.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from runtime.backends.engines.llama.grammar.formats import UNSUPPORTED
from runtime.backends.engines.llama.grammar.values import LARGEST

Path = tuple[str, ...]


class Refused(Exception):
    """The schema asks for what decoding cannot promise; says where, why and what to do."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{'.'.join(path) or 'the schema'}: {why}")


@dataclass(frozen=True, slots=True)
class Place:
    """A subschema and where it stands in the document, which is what it is known by."""

    path: Path
    raw: Any = field(compare=False)

    def at(self, *steps: str) -> "Place":
        """Return the subschema found by these steps; a step into a list is its number."""
        raw = self.raw
        for step in steps:
            raw = raw[int(step)] if isinstance(raw, list) else raw[step]

        return Place((*self.path, *steps), raw)


NEVER = Place(("(never)",), raw=False)
"""What nothing meets."""

REFUSED = {
    "not": "the opposite of a schema cannot be enforced while decoding; say what is allowed instead",
    "if": "a condition cannot be enforced while decoding; use anyOf with one branch per case",
    "then": "a condition cannot be enforced while decoding; use anyOf with one branch per case",
    "else": "a condition cannot be enforced while decoding; use anyOf with one branch per case",
    "contains": "it cannot be enforced while decoding; constrain items, or use prefixItems",
    "minContains": "it cannot be enforced while decoding; constrain items, or use prefixItems",
    "maxContains": "it cannot be enforced while decoding; constrain items, or use prefixItems",
    "dependentRequired": "it cannot be enforced while decoding; use required, or anyOf with both cases",
    "dependentSchemas": "it cannot be enforced while decoding; use anyOf with both cases",
    "dependencies": "it cannot be enforced while decoding; use required, or anyOf with both cases",
    "unevaluatedProperties": "it cannot be enforced while decoding; use additionalProperties",
    "unevaluatedItems": "it cannot be enforced while decoding; use items",
    "$dynamicRef": "only $ref is followed; name the definition with it",
    "$recursiveRef": "only $ref is followed; name the definition with it",
}

ANNOTATIONS = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$dynamicAnchor",
        "$id",
        "$schema",
        "$vocabulary",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)


def _is_count(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value == int(value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_schemas(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


def _is_named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_TYPE_NAMES = {"null", "boolean", "integer", "number", "string", "array", "object"}


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return all(isinstance(name, str) and name in _TYPE_NAMES for name in names)


class _Shape(NamedTuple):
    fits: Callable[[Any], bool]
    words: str


_COUNT = _Shape(_is_count, "a whole number from 0")
_NUMBER = _Shape(_is_number, "a number")
_LIMIT = _Shape(lambda value: isinstance(value, bool) or _is_number(value), "a number")
_SCHEMA = _Shape(_is_schema, "a schema (an object, true or false)")
_SCHEMAS = _Shape(lambda value: _is_schemas(value) and bool(value), "a list of schemas, not empty")
_NAMED = _Shape(_is_named_schemas, "an object with a schema for each name")
_ITEMS = _Shape(lambda value: _is_schema(value) or _is_schemas(value), "a schema")
_NAMES = _Shape(_is_names, "a list of names")
_LIST = _Shape(lambda value: isinstance(value, list), "a list")
_TEXT = _Shape(lambda value: isinstance(value, str), "a string")
_FLAG = _Shape(lambda value: isinstance(value, bool), "true or false")

HONOURED: Mapping[str, _Shape] = {
    "type": _Shape(_is_type, "one of the seven type names, or a list of them"),
    "const": _Shape(lambda _: True, "any value"),
    "enum": _LIST,
    "anyOf": _SCHEMAS,
    "oneOf": _SCHEMAS,
    "allOf": _SCHEMAS,
    "$ref": _TEXT,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _LIMIT,
    "exclusiveMaximum": _LIMIT,
    "multipleOf": _Shape(lambda value: _is_number(value) and value > 0, "a number above 0"),
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": _TEXT,
    "format": _TEXT,
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": _FLAG,
    "prefixItems": _SCHEMAS,
    "items": _ITEMS,
    "additionalItems": _SCHEMA,
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "properties": _NAMED,
    "patternProperties": _NAMED,
    "additionalProperties": _SCHEMA,
    "propertyNames": _SCHEMA,
    "required": _NAMES,
    "$defs": _NAMED,
    "definitions": _NAMED,
}


def check_shapes(root: Place) -> None:
    """Look at the form of every keyword in the document, also where nothing refers to. Raises Refused."""
    pending = [root]
    while pending:
        place = pending.pop()
        for keyword, value in place.raw.items() if isinstance(place.raw, dict) else ():
            shape = HONOURED.get(keyword)
            if shape is None:
                continue

            if not shape.fits(value):
                raise Refused((*place.path, keyword), f"it must be {shape.words}")

            if isinstance(value, dict) and shape in (_SCHEMA, _ITEMS):
                pending.append(place.at(keyword))
            elif isinstance(value, list) and shape in (_SCHEMAS, _ITEMS):
                pending += [place.at(keyword, str(number)) for number in range(len(value))]
            elif shape is _NAMED:
                pending += [place.at(keyword, name) for name in value]


def check(place: Place) -> None:
    """Refuse what a subschema asks for and cannot have; it does not look below. Raises Refused."""
    path, raw = place.path, place.raw
    if not isinstance(raw, dict):
        return

    for keyword in raw:
        if keyword in REFUSED:
            raise Refused((*path, keyword), REFUSED[keyword])

    _check_strings(place)
    _check_numbers(place)


def _check_strings(place: Place) -> None:
    path, raw = place.path, place.raw
    if raw.get("format") in UNSUPPORTED:
        raise Refused((*path, "format"), f"the format {raw['format']!r} cannot be enforced; use pattern")

    for pattern in [raw["pattern"]] if "pattern" in raw else []:
        check_pattern((*path, "pattern"), pattern)

    for pattern in raw.get("patternProperties", ()):
        check_pattern((*path, "patternProperties", pattern), pattern)


def _check_numbers(place: Place) -> None:
    path, raw = place.path, place.raw
    for keyword in ("multipleOf", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        value = raw.get(keyword, 0)
        is_out = (
            value > LARGEST if keyword in ("multipleOf", "minimum", "exclusiveMinimum") else value < -LARGEST
        )
        if is_out or math.isnan(value):
            raise Refused((*path, keyword), f"{value} is beyond what a double holds exactly")


_PATTERN_PIECES = re.compile(
    r"\\(?P<escape>.)|(?P<open>\[\^?\]?)|(?P<close>\])|(?P<group>\(\?(?:<?[=!]|[^:<])?)", re.DOTALL
)


def check_pattern(path: Path, pattern: str) -> None:
    """Refuse what llguidance cannot do, or would read otherwise than ECMA 262. Raises Refused."""
    in_class = False
    for piece in _PATTERN_PIECES.finditer(pattern):
        escape, group = piece["escape"], piece["group"]
        if escape and not in_class and (escape in "bBk" or escape in "123456789"):
            raise Refused(
                path, f"\\{escape} (word boundaries, back references) cannot be enforced; rewrite it"
            )

        if piece["open"]:
            if in_class:
                raise Refused(path, "a [ inside of brackets must be written as \\[")

            in_class = True
        elif piece["close"]:
            in_class = False
        elif group and not in_class and group != "(?":
            raise Refused(path, f"{group} (look-around, flags) cannot be enforced; rewrite the pattern")

    if in_class:
        raise Refused(path, "a bracket is not closed")
