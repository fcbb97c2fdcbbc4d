"""One refusal in the words of each API, chosen by the path."""

from typing import Any

import msgspec
import pytest

from runtime.api.dialects import Told, anthropic_type, dialect_of, error_body
from runtime.api.errors import ANSWERS, Refusal, refusal_of
from runtime.core.errors import Fault
from runtime.core.ids import RunId

REFUSAL = Refusal(
    status=400,
    type="invalid_request_error",
    code="invalid_value",
    message="No.",
    param="model",
    detail="the log's last lines",
)
ANTHROPIC_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
}


def say(path: str, told: Told) -> Any:
    return msgspec.json.decode(error_body(path, REFUSAL, told))


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/v1/messages/batches/1", "anthropic"),
        ("/v1/messagesx", "openai"),
        ("/v1/chat/completions", "openai"),
        ("/api/chat", "ollama"),
        ("/api/version", "ollama"),
        ("/api/blobs/sha256:1", "ollama"),
        ("/api/collections", "localrecall"),
        ("/api/collections/notes/search", "localrecall"),
        ("/api/collectionsx", "openai"),
        ("/api/recall/collections", "openai"),
        ("/api/chats", "openai"),
        ("/api/chat/helper", "ollama"),
        ("/api/agent/helper/config", "localagi"),
        ("/api/actions", "localagi"),
        ("/settings/export/helper", "localagi"),
        ("/sse/helper", "localagi"),
        ("/sse", "openai"),
        ("/api/agents/helper", "openai"),
        ("/api/state", "openai"),
        ("/api/models/chat/install", "openai"),
        ("/api", "openai"),
        ("/", "openai"),
        ("", "openai"),
    ],
)
def test_the_path_says_which_api_is_spoken(path: str, dialect: str) -> None:
    assert dialect_of(path) == dialect


def test_each_api_has_its_own_envelope() -> None:
    told = Told("req_1", RunId("run_1"))

    assert say("/v1/models", told) == {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "invalid_value",
            "run_id": "run_1",
        }
    }
    assert say("/v1/messages", told) == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "No.",
            "details": {"error_code": "invalid_value", "param": "model", "run_id": "run_1"},
        },
        "request_id": "req_1",
    }
    assert say("/api/chat", told) == {"error": "No."}
    assert say("/api/collections", told) == {
        "success": False,
        "error": {
            "code": "INVALID_REQUEST",
            "message": "No.",
            "details": "field: model, code: invalid_value",
        },
    }


@pytest.mark.parametrize("path", ["/v1/models", "/v1/messages", "/api/chat", "/api/collections"])
def test_only_operators_read_what_a_part_printed_last(path: str) -> None:
    assert "last lines" not in error_body(path, REFUSAL, Told("req_1")).decode()
    assert "last lines" in error_body(path, REFUSAL, Told("req_1", has_detail=True)).decode()


def test_every_fault_has_a_type_that_anthropics_clients_know() -> None:
    for code in ANSWERS:
        assert anthropic_type(refusal_of(Fault(code=code, message="No."))) in ANTHROPIC_TYPES


@pytest.mark.parametrize(
    ("status", "should_retry", "kind"),
    [
        (400, None, "invalid_request_error"),
        (408, None, "invalid_request_error"),
        (401, None, "authentication_error"),
        (403, None, "permission_error"),
        (404, None, "not_found_error"),
        (413, None, "request_too_large"),
        (429, True, "rate_limit_error"),
        (500, False, "api_error"),
        (503, True, "overloaded_error"),
        (503, False, "api_error"),
        (504, True, "timeout_error"),
    ],
)
def test_the_status_decides_the_type(status: int, should_retry: bool | None, kind: str) -> None:
    refusal = Refusal(status=status, type="x", code=None, message="No.", should_retry=should_retry)

    assert anthropic_type(refusal) == kind
