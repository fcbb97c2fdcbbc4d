"""Whether a value meets a JSON Schema, and if not, which keyword says so. Pure.

One small function per keyword. `format` is an annotation, as JSON Schema has it, and is not checked.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from runtime.backends.engines.scripted.scalars import as_fraction
from runtime.backends.engines.scripted.schema import (
    Document,
    Keywords,
    Schema,
    SchemaRefused,
    escape,
    is_number,
)


class Violation(NamedTuple):
    """A keyword that a value does not meet."""

    keyword: str
    path: str
    why: str


def is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 is 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other

    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))

    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)

    return bool(one == other)


class Inspection:
    """Checks values against the schemas of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._following: set[tuple[str, int]] = set()
        """References that are being followed now, each with the value that it is followed for."""

    def find_violation(self, value: Any, schema: Schema, path: str) -> Violation | None:
        """Return the first keyword that the value does not meet; None where it meets all.

        Raises SchemaRefused where the schema is malformed.
        """
        keywords = self._document.open(schema, path)
        case = _Case(self, value, keywords, path)
        for keyword, argument in keywords.items():
            check = _CHECKS.get(keyword)
            found = check(case, argument) if check else None
            if found is not None:
                return found

        return None

    def follow(self, value: Any, reference: str, path: str) -> Violation | None:
        """Check the value against a referenced schema. Raises SchemaRefused if that leads in a circle."""
        step = (reference, id(value))
        if step in self._following:
            raise SchemaRefused("$ref", path, f"leads back to '{reference}' without an end")

        self._following.add(step)
        try:
            target, target_path = self._document.resolve(reference, path)
            return self.find_violation(value, target, target_path)
        finally:
            self._following.remove(step)


class _Case(NamedTuple):
    """A value, and the schema object whose keywords it is checked against."""

    inspection: Inspection
    value: Any
    keywords: Keywords
    path: str

    def unless(self, is_met: bool, keyword: str, why: str) -> Violation | None:
        return None if is_met else Violation(keyword, self.path, why)

    def within(self, value: Any, schema: Schema, suffix: str) -> Violation | None:
        return self.inspection.find_violation(value, schema, f"{self.path}/{suffix}")

    def meets(self, schema: Schema, suffix: str) -> bool:
        return self.within(self.value, schema, suffix) is None


def first(violations: Iterator[Violation | None]) -> Violation | None:
    """Return the first violation there is."""
    return next((violation for violation in violations if violation), None)


_MATCHES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and value == int(value),
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _type(case: _Case, names: Any) -> Violation | None:
    listed = names if isinstance(names, list) else [names]
    is_met = any(_MATCHES[name](case.value) for name in listed)
    return case.unless(is_met, "type", f"allows only {' or '.join(listed)}")


def _enum(case: _Case, values: list[Any]) -> Violation | None:
    return case.unless(any(is_same(case.value, value) for value in values), "enum", "lists no fitting value")


def _const(case: _Case, value: Any) -> Violation | None:
    return case.unless(is_same(case.value, value), "const", "contradicts the rest")


def _limit(
    kind: type | tuple[type, ...],
    measure: Callable[[Any], Any],
    is_met: Callable[[Any, Any], bool],
    keyword: str,
) -> Callable[[_Case, Any], Violation | None]:
    """Return a check that compares a measure of values of one kind with the keyword's argument."""

    def check(case: _Case, bound: Any) -> Violation | None:
        if not isinstance(case.value, kind) or isinstance(case.value, bool):
            return None

        return case.unless(is_met(measure(case.value), bound), keyword, f"{bound} contradicts the rest")

    return check


def _at_least(measured: Any, bound: Any) -> bool:
    return bool(measured >= bound)


def _at_most(measured: Any, bound: Any) -> bool:
    return bool(measured <= bound)


def _above(measured: Any, bound: Any) -> bool:
    return bool(measured > bound)


def _below(measured: Any, bound: Any) -> bool:
    return bool(measured < bound)


def _is_multiple(measured: Any, step: Any) -> bool:
    return (as_fraction(measured) / as_fraction(step)).denominator == 1


def _itself(value: Any) -> Any:
    return value


def _pattern(case: _Case, pattern: str) -> Violation | None:
    if not isinstance(case.value, str) or re.search(pattern, case.value):
        return None

    why = "cannot be followed; give a fitting value as default, example or enum"
    return Violation("pattern", case.path, why)


def _required(case: _Case, names: list[str]) -> Violation | None:
    if not isinstance(case.value, dict):
        return None

    missing = [name for name in names if name not in case.value]
    return case.unless(not missing, "required", f"asks for {missing} against the rest")


def _dependent_required(case: _Case, names: dict[str, list[str]]) -> Violation | None:
    if not isinstance(case.value, dict):
        return None

    missing = [
        each
        for name, needed in names.items()
        if name in case.value
        for each in needed
        if each not in case.value
    ]
    return case.unless(not missing, "dependentRequired", f"asks for {missing} against the rest")


def _properties(case: _Case, schemas: dict[str, Schema]) -> Violation | None:
    if not isinstance(case.value, dict):
        return None

    return first(
        case.within(case.value[name], schema, f"properties/{escape(name)}")
        for name, schema in schemas.items()
        if name in case.value
    )


