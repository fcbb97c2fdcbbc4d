"""Lays out the alternatives of a JSON Schema, and reads what one of them asks for. Pure.

A variant is a set of schema objects to be met all together: one branch of each anyOf, oneOf and if was
chosen, allOf and references were followed. What their keywords say together is read with the functions below.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

from runtime.backends.engines.scripted.conformity import is_declared, item_schema
from runtime.backends.engines.scripted.scalars import Span, as_fraction
from runtime.backends.engines.scripted.schema import Document, Keywords, Schema, SchemaRefused, escape


class Located(NamedTuple):
    """A schema and where it stands."""

    schema: Schema
    path: str


class Opened(NamedTuple):
    """A schema object whose form is right and whose alternatives are settled elsewhere."""

    keywords: Keywords
    path: str


Variant = tuple[Opened, ...]

_GUESSES = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "contains", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""Keywords that hint at a type where none is given."""
_ANY_TYPE = ("null", "boolean", "number", "string", "array", "object")


def list_variants(
    document: Document, todo: tuple[Located, ...], done: Variant = (), seen: frozenset[str] = frozenset()
) -> Iterator[Variant | SchemaRefused]:
    """Yield the ways to meet all the schemas, in their order; a refusal in place of each way that is barred.

    Raises SchemaRefused where a schema is malformed.
    """
    if not todo:
        yield done
        return

    head, *tail = todo
    if head.schema is False:
        yield SchemaRefused("false", head.path, "allows no value")
        return

    keywords = document.open(*head)
    if keywords.get("not") in (True, {}):
        yield SchemaRefused("not", head.path, "excludes every value")
        return

    parts = [
        Located(each, f"{head.path}/allOf/{index}") for index, each in enumerate(keywords.get("allOf", []))
    ]
    reference = keywords.get("$ref")
    if reference is not None and reference not in seen:
        seen |= {reference}
        parts.append(Located(*document.resolve(reference, head.path)))

    opened = (*done, Opened(keywords, head.path))
    for branches in product(*_branches(keywords, head.path)):
        chosen = (located for branch in branches for located in branch)
        yield from list_variants(document, (*parts, *chosen, *tail), opened, seen)


def _branches(keywords: Keywords, path: str) -> Iterator[list[list[Located]]]:
    """Yield each choice that a schema object leaves, as a list of branches."""
    for word in ("anyOf", "oneOf"):
        if word in keywords:
            yield [[Located(each, f"{path}/{word}/{index}")] for index, each in enumerate(keywords[word])]

    if "if" in keywords:
        condition = Located(keywords["if"], f"{path}/if")
        then = Located(keywords.get("then", True), f"{path}/then")
        otherwise = Located(keywords.get("else", True), f"{path}/else")
        yield [[otherwise], [condition, then]]


def list_values(variant: Variant, word: str) -> list[Any]:
    """Return the arguments of one keyword, wherever it stands in the variant."""
    return [keywords[word] for keywords, _ in variant if word in keywords]


def find_least(variant: Variant, word: str) -> int | None:
    """Return the strictest upper limit on a count; None where there is none."""
    return min((int(bound) for bound in list_values(variant, word)), default=None)


def find_greatest(variant: Variant, word: str) -> int:
    """Return the strictest lower limit on a count, 0 where there is none."""
    return max((int(bound) for bound in list_values(variant, word)), default=0)


def list_types(variant: Variant) -> list[str] | SchemaRefused:
    """Return the types that every schema object allows, in the order to try them.

    Where none names a type, keywords that make sense for one type alone are taken as a hint that it is meant.
    """
    guesses = [name for name, words in _GUESSES.items() if any(list_values(variant, word) for word in words)]
    if guesses and not list_values(variant, "type"):
        return guesses

    allowed = list(dict.fromkeys((*guesses, *_ANY_TYPE)))
    for keywords, path in variant:
        if "type" not in keywords:
            continue

        listed = keywords["type"] if isinstance(keywords["type"], list) else [keywords["type"]]
        both = [_narrower(one, other) for other in listed for one in allowed]
        allowed = list(dict.fromkeys(name for name in both if name))
        if not allowed:
            return SchemaRefused("type", path, f"{' or '.join(listed)} contradicts another type")

    return allowed


def _narrower(one: str, other: str) -> str | None:
    """Return the type of the values that are of both types."""
    if one == other:
        return one

    return "integer" if {one, other} == {"integer", "number"} else None


def span_of(variant: Variant) -> Span:
    """Return where all the limits together let a number lie."""
    lows = [(as_fraction(bound), False) for bound in list_values(variant, "minimum")]
    lows += [(as_fraction(bound), True) for bound in list_values(variant, "exclusiveMinimum")]
    highs = [(-as_fraction(bound), False) for bound in list_values(variant, "maximum")]
    highs += [(-as_fraction(bound), True) for bound in list_values(variant, "exclusiveMaximum")]
    nothing: tuple[Fraction | None, bool] = (None, False)
    low, is_low_open = max(lows, default=nothing)
    negated, is_high_open = max(highs, default=nothing)
    return Span(low, None if negated is None else -negated, is_low_open, is_high_open)


def list_names(variant: Variant) -> list[str]:
    """Return the names of the properties that an object must have, the declared ones in their order."""
    names = {name for needed in list_values(variant, "required") for name in needed}
    dependent = list_values(variant, "dependentRequired")
    is_growing = True
    while is_growing:
        more = {each for rules in dependent for name in names & rules.keys() for each in rules[name]}
        is_growing = not more <= names
        names |= more

    declared = [name for properties in list_values(variant, "properties") for name in properties]
    return [*dict.fromkeys(name for name in declared if name in names), *sorted(names - set(declared))]


def property_of(variant: Variant, name: str) -> tuple[Located, ...]:
    """Return the schemas that a property of an object must meet."""
    return tuple(located for opened in variant for located in _property_schemas(opened, name))


def _property_schemas(opened: Opened, name: str) -> Iterator[Located]:
    keywords, path = opened
    if name in keywords.get("properties", {}):
        yield Located(keywords["properties"][name], f"{path}/properties/{escape(name)}")

    for pattern, schema in keywords.get("patternProperties", {}).items():
        if is_declared({"patternProperties": {pattern: schema}}, name):
            yield Located(schema, f"{path}/patternProperties/{escape(pattern)}")

    if "additionalProperties" in keywords and not is_declared(keywords, name):
        yield Located(keywords["additionalProperties"], f"{path}/additionalProperties")


def item_of(variant: Variant, index: int, *, is_contained: bool) -> tuple[Located, ...]:
    """Return the schemas that an item must meet; a contained one meets `contains` as well."""
    wanted = []
    for keywords, path in variant:
        schema, suffix = item_schema(keywords, index)
        wanted.append(Located(schema, f"{path}/{suffix}"))
        if is_contained and "contains" in keywords:
            wanted.append(Located(keywords["contains"], f"{path}/contains"))

    return tuple(wanted)


def prefix_length(variant: Variant) -> int:
    """Return how many items have a schema of their own."""
    lists = [*list_values(variant, "prefixItems"), *list_values(variant, "items")]
    return max((len(each) for each in lists if isinstance(each, list)), default=0)
