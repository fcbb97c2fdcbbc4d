"""The SDK of OpenAI as the judge of a stream: its types, its state machine, and that of its WebSocket."""

from collections.abc import Sequence
from typing import Any, cast, get_args

from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.responses_websocket import ResponsesWebSocketAccumulator, ResponsesWebSocketError
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response
from openai.types.responses.response_stream_event import ResponseStreamEvent
from openai.types.responses.responses_server_event import ResponsesServerEvent
from pydantic import TypeAdapter

_EVENTS = {
    get_args(each.model_fields["type"].annotation)[0]: TypeAdapter(each)
    for each in get_args(get_args(ResponseStreamEvent)[0])
}

EVENT_TYPES = frozenset(_EVENTS)
"""Of the events that a stream may have, by the SDK."""


def check_types(events: Sequence[dict[str, Any]]) -> None:
    """Fail where an event lacks a field of its type, or has one of another kind."""
    for event in events:
        _EVENTS[event["type"]].validate_python(event)


def heard(events: Sequence[dict[str, Any]]) -> Any:
    """Return what the SDK's state machine makes of a stream that completes; it raises where it objects."""
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(construct_type_unchecked(value=event, type_=cast("Any", ResponseStreamEvent)))
    return state._completed_response


def heard_over_socket(events: Sequence[dict[str, Any]]) -> Response | None:
    """Return what the SDK's accumulator for WebSockets makes of a stream; None where it ends in an error."""
    accumulator = ResponsesWebSocketAccumulator()
    try:
        for event in events:
            accumulator.add_event(
                construct_type_unchecked(value=event, type_=cast("Any", ResponsesServerEvent))
            )
    except ResponsesWebSocketError:
        return None
    return accumulator.get_final_response()
