"""The part of the reducer that is about the run that is looked at. Pure; `tui.view` is the door.

Steps are what the run is; they are fetched from the one after those that are known. Happenings are applied
once, by their number: they show what no step holds yet, and tell when there are new ones.
"""

import msgspec
from msgspec.structs import replace

from tui.agents import Growing, OpenRun, Replayed, RunHappening, RunInfo, RunStep
from tui.state import Trouble

_STEP_SIGNS = frozenset({"status", "turn", "item.ended", "call", "turn.ended", "over"})
"""Happenings after which there may be new steps."""


class RunChosen(msgspec.Struct, frozen=True, kw_only=True):
    """The person wants to look at a run."""

    id: str


class RunWanted(msgspec.Struct, frozen=True, kw_only=True):
    """The person wants to see the run as it is now."""


class StepsCame(msgspec.Struct, frozen=True, kw_only=True):
    """A run's record and its steps from a place on came, asked for at a count of the want."""

    info: RunInfo
    steps: tuple[RunStep, ...]
    first: int
    asked: int


class RunRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The run could not be read."""

    id: str
    trouble: Trouble


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """The run moved on."""

    id: str
    number: int
    happening: RunHappening


class FollowLost(msgspec.Struct, frozen=True, kw_only=True):
    """The run cannot be followed at the moment; it is tried again."""

    id: str
    reason: str


class RunReplayed(msgspec.Struct, frozen=True, kw_only=True):
    """The run was lived again."""

    id: str
    replayed: Replayed


FollowMessage = RunChosen | RunWanted | StepsCame | RunRefused | Happened | FollowLost | RunReplayed


def tell_run(run: OpenRun, message: FollowMessage) -> OpenRun:
    """Return the run that is looked at after a message; one about another run changes nothing."""
    match message:
        case RunChosen():
            return replace(run, want=run.want.more()) if message.id == run.id else _chosen(message.id)
        case RunWanted():
            return replace(run, want=run.want.more()) if run.id else run
        case StepsCame() if message.info.id == run.id:
            return _steps(run, message)
        case RunRefused() if message.id == run.id:
            return replace(run, want=run.want.met(run.want.asked), trouble=message.trouble.message)
        case Happened() if message.id == run.id and message.number > run.seen:
            return _happened(replace(run, seen=message.number, lost=""), message.happening)
        case FollowLost() if message.id == run.id:
            return replace(run, lost=message.reason)
        case RunReplayed() if message.id == run.id:
            return replace(run, replayed=message.replayed)
        case _:
            return run


def _chosen(identity: str) -> OpenRun:
    run = OpenRun(id=identity)
    return replace(run, want=run.want.more())


def _steps(run: OpenRun, message: StepsCame) -> OpenRun:
    known = len(run.steps)
    if message.first > known:
        return replace(run, want=run.want.more())  # asked for from a place that is not known any more
    steps = (*run.steps, *message.steps[known - message.first :])
    done = {item.id for step in steps[known:] for item in step.items}
    is_older = run.info is not None and run.info.is_over and not message.info.is_over
    info = run.info if is_older else message.info
    return replace(
        run,
        info=info,
        steps=steps,
        growing=() if message.info.is_over else _left(run.growing, done),
        moves=() if message.info.is_over else run.moves,
        want=run.want.met(message.asked),
        trouble="",
    )


def _left(growing: tuple[Growing, ...], done: set[str]) -> tuple[Growing, ...]:
    return tuple(each for each in growing if each.item.id not in done)


def _happened(run: OpenRun, told: RunHappening) -> OpenRun:
    if told.happening in _STEP_SIGNS:
        run = replace(run, want=run.want.more())
    match told.happening:
        case "turn":
            return replace(run, growing=())
        case "item.began" if told.item is not None and not _is_in_steps(run, told.item.id):
            return replace(run, growing=(*run.growing, Growing(item=told.item)))
        case "text" | "thought" | "arguments":
            return replace(run, growing=tuple(_grown(each, told) for each in run.growing))
        case "call":
            moves = tuple(each for each in run.moves if each[0] != told.call_id)
            is_under_way = told.stage in ("started", "progress", "asked")
            said = told.message or told.stage
            return replace(run, moves=(*moves, (told.call_id, said)) if is_under_way else moves)
        case "over" if told.record is not None:
            return replace(run, info=told.record, growing=(), moves=())
        case _:
            return run


def _is_in_steps(run: OpenRun, identity: str) -> bool:
    """Say whether one of the newest steps holds an item; a run that is over tells all of them again."""
    return any(item.id == identity for step in run.steps for item in step.items)


def _grown(each: Growing, told: RunHappening) -> Growing:
    return replace(each, text=each.text + told.delta) if each.item.id == told.item_id else each
