"""Loops: the same call with the same arguments and the same result, over and over.

The model is told once, in the result itself; if it does the same again, the run ends.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from runtime.core.agents.items import Answered, AnyItem, Called

_NOTE = "note"
"""Where a result keeps what Lar adds to it for the model."""

Finding = Literal["none", "tell", "end"]


def find_loop(conversation: Sequence[AnyItem], call: Called, result: Answered, repeats: int) -> Finding:
    """Say what a result that has just come means, after all that the conversation holds already."""
    results = {each.call_id: each for each in conversation if isinstance(each, Answered)}
    key = _key_of(call, result)
    same = [
        results[each.call_id]
        for each in conversation
        if isinstance(each, Called)
        and each.call_id in results
        and _key_of(each, results[each.call_id]) == key
    ]
    told = [each.call_id for each in same if note_of(each)]
    if told:
        return "end" if _is_heard(conversation, told, call) else "none"

    return "tell" if len(same) + 1 >= repeats else "none"


def with_note(result: Answered, times: int) -> Answered:
    """Return the result with the word that tells the model of its loop."""
    note = (
        f"Note: this call was made {times} times with the same arguments and the same result. "
        "Do not make it again: answer with what is known, or go another way."
    )
    return msgspec.structs.replace(result, extra={**result.extra, _NOTE: note})


def note_of(result: Answered) -> str:
    """Return what Lar adds to a result for the model."""
    note = result.extra.get(_NOTE, "")
    return note if isinstance(note, str) else ""


def _is_heard(conversation: Sequence[AnyItem], told: Sequence[str], call: Called) -> bool:
    """Whether one of these results came before the call: calls of one turn do not know of each other."""
    before: list[AnyItem] = []
    for each in conversation:
        if isinstance(each, Called) and each.call_id == call.call_id:
            break
        before.append(each)
    return any(isinstance(each, Answered) and each.call_id in told for each in before)


def _key_of(call: Called, result: Answered) -> tuple[str, str, str, bool]:
    return (
        call.name,
        _canonical(call.arguments),
        result.text or _canonical(result.structured),
        result.is_error,
    )


def _canonical(value: Any) -> str:
    """Return JSON without what does not matter in it; a text that is no JSON as it stands."""
    decoded = value
    if isinstance(value, str):
        try:
            decoded = json.loads(value)
        except ValueError:
            return value.strip()

    return json.dumps(decoded, sort_keys=True, ensure_ascii=False)