def _pattern_properties(case: _Case, schemas: dict[str, Schema]) -> Violation | None:
    if not isinstance(case.value, dict):
        return None

    return first(
        case.within(inner, schema, f"patternProperties/{escape(pattern)}")
        for pattern, schema in schemas.items()
        for name, inner in case.value.items()
        if re.search(pattern, name)
    )


def is_declared(keywords: Keywords, name: str) -> bool:
    """Whether a schema object itself says what the property may hold: additionalProperties does not then."""
    patterns = keywords.get("patternProperties", {})
    return name in keywords.get("properties", {}) or any(re.search(pattern, name) for pattern in patterns)


def _additional_properties(case: _Case, schema: Schema) -> Violation | None:
    if not isinstance(case.value, dict):
        return None

    return first(
        case.within(inner, schema, "additionalProperties")
        for name, inner in case.value.items()
        if not is_declared(case.keywords, name)
    )


def _property_names(case: _Case, schema: Schema) -> Violation | None:
    if not isinstance(case.value, dict):
        return None

    return first(case.within(name, schema, "propertyNames") for name in case.value)


def item_schema(keywords: Keywords, index: int) -> tuple[Schema, str]:
    """Return what a schema object says about the item at an index, and where it says so.

    Understands both ways of listing the first items: prefixItems, and the older items as a list.
    """
    items = keywords.get("items", True)
    prefix, word = (
        (items, "items") if isinstance(items, list) else (keywords.get("prefixItems", []), "prefixItems")
    )
    if index < len(prefix):
        return prefix[index], f"{word}/{index}"

    if isinstance(items, list):
        return keywords.get("additionalItems", True), "additionalItems"

    return items, "items"


def _items(case: _Case, _: Any) -> Violation | None:
    if not isinstance(case.value, list):
        return None

    return first(
        case.within(item, *item_schema(case.keywords, index)) for index, item in enumerate(case.value)
    )


def _unique_items(case: _Case, is_wanted: bool) -> Violation | None:
    if not isinstance(case.value, list) or not is_wanted:
        return None

    items = case.value
    is_met = not any(is_same(item, earlier) for index, item in enumerate(items) for earlier in items[:index])
    return case.unless(is_met, "uniqueItems", "cannot be met by so few values")


def _contains(case: _Case, schema: Schema) -> Violation | None:
    if not isinstance(case.value, list):
        return None

    count = sum(case.within(item, schema, "contains") is None for item in case.value)
    least, most = case.keywords.get("minContains", 1), case.keywords.get("maxContains")
    is_met = count >= least and (most is None or count <= most)
    return case.unless(is_met, "contains", "contradicts the rest")


def _ref(case: _Case, reference: str) -> Violation | None:
    return case.inspection.follow(case.value, reference, case.path)


def _all_of(case: _Case, schemas: list[Schema]) -> Violation | None:
    return first(case.within(case.value, schema, f"allOf/{index}") for index, schema in enumerate(schemas))


def _any_of(case: _Case, schemas: list[Schema]) -> Violation | None:
    is_met = any(case.meets(schema, f"anyOf/{index}") for index, schema in enumerate(schemas))
    return case.unless(is_met, "anyOf", "has no branch that agrees with the rest")


def _one_of(case: _Case, schemas: list[Schema]) -> Violation | None:
    count = sum(case.meets(schema, f"oneOf/{index}") for index, schema in enumerate(schemas))
    return case.unless(count == 1, "oneOf", "has no branch that can be met alone")


def _not(case: _Case, schema: Schema) -> Violation | None:
    return case.unless(not case.meets(schema, "not"), "not", "excludes every value")


def _if(case: _Case, schema: Schema) -> Violation | None:
    branch = "then" if case.meets(schema, "if") else "else"
    return case.within(case.value, case.keywords.get(branch, True), branch)


_NUMBERS = (int, float)
_CHECKS: dict[str, Callable[[_Case, Any], Violation | None]] = {
    "$ref": _ref,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _limit(_NUMBERS, _itself, _at_least, "minimum"),
    "maximum": _limit(_NUMBERS, _itself, _at_most, "maximum"),
    "exclusiveMinimum": _limit(_NUMBERS, _itself, _above, "exclusiveMinimum"),
    "exclusiveMaximum": _limit(_NUMBERS, _itself, _below, "exclusiveMaximum"),
    "multipleOf": _limit(_NUMBERS, _itself, _is_multiple, "multipleOf"),
    "minLength": _limit(str, len, _at_least, "minLength"),
    "maxLength": _limit(str, len, _at_most, "maxLength"),
    "minItems": _limit(list, len, _at_least, "minItems"),
    "maxItems": _limit(list, len, _at_most, "maxItems"),
    "minProperties": _limit(dict, len, _at_least, "minProperties"),
    "maxProperties": _limit(dict, len, _at_most, "maxProperties"),
    "pattern": _pattern,
    "required": _required,
    "dependentRequired": _dependent_required,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "items": _items,
    "prefixItems": _items,
    "uniqueItems": _unique_items,
    "contains": _contains,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
}
