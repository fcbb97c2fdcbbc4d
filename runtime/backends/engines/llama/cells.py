"""How many cells of the context are taken, where sequences share what they have in common. Pure.

A cell holds one token's keys and values. Sequences that were copied from one another share cells up to the
place where they part, so the sum of their lengths says nothing. Each sequence is a path of segments, and a
segment is counted once, however many paths lead through it.

    id 0   ├── system prompt ──┼── question ──┤
    id 9   ├───── the same ────┼── another question ──┤
"""

from collections.abc import Collection, Iterator


class Segment:
    """Cells next to each other in every sequence that holds them."""

    __slots__ = ("holders", "length")

    def __init__(self, length: int, holders: set[int]) -> None:
        self.length = length
        self.holders = holders


class Cells:
    """The cells of one context. Ids are llama.cpp's sequence ids."""

    def __init__(self) -> None:
        self._paths: dict[int, list[Segment]] = {}
        self.used = 0
        """Cells that hold anything."""

    def length(self, holder: int) -> int:
        """Return how many tokens the sequence holds."""
        return sum(segment.length for segment in self._paths.get(holder, ()))

    def exclusive(self, holder: int) -> int:
        """Return how many cells would come free without this sequence."""
        path = self._paths.get(holder, ())
        return sum(segment.length for segment in path if len(segment.holders) == 1)

    def used_by(self, holders: Collection[int]) -> int:
        """Return how many cells these sequences hold together."""
        seen: dict[int, int] = {}
        for holder in holders:
            for segment in self._paths.get(holder, ()):
                seen[id(segment)] = segment.length
        return sum(seen.values())

    def unshared(self, holder: int, length: int, others: Collection[int]) -> int:
        """Return how many of the first `length` cells of the sequence none of the others holds."""
        others = set(others)
        parts = self._first(holder, length)
        return sum(count for segment, count in parts if others.isdisjoint(segment.holders))

    def grow(self, holder: int, count: int) -> None:
        """Note that the sequence got `count` more tokens computed."""
        path = self._paths.setdefault(holder, [])
        if path and len(path[-1].holders) == 1:
            path[-1].length += count
        else:
            path.append(Segment(count, {holder}))
        self.used += count

    def share(self, source: int, target: int, length: int) -> None:
        """Note that the empty sequence `target` got the first `length` tokens of `source`."""
        assert not self._paths.get(target), "only an empty sequence is copied into"
        self._split(source, length)
        path: list[Segment] = []
        for segment, _ in self._first(source, length):
            segment.holders.add(target)
            path.append(segment)
        self._paths[target] = path

    def trim(self, holder: int, length: int) -> None:
        """Note that the sequence lost all but its first `length` tokens."""
        self._split(holder, length)
        path = self._paths.get(holder, [])
        kept = len([*self._first(holder, length)])
        for segment in path[kept:]:
            self._release(segment, holder)
        del path[kept:]

    def drop(self, holder: int) -> None:
        """Note that the sequence holds nothing any more."""
        for segment in self._paths.pop(holder, ()):
            self._release(segment, holder)

    def _release(self, segment: Segment, holder: int) -> None:
        segment.holders.discard(holder)
        if not segment.holders:
            self.used -= segment.length

    def _first(self, holder: int, length: int) -> Iterator[tuple[Segment, int]]:
        """Yield the segments of the first `length` tokens, and how much of each belongs to these."""
        left = length
        for segment in self._paths.get(holder, ()):
            if left <= 0:
                return
            yield segment, min(left, segment.length)
            left -= segment.length

    def _split(self, holder: int, length: int) -> None:
        """Let a segment end where the first `length` tokens of the sequence end."""
        at = 0
        for segment in self._paths.get(holder, ()):
            if at < length < at + segment.length:
                rest = Segment(at + segment.length - length, set(segment.holders))
                segment.length = length - at
                for each in segment.holders:
                    path = self._paths[each]
                    path.insert(path.index(segment) + 1, rest)
                return
            at += segment.length
