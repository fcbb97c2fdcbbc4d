"""Filters on attributes as clients write them: OpenAI's comparisons and compounds, and Lar's few more.

    {"type": "and", "filters": [{"type": "eq", "key": "year", "value": 2025}, …]}

From free JSON to the core's words; whatever is wrong is refused with its place, such as
`filters.filters[1].value`.
"""

from collections.abc import Mapping
from typing import Any, get_args

from runtime.api.bodies import nearest
from runtime.api.errors import invalid
from runtime.core.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    Comparison,
    Compound,
    Filter,
    Operator,
    Scalar,
)

_OPERATORS: Mapping[str, Operator] = {each: each for each in get_args(Operator)}
_COMPOUNDS = ("and", "or", "not")
_LISTS = ("in", "nin")
_ORDERED = ("gt", "gte", "lt", "lte")
_INTEGER_LIMIT = 2**63
_ECHO_LIMIT = 80


def filter_of(given: Any, param: str) -> Filter:
    """Return the filter that free JSON stands for. Raises Refused, naming the place below `param`."""
    return _Reader(param).read(given, param, depth=1)


class _Reader:
    """Reads one filter and counts its comparisons."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._count = 0

    def read(self, given: Any, param: str, depth: int) -> Filter:
        if not isinstance(given, dict):
            raise invalid(f"'{param}' must be an object with 'type'.", param, code="invalid_type")

        if depth > MAX_DEPTH:
            raise invalid(f"'{self._root}' nests deeper than {MAX_DEPTH} levels.", self._root)

        kind = given.get("type")
        if kind in _COMPOUNDS:
            _check_fields(given, ("type", "filters"), param)
            return self._compound(kind, given["filters"], f"{param}.filters", depth)

        if not isinstance(kind, str) or kind not in _OPERATORS:
            raise _unknown_kind(kind, param)

        _check_fields(given, ("type", "key", "value"), param)
        key, value = given["key"], given["value"]
        if not isinstance(key, str) or not key:
            raise invalid(f"'{param}.key' must be the name of an attribute.", f"{param}.key")
        return Comparison(type=_OPERATORS[kind], key=key, value=self._operand(kind, value, f"{param}.value"))

    def _compound(self, kind: Any, given: Any, param: str, depth: int) -> Compound:
        if not isinstance(given, list) or not given:
            way_out = f"To search everything leave '{self._root}' out."
            raise invalid(f"'{param}' must be a list of one filter at least. {way_out}", param)

        if kind == "not" and len(given) != 1:
            raise invalid(f"'{param}' must hold exactly one filter: 'not' joins nothing.", param)
        parts = tuple(self.read(each, f"{param}[{n}]", depth + 1) for n, each in enumerate(given))
        return Compound(type=kind, filters=parts)

    def _operand(self, kind: str, value: Any, param: str) -> Scalar | tuple[Scalar, ...]:
        if kind in _LISTS:
            if not isinstance(value, list):
                raise invalid(f"'{param}' must be a list, since the type is '{kind}'.", param)
            self._counted(len(value))
            return tuple(_scalar(each, f"{param}[{n}]") for n, each in enumerate(value))

        self._counted(1)
        scalar = _scalar(value, param)
        if kind == "exists" and not isinstance(scalar, bool):
            raise invalid(f"'{param}' must be true or false, since the type is 'exists'.", param)

        if kind == "contains" and not isinstance(scalar, str):
            raise invalid(f"'{param}' must be a string, since the type is 'contains'.", param)

        if kind in _ORDERED and isinstance(scalar, bool):
            raise invalid(f"'{param}' must be a number or a string: truth values have no order.", param)
        return scalar

    def _counted(self, more: int) -> None:
        self._count += more
        if self._count > MAX_COMPARISONS:
            message = f"'{self._root}' makes more than {MAX_COMPARISONS} comparisons. Narrow it in fewer."
            raise invalid(message, self._root)


def _scalar(value: Any, param: str) -> Scalar:
    if not isinstance(value, str | bool | int | float):
        raise invalid(f"'{param}' must be a string, a number, true or false.", param, code="invalid_type")

    if isinstance(value, int) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise invalid(f"'{param}' needs more than 64 bits.", param)
    return value


def _check_fields(given: Mapping[str, Any], fields: tuple[str, ...], param: str) -> None:
    for name in fields:
        if name not in given:
            place = f"{param}.{name}"
            raise invalid(f"Missing required parameter: '{place}'.", place, code="missing_required_parameter")

    for name in given:
        if name not in fields:
            place = f"{param}.{name[:_ECHO_LIMIT]}"
            known = ", ".join(fields)
            raise invalid(f"Unknown parameter: '{place}'. Known: {known}.", place, code="unknown_parameter")


def _unknown_kind(kind: Any, param: str) -> Exception:
    place = f"{param}.type"
    if kind is None:
        return invalid(f"Missing required parameter: '{place}'.", place, code="missing_required_parameter")

    known = (*_OPERATORS, *_COMPOUNDS)
    text = str(kind)[:_ECHO_LIMIT]
    meant = nearest(text, known)
    hint = f" Did you mean '{meant}'?" if meant else ""
    return invalid(f"Invalid value for '{place}': '{text}'.{hint} Known: {', '.join(known)}.", place)
