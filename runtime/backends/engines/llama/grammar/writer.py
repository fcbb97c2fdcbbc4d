"""Writes unions of atoms as the decoding schema: bounded, closed, recursion unrolled. Pure.

A definition that leads back to itself is written once per level, and the last level does without it, so
every value ends. What cannot be then (a property that is required, a list that must hold an item) is left
out together with what needs it.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from runtime.backends.engines.llama.grammar.atoms import ANYTHING, Atom, Conjunction, matches, meant
from runtime.backends.engines.llama.grammar.bounds import Limits, Written, write_number, write_string
from runtime.backends.engines.llama.grammar.disjoint import may_hold
from runtime.backends.engines.llama.grammar.keywords import ANNOTATIONS, Place, Refused
from runtime.backends.engines.llama.grammar.objects import Names, write_object
from runtime.backends.engines.llama.grammar.reader import Reader, is_everything
from runtime.backends.engines.llama.grammar.values import is_writable

_UNIONS = 20_000
"""Subschemas that are written for one schema; more would hold up everybody."""

_SUBSETS_OF = 6
"""A list without repetition of so many known values is written as the list of all its subsets."""

_Key = tuple[tuple[tuple[str, ...], ...], int]


class Writer:
    """Writes the schemas of one document; `definitions` is what they refer to."""

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self.definitions: dict[str, Any] = {}
        self._reader = reader
        self._limits = limits
        self._written: dict[_Key, Written] = {}

    def write(self, places: Conjunction) -> Written:
        """Return the schema of what meets all places; False if nothing does. Raises Refused."""
        return self._union(places, self._limits.depth)

    def _union(self, places: Conjunction, level: int) -> Written:
        settled, is_shared, is_loop = self._settle(places)
        level -= is_loop
        if level < 0:
            return False

        key = (tuple(place.path for place in settled), level)
        if key not in self._written:
            if len(self._written) >= _UNIONS:
                raise Refused((), "it is too large; make it smaller, or its recursion simpler")

            self._written[key] = self._write_union(settled, level, is_shared=is_shared)

        return self._written[key]

    def _settle(self, places: Conjunction) -> tuple[Conjunction, bool, bool]:
        """Follow subschemas that are nothing but a reference, so that they share what it points to."""
        is_shared = is_loop = False
        settled: list[Place] = []
        for place in places:
            seen: set[Place] = set()
            target = place
            while _is_reference(target) and target not in seen:
                seen.add(target)
                target = self._reader.references.target(target)
                is_shared = True
                is_loop = is_loop or self._reader.references.is_loop(target)

            settled.append(target)

        return tuple(dict.fromkeys(settled)), is_shared, is_loop

    def _write_union(self, places: Conjunction, level: int, *, is_shared: bool) -> Written:
        atoms = self._reader.read(places)
        if is_everything(atoms):
            return self._anything(self._limits.depth)

        schemas = [
            schema for atom in meant(atoms) if (schema := self._atom(atom, level - atom.is_loop)) is not False
        ]
        union = _any_of(schemas)
        is_worth_it = is_shared or any(atom.is_loop for atom in atoms)
        return self._define(union) if is_worth_it and isinstance(union, dict) else union

    def _define(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return schema

        name = f"d{len(self.definitions)}"
        self.definitions[name] = schema
        return {"$ref": f"#/$defs/{name}"}

    def _anything(self, depth: int) -> dict[str, Any]:
        """Return any value with lists and objects so deep."""
        name = f"any{depth}"
        if name not in self.definitions:
            kinds: list[Any] = [
                {"type": ["null", "boolean"]},
                write_number(Atom((), "number"), self._limits),
                write_string(Atom((), "string"), self._limits),
            ]
            if depth > 0:
                inner = self._anything(depth - 1)
                kinds.append({"type": "array", "items": inner, "maxItems": self._limits.items})
                kinds.append({"type": "object", **self._map(inner), "maxProperties": self._limits.names})

            self.definitions[name] = {"anyOf": kinds}

        return {"$ref": f"#/$defs/{name}"}

    # ---- atoms

    def _atom(self, atom: Atom, level: int) -> Written:
        if level < 0:
            return False

        if atom.values is not None:
            return self._values(atom)

        match atom.type:
            case "number":
                return write_number(atom, self._limits)
            case "string":
                return write_string(atom, self._limits)
            case "array":
                return self._array(atom, level)
            case "object":
                return self._object(atom, level)
            case _:
                return {"type": atom.type}

    def _values(self, atom: Atom) -> Written:
        """Write the listed values that meet the rest; patterns that Python cannot read are llguidance's."""
        listed = [value for value in atom.values or () if is_writable(value)]
        kept = [value for value in listed if may_hold(atom, value, self._reader.read)]
        if not kept and len(listed) < len(atom.values or ()):
            raise Refused(atom.path, "a listed value has a number beyond 2**53, or a control character")

        if not kept:
            return False

        unread = _unread(atom)
        schema: dict[str, Any] = {"enum": kept}
        return (
            {**schema, "type": "string", "allOf": [{"pattern": each} for each in unread]}
            if unread
            else schema
        )

    def _array(self, atom: Atom, level: int) -> Written:
        most = self._limits.items if atom.most is None else atom.most
        most = max(most, atom.least)
        prefix: list[Written] = []
        for place, item in enumerate(atom.prefix[:most]):
            written = self._union(item, level)
            if written is False:
                most = min(most, place)
                break

            prefix.append(written)

        rest: Written = False
        if most > len(prefix) and (atom.rest or not prefix or atom.least > len(prefix)):
            rest = self._union(atom.rest, level)

        if rest is False:
            most = min(most, len(prefix))

        if atom.least > most:
            return False

        if atom.is_unique and most > 1:
            return self._unique(atom, most)

        schema: dict[str, Any] = {"type": "array", "minItems": atom.least, "maxItems": most, "items": rest}
        return {**schema, "prefixItems": prefix} if prefix else schema

    def _unique(self, atom: Atom, most: int) -> Written:
        """Write a list without repetition: known only where few values are possible, in their order."""
        read = self._reader.read
        atoms = read(atom.rest)
        values = [value for each in atoms for value in each.values or () if may_hold(each, value, read)]
        is_known = all(each.values is not None and not _unread(each) for each in atoms)
        if atom.prefix or len(values) > _SUBSETS_OF or not is_known:
            raise Refused(
                (*atom.path, "uniqueItems"),
                "it cannot be enforced while decoding, unless maxItems is 1, or items is an enum of at most"
                f" {_SUBSETS_OF} values; take it out and look at the result yourself",
            )

        sizes = range(atom.least, min(most, len(values)) + 1)
        subsets = [[*each] for size in sizes for each in itertools.combinations(values, size)]
        kept = [each for each in subsets if is_writable(each)]
        return {"enum": kept} if kept else False

    def _object(self, atom: Atom, level: int) -> Written:
        children: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys((*atom.properties, *atom.required)):
            child = self._union(atom.named(name), level)
            if isinstance(child, dict):
                children[name] = child
            elif name in atom.required:
                return False

        return write_object(
            Names(children, atom.required, self._free(atom, [*children], level)),
            atom,
            self._limits.names,
            self._share,
        )

    def _free(self, atom: Atom, names: list[str], level: int) -> dict[str, Any] | None:
        """Return the keywords for names that are not listed; None if there are none to be."""
        if any(matches(pattern, name) is not False for pattern in atom.patterned for name in names):
            return None  # llguidance would meet both, after they were bounded

        if atom.patterned:
            patterned = {pattern: self._union(places, level) for pattern, places in atom.patterned.items()}
            return {"patternProperties": patterned, "additionalProperties": False}

        if atom.rest == ANYTHING and (names or atom.is_listed):
            return None

        inner = self._union(atom.rest, level) if atom.rest else self._anything(self._limits.depth - 1)
        if inner is False:
            return None

        return {"additionalProperties": inner} if names else self._map(inner)

    def _map(self, inner: Any) -> dict[str, Any]:
        pattern = f"^.{{1,{self._limits.name_characters}}}$"
        return {"patternProperties": {pattern: inner}, "additionalProperties": False}

    def _share(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Make a schema fit to be written more than once."""
        return self._define(schema) if len(schema) > 1 else schema


def _is_reference(place: Place) -> bool:
    return isinstance(place.raw, dict) and "$ref" in place.raw and place.raw.keys() - ANNOTATIONS == {"$ref"}


def _unread(atom: Atom) -> list[str]:
    """Return the patterns that only llguidance can read."""
    return [pattern for pattern in atom.patterns if matches(pattern, "") is None]


def _any_of(schemas: Sequence[dict[str, Any] | bool]) -> Written:
    if not schemas:
        return False

    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
