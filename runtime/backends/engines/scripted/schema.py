"""A JSON Schema as a document: checks the form of its keywords, follows its local references.

Knows nothing of values. A schema that is malformed, refers outside itself, or uses a keyword that the
scripted engine does not understand is refused with the keyword and its place.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

MAX_VISITS = 60_000
"""Schemas looked at before the search for a value is given up: well under a second."""

Keywords = dict[str, Any]
Schema = Any
"""A schema before its form is checked: an object of keywords or a boolean, if it is right."""


class SchemaRefused(Exception):
    """No value is found: `keyword` at `path` (a JSON pointer into it) is the reason, `why` says how."""

    def __init__(self, keyword: str, path: str, why: str) -> None:
        super().__init__(f"{path}: {keyword} {why}")
        self.keyword = keyword
        self.path = path
        self.why = why


class Document:
    """One schema with everything inside it. Counts how often it is looked at."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._checked: set[int] = set()
        self._visits = 0

    def open(self, schema: Schema, path: str) -> Keywords:
        """Return the keywords of a schema; `True` has none, `False` is {"not": {}}. Raises SchemaRefused."""
        self._visits += 1
        if self._visits > MAX_VISITS:
            raise SchemaRefused("schema", path, "is too complex to search")

        if isinstance(schema, bool):
            return {} if schema else {"not": {}}

        if id(schema) not in self._checked:
            _check_form(schema, path)
            self._checked.add(id(schema))

        assert isinstance(schema, dict)
        return schema

    def resolve(self, reference: str, path: str) -> tuple[Schema, str]:
        """Return the schema that a local reference names, and its path. Raises SchemaRefused."""
        if reference != "#" and not reference.startswith("#/"):
            why = f"names '{reference}', but only references inside the schema (#/…) are followed"
            raise SchemaRefused("$ref", path, why)

        target = self._root
        for part in reference[2:].split("/") if reference != "#" else []:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isdecimal() and int(key) < len(target):
                target = target[int(key)]
            else:
                raise SchemaRefused("$ref", path, f"names '{reference}', which the schema does not hold")

        return target, reference


def escape(key: str) -> str:
    """Return a key as a part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def is_number(value: object) -> bool:
    """Whether a value is a JSON number."""
    if isinstance(value, bool):
        return False

    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_any_list(value: object) -> bool:
    return isinstance(value, list)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and is_number(value) and value >= 0 and value == int(value)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and is_number(value) and value > 0


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(name in TYPES for name in names)


def _is_pattern(value: object) -> bool:
    try:
        re.compile(value if isinstance(value, str) else "(")
    except (re.error, OverflowError, RecursionError):
        return False

    return True


def _is_choice(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_schemas(value: object) -> bool:
    return isinstance(value, list) and all(_is_schema(each) for each in value)


def _is_some_schemas(value: object) -> bool:
    return bool(value) and _is_schemas(value)


def _is_items(value: object) -> bool:
    return _is_schema(value) or _is_schemas(value)


def _is_named(value: object) -> bool:
    return isinstance(value, dict) and all(_is_schema(each) for each in value.values())


def _is_patterned(value: object) -> bool:
    return _is_named(value) and isinstance(value, dict) and all(_is_pattern(each) for each in value)


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_dependent(value: object) -> bool:
    return isinstance(value, dict) and all(_is_names(each) for each in value.values())


class _Form(NamedTuple):
    is_met: Callable[[object], bool]
    wanted: str


_SCHEMA = _Form(_is_schema, "a schema")
_SCHEMAS = _Form(_is_some_schemas, "a list of schemas")
_COUNT = _Form(_is_count, "a whole number from 0")
_NUMBER = _Form(is_number, "a number")
_TEXT = _Form(_is_text, "a string")

_FORMS = {
    "type": _Form(_is_type, f"one or several of {', '.join(TYPES)}"),
    "enum": _Form(_is_choice, "a list with a value in it"),
    "examples": _Form(_is_any_list, "a list"),
    "$ref": _TEXT,
    "format": _TEXT,
    "pattern": _Form(_is_pattern, "a regular expression that can be read"),
    "required": _Form(_is_names, "a list of names"),
    "dependentRequired": _Form(_is_dependent, "an object of lists of names"),
    "properties": _Form(_is_named, "an object of schemas"),
    "patternProperties": _Form(_is_patterned, "an object of schemas under regular expressions"),
    "items": _Form(_is_items, "a schema"),
    "prefixItems": _Form(_is_schemas, "a list of schemas"),
    "uniqueItems": _Form(_is_flag, "true or false"),
    "multipleOf": _Form(_is_positive, "a number above 0"),
    **dict.fromkeys(("allOf", "anyOf", "oneOf"), _SCHEMAS),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    **dict.fromkeys(
        (
            "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties",
            "maxProperties",
        ),
        _COUNT,
    ),
    **dict.fromkeys(
        ("not", "if", "then", "else", "contains", "propertyNames", "additionalProperties", "additionalItems"),
        _SCHEMA,
    ),
}  # fmt: skip

_NOT_UNDERSTOOD = (
    "unevaluatedProperties", "unevaluatedItems", "dependentSchemas", "dependencies", "$dynamicRef",
    "$recursiveRef",
)  # fmt: skip
"""Keywords that narrow the values but that the search cannot honour."""


def _check_form(schema: Schema, path: str) -> None:
    if not isinstance(schema, dict):
        raise SchemaRefused("schema", path, "must be an object or a boolean")

    for keyword in _NOT_UNDERSTOOD:
        if keyword in schema:
            raise SchemaRefused(keyword, path, "is not supported by the scripted engine")

    for keyword, form in _FORMS.items():
        if keyword in schema and not form.is_met(schema[keyword]):
            raise SchemaRefused(keyword, path, f"must be {form.wanted}")
