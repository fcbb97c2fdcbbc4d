"""An answer told as events and as a whole: the same message, whatever the outputs and their cuts are."""

import json
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message as SdkMessage
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from runtime.api.anthropic.blocks import Answer, Blocks, Heading
from runtime.api.anthropic.events import BlockDelta, BlockStart, BlockStop, StreamEvent, name_of
from runtime.core.messages import Delta, Ended, FinishReason, ToolCallDelta, Usage

_SDK_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = Usage(prompt_tokens=9, completion_tokens=7, cached_tokens=4, reasoning_tokens=2)

inputs = st.dictionaries(
    st.text(max_size=8), st.text(max_size=8) | st.integers(-(2**53), 2**53) | st.none(), max_size=3
)
said = st.tuples(st.sampled_from(["text", "reasoning"]), st.text(min_size=1, max_size=12))
called = st.tuples(st.just("call"), inputs)


def cut(draw: st.DataObject, text: str) -> list[str]:
    """Cut a text at some places."""
    places = sorted(draw.draw(st.sets(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def deltas_of(draw: st.DataObject, parts: list[tuple[str, Any]]) -> list[Delta]:
    deltas: list[Delta] = []
    calls = 0
    for kind, content in parts:
        if kind == "text":
            deltas += [Delta(text=piece) for piece in cut(draw, content)]
        elif kind == "reasoning":
            deltas += [Delta(reasoning=piece) for piece in cut(draw, content)]
        else:
            begin = ToolCallDelta(index=calls, id=f"c{calls}", name="f")
            pieces = cut(draw, json.dumps(content)) if content else [""]
            more = [ToolCallDelta(index=calls, arguments=piece) for piece in pieces]
            deltas += [Delta(tool_calls=(each,)) for each in (begin, *more)]
            calls += 1
    return deltas


def events_of(
    deltas: list[Delta], reason: FinishReason = "stop", *, shows_thinking: bool = True
) -> list[StreamEvent]:
    blocks = Blocks(shows_thinking=shows_thinking)
    events = list(blocks.begin(Heading(id="msg_1", model="m"), 9))
    for delta in deltas:
        events += blocks.add(delta)
    return [*events, *blocks.end(Ended(reason=reason, usage=USAGE))]


def whole_of(events: list[StreamEvent]) -> dict[str, Any]:
    answer = Answer()
    for event in events:
        answer.take(event)
    built: dict[str, Any] = msgspec.to_builtins(answer.message())
    return built


def accumulated(events: list[StreamEvent]) -> dict[str, Any]:
    """Return the message as Anthropic's own client puts it together."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if name_of(event) == "ping":  # the client drops it before
            continue

        read = _SDK_EVENT.validate_json(msgspec.json.encode(event))
        snapshot = accumulate_event(event=read, current_snapshot=snapshot, json_bufs=buffers)
    assert isinstance(snapshot, SdkMessage)
    return snapshot.to_dict()


@given(st.lists(said | called, max_size=6), st.booleans(), st.data())
def test_streamed_blocks_accumulate_to_the_whole_message(
    parts: list[tuple[str, Any]], shows_thinking: bool, data: st.DataObject
) -> None:
    events = events_of(deltas_of(data, parts), shows_thinking=shows_thinking)

    assert accumulated(events) == whole_of(events)


@given(st.lists(said | called, max_size=6), st.data())
def test_nothing_of_the_outputs_is_lost(parts: list[tuple[str, Any]], data: st.DataObject) -> None:
    content = whole_of(events_of(deltas_of(data, parts)))["content"]

    for kind, field in (("text", "text"), ("reasoning", "thinking")):
        told = "".join(each[field] for each in content if each["type"] == field)
        assert told == "".join(words for each, words in parts if each == kind)
    calls = [each["input"] for each in content if each["type"] == "tool_use"]
    assert calls == [each for kind, each in parts if kind == "call"]


@given(st.lists(said | called, max_size=6), st.data())
def test_one_block_is_open_at_a_time_and_their_indexes_follow_each_other(
    parts: list[tuple[str, Any]], data: st.DataObject
) -> None:
    events = events_of(deltas_of(data, parts))

    open_index: int | None = None
    count = 0
    for event in events:
        match event:
            case BlockStart():
                assert open_index is None
                assert event.index == count
                open_index = event.index
                count += 1
            case BlockDelta():
                assert event.index == open_index
            case BlockStop():
                assert event.index == open_index
                open_index = None
            case _:
                assert open_index is None
    names = [name_of(each) for each in events]
    assert names[:2] == ["message_start", "ping"]
    assert names[-2:] == ["message_delta", "message_stop"]


@pytest.mark.parametrize("arguments", ["", "{", '{"a": "b'])
def test_a_call_that_the_limit_cut_is_left_out_of_the_whole(arguments: str) -> None:
    call = ToolCallDelta(index=0, id="c", name="f", arguments=arguments)
    whole = whole_of(events_of([Delta(text="a"), Delta(tool_calls=(call,))], "length"))

    assert [each["type"] for each in whole["content"]] == ["text"]


def test_a_call_that_was_complete_before_the_limit_stays() -> None:
    call = ToolCallDelta(index=0, id="c", name="f", arguments='{"a": 1}')
    whole = whole_of(events_of([Delta(tool_calls=(call,)), Delta(text="And")], "length"))

    assert [each["type"] for each in whole["content"]] == ["tool_use", "text"]


def test_one_delta_may_hold_everything() -> None:
    call = ToolCallDelta(index=0, id="c", name="f", arguments="{}")
    events = events_of([Delta(reasoning="r", text="t", tool_calls=(call,))])

    assert [each["type"] for each in whole_of(events)["content"]] == ["thinking", "text", "tool_use"]
