"""What `$ref` points to, and which targets lead back to themselves. Pure; nothing is ever fetched."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from runtime.backends.engines.llama.grammar.keywords import Path, Place, Refused


class References:
    """The references of one document."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = Place((), root)
        self._base = root["$id"].partition("#")[0] if isinstance(root.get("$id"), str) else ""
        self._anchors = dict(_anchors(self._root))
        self._loops: dict[Path, bool] = {}
        self._edges: dict[Path, list[Place]] = {}

    def target(self, place: Place) -> Place:
        """Return what the `$ref` of this subschema points to. Raises Refused."""
        reference = place.raw["$ref"]
        path = (*place.path, "$ref")
        base, _, fragment = reference.partition("#")
        if base not in ("", self._base):
            raise Refused(
                path, f"{reference!r} lies outside; only references within the schema (#/…) are followed"
            )

        found = self._find(unquote(fragment))
        if found is None or not isinstance(found.raw, dict | bool):
            raise Refused(path, f"{reference!r} points to no schema")

        return found

    def is_loop(self, target: Place) -> bool:
        """Whether the references below the target lead back to it."""
        if target.path not in self._loops:
            self._loops[target.path] = self._leads_back(target)

        return self._loops[target.path]

    def _leads_back(self, target: Place) -> bool:
        seen: set[Path] = set()
        pending = [target]
        while pending:
            for reached in self._reached(pending.pop()):
                if reached.path == target.path:
                    return True

                if reached.path not in seen:
                    seen.add(reached.path)
                    pending.append(reached)

        return False

    def _reached(self, place: Place) -> list[Place]:
        """Return what the references anywhere in the subschema point to."""
        if place.path not in self._edges:
            targets: dict[Place, None] = {}
            for reference in _references(place):
                try:
                    targets[self.target(reference)] = None
                except Refused:
                    continue  # it is no reference but a value that looks like one; else reading it will tell

            self._edges[place.path] = [*targets]

        return self._edges[place.path]

    def _find(self, fragment: str) -> Place | None:
        if not fragment:
            return self._root

        if not fragment.startswith("/"):
            return self._anchors.get(fragment)

        try:
            return self._root.at(
                *(step.replace("~1", "/").replace("~0", "~") for step in fragment[1:].split("/"))
            )
        except (KeyError, IndexError, ValueError, TypeError):
            return None


def _below(place: Place) -> Iterator[Place]:
    """Every object in the tree, wherever it stands."""
    pending = [place]
    while pending:
        each = pending.pop()
        if isinstance(each.raw, dict):
            yield each
            pending += [each.at(name) for name in each.raw]
        elif isinstance(each.raw, list):
            pending += [each.at(str(number)) for number in range(len(each.raw))]


def _anchors(root: Place) -> Iterator[tuple[str, Place]]:
    for place in _below(root):
        if isinstance(anchor := place.raw.get("$anchor"), str):
            yield anchor, place


def _references(place: Place) -> Iterator[Place]:
    return (each for each in _below(place) if isinstance(each.raw.get("$ref"), str))
