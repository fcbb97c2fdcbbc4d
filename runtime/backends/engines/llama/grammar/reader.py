"""Reads a JSON Schema as unions of atoms: references followed, allOf met, oneOf proven to be anyOf. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from runtime.backends.engines.llama.grammar.atoms import (
    ANYTHING,
    Atom,
    Conjunction,
    Range,
    is_empty,
    matches,
    meant,
    merge,
)
from runtime.backends.engines.llama.grammar.disjoint import are_disjoint
from runtime.backends.engines.llama.grammar.formats import LONGEST, PATTERNS
from runtime.backends.engines.llama.grammar.keywords import NEVER, Path, Place, Refused, check
from runtime.backends.engines.llama.grammar.references import References
from runtime.backends.engines.llama.grammar.values import TYPES, JsonType, shared, type_of

_PAIRS = 50_000
"""Pairs of atoms that are met or compared for one schema; a larger one would hold up everybody."""


class Endless(Refused):
    """A schema is defined by nothing but itself."""


class Reader:
    """Reads one document; remembers what it has read."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.references = References(root)
        self._read: dict[Path, tuple[Atom, ...]] = {}
        self._open: set[Path] = set()
        self._pairs = 0

    def read(self, places: Conjunction) -> tuple[Atom, ...]:
        """Return the union that all of the places come down to together. Raises Refused."""
        atoms = _EVERYTHING
        for place in places:
            atoms = self._meet(atoms, self._read_place(place))

        return atoms

    def _read_place(self, place: Place) -> tuple[Atom, ...]:
        if place.path not in self._read:
            if place.path in self._open:
                raise Endless(place.path, "it is defined by nothing but itself")

            check(place)
            self._open.add(place.path)
            try:
                self._read[place.path] = self._interpret(place)
            finally:
                self._open.remove(place.path)

        return self._read[place.path]

    def _interpret(self, place: Place) -> tuple[Atom, ...]:
        if isinstance(place.raw, bool):
            return _EVERYTHING if place.raw else ()

        _check_base(place)
        atoms = tuple(self._own(place))
        if "$ref" in place.raw:
            target = self.references.target(place)
            found = self._read_place(target)
            if self.references.is_loop(target):
                found = tuple(replace(atom, is_loop=True) for atom in found)

            atoms = self._meet(atoms, found)

        for branch in _branches(place, "allOf"):
            atoms = self._meet(atoms, self._read_place(branch))

        if "anyOf" in place.raw:
            branches = _branches(place, "anyOf")
            atoms = self._meet(atoms, tuple(atom for branch in branches for atom in self._read_place(branch)))

        if "oneOf" in place.raw:
            branches = _branches(place, "oneOf")
            atoms = self._one_of(place, [self._meet(atoms, self._read_place(branch)) for branch in branches])

        return atoms

    def _meet(self, left: tuple[Atom, ...], right: tuple[Atom, ...]) -> tuple[Atom, ...]:
        if left is _EVERYTHING or right is _EVERYTHING:
            return right if left is _EVERYTHING else left

        self._spend(len(left) * len(right))
        pairs = ((one, other) for one in left for other in right if one.type == other.type)
        return tuple(met for one, other in pairs if (met := merge(one, other)) is not None)

    def _spend(self, pairs: int) -> None:
        self._pairs += pairs
        if self._pairs > _PAIRS:
            raise Refused((), "it has too many combinations of branches; make anyOf, oneOf or allOf simpler")

    # ---- oneOf

    def _one_of(self, place: Place, branches: list[tuple[Atom, ...]]) -> tuple[Atom, ...]:
        """Return the union, if no value is in two branches; else in branches made narrower."""
        narrow = branches
        if not self._are_apart(branches, branches):
            narrow = [tuple(self._narrow(atom) for atom in meant(branch)) for branch in branches]
            if not self._are_apart(narrow, branches):
                raise Refused(
                    (*place.path, "oneOf"),
                    "its branches overlap, or may do; use anyOf, or give each branch a required property with"
                    " a const of its own",
                )

        return tuple(atom for branch in narrow for atom in branch)

    def _are_apart(self, branches: list[tuple[Atom, ...]], others: list[tuple[Atom, ...]]) -> bool:
        self._spend(sum(map(len, branches)) * sum(map(len, others)))
        return all(
            are_disjoint(atom, other, self._atoms_or_none)
            for place, branch in enumerate(branches)
            for number, against in enumerate(others)
            if place > number or (place != number and branches is not others)
            for atom in branch
            for other in against
        )

    def _narrow(self, atom: Atom) -> Atom:
        """Close an object to names that it does not list, and require those that tell it from others."""
        names = dict.fromkeys((*atom.properties, *atom.required))
        if atom.type != "object" or not names:
            return atom

        telling = [name for name in names if self._is_listed(atom.named(name))]
        return replace(
            atom,
            properties={name: atom.named(name) for name in names},
            rest=atom.rest or (NEVER,),
            required=tuple(dict.fromkeys((*atom.required, *telling))),
        )

    def _is_listed(self, places: Conjunction) -> bool:
        atoms = self._atoms_or_none(places)
        return bool(atoms) and all(atom.values is not None for atom in atoms or ())

    def _atoms_or_none(self, places: Conjunction) -> tuple[Atom, ...] | None:
        """Read, or return None where the places are being read just now."""
        self._spend(1)
        try:
            return self.read(places)
        except Endless:
            return None

    # ---- the keywords of one subschema

    def _own(self, place: Place) -> Iterable[Atom]:
        raw = place.raw
        if raw.keys() <= _COMBINING:
            return _EVERYTHING

        listed = raw.get("enum", [raw["const"]] if "const" in raw else None)
        names = raw.get("type", [*TYPES])
        names = names if isinstance(names, list) else [names]
        found = (
            self._of_type(place, kind, is_whole=kind == "number" and "number" not in names)
            for kind in TYPES
            if kind in names or (kind == "number" and "integer" in names)
        )
        atoms = [atom for atom in found if not is_empty(atom)]
        if listed is None:
            is_implied = "type" not in raw
            return [replace(atom, is_implied=is_implied) for atom in atoms]

        if "enum" in raw and "const" in raw:
            listed = shared(listed, [raw["const"]])

        values = {kind: tuple(value for value in listed if type_of(value) == kind) for kind in TYPES}
        met = (merge(atom, Atom(place.path, atom.type, values=values[atom.type])) for atom in atoms)
        return [atom for atom in met if atom is not None]

    def _of_type(self, place: Place, kind: JsonType, *, is_whole: bool) -> Atom:
        match kind:
            case "number":
                return _number(place, is_whole=is_whole)
            case "string":
                return _string(place)
            case "array":
                return _array(place)
            case "object":
                return self._object(place)
            case _:
                return Atom(place.path, kind)

    def _object(self, place: Place) -> Atom:
        raw = place.raw
        atom = Atom(
            place.path,
            "object",
            least=int(raw.get("minProperties", 0)),
            most=_count(raw.get("maxProperties")),
            properties={name: (place.at("properties", name),) for name in raw.get("properties", ())},
            is_listed="properties" in raw,
            patterned={
                name: (place.at("patternProperties", name),) for name in raw.get("patternProperties", ())
            },
            required=tuple(dict.fromkeys(raw.get("required", ()))),
            rest=_child(place, "additionalProperties"),
        )
        return self._with_names(atom, place) if "propertyNames" in raw else atom

    def _with_names(self, atom: Atom, place: Place) -> Atom:
        """Say what propertyNames says by other keywords."""
        names = [each for each in self.read((place.at("propertyNames"),)) if each.type == "string"]
        if any(each == Atom((), "string") for each in names):
            return atom

        if all(each.values is not None for each in names):
            listed = dict.fromkeys(name for each in names for name in each.values or () if _meets(name, each))
            properties = {name: atom.named(name) for name in listed}
            return replace(atom, properties=properties, patterned={}, rest=(NEVER,))

        pattern = _name_pattern(names)
        if pattern is None or atom.patterned or (atom.properties and atom.rest):
            raise Refused(
                (*place.path, "propertyNames"),
                "it is honoured as an enum, or as one pattern or a length beside additionalProperties alone",
            )

        properties = {
            name: places if matches(pattern, name) else (NEVER,) for name, places in atom.properties.items()
        }
        return replace(atom, properties=properties, patterned={pattern: atom.rest}, rest=(NEVER,))


