"""A JSON Schema as a short sketch of the answer, for a model that a grammar holds to it anyway. Pure.

    {"name": string, "size": "small" | "large", "tags": [string (up to 12 characters)], "note"?: string}
takes about a third of the tokens of the schema itself. What a sketch has no words for is not sketched.
"""

import json
from typing import Any

from runtime.backends.engines.llama.grammar.keywords import ANNOTATIONS, HONOURED

_WORDLESS = frozenset(
    {"allOf", "patternProperties", "propertyNames", "minProperties", "maxProperties", "$anchor"}
)
_KNOWN = (HONOURED.keys() | ANNOTATIONS) - _WORDLESS
_DEPTH = 16
_MOST_CHARACTERS = 20_000


class _NoWords(Exception):
    """The schema says something that a sketch cannot."""


def sketch_schema(schema: dict[str, Any]) -> str | None:
    """Return the sketch, or None where it would leave out what only the schema says."""
    try:
        sketched = _Sketcher(schema).draw(schema, _DEPTH)
    except _NoWords:
        return None
    return sketched if len(sketched) <= _MOST_CHARACTERS else None


class _Sketcher:
    """Draws the subschemas of one document."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

    def draw(self, schema: Any, depth: int) -> str:
        """Return a subschema's sketch. Raises _NoWords."""
        if schema is True or schema == {}:
            return "any value"
        if not isinstance(schema, dict) or depth == 0:
            raise _NoWords

        if schema.keys() - _KNOWN:
            raise _NoWords

        form = self._form(schema, depth)
        about = schema.get("description")
        return f"{form} ({about.strip()})" if isinstance(about, str) and about.strip() else form

    def _form(self, schema: dict[str, Any], depth: int) -> str:
        if "$ref" in schema:
            return self.draw(self._target(schema["$ref"]), depth - 1)
        if "const" in schema:
            return _spell(schema["const"])
        if "enum" in schema:
            return " | ".join(_spell(each) for each in schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return " | ".join(self.draw(each, depth - 1) for each in schema[keyword])

        kinds = schema["type"] if "type" in schema else _implied(schema)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return " | ".join(self._of_type(schema, kind, depth) for kind in kinds)

    def _of_type(self, schema: dict[str, Any], kind: str, depth: int) -> str:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return f"string{_string_limits(schema)}"
            case "integer" | "number":
                return f"{kind}{_number_limits(schema)}"
            case _:
                return kind

    def _object(self, schema: dict[str, Any], depth: int) -> str:
        required = schema.get("required", ())
        named = schema.get("properties", {})
        members = [
            f"{_spell(name)}{'' if name in required else '?'}: {self.draw(each, depth - 1)}"
            for name, each in named.items()
        ]
        rest = schema.get("additionalProperties", not named)
        if rest is not False and not (rest is True and named):
            members.append(f"any name: {self.draw(rest, depth - 1)}")
        return f"{{{', '.join(members)}}}"

    def _array(self, schema: dict[str, Any], depth: int) -> str:
        first = [self.draw(each, depth - 1) for each in schema.get("prefixItems", ())]
        rest = schema.get("items", not first)
        if isinstance(rest, list):
            raise _NoWords
        if rest is not False and not (rest is True and first):
            first.append(f"{self.draw(rest, depth - 1)}, ..." if first else self.draw(rest, depth - 1))
        return f"[{', '.join(first)}]{_limits(schema, 'minItems', 'maxItems', 'items')}"

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise _NoWords

        found: Any = self._root
        for step in reference[2:].split("/"):
            if not isinstance(found, dict) or step not in found:
                raise _NoWords
            found = found[step]
        return found


def _implied(schema: dict[str, Any]) -> str:
    for keyword, kind in (("properties", "object"), ("items", "array"), ("prefixItems", "array")):
        if keyword in schema:
            return kind
    raise _NoWords


def _spell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _string_limits(schema: dict[str, Any]) -> str:
    if "pattern" in schema:
        return f" like {schema['pattern']}"
    if "format" in schema:
        return f" ({schema['format']})"
    return _limits(schema, "minLength", "maxLength", "characters")


def _number_limits(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    return _between(low, high, "")


def _limits(schema: dict[str, Any], least: str, most: str, what: str) -> str:
    low, high = schema.get(least, 0), schema.get(most)
    return _between(low if low > 1 else None, high, f" {what}")


def _between(low: Any, high: Any, what: str) -> str:
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f" (up to {high}{what})"
        case _, None:
            return f" (from {low}{what})"
        case _:
            return f" ({low}{what})" if low == high else f" ({low} to {high}{what})"
