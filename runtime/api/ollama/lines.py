"""What Ollama's answers look like: the lines of a stream, and the whole, which is a line with everything.

Pure: parts of an answer in, bytes out. Chats and generations differ only in where the text stands.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from runtime.api.ollama.calls import WireCall
from runtime.api.ollama.meter import Durations
from runtime.core.messages import ChosenLogprob, FinishReason, TokenLogprob

_encode = msgspec.json.Encoder().encode

Kind = Literal["chat", "generate"]
DoneReason = Literal["stop", "length", "load", "unload"]


class WireMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A chat's message, or what a line adds to it."""

    role: Literal["assistant"] = "assistant"
    content: str = ""
    thinking: str | UnsetType = UNSET
    tool_calls: list[WireCall] | UnsetType = UNSET


class WireLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A token's log probability."""

    token: str
    logprob: float
    bytes: tuple[int, ...]
    top_logprobs: list[TokenLogprob] | UnsetType = UNSET


class Line(Durations, frozen=True, kw_only=True):
    """What every line has; the numbers stand in the last one only."""

    model: str
    created_at: str
    done: bool
    done_reason: DoneReason | UnsetType = UNSET
    logprobs: list[WireLogprob] | UnsetType = UNSET


class ChatLine(Line, frozen=True, kw_only=True):
    """A line of a chat."""

    message: WireMessage


class GenerateLine(Line, frozen=True, kw_only=True):
    """A line of a generation."""

    response: str
    thinking: str | UnsetType = UNSET


@dataclass(slots=True)
class Part:
    """Some of an answer, or all of it."""

    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    calls: list[WireCall] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether it adds nothing that a client could see."""
        return not (any(self.text) or any(self.thinking) or self.calls or self.logprobs)


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer ended."""

    reason: DoneReason
    durations: Durations


class Lines:
    """Encodes the lines of one answer."""

    def __init__(self, kind: Kind, model: str, now: Callable[[], float]) -> None:
        self._kind = kind
        self._model = model
        self._now = now

    def part(self, part: Part) -> bytes:
        """Return a line that is not the last."""
        return self._line(part, None)

    def idle(self) -> bytes:
        """Return a line that adds nothing and shows that the stream lives: NDJSON knows no comments."""
        return self._line(Part(), None)

    def last(self, closing: Closing, part: Part | None = None) -> bytes:
        """Return the last line; with the whole part it is the whole answer."""
        return self._line(part or Part(), closing)

    def _line(self, part: Part, closing: Closing | None) -> bytes:
        text, thinking = "".join(part.text), "".join(part.thinking) or UNSET
        common: dict[str, Any] = {
            "model": self._model,
            "created_at": rfc3339(self._now()),
            "done": closing is not None,
            "logprobs": _logprobs_of(part.logprobs) or UNSET,
        }
        if closing is not None:
            common |= {"done_reason": closing.reason, **msgspec.structs.asdict(closing.durations)}
        if self._kind == "generate":
            return _encode(GenerateLine(response=text, thinking=thinking, **common))

        message = WireMessage(content=text, thinking=thinking, tool_calls=part.calls or UNSET)
        return _encode(ChatLine(message=message, **common))


def done_reason_of(reason: FinishReason) -> DoneReason:
    """Return Ollama's word for why an answer ended; to call a tool is a stop like any other."""
    return "length" if reason == "length" else "stop"


def rfc3339(at: float) -> str:
    """Return a moment (seconds since the epoch) as Ollama writes it: UTC, nine digits below the second."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z"


def _logprobs_of(chosen: Sequence[ChosenLogprob]) -> list[WireLogprob]:
    return [
        WireLogprob(
            token=each.token,
            logprob=each.logprob,
            bytes=each.bytes,
            top_logprobs=list(each.top_logprobs) or UNSET,
        )
        for each in chosen
    ]