_EVERYTHING: tuple[Atom, ...] = tuple(Atom((), kind) for kind in TYPES)

_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})


def is_everything(atoms: tuple[Atom, ...]) -> bool:
    """Whether the union demands nothing."""
    return atoms == _EVERYTHING


def _check_base(place: Place) -> None:
    for keyword in ("$id", "$schema"):
        if place.path and keyword in place.raw:
            raise Refused((*place.path, keyword), "only the outermost schema may have it; take it out")


def _branches(place: Place, keyword: str) -> list[Place]:
    return [place.at(keyword, str(number)) for number in range(len(place.raw.get(keyword, ())))]


def _child(place: Place, keyword: str) -> Conjunction:
    return ANYTHING if place.raw.get(keyword, True) in (True, {}) else (place.at(keyword),)


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)


def _number(place: Place, *, is_whole: bool) -> Atom:
    raw = place.raw
    low, high = raw.get("minimum", -float("inf")), raw.get("maximum", float("inf"))
    lowest, highest = raw.get("exclusiveMinimum", False), raw.get("exclusiveMaximum", False)
    span = Range(low, high, lowest is True, highest is True)
    if not isinstance(lowest, bool):
        span = span.meet(Range(low=lowest, is_low_out=True))

    if not isinstance(highest, bool):
        span = span.meet(Range(high=highest, is_high_out=True))

    multiples = (raw["multipleOf"],) if "multipleOf" in raw else ()
    return Atom(place.path, "number", range=span, is_whole=is_whole, multiples=multiples)


