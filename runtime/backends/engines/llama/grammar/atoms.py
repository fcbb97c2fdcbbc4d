"""An atom is a set of values of one type, with all that a schema demands of them. Pure.

A schema is a union of atoms; `merge` meets two. Subschemas of an atom are kept as they stand in the
document, and several that must hold at once as a tuple of them: a conjunction. The empty one is `anything`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jsonschema_rs

from runtime.backends.engines.llama.grammar.keywords import Place, Refused
from runtime.backends.engines.llama.grammar.values import JsonType, shared

Conjunction = tuple[Place, ...]
ANYTHING: Conjunction = ()


@dataclass(frozen=True, slots=True)
class Range:
    """Where numbers lie."""

    low: float = -math.inf
    high: float = math.inf
    is_low_out: bool = False
    is_high_out: bool = False

    def meet(self, other: "Range") -> "Range":
        """Return what lies in both."""
        low = max((self.low, self.is_low_out), (other.low, other.is_low_out))
        high = min((self.high, not self.is_high_out), (other.high, not other.is_high_out))
        return Range(low[0], high[0], low[1], not high[1])

    def is_empty(self) -> bool:
        """Whether no number lies here."""
        return self.low > self.high or (self.low == self.high and (self.is_low_out or self.is_high_out))

    def holds(self, value: float) -> bool:
        """Whether the number lies here."""
        return not self.meet(Range(value, value)).is_empty()


@dataclass(frozen=True, slots=True)
class Atom:
    """Values of one type; a field that does not concern the type is at its default."""

    path: tuple[str, ...] = field(compare=False)
    """Where it comes from, for messages."""
    type: JsonType
    is_implied: bool = field(default=False, compare=False)
    """Whether the schema names no type, so that all six are in it."""
    is_loop: bool = field(default=False, compare=False)
    """Whether a reference led here that leads back to itself."""
    values: tuple[Any, ...] | None = None
    """If not None, only these."""
    range: Range = Range()
    is_whole: bool = False
    multiples: tuple[float, ...] = ()
    least: int = 0
    """Length of a string, items of an array, properties of an object."""
    most: int | None = None
    patterns: tuple[str, ...] = ()
    prefix: tuple[Conjunction, ...] = ()
    is_unique: bool = False
    properties: Mapping[str, Conjunction] = field(default_factory=dict)
    is_listed: bool = False
    """Whether properties are listed, even if none is: an object that is left open then has no others."""
    patterned: Mapping[str, Conjunction] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    rest: Conjunction = ANYTHING
    """What items after the prefix, or properties that are not named, must meet."""

    def item(self, place: int) -> Conjunction:
        """Return what the item at this place must meet."""
        return self.prefix[place] if place < len(self.prefix) else self.rest

    def named(self, name: str) -> Conjunction:
        """Return what the property must meet."""
        own = self.properties.get(name, ANYTHING)
        verdicts = [(matches(pattern, name), places) for pattern, places in self.patterned.items()]
        for is_matched, places in verdicts:
            if is_matched:
                own = join(own, places)

        is_known = name in self.properties or any(is_matched is not False for is_matched, _ in verdicts)
        return own if is_known else self.rest


def matches(pattern: str, text: str) -> bool | None:
    """Whether a pattern of a schema is found in the text; None if it cannot be read.

    Patterns come from clients, so they are searched for in time that grows with the text, not beyond.
    """
    finder = _finder(pattern)
    return None if finder is None else bool(finder.is_valid(text))


@lru_cache(maxsize=256)
def _finder(pattern: str) -> Any:
    try:
        return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, ValueError):
        return None


def merge(left: Atom, right: Atom) -> Atom | None:
    """Return what is in both, or None. Raises Refused where that cannot be said."""
    if left.type != right.type:
        return None

    atom = replace(
        left,
        is_implied=left.is_implied and right.is_implied,
        is_loop=left.is_loop or right.is_loop,
        values=_meet_values(left, right),
        range=left.range.meet(right.range),
        is_whole=left.is_whole or right.is_whole,
        multiples=tuple(dict.fromkeys(left.multiples + right.multiples)),
        least=max(left.least, right.least),
        most=min((most for most in (left.most, right.most) if most is not None), default=None),
        patterns=tuple(dict.fromkeys(left.patterns + right.patterns)),
        is_unique=left.is_unique or right.is_unique,
    )
    if left.type == "array":
        atom = _merge_items(atom, left, right)
    elif left.type == "object":
        atom = _merge_properties(atom, left, right)

    return None if is_empty(atom) else atom


def meant(atoms: tuple[Atom, ...]) -> tuple[Atom, ...]:
    """Leave out the types of which a schema that names no type says nothing, where it speaks of another.

    To the letter {"properties": …} also accepts 5; nobody means that.
    """
    spoken = {atom.path for atom in atoms if atom.is_implied and atom != Atom((), atom.type)}
    return tuple(atom for atom in atoms if atom.path not in spoken or atom != Atom((), atom.type))


def is_empty(atom: Atom) -> bool:
    """Whether it is plain that nothing is in the atom."""
    return atom.values == () or atom.range.is_empty() or (atom.most is not None and atom.least > atom.most)


def _meet_values(left: Atom, right: Atom) -> tuple[Any, ...] | None:
    if left.values is None or right.values is None:
        return right.values if left.values is None else left.values

    return tuple(shared(left.values, right.values))


def join(left: Conjunction, right: Conjunction) -> Conjunction:
    """Return what meets both."""
    return tuple(dict.fromkeys((*left, *right))) if left and right else left or right


def _merge_items(atom: Atom, left: Atom, right: Atom) -> Atom:
    places = range(max(len(left.prefix), len(right.prefix)))
    prefix = tuple(join(left.item(place), right.item(place)) for place in places)
    return replace(atom, prefix=prefix, rest=join(left.rest, right.rest))


def _merge_properties(atom: Atom, left: Atom, right: Atom) -> Atom:
    for one, other in ((left, right), (right, left)):
        if one.patterned and (other.properties or other.patterned or other.rest or other.required):
            raise Refused(
                one.path, "patternProperties cannot be combined with other properties by allOf or $ref"
            )

    names = dict.fromkeys((*left.properties, *right.properties))
    return replace(
        atom,
        properties={name: join(left.named(name), right.named(name)) for name in names},
        is_listed=left.is_listed or right.is_listed,
        patterned=left.patterned or right.patterned,
        required=tuple(dict.fromkeys((*left.required, *right.required))),
        rest=join(left.rest, right.rest),
    )
