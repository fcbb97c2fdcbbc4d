"""The words of an answer as Anthropic has them: content blocks, the message, and the events of a stream."""

from typing import Any, Literal

import msgspec

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class Wire(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of what is sent, each with its `type`."""


# ---- content


class Text(Wire, frozen=True, kw_only=True, tag="text"):
    """What the model says."""

    text: str


class Thinking(Wire, frozen=True, kw_only=True, tag="thinking"):
    """What the model thought before; in a stream the signature comes last."""

    thinking: str
    signature: str


class ToolUse(Wire, frozen=True, kw_only=True, tag="tool_use"):
    """What the model wants called."""

    id: str
    name: str
    input: dict[str, Any]


Block = Text | Thinking | ToolUse


class ThinkingDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer's tokens were."""

    thinking_tokens: int = 0


class WireUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one message. The prompt's are `input_tokens` and `cache_read_input_tokens` together."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    """Always 0: keeping a prefix costs nothing, so none is counted apart."""
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    output_tokens_details: ThinkingDetails = ThinkingDetails()
    service_tier: str = "standard"


class WireMessage(Wire, frozen=True, kw_only=True, tag="message"):
    """An answer, or the shell that a stream begins with."""

    id: str
    role: str = "assistant"
    model: str
    content: list[Block] = []
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: None = None
    """Anthropic's, of answers that its own filters end."""
    usage: WireUsage


# ---- events


class MessageStart(Wire, frozen=True, kw_only=True, tag="message_start"):
    """The answer begins: a message without content."""

    message: WireMessage


class Ping(Wire, frozen=True, kw_only=True, tag="ping"):
    """The stream lives."""


class BlockStart(Wire, frozen=True, kw_only=True, tag="content_block_start"):
    """A block begins, empty."""

    index: int
    content_block: Block


class TextDelta(Wire, frozen=True, kw_only=True, tag="text_delta"):
    """More text."""

    text: str


class ThinkingDelta(Wire, frozen=True, kw_only=True, tag="thinking_delta"):
    """More thoughts."""

    thinking: str


class SignatureDelta(Wire, frozen=True, kw_only=True, tag="signature_delta"):
    """The thoughts are complete."""

    signature: str


class InputJsonDelta(Wire, frozen=True, kw_only=True, tag="input_json_delta"):
    """More of a call's input, as JSON text."""

    partial_json: str


BlockChange = TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


class BlockDelta(Wire, frozen=True, kw_only=True, tag="content_block_delta"):
    """A block grows."""

    index: int
    delta: BlockChange


class BlockStop(Wire, frozen=True, kw_only=True, tag="content_block_stop"):
    """A block is complete; the next one begins only now."""

    index: int


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """Why the answer ended, and which stop sequence did it."""

    stop_reason: StopReason
    stop_sequence: str | None
    stop_details: None = None


class MessageDelta(Wire, frozen=True, kw_only=True, tag="message_delta"):
    """The answer is complete; the usage counts all of it."""

    delta: Stopped
    usage: WireUsage


class MessageStop(Wire, frozen=True, kw_only=True, tag="message_stop"):
    """Nothing follows."""


StreamEvent = MessageStart | Ping | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop


def name_of(event: StreamEvent) -> str:
    """Return the name that the event has in a stream."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
