"""What a chat completion looks like on the way out: the chunks of a stream, and the whole answer.

`Chunks` turns the outputs of a run into encoded chunks one by one; `Answer` gathers the same outputs.
Both are pure: outputs in, bytes out.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from runtime.core.messages import ChosenLogprob, Delta, FinishReason, ToolCallDelta, Usage

_encode = msgspec.json.Encoder().encode


class WireFunction(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A function's name and arguments, or a piece of them."""

    name: str | None = None
    arguments: str | UnsetType = UNSET


class WireToolCall(msgspec.Struct, kw_only=True):
    """A tool call, or a piece of one; `index` only in streams."""

    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: WireFunction


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


class PromptDetails(msgspec.Struct, kw_only=True):
    """What the prompt's tokens were."""

    cached_tokens: int = 0
    audio_tokens: int = 0


class CompletionDetails(msgspec.Struct, kw_only=True):
    """What the answer's tokens were."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class WireUsage(msgspec.Struct, kw_only=True):
    """Tokens of the whole completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


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


class Tally:
    """The usage of a completion: choices share one prompt, so it counts once, as OpenAI counts it."""

    def __init__(self) -> None:
        self._ended: dict[int, Usage] = {}

    def add(self, index: int, usage: Usage) -> None:
        """Note that a choice ended."""
        self._ended[index] = usage

    def is_complete(self, choices: int) -> bool:
        """Whether every choice ended."""
        return len(self._ended) == choices

    def total(self) -> WireUsage:
        """Return the sum for the wire."""
        usages = self._ended.values()
        prompt = max((each.prompt_tokens for each in usages), default=0)
        completion = sum(each.completion_tokens for each in usages)
        return WireUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            prompt_tokens_details=PromptDetails(
                cached_tokens=max((each.cached_tokens for each in usages), default=0)
            ),
            completion_tokens_details=CompletionDetails(
                reasoning_tokens=sum(each.reasoning_tokens for each in usages)
            ),
        )


class Chunks:
    """Encodes the chunks of one stream."""

    def __init__(self, heading: Heading, *, has_usage: bool) -> None:
        self._heading = heading
        self._usage: UnsetType | None = None if has_usage else UNSET

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
            tool_calls=[_piece(each) for each in delta.tool_calls] or UNSET,
        )
        logprobs = WireLogprobs(content=list(delta.logprobs)) if delta.logprobs else None
        return self._chunk(index, wire, logprobs=logprobs)

    def closing(self, index: int, reason: FinishReason) -> bytes:
        """Return the last chunk of a choice."""
        return self._chunk(index, WireDelta(), reason=reason)

    def usage(self, usage: WireUsage) -> bytes:
        """Return the chunk that tells the usage; it has no choices."""
        return _encode(self._make([], usage))

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
class _Draft:
    """One choice while it is gathered."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[ChosenLogprob] = field(default_factory=list)
    calls: dict[int, WireToolCall] = field(default_factory=dict)
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
                function = WireFunction(name=piece.name or "", arguments=piece.arguments)
                call_id = piece.id if piece.id is not None else UNSET
                draft.calls[piece.index] = WireToolCall(id=call_id, type="function", function=function)
            else:
                call.function.arguments = f"{call.function.arguments}{piece.arguments}"

    def end(self, index: int, reason: FinishReason) -> None:
        """Note why a choice ended."""
        self._drafts[index].reason = reason

    def encode(self, usage: WireUsage) -> bytes:
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
                usage=usage,
            )
        )

    def _choice(self, index: int, draft: _Draft) -> WireChoice:
        text = "".join(draft.text)
        calls = [draft.calls[place] for place in sorted(draft.calls)]
        message = WireMessage(
            content=None if calls and not text else text,
            reasoning_content="".join(draft.reasoning) or UNSET,
            tool_calls=calls or UNSET,
        )
        logprobs = WireLogprobs(content=draft.logprobs) if self._has_logprobs else None
        return WireChoice(index=index, message=message, logprobs=logprobs, finish_reason=draft.reason)


def _piece(delta: ToolCallDelta) -> WireToolCall:
    """Say a piece of a tool call: the first of each index carries id, type and name."""
    is_first = delta.id is not None or delta.name is not None
    return WireToolCall(
        index=delta.index,
        id=delta.id if delta.id is not None else UNSET,
        type="function" if is_first else UNSET,
        function=WireFunction(name=delta.name, arguments=delta.arguments),
    )
