"""Tool calls on the way out: pieces go in, whole calls come out, each as soon as it is complete.

Ollama's clients read arguments as an object, so a call is told in one piece or not at all. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from runtime.api.errors import refusal_of
from runtime.api.runs import RunOver
from runtime.core.errors import Fault
from runtime.core.messages import FinishReason, ToolCallDelta


class WireFunction(msgspec.Struct, frozen=True, kw_only=True):
    """Which function is to be called, and with what."""

    index: int
    name: str
    arguments: msgspec.Raw
    """The object as the model wrote it, without line breaks."""


class WireCall(msgspec.Struct, frozen=True, kw_only=True):
    """One whole call."""

    id: str
    function: WireFunction


@dataclass(slots=True)
class _Draft:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class Calls:
    """The calls of one answer."""

    def __init__(self) -> None:
        self._drafts: dict[int, _Draft] = {}

    def add(self, pieces: Sequence[ToolCallDelta]) -> list[WireCall]:
        """Take pieces; return the calls that they complete: one is, once the next begins. Raises RunOver."""
        whole: list[WireCall] = []
        for piece in pieces:
            if piece.index not in self._drafts:
                whole += self._take_all()
                self._drafts[piece.index] = _Draft(piece.id or f"call_{piece.index}", piece.name or "")
            self._drafts[piece.index].arguments.append(piece.arguments)
        return whole

    def end(self, reason: FinishReason) -> list[WireCall]:
        """Return the calls that are left; one that a limit cut short is none. Raises RunOver."""
        if reason == "length":
            self._drafts = {
                index: draft for index, draft in self._drafts.items() if _object_of(draft) is not None
            }
        return self._take_all()

    def _take_all(self) -> list[WireCall]:
        whole = [_call_of(index, self._drafts[index]) for index in sorted(self._drafts)]
        self._drafts.clear()
        return whole


def _call_of(index: int, draft: _Draft) -> WireCall:
    arguments = _object_of(draft)
    if arguments is None:
        message = f"The model's call of '{draft.name[:80]}' has arguments that are no JSON object."
        raise RunOver(refusal_of(Fault(code="engine_failed", message=message)))

    function = WireFunction(index=index, name=draft.name, arguments=msgspec.Raw(arguments))
    return WireCall(id=draft.id, function=function)


def _object_of(draft: _Draft) -> bytes | None:
    """Return the arguments as one line of JSON; None where they are no object."""
    text = "".join(draft.arguments).strip() or "{}"
    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None

    return msgspec.json.format(text.encode(), indent=-1)
