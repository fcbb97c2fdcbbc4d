"""JSON values as JSON Schema sees them: their types and when two are the same. Pure."""

import math
from collections.abc import Hashable, Iterable
from typing import Any, Literal

JsonType = Literal["null", "boolean", "number", "string", "array", "object"]

TYPES: tuple[JsonType, ...] = ("null", "boolean", "number", "string", "array", "object")
"""The types that do not overlap; an integer is a whole number."""

LARGEST = 2**53 - 1
"""Whole numbers up to here survive a reader that knows only doubles."""


def type_of(value: Any) -> JsonType:
    """Return the JSON type of a decoded value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def key_of(value: Any) -> Hashable:
    """Return what two values share if, and only if, they are the same; quick to look up."""
    match type_of(value):
        case "array":
            return ("array", *map(key_of, value))
        case "object":
            return ("object", frozenset((name, key_of(each)) for name, each in value.items()))
        case kind:
            return (kind, value)


def shared(left: Iterable[Any], right: Iterable[Any]) -> list[Any]:
    """Return the values of the first that are also among the second: 1 is 1.0, but true is not 1."""
    keys = {key_of(value) for value in right}
    return [value for value in left if key_of(value) in keys]


def is_whole(value: float) -> bool:
    """Whether a number has no fraction."""
    return isinstance(value, int) or (math.isfinite(value) and value.is_integer())


def is_writable(value: Any) -> bool:
    r"""Whether the grammar can spell the value: exact numbers, no control characters without a short escape.

    Escapes of the form \u0041 are never written: with them two spellings of a name would be possible.
    """
    match value:
        case bool() | None:
            return True
        case int():
            return abs(value) <= LARGEST
        case float():
            return math.isfinite(value) and abs(value) <= LARGEST
        case str():
            return not any(char < " " and char not in "\b\f\n\r\t" for char in value)
        case list() | tuple():
            return all(map(is_writable, value))
        case _:
            return all(is_writable(name) and is_writable(each) for name, each in value.items())
