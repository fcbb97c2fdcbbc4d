"""Writes objects with their counts, in forms that llguidance honours. Pure.

It counts properties only where every listed one is required, or none is and the count is one. Other counts
become a choice of objects, or require more than was asked.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from runtime.backends.engines.llama.grammar.atoms import Atom
from runtime.backends.engines.llama.grammar.bounds import Written
from runtime.backends.engines.llama.grammar.keywords import Refused

_CHOICES = 40
"""Objects in a union that stands for a count."""

Child = dict[str, Any]


class Names(NamedTuple):
    """The properties of an object, as they are written."""

    children: dict[str, Child]
    required: tuple[str, ...]
    free: dict[str, Any] | None
    """Keywords for names that are not listed; None: there are no others."""

    @property
    def optional(self) -> list[str]:
        """The listed names that may be left out."""
        return [name for name in self.children if name not in self.required]


def write_object(names: Names, atom: Atom, free: int, share: Callable[[Child], Child]) -> Written:
    """Return the schema; False if no object can be. `free` limits names that are not listed."""
    is_plain = not names.required and names.free is None and bool(names.children)
    if is_plain and atom.least == 1 and atom.most in (None, 1):
        return _schema(names, {"minProperties": 1} | ({"maxProperties": 1} if atom.most else {}))

    names = _require(names, atom.least)
    missing = atom.least - len(names.required)
    most = atom.most
    if most is not None and most < max(len(names.required), atom.least):
        return False

    if names.free is None or (most is not None and names.optional) or most == len(names.children):
        return False if missing > 0 else _closed(names._replace(free=None), atom)

    if missing > 1:
        why = "it cannot be enforced above 1 for names that are free, since one may come twice"
        raise Refused((*atom.path, "minProperties"), why)

    counts = {"minProperties": atom.least} if missing == 1 else {}
    limit = len(names.children) + free
    counts["maxProperties"] = limit if most is None else min(most, limit)
    if not names.optional:
        return _schema(names, counts)

    names = names._replace(children={name: share(child) for name, child in names.children.items()})
    every = names._replace(required=tuple(names.children))
    return {"anyOf": [_schema(names._replace(free=None), {}), _schema(every, counts)]}


def _require(names: Names, least: int) -> Names:
    """Require as many more as must be there anyhow, in their order."""
    more = names.optional[: max(least - len(names.required), 0)]
    return names._replace(required=(*names.required, *more))


def _closed(names: Names, atom: Atom) -> Written:
    """Write an object of listed names alone, of which at most so many may be there."""
    most = atom.most
    if most is None or len(names.children) <= most:
        return _schema(names, {})

    if most == 1 and not names.required:
        return _schema(names, {"maxProperties": 1})

    room = most - len(names.required)
    choices = list(itertools.islice(itertools.combinations(names.optional, room), _CHOICES + 1))
    if len(choices) > _CHOICES:
        why = "there are too many choices of properties; use anyOf with the properties of each case"
        raise Refused((*atom.path, "maxProperties"), why)

    branches = []
    for choice in choices:
        kept = {name: child for name, child in names.children.items() if name in (*names.required, *choice)}
        branches.append(_schema(names._replace(children=kept), {}))

    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def _schema(names: Names, counts: dict[str, int]) -> Child:
    free = {"additionalProperties": False} if names.free is None else names.free
    required = [name for name in names.children if name in names.required]
    return {"type": "object", "properties": names.children, "required": required, **free, **counts}
