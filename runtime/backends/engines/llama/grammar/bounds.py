"""Writes numbers and strings so that they end: digits, decimals and characters are limited. Pure.

A small model can write digits or blanks for ever. What is written here is a subset of what was asked for,
and is never empty where that was not: each bound gives way to the schema's own minimum.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from runtime.backends.engines.llama.grammar.atoms import Atom, Range
from runtime.backends.engines.llama.grammar.values import LARGEST

Written = dict[str, Any] | bool
"""A schema for llguidance; False where nothing can be meant."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far things may go that the schema leaves open."""

    characters: int = 32_768
    """Of a string: more than an answer has room for in most contexts, since a string that is cut is wrong."""
    items: int = 128
    """Of an array."""
    names: int = 64
    """Of an object whose names are free."""
    name_characters: int = 64
    decimals: int = 9
    depth: int = 8
    """Levels of values that may be anything, and turns of definitions that refer to themselves."""


_FINEST = 10
"""More decimals than this llguidance cannot count."""

_EXACT_DIGITS = 15
"""Decimal digits that a double always holds."""

_PATTERN_ROOM = 64
"""Characters that a pattern may need at least: it says itself how long its texts are."""


def write_number(atom: Atom, limits: Limits) -> Written:
    """Return the schema of a number with bounds on both sides and few decimals."""
    span = atom.range.meet(Range(-LARGEST, LARGEST))
    if span.is_empty():
        return False

    step = _common_multiple([Fraction(str(each)) for each in atom.multiples])
    if atom.is_whole:
        whole = _common_multiple([Fraction(1), step] if step else [Fraction(1)])
        return _write_whole(span, atom.multiples, whole) if whole else False

    multiples = atom.multiples
    if step is None:
        step = _step(span, limits)
        multiples = (float(step),) if step else ()

    if step and _first(span, step) is None:
        return False

    return _with_multiples({"type": "number", **_ends(span)}, multiples)


def _write_whole(span: Range, multiples: tuple[float, ...], step: Fraction) -> Written:
    low, high = _first(span, step), _last(span, step)
    if low is None or high is None:
        return False

    return _with_multiples({"type": "integer", "minimum": int(low), "maximum": int(high)}, multiples)


def _with_multiples(schema: dict[str, Any], multiples: tuple[float, ...]) -> dict[str, Any]:
    for place, each in enumerate(multiples):
        if place == 0:
            schema["multipleOf"] = each
        else:
            schema.setdefault("allOf", []).append({"multipleOf": each})

    return schema


def _ends(span: Range) -> dict[str, Any]:
    low = "exclusiveMinimum" if span.is_low_out else "minimum"
    high = "exclusiveMaximum" if span.is_high_out else "maximum"
    return {low: span.low, high: span.high}


def _step(span: Range, limits: Limits) -> Fraction | None:
    """Return the decimals to write, as the smallest of them; None where none is fine enough.

    Beside a bound that is itself out, a number must not round to the bound when it is read.
    """
    given = [_decimals(end) for end in (span.low, span.high)]
    decimals = min(max(limits.decimals, *given), _FINEST)
    if span.is_low_out or span.is_high_out:
        digits = len(str(int(max(abs(span.low), abs(span.high)))))
        decimals = min(decimals, max(_EXACT_DIGITS - digits, 0))

    step = Fraction(1, 10**decimals)
    return step if _first(span, step) is not None else None


def _decimals(value: float) -> int:
    exponent = Decimal(str(value)).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _first(span: Range, step: Fraction) -> Fraction | None:
    """Return the smallest multiple of the step in the range."""
    low = Fraction(str(span.low))
    count = math.floor(low / step) + 1 if span.is_low_out else math.ceil(low / step)
    return _if_in(span, count * step)


def _last(span: Range, step: Fraction) -> Fraction | None:
    high = Fraction(str(span.high))
    count = math.ceil(high / step) - 1 if span.is_high_out else math.floor(high / step)
    return _if_in(span, count * step)


def _if_in(span: Range, value: Fraction) -> Fraction | None:
    low, high = Fraction(str(span.low)), Fraction(str(span.high))
    is_in = low <= value <= high and not (span.is_low_out and value == low)
    return value if is_in and not (span.is_high_out and value == high) else None


def _common_multiple(steps: list[Fraction]) -> Fraction | None:
    if not steps:
        return None

    common = steps[0]
    for step in steps[1:]:
        numerator = math.lcm(common.numerator * step.denominator, step.numerator * common.denominator)
        common = Fraction(numerator, common.denominator * step.denominator)

    return common


def write_string(atom: Atom, limits: Limits) -> dict[str, Any]:
    """Return the schema of a string with a greatest length."""
    room = max(limits.characters, _PATTERN_ROOM) if atom.patterns else limits.characters
    most = max(room, atom.least) if atom.most is None else atom.most
    schema: dict[str, Any] = {"type": "string", "maxLength": most}
    if atom.least:
        schema["minLength"] = atom.least

    for place, pattern in enumerate(atom.patterns):
        if place == 0:
            schema["pattern"] = pattern
        else:
            schema.setdefault("allOf", []).append({"pattern": pattern})

    return schema
