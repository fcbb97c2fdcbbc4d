"""What a run does when its model cannot be had, or breaks: again, shorter, another model, or the end."""

from typing import Literal

from runtime.core.errors import Fault, FaultCode

Recovery = Literal["again", "shorten", "next_model", "fail"]

_GONE: frozenset[FaultCode] = frozenset(
    {
        "model_not_found",
        "model_installing",
        "model_broken",
        "backend_missing",
        "install_failed",
        "insufficient_memory",
        "queue_full",
        "queue_timeout",
    }
)
"""This model cannot be had now; another may."""
BROKEN: frozenset[FaultCode] = frozenset({"worker_died", "worker_silent", "engine_failed"})
"""It may go better the next time."""
MOST_TRIES = 2
"""Of one turn with one model: a second crash on the same prompt is no accident."""


def decide_recovery(fault: Fault, *, tries: int, has_next_model: bool, may_repeat: bool) -> Recovery:
    """Say how a run goes on after a fault of its model.

    `may_repeat` is False where readers have seen what cannot be taken back.
    """
    if not may_repeat:
        return "fail"

    if fault.code == "context_length_exceeded":
        return "shorten"

    if fault.code in BROKEN and tries < MOST_TRIES:
        return "again"

    return "next_model" if has_next_model and fault.code in _GONE | BROKEN else "fail"
