"""What an answer looks like on the way out: outputs become events, and events one whole message.

`Blocks` opens a block when the kind of output changes and closes the one before, so that no two are open at
once. `Answer` gathers those same events: stream and whole cannot differ. Both are pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from runtime.api.anthropic.events import (
    Block,
    BlockChange,
    BlockDelta,
    BlockStart,
    BlockStop,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    SignatureDelta,
    Stopped,
    StopReason,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingDetails,
    ToolUse,
    WireMessage,
    WireUsage,
)
from runtime.core.errors import Fault, WorkerFailed
from runtime.core.messages import Delta, Ended, ToolCallDelta, Usage

SIGNATURE = "lar"
"""Clients send back only thoughts that carry a signature. It proves nothing, and nobody checks it."""

_Part = int | str
"""What an open block is of: `text`, `thinking`, or the index of a call."""


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an answer before it begins."""

    id: str
    model: str


class Blocks:
    """Turns the outputs of one generation into the events of its stream."""

    def __init__(self, *, shows_thinking: bool) -> None:
        self._shows_thinking = shows_thinking
        self._index = -1
        self._open: _Part | None = None
        self._calls = 0

    def begin(self, heading: Heading, prompt_tokens: int) -> Iterator[StreamEvent]:
        """Say that the prompt was accepted."""
        usage = WireUsage(input_tokens=prompt_tokens)
        yield MessageStart(message=WireMessage(id=heading.id, model=heading.model, usage=usage))
        yield Ping()

    def add(self, delta: Delta) -> Iterator[StreamEvent]:
        """Say what one step added: thoughts, then text, then calls."""
        if delta.reasoning:
            yield from self._enter("thinking", Thinking(thinking="", signature=""))
            if self._shows_thinking:
                yield self._change(ThinkingDelta(thinking=delta.reasoning))
        if delta.text:
            yield from self._enter("text", Text(text=""))
            yield self._change(TextDelta(text=delta.text))
        for piece in delta.tool_calls:
            yield from self._add_call(piece)

    def end(self, ended: Ended) -> Iterator[StreamEvent]:
        """Say why the answer ended and what it took."""
        yield from self._leave()
        stopped = Stopped(stop_reason=_stop_reason(ended), stop_sequence=ended.stop)
        yield MessageDelta(delta=stopped, usage=_usage(ended.usage))
        yield MessageStop()

    def _add_call(self, piece: ToolCallDelta) -> Iterator[StreamEvent]:
        if piece.index != self._open:
            # Engines give one call after the other, id and name with the first piece of each.
            assert piece.index == self._calls
            assert piece.id is not None
            assert piece.name is not None
            self._calls += 1
            yield from self._enter(piece.index, ToolUse(id=piece.id, name=piece.name, input={}))
        if piece.arguments:
            yield self._change(InputJsonDelta(partial_json=piece.arguments))

    def _enter(self, part: _Part, block: Block) -> Iterator[StreamEvent]:
        if part == self._open:
            return

        yield from self._leave()
        self._index += 1
        self._open = part
        yield BlockStart(index=self._index, content_block=block)

    def _leave(self) -> Iterator[StreamEvent]:
        if self._open is None:
            return

        if self._open == "thinking":
            yield self._change(SignatureDelta(signature=SIGNATURE))
        self._open = None
        yield BlockStop(index=self._index)

    def _change(self, change: BlockChange) -> BlockDelta:
        return BlockDelta(index=self._index, delta=change)


@dataclass(slots=True)
class _Draft:
    """One block while it is gathered."""

    block: Block
    pieces: list[str] = field(default_factory=list)
    signature: str = ""


class Answer:
    """Gathers the events of an answer into one whole message."""

    def __init__(self) -> None:
        self._shell: WireMessage | None = None
        self._drafts: list[_Draft] = []
        self._end: MessageDelta | None = None

    def take(self, event: StreamEvent) -> None:
        """Take the next event."""
        match event:
            case MessageStart():
                self._shell = event.message
            case BlockStart():
                self._drafts.append(_Draft(event.content_block))
            case BlockDelta():
                _grow(self._drafts[event.index], event.delta)
            case MessageDelta():
                self._end = event
            case Ping() | BlockStop() | MessageStop():
                pass

    def message(self) -> WireMessage:
        """Return the whole, once the last event was taken. Raises WorkerFailed for a call that is none."""
        assert self._shell is not None
        assert self._end is not None
        stopped = self._end.delta
        built = [_finished(each, stopped.stop_reason) for each in self._drafts]
        return msgspec.structs.replace(
            self._shell,
            content=[each for each in built if each is not None],
            stop_reason=stopped.stop_reason,
            stop_sequence=stopped.stop_sequence,
            usage=self._end.usage,
        )


def _grow(draft: _Draft, change: BlockChange) -> None:
    match change:
        case TextDelta(text=piece) | ThinkingDelta(thinking=piece) | InputJsonDelta(partial_json=piece):
            draft.pieces.append(piece)
        case SignatureDelta():
            draft.signature = change.signature


def _finished(draft: _Draft, reason: StopReason) -> Block | None:
    """Return the block with its content; None for a call that was cut off and so never was one."""
    content = "".join(draft.pieces)
    match draft.block:
        case Text():
            return Text(text=content)
        case Thinking():
            return Thinking(thinking=content, signature=draft.signature)
        case ToolUse() as call:
            is_cut = reason == "max_tokens"
            try:
                given = msgspec.json.decode(content if content or is_cut else "{}", type=dict)
            except msgspec.DecodeError as problem:
                if is_cut:
                    return None

                message = f"The model called '{call.name}' with something that is no JSON object."
                raise WorkerFailed(Fault(code="engine_failed", message=message)) from problem
            return msgspec.structs.replace(call, input=given)


def _stop_reason(ended: Ended) -> StopReason:
    match ended.reason:
        case "length":
            return "max_tokens"
        case "tool_calls":
            return "tool_use"
        case "stop" | "cancelled":  # a cancelled run never comes here: it ends as an error
            return "end_turn" if ended.stop is None else "stop_sequence"


def _usage(usage: Usage) -> WireUsage:
    return WireUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        output_tokens_details=ThinkingDetails(thinking_tokens=usage.reasoning_tokens),
    )
