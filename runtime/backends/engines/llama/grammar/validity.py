"""Checks a result against the schema that the request came with, by a library that did not help to make it.

Nothing is fetched: with a schema that refers to elsewhere, or is none, every text has a problem. The meaning
is that of draft 2020-12, as in decoding; only a schema that is not valid there is read as an older draft.
"""

import json
from typing import Any

import jsonschema_rs

_DRAFTS = (
    jsonschema_rs.Draft202012Validator,
    jsonschema_rs.Draft7Validator,
    jsonschema_rs.Draft4Validator,
)

_SHOWN = 200
"""Characters of a problem that are told: it quotes the value, which may be long."""


class Validity:
    """The check for one schema; cheap to ask, some tens of microseconds to build."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Build the check; `refusal` says why there is none."""
        plain = {keyword: value for keyword, value in schema.items() if keyword != "$schema"}
        self.refusal: str | None = None
        self._validator: Any = None
        try:
            self._validator = _build(plain)
        except ValueError as problem:
            self.refusal = f"the schema cannot be checked: {problem}"[:_SHOWN]

    def problem(self, text: str) -> str | None:
        """Return what is wrong with this JSON text, or None if it is JSON and meets the schema."""
        if self.refusal is not None:
            return self.refusal

        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except ValueError as problem:
            return f"it is no JSON: {problem}"
        except RecursionError:
            return "it is nested too deeply"

        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as problem:
            place = ".".join(str(step) for step in problem.instance_path)
            return f"{place or 'the value'}: {problem.message}"[:_SHOWN]
        except ValueError as problem:
            return f"it cannot be checked: {problem}"[:_SHOWN]

        return None


def _build(schema: dict[str, Any]) -> Any:
    problems: list[str] = []
    for draft in _DRAFTS:
        try:
            return draft(schema, validate_formats=True, ignore_unknown_formats=True, offline=True)
        except (jsonschema_rs.ValidationError, ValueError) as problem:
            problems.append(getattr(problem, "message", str(problem)))

    raise ValueError(problems[0])


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
