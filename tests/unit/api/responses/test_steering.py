"""What a client adds to a response while it is made: accepted, kept, and never lost."""

from typing import Any, cast

import pytest
from openai._models import construct_type_unchecked
from openai.types.responses import (
    ResponseSteerAcceptedEvent,
    ResponseSteerFailedEvent,
    ResponseSteerPendingEvent,
)
from openai.types.responses.responses_server_event import ResponsesServerEvent
from pydantic import TypeAdapter

from runtime.api.responses.steering import PENDING_LIMIT, Steering

_CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": "{}"}


def _steer(text: Any = "Be brief.", response: str = "resp_1", **more: Any) -> dict[str, Any]:
    return {"type": "response.steer", "previous_response_id": response, "input": text, **more}


def _steering(*, can_be_steered: bool = True) -> Steering:
    steering = Steering()
    steering.begin("resp_1", "lane", can_be_steered=can_be_steered)
    return steering


def test_input_for_a_response_that_is_being_made_is_accepted_in_its_lane() -> None:
    event = _steering().take(_steer())

    TypeAdapter(ResponseSteerAcceptedEvent).validate_python(event)
    assert event["type"] == "response.steer.accepted"
    assert event["stream_id"] == "lane"
    assert event["steer"]["previous_response_id"] == "resp_1"


def test_what_was_accepted_begins_the_successor_in_the_order_in_which_it_came() -> None:
    steering = _steering()
    steering.take(_steer("one"))
    steering.take(_steer([{"role": "user", "type": "message", "content": "two"}]))

    after = steering.end("resp_1", "completed", [])

    assert after.has_successor
    assert [each["content"] for each in steering.waiting("resp_1")] == ["one", "two"]
    steering.claim("resp_1")
    assert steering.waiting("resp_1") == []


def test_where_a_result_is_owed_it_waits_for_the_next_request_and_says_for_what() -> None:
    steering = _steering()
    steering.take(_steer())

    after = steering.end(
        "resp_1", "completed", [_CALL, {"type": "mcp_approval_request", "id": "mcpr_1", "name": "write"}]
    )

    assert not after.has_successor
    [pending] = after.events
    TypeAdapter(ResponseSteerPendingEvent).validate_python(pending)
    assert pending["required_input"] == [
        {"type": "function_call_output", "call_id": "call_1", "name": "look"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1"},
    ]
    assert [each["content"] for each in steering.waiting("resp_1")] == ["Be brief."]


def test_after_a_failure_the_input_is_handed_back() -> None:
    steering = _steering()
    accepted = steering.take(_steer("mine"))

    [failed] = steering.end("resp_1", "failed", []).events

    TypeAdapter(ResponseSteerFailedEvent).validate_python(failed)
    assert failed["error"]["code"] == "successor_creation_failed"
    assert failed["steer"] == {
        "id": accepted["steer"]["id"],
        "previous_response_id": "resp_1",
        "input": "mine",
    }
    assert steering.waiting("resp_1") == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (_steer(response="resp_other"), "response_not_found"),
        (_steer(""), "invalid_input"),
        (_steer([]), "invalid_input"),
        (_steer([{"role": "assistant", "content": "x"}]), "invalid_input"),
        (_steer([{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]), "invalid_input"),
        (_steer(stream_id="lane"), "invalid_input"),
        ({"type": "response.steer", "input": "x"}, "invalid_input"),
    ],
)
def test_a_frame_that_cannot_be_taken_is_handed_back_with_its_code(frame: dict[str, Any], code: str) -> None:
    event = _steering().take(frame)

    assert event["error"]["code"] == code
    assert event["steer"]["input"] == frame["input"]
    assert "id" not in event["steer"]
    assert construct_type_unchecked(value=event, type_=cast("Any", ResponsesServerEvent)) is not None


def test_a_response_of_a_conversation_cannot_be_steered() -> None:
    assert _steering(can_be_steered=False).take(_steer())["error"]["code"] == "steering_not_supported"


def test_a_response_that_has_ended_takes_nothing_more() -> None:
    steering = _steering()
    steering.end("resp_1", "completed", [])

    assert steering.take(_steer())["error"]["code"] == "response_already_completed"


def test_no_more_than_so_many_submissions_wait() -> None:
    steering = _steering()
    for _ in range(PENDING_LIMIT):
        steering.take(_steer())

    assert steering.take(_steer())["error"]["code"] == "too_many_pending_steers"


def test_responses_that_nothing_waits_for_are_forgotten_in_time() -> None:
    steering = Steering()
    for number in range(200):
        steering.begin(f"resp_{number}", None, can_be_steered=True)
        steering.end(f"resp_{number}", "completed", [])

    assert steering.take(_steer(response="resp_0"))["error"]["code"] == "response_not_found"
    assert steering.take(_steer(response="resp_199"))["error"]["code"] == "response_already_completed"
