"""What a machine asks its shell to do. The shell performs them in order and decides nothing."""

import msgspec

from runtime.core.errors import Fault
from runtime.core.events import Event
from runtime.core.messages import Output


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command"):
    """Base of all commands."""


class Publish(Command, frozen=True, kw_only=True):
    """Publish this fact for the run."""

    event: Event


class Enter(Command, frozen=True, kw_only=True):
    """Ask admission for a place; answer with Queued, Admitted or Refused."""


class Place(Command, frozen=True, kw_only=True):
    """Make the model resident; answer with Resident or Refused."""


class Submit(Command, frozen=True, kw_only=True):
    """Hand choice `index` to the worker; answer with Yielded for each of its outputs."""

    index: int


class CancelSeq(Command, frozen=True, kw_only=True):
    """Stop choice `index` within one step."""

    index: int


class Emit(Command, frozen=True, kw_only=True):
    """Give the run's reader one output of one choice."""

    index: int
    output: Output


class Close(Command, frozen=True, kw_only=True):
    """The run is over: end its stream (with the fault, if it broke) and give back what it holds."""

    fault: Fault | None = None


Todo = Publish | Enter | Place | Submit | CancelSeq | Emit | Close
