"""What requests are refused for: each with its status, code and field; and no body breaks anything."""

from typing import Any

import msgspec
import pytest

from runtime.api.bodies import decode_body
from runtime.api.errors import Refused, invalid, refusal_of
from runtime.api.responses import errors
from runtime.api.responses.body import CreateBody
from runtime.api.responses.request import bare_plan, new_run, read_request
from runtime.core.agents.ports import NewRun
from runtime.core.errors import Fault
from runtime.core.gate.principals import OWNER
from tests.kit.responses import make_outside
from tests.unit.api.responses.samples import PNG_URL

_OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "1"}
_CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
_TABLE: list[tuple[dict[str, Any], int, str | None, str | None]] = [
    ({"model": ...}, 400, "missing_required_parameter", "model"),
    ({"input": ...}, 400, "missing_required_parameter", "input"),
    ({"model": 1}, 400, "invalid_type", "model"),
    ({"input": 1}, 400, "invalid_type", "input"),
    ({"input": [1]}, 400, "invalid_type", "input[0]"),
    ({"max_output_tokens": 15}, 400, "invalid_value", "max_output_tokens"),
    ({"max_tool_calls": 0}, 400, "invalid_value", "max_tool_calls"),
    ({"temperature": 3}, 400, "invalid_value", "temperature"),
    ({"top_logprobs": 21}, 400, "invalid_value", "top_logprobs"),
    ({"include": ["nothing"]}, 400, "invalid_value", "include[0]"),
    ({"truncation": "some"}, 400, "invalid_value", "truncation"),
    ({"reasoning": {"effort": "huge"}}, 400, "invalid_value", "reasoning.effort"),
    ({"service_tier": "gold"}, 400, "invalid_value", "service_tier"),
    ({"metadata": {str(n): "" for n in range(17)}}, 400, "invalid_value", "metadata"),
    ({"metadata": {"a": "x" * 513}}, 400, "invalid_value", "metadata[...]"),
    ({"metadata": {"x" * 65: "a"}}, 400, "invalid_value", "metadata"),
    ({"safety_identifier": "x" * 65}, 400, "invalid_value", "safety_identifier"),
    ({"prompt_cache_key": "x" * 65}, 400, "invalid_value", "prompt_cache_key"),
    ({"background": True, "store": False}, 400, "invalid_value", "background"),
    (
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        400,
        "mutually_exclusive_parameters",
        "previous_response_id",
    ),
    ({"previous_response_id": "r"}, 400, "previous_response_not_found", "previous_response_id"),
    ({"prompt": {"id": "p"}}, 400, "unsupported_parameter", "prompt"),
    ({"input": [_OUTPUT]}, 400, "invalid_value", "input"),
    ({"input": [_CALL]}, 400, "invalid_value", "input"),
    ({"input": [{"type": "thing"}]}, 400, "invalid_value", "input[0].type"),
    ({"input": [{"type": 1}]}, 400, "invalid_type", "input[0].type"),
    ({"input": [{}]}, 400, "missing_required_parameter", "input[0].type"),
    ({"input": [{"type": "message"}]}, 400, "missing_required_parameter", "input[0].role"),
    ({"input": [{"role": "king", "content": ""}]}, 400, "invalid_value", "input[0].role"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, 404, "not_found", "input"),
    ({"input": [{**_CALL, "call_id": ""}]}, 400, "invalid_value", "input[0].call_id"),
    (
        {"input": [{"role": "user", "content": "Hi"}, {"role": "user", "content": [{"type": "x"}]}]},
        400,
        "invalid_value",
        "input[1].content[0].type",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/y.png"}]}]},
        400,
        "invalid_image_url",
        "input[0].content[0].image_url",
    ),
    (
        {
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "data:,QQ"}],
                }
            ]
        },
        400,
        "invalid_image_url",
        "input[0].content[0].image_url",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
        400,
        "image_file_not_found",
        "input[0].content[0].file_id",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        400,
        "file_not_found",
        "input[0].content[0].file_id",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "http://x"}]}]},
        400,
        "invalid_file_url",
        "input[0].content[0].file_url",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
        400,
        "unsupported_parameter",
        "input[0].content[0].type",
    ),
    (
        {"input": [{"role": "system", "content": [{"type": "input_image", "image_url": PNG_URL}]}]},
        400,
        "invalid_value",
        "input[0].content[0].type",
    ),
    (
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}]},
        400,
        "invalid_encrypted_content",
        "input[0].encrypted_content",
    ),
    (
        {"input": [{"type": "compaction", "encrypted_content": "gAAAA"}]},
        400,
        "invalid_encrypted_content",
        "input[0].encrypted_content",
    ),
    ({"tools": [{"type": "function"}]}, 400, "missing_required_parameter", "tools[0].name"),
    ({"tool_choice": {"type": "function", "name": "f"}}, 400, "invalid_value", "tool_choice"),
    ({"tool_choice": "required"}, 400, "invalid_value", "tool_choice"),
    (
        {"text": {"format": {"type": "json_schema", "name": "n"}}},
        400,
        "missing_required_parameter",
        "text.format.schema",
    ),
    (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "thing"}}}},
        400,
        "invalid_json_schema",
        "text.format.schema",
    ),
    (
        {"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}},
        400,
        "invalid_value",
        "text.format.name",
    ),
    ({"text": {"format": {"type": "yaml"}}}, 400, "invalid_value", "text.format.type"),
]


