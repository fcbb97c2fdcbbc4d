"""Reads the small notations of `lar recall`: filters, attributes, intervals, shares. Nothing else."""

import argparse
import json
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from runtime.core.filters import Comparison, Compound, Filter, Operator, Scalar

_CONDITION = re.compile(
    r"\s*(?P<key>[^\s=!<>]+)\s*"
    r"(?:(?P<exists>exists|missing)"
    r"|(?P<op>==|=(?!=)|!=|>=|<=|>(?!=)|<(?!=)|(?:in|nin|contains|eq|ne|gte|gt|lte|lt)(?=\s))\s*(?P<value>.*\S))\s*",
    re.DOTALL,
)
_OPERATORS: Mapping[str, Operator] = {
    "=": "eq",
    "==": "eq",
    "!=": "ne",
    ">": "gt",
    ">=": "gte",
    "<": "lt",
    "<=": "lte",
    "in": "in",
    "nin": "nin",
    "contains": "contains",
    "eq": "eq",
    "ne": "ne",
    "gt": "gt",
    "gte": "gte",
    "lt": "lt",
    "lte": "lte",
}
_INTERVAL = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*(?P<unit>[smhd]?)")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHORTEST_S = 60.0
_LONGEST_S = 366 * 86400.0


class Attribute(NamedTuple):
    """One attribute of a document."""

    key: str
    value: Scalar


def condition(text: str) -> Comparison:
    """Read `key op value`. Raises ArgumentTypeError."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no filter; write 'year >= 2025', 'lang in de,en', 'title contains tea', "
            "'draft exists' or 'draft missing'"
        )

    key = match["key"]
    if match["exists"]:
        return Comparison(type="exists", key=key, value=match["exists"] == "exists")

    operator = _OPERATORS[match["op"]]
    if operator in ("in", "nin"):
        values = tuple(_scalar(each.strip()) for each in match["value"].split(",") if each.strip())
        return Comparison(type=operator, key=key, value=values)
    value = match["value"] if operator == "contains" else _scalar(match["value"])
    return Comparison(type=operator, key=key, value=_unquoted(value))


def all_of(conditions: list[Comparison]) -> Filter | None:
    """Join conditions: all must hold; None where there are none."""
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return Compound(type="and", filters=tuple(conditions))


def attribute(text: str) -> Attribute:
    """Read `key=value`. Raises ArgumentTypeError."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is no attribute; write KEY=VALUE, such as year=2026")
    return Attribute(key.strip(), _scalar(value.strip()))


def interval(text: str) -> float:
    """Read a duration such as `10m`. Raises ArgumentTypeError."""
    match = _INTERVAL.fullmatch(text.strip())
    seconds = float(match["count"]) * _UNITS[match["unit"]] if match else 0.0
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"'{text}' is no interval; write 10m, 6h or 1d, a minute at least")
    return seconds


def share(text: str) -> float:
    """Read a number from 0 to 1. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number <= 1.0:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to 1")
    return number


def whole(text: str) -> int:
    """Read a whole number, 0 included. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number")
    return int(text)


def _scalar(text: str) -> Scalar:
    """Read a number, a truth value or a quoted text as JSON has them; anything else is a text as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text

    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if isinstance(value, str | bool | int | float) else text


def _unquoted(value: Scalar) -> Scalar:
    is_quoted = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if isinstance(value, str) and is_quoted else value
