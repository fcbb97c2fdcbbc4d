"""Evaluates filters over columns of attributes: which rows satisfy a comparison, or comparisons joined.

Pure. A missing attribute, or one of another type, satisfies only `ne`, `nin` and `exists: false`. Texts are
ordered by their code points, false comes before true, and `contains` does not regard case.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.filters import MAX_COMPARISONS, MAX_DEPTH, Comparison, Compound, Filter, Scalar
from runtime.recall.columns_attributes import ABSENT, BOOL, NUMBER, TEXT, AttributeColumn, as_float

Mask: TypeAlias = NDArray[np.bool_]
_Order = Callable[..., bool]
"""Of two values, or of an array and a value."""

_ORDERS: dict[str, _Order] = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def check_filter(where: Filter) -> None:
    """Refuse a filter that means nothing or is too large. Raises RequestInvalid, naming `filters`."""
    size = 0
    for comparison in _comparisons(where, 1):
        _check_value(comparison)
        size += len(comparison.value) if isinstance(comparison.value, tuple) else 1
        if size > MAX_COMPARISONS:
            raise _refusal(f"It has more than {MAX_COMPARISONS} comparisons. Ask in several searches.")


def matching(where: Filter, columns: Mapping[str, AttributeColumn], rows: int) -> Mask:
    """Return of each of so many rows whether it satisfies a filter that was checked."""
    match where:
        case Comparison():
            return _compared(where, columns.get(where.key), rows)
        case Compound(type="not"):
            return ~matching(where.filters[0], columns, rows)
        case Compound():
            mask = matching(where.filters[0], columns, rows)
            for each in where.filters[1:]:
                if where.type == "and":
                    mask &= matching(each, columns, rows)
                else:
                    mask |= matching(each, columns, rows)
            return mask


def _comparisons(where: Filter, depth: int) -> Iterator[Comparison]:
    if isinstance(where, Comparison):
        yield where
        return

    if depth > MAX_DEPTH:
        raise _refusal(f"Its compounds are nested deeper than {MAX_DEPTH}. Flatten it.")
    if where.type == "not" and len(where.filters) != 1:
        raise _refusal(f"'not' takes exactly one filter, not {len(where.filters)}.")
    if not where.filters:
        raise _refusal(f"'{where.type}' joins no filter. Give it at least one, or leave it out.")
    for each in where.filters:
        yield from _comparisons(each, depth + 1)


def _check_value(comparison: Comparison) -> None:
    value, kind = comparison.value, comparison.type
    if kind in ("in", "nin"):
        if not isinstance(value, tuple):
            raise _refusal(f"'{kind}' takes a list of values (attribute '{comparison.key}').")
    elif isinstance(value, tuple):
        raise _refusal(f"'{kind}' takes one value, not a list (attribute '{comparison.key}'): use 'in'.")
    elif kind == "exists" and not isinstance(value, bool):
        raise _refusal(f"'exists' takes true or false (attribute '{comparison.key}').")
    elif kind == "contains" and not isinstance(value, str):
        raise _refusal(f"'contains' takes a text (attribute '{comparison.key}').")


def _refusal(reason: str) -> RequestInvalid:
    return RequestInvalid(
        Fault(code="invalid_request", message=f"The filter cannot be used. {reason}", param="filters")
    )


def _compared(comparison: Comparison, column: AttributeColumn | None, rows: int) -> Mask:
    kind, value = comparison.type, comparison.value
    if column is None:
        is_satisfied = kind in ("ne", "nin") or (kind == "exists" and value is False)
        return np.full(rows, is_satisfied, np.bool_)

    values = value if isinstance(value, tuple) else (value,)
    match kind:
        case "eq" | "in":
            return _equal(column, values)
        case "ne" | "nin":
            return ~_equal(column, values)
        case "exists":
            is_absent: Mask = column.kinds == ABSENT
            return ~is_absent if values[0] else is_absent
        case "contains":
            needle = str(values[0]).casefold()
            return _with_text(column, [needle in text for text in column.folded])
        case _:
            return _ordered(column, _ORDERS[kind], values[0])


def _equal(column: AttributeColumn, values: Sequence[Scalar]) -> Mask:
    """Tell where one of the values stands."""
    is_wanted: Mask = np.zeros(len(column.dictionary.texts), np.bool_)
    bools: set[bool] = set()
    floats: list[float] = []
    wholes: set[int] = set()
    for value in values:
        match value:
            case str():
                code = column.dictionary.find(value)
                if code is not None:
                    is_wanted[code] = True
            case bool():
                bools.add(value)
            case _:
                number = as_float(value)
                if number is None:
                    wholes.add(int(value))
                else:
                    floats.append(number)
    mask = _with_text(column, is_wanted)
    if bools:
        mask |= (column.kinds == BOOL) & np.isin(column.numbers, [float(each) for each in bools])
    if floats:
        mask |= (column.kinds == NUMBER) & np.isin(column.numbers, floats)
    for row, whole in column.exact.items():
        mask[row] = whole in wholes
    return mask


def _ordered(column: AttributeColumn, order: _Order, value: Scalar) -> Mask:
    match value:
        case str():
            return _with_text(column, [order(text, value) for text in column.dictionary.texts])
        case bool():
            is_true: Mask = (column.kinds == BOOL) & order(column.numbers, float(value))
            return is_true
        case _:
            return _ordered_numbers(column, order, value)


def _ordered_numbers(column: AttributeColumn, order: _Order, value: float) -> Mask:
    is_number = column.kinds == NUMBER
    number = as_float(value)
    if number is None:
        # Python compares a whole number with a float exactly, numpy would round it first.
        mask: Mask = np.zeros(len(is_number), np.bool_)
        rows = np.flatnonzero(is_number)
        mask[rows] = [order(each, value) for each in column.numbers[rows].tolist()]
    else:
        mask = is_number & order(column.numbers, number)
    for row, whole in column.exact.items():
        mask[row] = order(whole, value)
    return mask


def _with_text(column: AttributeColumn, is_wanted: Sequence[bool] | Mask) -> Mask:
    """Return the rows whose text is a wanted one of the dictionary."""
    wanted = np.asarray(is_wanted, np.bool_)
    mask: Mask = column.kinds == TEXT
    if not wanted.any():
        return np.zeros(len(mask), np.bool_)
    mask[mask] = wanted[column.codes[mask]]
    return mask
