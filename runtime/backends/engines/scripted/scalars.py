"""Numbers and strings that meet limits, the smallest first. Pure; streams are bounded by STREAM.

A stream proposes: what a schema says besides limits is checked elsewhere.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from itertools import count, islice
from typing import NamedTuple

STREAM = 256
"""Distinct values that are proposed before a search is given up."""
MAX_LENGTH = 65_536
"""The longest string that is made."""

_WHOLE_FIRST = 16
"""Whole numbers that are proposed before fractions, where both may be."""
_ROOM = 64
"""How far to look beyond a bound that has no other one to face it."""
_HALVINGS = (2, 4, 8, 16, 32, 64, 128)
"""How finely the room between two bounds is divided, where no whole number lies there."""
_EXACT = 2**53
"""From here on a float holds no fraction."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Span(NamedTuple):
    """Where a number may lie."""

    low: Fraction | None = None
    high: Fraction | None = None
    is_low_open: bool = False
    is_high_open: bool = False

    def holds(self, number: Fraction) -> bool:
        """Whether the number lies inside."""
        is_high_enough = (
            self.low is None or number > self.low or (number == self.low and not self.is_low_open)
        )
        is_low_enough = (
            self.high is None or number < self.high or (number == self.high and not self.is_high_open)
        )
        return is_high_enough and is_low_enough


def as_fraction(number: float) -> Fraction:
    """Return the number as it is written: 0.1 is a tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def common_multiple(steps: list[Fraction]) -> Fraction:
    """Return the smallest number that is a multiple of every step."""
    common = steps[0]
    for step in steps[1:]:
        top = math.lcm(common.numerator * step.denominator, step.numerator * common.denominator)
        common = Fraction(top, common.denominator * step.denominator)

    return common


def list_numbers(span: Span, steps: list[Fraction]) -> Iterator[int | float]:
    """Yield multiples of every step inside the span, the nearest to zero first; any number if no steps."""
    if steps:
        multiples = partial(_multiples, span, common_multiple(steps))
        yield from _plain(each for each in multiples() if _divides_plainly(each, steps))
        yield from _plain(each for each in multiples() if not _divides_plainly(each, steps))
        return

    whole = _plain(_multiples(span, Fraction(1)))
    yield from islice(whole, _WHOLE_FIRST)
    yield from _plain(filter(span.holds, _fractions(span)))
    yield from whole


def _multiples(span: Span, step: Fraction) -> Iterator[Fraction]:
    start = 0
    if span.low is not None and span.low > 0:
        start = math.ceil(span.low / step)
    elif span.high is not None and span.high < 0:
        start = math.floor(span.high / step)

    for distance in range(STREAM):
        for place in dict.fromkeys((start + distance, start - distance)):
            if span.holds(place * step):
                yield place * step


def _fractions(span: Span) -> Iterator[Fraction]:
    low, high = span.low, span.high
    if low is not None:
        yield low

    if high is not None:
        yield high

    if low is None:
        low = Fraction(0) if high is None else high - _ROOM

    if high is None:
        high = low + _ROOM

    if max(abs(low), abs(high)) < _EXACT:
        for parts in _HALVINGS:
            for part in range(1, parts, 2):
                yield low + (high - low) * part / parts


def _divides_plainly(number: Fraction, steps: list[Fraction]) -> bool:
    """Whether a division of floats sees the multiples too: 0.3 / 0.1 does not, 0.2 / 0.1 does."""
    try:
        return all((float(number) / float(step)).is_integer() for step in steps)
    except (OverflowError, ZeroDivisionError):
        return False


def _plain(numbers: Iterable[Fraction]) -> Iterator[int | float]:
    for number in numbers:
        if number.denominator == 1:
            yield number.numerator
        elif abs(number) < _EXACT:
            yield float(number)


def _padded_uri(index: int, pad: str) -> str:
    path = f"/{index or ''}{pad}"
    return "https://example.com" + (path if len(path) > 1 else "")


_FORMATS: dict[str, Callable[[int, str], str]] = {
    "date-time": lambda index, _: f"2000-01-01T{index // 60:02}:{index % 60:02}:00Z",
    "date": lambda index, _: f"{2000 + index}-01-01",
    "time": lambda index, _: f"{index // 60:02}:{index % 60:02}:00Z",
    "duration": lambda index, _: f"P{index + 1}D",
    "email": lambda index, pad: f"a{index or ''}{pad}@example.com",
    "idn-email": lambda index, pad: f"a{index or ''}{pad}@example.com",
    "hostname": lambda index, _: f"host{index or ''}.example.com",
    "idn-hostname": lambda index, _: f"host{index or ''}.example.com",
    "ipv4": lambda index, _: f"127.0.0.{(index + 1) % STREAM}",
    "ipv6": lambda index, _: f"::{index + 1:x}",
    "uri": _padded_uri,
    "uri-reference": _padded_uri,
    "iri": _padded_uri,
    "iri-reference": _padded_uri,
    "uri-template": _padded_uri,
    "uuid": lambda index, _: f"{index:08x}-0000-4000-8000-000000000000",
    "json-pointer": lambda index, pad: f"/{index or ''}{pad}",
    "relative-json-pointer": lambda index, _: f"{index}",
}
"""The sample number `index` of each format; `pad` makes it longer where the format lets it."""


def list_strings(least: int, most: int | None, formats: list[str]) -> Iterator[str]:
    """Yield strings of allowed length, the shortest first, in the first format that is known."""
    if least > MAX_LENGTH or (most is not None and most < least):
        return

    make = next((_FORMATS[each] for each in formats if each in _FORMATS), None)
    texts = _words(least) if make is None else _samples(make, least)
    for text in islice(texts, STREAM):
        if most is None or len(text) <= most:
            yield text


def _samples(make: Callable[[int, str], str], least: int) -> Iterator[str]:
    for index in range(STREAM):
        short = make(index, "")
        yield make(index, "a" * max(0, least - len(short)))


def _words(least: int) -> Iterator[str]:
    """Yield "" or as many letters as are needed, then other words of that length, then longer ones."""
    for length in count(least):
        variable = min(length, 2)
        for index in range(len(_LETTERS) ** variable):
            head = [_LETTERS[index // len(_LETTERS) ** place % len(_LETTERS)] for place in range(variable)]
            yield "".join(head) + "a" * (length - variable)
