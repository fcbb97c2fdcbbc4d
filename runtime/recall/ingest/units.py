"""What the second stage has in hand: chunks without vectors, by what they are part of, and batches of them.

A unit is a document under way, or a fill: all chunks of a namespace that have no vector in a space yet.
Batches are made of a few chunks of each unit by turns, so that a small document is done long before a large
one that came first.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.core.ids import ChunkId, DocumentId, JobId
from runtime.core.knowledge import Embedding
from runtime.recall.marks import Shelfmark

SLICE = 16
"""Chunks of one unit that follow each other in a batch."""


class Text(NamedTuple):
    """A chunk as the model gets it."""

    chunk: ChunkId
    document: DocumentId
    text: str


@dataclass(slots=True, eq=False)
class Unit:
    """Chunks that have no vector in a space yet."""

    ns: int
    space: int
    document: DocumentId | None = None
    """None: a fill."""
    job: JobId | None = None
    """Of a fill that is a re-embedding."""
    texts: deque[Text] = field(default_factory=deque)
    """Fetched, and not yet part of a batch."""
    after: int = 0
    """Chunks up to here were fetched."""
    is_dry: bool = False
    """Whether there was nothing more to fetch."""
    in_flight: int = 0
    """Chunks in batches."""
    is_dropped: bool = False
    """Whether nobody wants its vectors any more."""
    skipped: set[DocumentId] = field(default_factory=set)
    """Of a fill: documents that the model cannot take."""

    @property
    def is_thirsty(self) -> bool:
        """Whether more of it should be fetched."""
        return not self.is_dry and len(self.texts) < SLICE

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of it."""
        return self.is_dry and not self.texts and not self.in_flight

    def is_over_after(self, count: int) -> bool:
        """Whether nothing is left of it once so many chunks of it are stored."""
        return self.is_dry and not self.texts and self.in_flight == count

    def take(self, limit: int) -> list[Text]:
        """Return the next texts; they are in flight now."""
        taken = [self.texts.popleft() for _ in range(min(limit, len(self.texts)))]
        self.in_flight += len(taken)
        return taken

    def give_back(self, text: Text) -> None:
        """Take a text back that came to nothing."""
        self.in_flight -= 1
        self.texts.appendleft(text)

    def begin_anew(self) -> None:
        """Look again at everything."""
        self.after, self.is_dry = 0, False


class Part(NamedTuple):
    """A text in a batch."""

    unit: Unit
    text: Text


@dataclass(slots=True, eq=False)
class Batch:
    """Texts that are embedded together."""

    parts: list[Part]
    is_apart: bool = False
    """Whether it was split off one that failed, to find out which document is to blame."""
    is_settled: bool = False
    """Whether each of its parts was stored, or went back to its unit."""

    @property
    def documents(self) -> list[DocumentId]:
        """The documents that it has parts of, in order."""
        return [*dict.fromkeys(part.text.document for part in self.parts)]

    def counts(self) -> Counter[Unit]:
        """Return how many of its parts are of each unit."""
        return Counter(part.unit for part in self.parts)

    def settle(self) -> None:
        """Note that its vectors are stored."""
        if not self.is_settled:
            self.is_settled = True
            for part in self.parts:
                part.unit.in_flight -= 1

    def give_back(self) -> None:
        """Return its parts to their units, in order, unless that is settled."""
        if not self.is_settled:
            self.is_settled = True
            for part in reversed(self.parts):
                part.unit.give_back(part.text)

    def split(self) -> list["Batch"]:
        """Return one batch per document in place of this one."""
        self.is_settled = True
        return [
            Batch([part for part in self.parts if part.text.document == document], is_apart=True)
            for document in self.documents
        ]


class Size:
    """How large batches are: so that one takes about two seconds, whatever computes it."""

    START_TEXTS = 32
    MOST_TEXTS = 512
    FEWEST_TEXTS = 8
    CHARACTERS = 200_000
    AIM_S = 2.0

    def __init__(self) -> None:
        self.texts = self.START_TEXTS

    def learn(self, texts: int, took_s: float) -> None:
        """Note how long a batch took."""
        if took_s > 2 * self.AIM_S:
            self.texts = max(self.FEWEST_TEXTS, self.texts // 2)
        elif took_s < self.AIM_S / 2 and texts >= self.texts:
            self.texts = min(self.MOST_TEXTS, self.texts * 2)


def compose(units: deque[Unit], size: Size) -> Batch | None:
    """Make a batch of what the units have, by turns; whoever gave goes to the end. None: nothing is left."""
    parts: list[Part] = []
    characters = 0
    while len(parts) < size.texts and characters < size.CHARACTERS:
        unit = next((each for each in units if each.texts), None)
        if unit is None:
            break

        taken = unit.take(min(SLICE, size.texts - len(parts)))
        parts += [Part(unit, text) for text in taken]
        characters += sum(len(text.text) for text in taken)
        units.remove(unit)
        units.append(unit)
    return Batch(parts) if parts else None


def embedding_of(mark: Shelfmark | None, space: int) -> Embedding | None:
    """Return the embedding of one of a collection's spaces; None where it has it no more."""
    if mark is None:
        return None
    if mark.space == space:
        return mark.embedding
    return mark.next_embedding if mark.next_space == space else None
