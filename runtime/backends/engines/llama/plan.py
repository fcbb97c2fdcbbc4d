"""The words between planner and context: what a step computes, and what is done to the memory before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Share(NamedTuple):
    """Let the empty sequence `target` hold the first `length` tokens of `source`."""

    source: int
    target: int
    length: int


class Drop(NamedTuple):
    """Let the sequence hold nothing."""

    holder: int


class Trim(NamedTuple):
    """Let the sequence hold its first `length` tokens only."""

    holder: int
    length: int


class Save(NamedTuple):
    """Put what the sequence holds, which are these tokens, into the vault."""

    holder: int
    namespace: str
    tokens: list[int]


class Restore(NamedTuple):
    """Fill the empty sequence of this seq's slot from the vault, and keep its first `length` tokens.

    It may fail; the planner is told by `lost`.
    """

    seq: int
    slot: int
    key: int
    length: int


Op = Share | Drop | Trim | Save | Restore


class Found(Protocol):
    """A prefix in the vault."""

    @property
    def length(self) -> int:
        """How many of the tokens that were looked for it begins with."""

    @property
    def key(self) -> int:
        """What to take it out by."""

    @property
    def total(self) -> int:
        """How many tokens it holds."""


class Store(Protocol):
    """The vault, as the planner sees it: where prefixes are that left the context."""

    def find(self, namespace: str, tokens: Sequence[int]) -> Found | None:
        """Return the entry that begins with the most of these tokens. Looks at nothing but memory."""


class Picture(NamedTuple):
    """A picture, or a part of one, among the tokens of a prompt: computed whole, in a step of its own."""

    start: int
    length: int
    key: str
    """Which picture it is, and which part of it. Its tokens are made of this: see `pictures`."""


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A seq as the planner sees it."""

    seq: int
    tokens: list[int]
    """The prompt and what was generated. Those of pictures are negative."""
    pictures: tuple[Picture, ...] = ()
    """Where the prompt holds pictures, in their order."""
    prompt: int
    """How many of the tokens are prompt."""
    most_tokens: int
    """What `tokens` may grow to."""
    namespace: str = ""
    """The adapter: prefixes are shared inside it only."""
    rank: int = 0
    """Its priority as a number; lower goes first. Lowered while somebody more urgent waits for its prefix."""
    principal: str = ""
    arrived: int = 0
    deadline: float | None = None
    """When its waiting for a first step ends, in monotonic seconds."""
    is_scored: bool = False
    """Whether every token of the prompt wants its logits: nothing that is known of it can be used then."""
    computed: int = 0
    """How many of the tokens are in the context."""
    slot: int = -1
    """Where in the context; meaningful while live."""
    cached: int | None = None
    """Tokens of the prompt that were found when it was admitted first; None before."""
    draft: list[int] = field(default_factory=list)
    """Guesses at what follows, to be checked with the next token."""
    marks: list[int] = field(default_factory=list)
    """Lengths at which its state is to be saved, ascending; for models whose state cannot be cut."""

    leader: int | None = None
    """The live seq that is computing a prefix that this one waits for."""
    parting: int = 0
    """The length of that prefix."""

    @property
    def pending(self) -> int:
        """How many tokens are still to be computed; 1 means: ready to generate the next."""
        return len(self.tokens) - self.computed

    @property
    def has_begun(self) -> bool:
        """Whether it generated anything."""
        return len(self.tokens) > self.prompt

    @property
    def next_picture(self) -> Picture | None:
        """The first picture that is still to be computed."""
        return next((each for each in self.pictures if each.start >= self.computed), None)

    @property
    def ahead(self) -> int:
        """How many tokens can be computed before a picture comes; 0: a picture is next, or nothing."""
        picture = self.next_picture
        return self.pending if picture is None else picture.start - self.computed

    def whole(self, length: int) -> int:
        """Return how many of the first `length` tokens are left when no picture is taken in part."""
        cut = (each for each in self.pictures if each.start < length < each.start + each.length)
        return next((each.start for each in cut), length)


class Span(NamedTuple):
    """Tokens of one seq to compute; the last `outputs` of them want their logits."""

    seq: int
    slot: int
    start: int
    tokens: list[int]
    outputs: int
    picture: Picture | None = None
    """What the tokens stand for, where they are no text."""


class Plan(NamedTuple):
    """One step: do `ops`, then compute `spans`, all with the same adapter."""

    ops: list[Op]
    spans: list[Span]
    namespace: str
