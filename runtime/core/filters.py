"""What a search may be narrowed to: comparisons of attributes, joined by and / or / not, as OpenAI has them.

Words only. `recall/columns.py` evaluates them, the faces decode them.
"""

from typing import Literal

import msgspec

Scalar = str | bool | int | float
"""What an attribute may hold. A bool is not a number: `true` and `1` differ."""

Attributes = dict[str, Scalar]

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists"]
"""A missing attribute, or one of another type, satisfies only `ne`, `nin` and `exists: false`."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute against a value: `in` and `nin` take a list, `exists` a bool, `contains` a text."""

    type: Operator
    key: str
    value: Scalar | tuple[Scalar, ...]


class Compound(msgspec.Struct, frozen=True, kw_only=True):
    """Several filters joined; `not` takes exactly one."""

    type: Literal["and", "or", "not"]
    filters: tuple["Filter", ...]


Filter = Comparison | Compound

MAX_DEPTH = 16
"""Compounds inside compounds: beyond it a filter is refused."""
MAX_COMPARISONS = 512
"""In one filter, its lists counted by their values."""
