"""What a live run tells those who follow it, in order: the moves of its items, whole deltas included.

Steps are what a run is; happenings are how it looks while it comes about. They are not stored by themselves:
`first_place` counts what a reader of a background run needs to go on without a gap (`core.agents.ports`).
"""

import msgspec

from runtime.core.agents.items import AnyItem, Citation
from runtime.core.agents.steps import RunRecord, RunStatus
from runtime.core.ids import ModelId
from runtime.core.messages import ChosenLogprob, Usage


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="happening"):
    """Base of them all."""


class StatusChanged(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="status"):
    """The run goes on, waits for a person, or begins."""

    status: RunStatus
    model: ModelId | None = None


class TurnOpened(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="turn"):
    """A model was asked; its prompt has so many tokens."""

    turn: int
    model: ModelId
    prompt_tokens: int = 0


class ItemBegan(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="item.began"):
    """An item of the output has begun; `place` counts from 0 over the output."""

    place: int
    item: AnyItem


class TextGrew(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Text was added to a part of a message (`part` counts from 0), or to a refusal."""

    place: int
    item_id: str
    part: int
    delta: str
    logprobs: tuple[ChosenLogprob, ...] = ()


class TextCited(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="cited"):
    """A citation was added to a part of a message."""

    place: int
    item_id: str
    part: int
    citation: Citation


class ThoughtGrew(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="thought"):
    """Text was added to a reasoning item."""

    place: int
    item_id: str
    delta: str


class ArgumentsGrew(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="arguments"):
    """Text was added to the arguments (or the input) of a call."""

    place: int
    item_id: str
    delta: str


class CallMoved(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="call"):
    """A call that Lar carries out has begun, has come further, or is over (`result` is then the next)."""

    place: int
    call_id: str
    stage: str
    """started, progress, asked, finished, failed."""
    message: str = ""
    done: float = 0.0
    total: float | None = None


class ItemEnded(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="item.ended"):
    """An item is as it stays. A call that Lar carries out ends with its result."""

    place: int
    item: AnyItem
    result: AnyItem | None = None


class TurnClosed(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="turn.ended"):
    """The model has said what it had to say in this turn."""

    turn: int
    usage: Usage


class RunOver(Happening, frozen=True, kw_only=True, omit_defaults=True, tag="over"):
    """The last one: how the run ended."""

    record: RunRecord


AnyHappening = (
    StatusChanged
    | TurnOpened
    | ItemBegan
    | TextGrew
    | TextCited
    | ThoughtGrew
    | ArgumentsGrew
    | CallMoved
    | ItemEnded
    | TurnClosed
    | RunOver
)