def _string(place: Place) -> Atom:
    raw = place.raw
    patterns = [raw["pattern"]] if "pattern" in raw else []
    mosts = [int(raw["maxLength"])] if "maxLength" in raw else []
    form = raw.get("format")
    if form in PATTERNS:
        patterns.append(PATTERNS[form])
        mosts += [LONGEST[form]] if form in LONGEST else []

    return Atom(
        place.path,
        "string",
        least=int(raw.get("minLength", 0)),
        most=min(mosts, default=None),
        patterns=tuple(patterns),
    )


def _array(place: Place) -> Atom:
    raw = place.raw
    older = isinstance(raw.get("items"), list)
    listed, rest = ("items", "additionalItems") if older else ("prefixItems", "items")
    return Atom(
        place.path,
        "array",
        least=int(raw.get("minItems", 0)),
        most=_count(raw.get("maxItems")),
        is_unique=raw.get("uniqueItems", False),
        prefix=tuple((branch,) for branch in _branches(place, listed)),
        rest=_child(place, rest),
    )


def _meets(name: str, atom: Atom) -> bool:
    return (
        atom.least <= len(name)
        and (atom.most is None or len(name) <= atom.most)
        and all(matches(pattern, name) for pattern in atom.patterns)
    )


def _name_pattern(names: list[Atom]) -> str | None:
    """Return one pattern for all names, or None if it takes more."""
    if len(names) != 1 or names[0].values is not None:
        return None

    (name,) = names
    if not name.patterns:
        return f"^.{{{name.least},{'' if name.most is None else name.most}}}$"

    return name.patterns[0] if len(name.patterns) == 1 and not name.least and name.most is None else None
