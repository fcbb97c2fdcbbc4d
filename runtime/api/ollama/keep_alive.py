"""Ollama's `keep_alive`: how it is written, and what it does here.

How long an idle model stays in memory is the operator's to say (models.idle_unload_s), once for all. Of a
request's wish only 0 counts: the model leaves when the answer is complete, if whoever asks may operate and
nobody else uses it. Other durations are read, so that nonsense is refused, and change nothing.
"""

import re

import anyio

from runtime.api.deps import ApiDeps
from runtime.api.errors import invalid
from runtime.api.ollama.body import KeepAlive
from runtime.core.gate.principals import Principal, decide_access
from runtime.core.ids import ModelId

UNLOAD_WAIT_S = 10.0
"""How long an answer may wait for an idle worker to end: the stop ladder takes less."""

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_DURATION = re.compile(rf"[+-]?(?:{_NUMBER}|(?:{_NUMBER}(?:ns|us|µs|μs|ms|s|m|h))+)")
_LONGEST_CHARS = 40


def is_release(keep_alive: KeepAlive) -> bool:
    """Whether the model is to leave memory after the answer. Raises Refused for what is no duration."""
    if not isinstance(keep_alive, str):
        return keep_alive == 0

    text = keep_alive.strip()
    if text and (len(text) > _LONGEST_CHARS or not _DURATION.fullmatch(text)):
        raise invalid(
            f"'keep_alive' is '{text[:_LONGEST_CHARS]}', which is no duration. "
            "Send seconds as a number, or text such as '5m', '1h30m' or '0'.",
            "keep_alive",
        )

    return bool(text) and not any(digit in text for digit in "123456789")


def may_release(principal: Principal) -> bool:
    """Whether this principal's wish to free a model counts."""
    return decide_access(principal, "operate") is None


async def release(deps: ApiDeps, model_id: ModelId) -> None:
    """Free the model's memory unless somebody else uses it; returns when it is free, or soon."""
    model = deps.models.find_model(model_id)
    if model is None or model.stage != "loaded" or model.running or model.waiting:
        return

    with anyio.move_on_after(UNLOAD_WAIT_S):
        await deps.models.unload(model_id)
