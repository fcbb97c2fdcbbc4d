"""What a chat completion looks like on the way out: the chunks of a stream, and the whole answer.

`Chunks` turns the outputs of a run into encoded chunks one by one; `Answer` gathers the same outputs.
Both are pure: outputs in, bytes out.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from runtime.api.openai.usage import WireUsage, usage_on_wire
from runtime.core.messages import ChosenLogprob, Delta, FinishReason, ToolCallDelta, Usage

_encode = msgspec.json.Encoder().encode


ToolKind = Literal["function", "custom"]


class WireFunction(msgspec.Struct, kw_only=True):
    """A function's name and arguments, or a piece of them."""

    name: str | UnsetType = UNSET
    arguments: str


class WireCustom(msgspec.Struct, kw_only=True):
    """A custom tool's name and input, or a piece of them."""

    name: str | UnsetType = UNSET
    input: str


class WireToolCall(msgspec.Struct, kw_only=True):
    """A tool call, or a piece of one; `index` only in streams."""

    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: ToolKind | UnsetType = UNSET
    function: WireFunction | UnsetType = UNSET
    custom: WireCustom | UnsetType = UNSET


class WireLogprobs(msgspec.Struct, kw_only=True):
    """Log probabilities of the content's tokens."""

    content: list[ChosenLogprob]
    refusal: None = None


class WireDelta(msgspec.Struct, kw_only=True):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    refusal: UnsetType | None = UNSET
    tool_calls: list[WireToolCall] | UnsetType = UNSET


class WireChunkChoice(msgspec.Struct, kw_only=True):
    """One choice in a chunk."""

    index: int
    delta: WireDelta
    logprobs: WireLogprobs | None = None
    finish_reason: FinishReason | None = None


class WireChunk(msgspec.Struct, kw_only=True):
    """One event of the stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    service_tier: str | UnsetType = UNSET
    choices: list[WireChunkChoice]
    usage: WireUsage | UnsetType | None = UNSET


class WireMessage(msgspec.Struct, kw_only=True):
    """The message of a finished choice."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET
    annotations: list[str] = []
    tool_calls: list[WireToolCall] | UnsetType = UNSET


class WireChoice(msgspec.Struct, kw_only=True):
    """One choice of the whole answer."""

    index: int
    message: WireMessage
    logprobs: WireLogprobs | None
    finish_reason: FinishReason


class WireCompletion(msgspec.Struct, kw_only=True):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    service_tier: str | UnsetType = UNSET
    choices: list[WireChoice]
    usage: WireUsage


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What every chunk and the whole answer have in common."""

    id: str
    created: int
    model: str
    system_fingerprint: str
    service_tier: str | UnsetType = UNSET


class Chunks:
    """Encodes the chunks of one stream."""

    def __init__(self, heading: Heading, *, has_usage: bool) -> None:
        self._heading = heading
        self._usage: UnsetType | None = None if has_usage else UNSET
        self._kinds: dict[tuple[int, int], ToolKind] = {}

    def opening(self, index: int) -> bytes:
        """Return the first chunk of a choice."""
        return self._chunk(index, WireDelta(role="assistant", content="", refusal=None))

    def delta(self, index: int, delta: Delta) -> bytes | None:
        """Return the chunk for a delta; None where it adds nothing that a client could see."""
        if not (delta.text or delta.reasoning or delta.tool_calls or delta.logprobs):
            return None

        has_content = bool(delta.text) or not (delta.reasoning or delta.tool_calls)
        wire = WireDelta(
            content=delta.text if has_content else UNSET,
            reasoning_content=delta.reasoning or UNSET,
            tool_calls=[self._piece(index, each) for each in delta.tool_calls] or UNSET,
        )
        logprobs = WireLogprobs(content=list(delta.logprobs)) if delta.logprobs else None
        return self._chunk(index, wire, logprobs=logprobs)

    def closing(self, index: int, reason: FinishReason) -> bytes:
        """Return the last chunk of a choice."""
        return self._chunk(index, WireDelta(), reason=reason)

    def usage(self, usage: Usage) -> bytes:
        """Return the chunk that tells the usage; it has no choices."""
        return _encode(self._make([], usage_on_wire(usage)))

    def _piece(self, index: int, piece: ToolCallDelta) -> WireToolCall:
        """Say a piece of a tool call: the first of each carries id, type and name."""
        kind = self._kinds.setdefault((index, piece.index), piece.type)
        is_first = piece.id is not None or piece.name is not None
        call = _call(kind, UNSET if piece.name is None else piece.name, piece.arguments)
        call.index = piece.index
        call.id = UNSET if piece.id is None else piece.id
        call.type = kind if is_first else UNSET
        return call

    def _chunk(
        self,
        index: int,
        delta: WireDelta,
        *,
        logprobs: WireLogprobs | None = None,
        reason: FinishReason | None = None,
    ) -> bytes:
        choice = WireChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=reason)
        return _encode(self._make([choice], self._usage))

    def _make(self, choices: list[WireChunkChoice], usage: WireUsage | UnsetType | None) -> WireChunk:
        heading = self._heading
        return WireChunk(
            id=heading.id,
            created=heading.created,
            model=heading.model,
            system_fingerprint=heading.system_fingerprint,
            service_tier=heading.service_tier,
            choices=choices,
            usage=usage,
        )


@dataclass(slots=True)
class _Call:
    """One tool call while it is gathered."""

    id: str | None
    kind: ToolKind
    name: str
    arguments: list[str]


@dataclass(slots=True)
class _Draft:
    """One choice while it is gathered."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    reason: FinishReason = "stop"


