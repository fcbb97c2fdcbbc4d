"""What an answer took, measured here at the edge, in Ollama's words and nanoseconds.

    request ──load──► accepted ──prompt_eval──► first output ──eval──► end
       └──────────────────────── total ─────────────────────────────────┘

`load_duration` holds all that comes before the model takes the prompt up: the queue too, and the load itself
where the model was not in memory. Tokens are the engine's own count; cached ones are part of the prompt.
"""

from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from runtime.core.messages import Began, Delta, Ended, Output

_NS = 1_000_000_000


class Durations(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of a finished answer."""

    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_cached_count: int | UnsetType = UNSET
    """Lar's own: of the prompt, what was not computed again."""
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET


class Spent(NamedTuple):
    """How long a request took so far, and what of it before the model took it up."""

    total_ns: int
    load_ns: int


class Meter:
    """Notes when each part of an answer came; times are monotonic seconds."""

    def __init__(self, asked_at: float) -> None:
        self._asked_at = asked_at
        self._accepted_at: float | None = None
        self._first_at: float | None = None

    def note(self, output: Output, now: float) -> None:
        """Take an output at the moment it came."""
        match output:
            case Began() if self._accepted_at is None:
                self._accepted_at = now
            case Delta() if self._first_at is None:
                self._first_at = now
            case _:
                pass

    def spent(self, now: float) -> Spent:
        """Return what there is to say at `now`; a prompt that never was taken up was loading all the time."""
        accepted_at = now if self._accepted_at is None else self._accepted_at
        return Spent(_ns(now - self._asked_at), _ns(accepted_at - self._asked_at))

    def durations(self, ended: Ended, now: float) -> Durations:
        """Return the numbers of an answer that ended at `now`."""
        spent = self.spent(now)
        accepted_at = now if self._accepted_at is None else self._accepted_at
        first_at = now if self._first_at is None else self._first_at
        return Durations(
            total_duration=spent.total_ns,
            load_duration=spent.load_ns,
            prompt_eval_count=ended.usage.prompt_tokens,
            prompt_cached_count=ended.usage.cached_tokens,
            prompt_eval_duration=_ns(first_at - accepted_at),
            eval_count=ended.usage.completion_tokens,
            eval_duration=_ns(now - first_at),
        )


def _ns(seconds: float) -> int:
    return max(0, round(seconds * _NS))