def _unsupported(param: str) -> Fault:
    return Fault(code="unsupported_parameter", message="x", param=param)


async def read_run(body: dict[str, Any]) -> NewRun:
    """Return the run that a body would begin. Raises Refused."""
    asked = await read_request(decode_body(msgspec.json.encode(body), CreateBody), make_outside())
    return new_run(asked, bare_plan(asked, OWNER, asked.tools.planned({})), ())


@pytest.mark.parametrize(("fields", "status", "code", "param"), _TABLE, ids=[str(e[0])[:60] for e in _TABLE])
async def test_a_wrong_request_is_refused_by_status_code_and_field(
    fields: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    given = {"model": "m", "input": "Hi", **fields}
    body = {name: value for name, value in given.items() if value is not ...}

    with pytest.raises(Refused) as refused:
        await read_run(body)

    found = refused.value.refusal
    assert (found.status, found.code, found.param) == (status, code, param)
    assert found.type == "invalid_request_error"
    assert found.message


@pytest.mark.parametrize(
    ("refused", "status", "code", "param", "message"),
    [
        (
            errors.previous_not_found("resp_1"),
            400,
            "previous_response_not_found",
            "previous_response_id",
            "Previous response with id 'resp_1' not found.",
        ),
        (errors.response_not_found("resp_1"), 404, "not_found", None, "Response with id 'resp_1' not found."),
        (
            errors.call_missing("c"),
            400,
            "invalid_value",
            "input",
            "No tool call found for function call output with call_id c.",
        ),
        (
            errors.output_missing("c"),
            400,
            "invalid_value",
            "input",
            "No tool output found for function call c.",
        ),
        (errors.cannot_cancel(), 400, "invalid_value", None, "Cannot cancel a synchronous response."),
        (
            errors.bad_schema("n", "it is odd"),
            400,
            "invalid_json_schema",
            "text.format.schema",
            "Invalid schema for response_format 'n': it is odd.",
        ),
    ],
)
def test_the_refusals_of_the_api_say_what_openai_says(
    refused: Refused, status: int, code: str, param: str | None, message: str
) -> None:
    found = refused.refusal

    assert (found.status, found.code, found.param, found.message) == (status, code, param, message)
    assert found.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("fault", "status", "code", "param"),
    [
        (Fault(code="context_length_exceeded", message="x"), 400, "context_length_exceeded", "input"),
        (Fault(code="model_not_found", message="x", param="model"), 404, "model_not_found", "model"),
        (
            Fault(code="invalid_json_schema", message="x", param="response_format"),
            400,
            "invalid_json_schema",
            "text.format.schema",
        ),
        (
            _unsupported("logprobs"),
            400,
            "unsupported_parameter",
            "include",
        ),
        (
            _unsupported("messages[0].content[1]"),
            400,
            "unsupported_parameter",
            "input",
        ),
        (
            _unsupported("seed"),
            400,
            "unsupported_parameter",
            "seed",
        ),
        (Fault(code="worker_died", message="x"), 502, "worker_died", None),
    ],
)
def test_faults_of_the_core_name_fields_of_this_api(
    fault: Fault, status: int, code: str, param: str | None
) -> None:
    found = errors.in_words_of_responses(refusal_of(fault))

    assert (found.status, found.code, found.param) == (status, code, param)


async def test_more_pictures_than_a_request_may_hold_are_refused() -> None:
    parts = [{"type": "input_image", "image_url": PNG_URL}] * 65

    with pytest.raises(Refused) as refused:
        await read_run({"model": "m", "input": [{"role": "user", "content": parts}]})

    assert refused.value.refusal.param == "input[0].content[64]"


def test_a_wrong_message_is_told_by_its_path_and_not_by_where_it_was_looked_at() -> None:
    refused = invalid("m", "response_format.json_schema.name")

    assert errors.in_words_of_responses(refused.refusal).param == "text.format.name"