class Answer:
    """Gathers the outputs of a run into one whole answer."""

    def __init__(self, heading: Heading, choices: int, *, has_logprobs: bool) -> None:
        self._heading = heading
        self._has_logprobs = has_logprobs
        self._drafts = [_Draft() for _ in range(choices)]

    def add(self, index: int, delta: Delta) -> None:
        """Add a delta to a choice."""
        draft = self._drafts[index]
        draft.text.append(delta.text)
        draft.reasoning.append(delta.reasoning)
        draft.logprobs += delta.logprobs
        for piece in delta.tool_calls:
            call = draft.calls.get(piece.index)
            if call is None:
                name = piece.name or ""
                draft.calls[piece.index] = _Call(piece.id, piece.type, name, [piece.arguments])
            else:
                call.arguments.append(piece.arguments)

    def end(self, index: int, reason: FinishReason) -> None:
        """Note why a choice ended."""
        self._drafts[index].reason = reason

    def encode(self, usage: Usage) -> bytes:
        """Return the whole answer."""
        heading = self._heading
        return _encode(
            WireCompletion(
                id=heading.id,
                created=heading.created,
                model=heading.model,
                system_fingerprint=heading.system_fingerprint,
                service_tier=heading.service_tier,
                choices=[self._choice(index, draft) for index, draft in enumerate(self._drafts)],
                usage=usage_on_wire(usage),
            )
        )

    def _choice(self, index: int, draft: _Draft) -> WireChoice:
        text = "".join(draft.text)
        last = max(draft.calls, default=None)
        calls = [
            _whole_call(call)
            for place, call in sorted(draft.calls.items())
            if not (draft.reason == "length" and place == last and _may_be_cut(call))
        ]
        message = WireMessage(
            content=None if calls and not text else text,
            reasoning_content="".join(draft.reasoning) or UNSET,
            tool_calls=calls or UNSET,
        )
        logprobs = WireLogprobs(content=draft.logprobs) if self._has_logprobs else None
        return WireChoice(index=index, message=message, logprobs=logprobs, finish_reason=draft.reason)


def _may_be_cut(call: _Call) -> bool:
    """Whether the last call of an answer that met its limit may be a part of one: then it is none."""
    if call.kind == "custom":
        return True

    try:
        msgspec.json.decode("".join(call.arguments))
    except msgspec.DecodeError:
        return True

    return False


def _whole_call(call: _Call) -> WireToolCall:
    wire = _call(call.kind, call.name, "".join(call.arguments))
    wire.id = UNSET if call.id is None else call.id
    wire.type = call.kind
    return wire


def _call(kind: ToolKind, name: str | UnsetType, text: str) -> WireToolCall:
    if kind == "custom":
        return WireToolCall(custom=WireCustom(name=name, input=text))

    return WireToolCall(function=WireFunction(name=name, arguments=text))
