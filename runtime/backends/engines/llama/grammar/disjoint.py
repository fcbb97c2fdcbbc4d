"""Proves that two atoms share no value, as far as that is easy; and whether a value is in an atom. Pure."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from runtime.backends.engines.llama.grammar.atoms import Atom, Conjunction, matches
from runtime.backends.engines.llama.grammar.values import is_whole, key_of, shared, type_of

Read = Callable[[Conjunction], tuple[Atom, ...] | None]
"""Gives the atoms of a conjunction, or None where they cannot be told now."""

_DEPTH = 4
"""How many levels below the surface are looked at."""


def are_disjoint(left: Atom, right: Atom, read: Read, depth: int = _DEPTH) -> bool:
    """Whether it is certain that no value is in both."""
    if left.type != right.type:
        return True

    if left.type == "number" and left.range.meet(right.range).is_empty():
        return True

    for one, other in ((left, right), (right, left)):
        if other.most is not None and one.least > other.most:
            return True

        if one.values is not None and not _any_value_in(one.values, other, read):
            return True

    if depth == 0:
        return False

    if left.type == "array":
        places = range(max(left.least, right.least))
        return any(_are_apart(left.item(place), right.item(place), read, depth) for place in places)

    names = dict.fromkeys((*left.required, *right.required))
    return any(_are_apart(left.named(name), right.named(name), read, depth) for name in names)


def _any_value_in(values: tuple[Any, ...], atom: Atom, read: Read) -> bool:
    listed = values if atom.values is None else shared(values, atom.values)
    return any(may_hold(atom, value, read) for value in listed)


def _are_apart(left: Conjunction, right: Conjunction, read: Read, depth: int) -> bool:
    ones, others = read(left), read(right)
    if ones is None or others is None:
        return False

    return all(are_disjoint(one, other, read, depth - 1) for one in ones for other in others)


def may_hold(atom: Atom, value: Any, read: Read) -> bool:
    """Whether the value is in the atom, if it is among its listed ones.

    True where it cannot be told, for a pattern that Python cannot read.
    """
    if type_of(value) != atom.type:
        return False

    match atom.type:
        case "number":
            return _holds_number(atom, value)
        case "string":
            return _holds_length(atom, value) and all(
                matches(pattern, value) is not False for pattern in atom.patterns
            )
        case "array":
            return _holds_length(atom, value) and _holds_items(atom, value, read)
        case "object":
            return (
                _holds_length(atom, value)
                and all(name in value for name in atom.required)
                and all(_any_holds(atom.named(name), each, read) for name, each in value.items())
            )
        case _:
            return True


def _holds_number(atom: Atom, value: float) -> bool:
    if not atom.range.holds(value) or (atom.is_whole and not is_whole(value)):
        return False

    return all((Fraction(str(value)) / Fraction(str(step))).denominator == 1 for step in atom.multiples)


def _holds_length(atom: Atom, value: Any) -> bool:
    return atom.least <= len(value) and (atom.most is None or len(value) <= atom.most)


def _holds_items(atom: Atom, value: list[Any], read: Read) -> bool:
    if atom.is_unique and len({key_of(each) for each in value}) < len(value):
        return False

    return all(_any_holds(atom.item(place), each, read) for place, each in enumerate(value))


def _any_holds(places: Conjunction, value: Any, read: Read) -> bool:
    atoms = read(places)
    return atoms is None or any(_is_listed(atom, value) and may_hold(atom, value, read) for atom in atoms)


def _is_listed(atom: Atom, value: Any) -> bool:
    return atom.values is None or bool(shared([value], atom.values))
