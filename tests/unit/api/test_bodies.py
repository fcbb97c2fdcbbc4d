"""What is wrong with a body is named: the field, the cause, the allowed values."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.api.bodies import decode_body, nearest
from runtime.api.errors import Refusal, Refused
from runtime.api.openai.body import ChatBody
from runtime.api.openai.request import chat_request_of
from runtime.core.messages import ChatRequest, CustomTool, ImagePart, TextPart

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f"}}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM_CALL: dict[str, Any] = {"id": "c2", "type": "custom", "custom": {"name": "c", "input": "1 + 1"}}
MISSING = "missing_required_parameter"
IMAGE_URL = "messages[1].content[0].image_url.url"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03"
ASSISTANT: dict[str, Any] = {"role": "assistant", "tool_calls": [CALL]}


def accept(**more: Any) -> ChatRequest:
    return chat_request_of(decode_body(json.dumps(PLAIN | more).encode(), ChatBody))


def refuse(content: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        chat_request_of(decode_body(content, ChatBody))
    assert caught.value.refusal.status == 400
    return caught.value


def talk(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, *messages]}


def schema(**more: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}} | more}}


def custom(**more: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": "c"} | more}


def grammar(syntax: str, definition: str) -> dict[str, Any]:
    return custom(format={"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}})


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"[]", "an object"),
        (b"{", "not valid JSON"),
        (b'{"model": NaN}', "not valid JSON"),
        (b'{"model": "m",}', "byte 14"),
        (b'{"model": "\xff"}', "UTF-8"),
        (json.dumps(PLAIN).encode() + b" x", "trailing"),
        (b'{"model": "m", "messages": ' + b"[" * 100_000, "an object, not a list"),
        (b'{"model": "m", "audio": ' + b"[" * 100_000, "nests too deeply"),
        (b'{"model": "m", "seed": ' + b"9" * 10_000, "out of range"),
    ],
)
def test_what_is_not_a_json_object_is_refused(content: bytes, words: str) -> None:
    assert words in refuse(content).refusal.message


@pytest.mark.parametrize(
    ("field", "value", "param", "words"),
    [
        ("model", "", "model", "length"),
        ("model", 5, "model", "a string, not an integer"),
        ("messages", [], "messages", "a list of length"),
        ("messages", "Hi", "messages", "a list, not a string"),
        ("temperature", 2.1, "temperature", "<= 2"),
        ("temperature", "hot", "temperature", "a number, not a string"),
        ("top_p", 0, "top_p", "> 0"),
        ("top_p", 1.5, "top_p", "<= 1"),
        ("top_k", -1, "top_k", ">= 0"),
        ("min_p", 2, "min_p", "<= 1"),
        ("typical_p", 0, "typical_p", "> 0"),
        ("adapter", "", "adapter", "length"),
        ("priority", "high", "priority", "'agent', 'batch', 'interactive'"),
        ("priority", 0, "priority", "not an integer"),
        ("deadline_s", 0, "deadline_s", "> 0"),
        ("presence_penalty", -3, "presence_penalty", ">= -2"),
        ("frequency_penalty", 3, "frequency_penalty", "<= 2"),
        ("repeat_penalty", 0, "repeat_penalty", "> 0"),
        ("seed", 2**64, "seed", "<= "),
        ("seed", 1.5, "seed", "an integer, not a number"),
        ("max_tokens", 0, "max_tokens", ">= 1"),
        ("max_completion_tokens", 0, "max_completion_tokens", ">= 1"),
        ("stop", "", "stop", "length"),
        ("stop", ["a"] * 5, "stop", "length <= 4"),
        ("stop", ["a", ""], "stop[1]", "length"),
        ("stop", 5, "stop", "a string or a list, not an integer"),
        ("logit_bias", {"1": 101}, "logit_bias[...]", "<= 100"),
        ("logit_bias", {"x": 1}, "logit_bias", "token ids"),
        ("logit_bias", {"-1": 1}, "logit_bias", "token ids"),
        ("logit_bias", {"٣": 1}, "logit_bias", "token ids"),
        ("logit_bias", [1], "logit_bias", "an object"),
        ("logprobs", 1, "logprobs", "true or false, not an integer"),
        ("top_logprobs", 21, "top_logprobs", "<= 20"),
        ("n", 0, "n", ">= 1"),
        ("n", 9, "n", "<= 8"),
        ("n", True, "n", "an integer, not a boolean"),
        ("ignore_eos", "no", "ignore_eos", "true or false"),
        ("reasoning_effort", "huge", "reasoning_effort", "'high', 'low'"),
        ("response_format", {"type": "xml"}, "response_format.type", "'json_schema'"),
        ("response_format", "json", "response_format", "an object"),
        ("tools", [TOOL] * 129, "tools", "length <= 128"),
        ("tools", [{"type": "retrieval"}], "tools[0].type", "'function', 'custom'"),
        ("tools", [{"type": "function"}], "tools[0].function", "Missing required"),
        ("tool_choice", "maybe", "tool_choice", "'auto', 'none', 'required'"),
        ("tool_choice", {"type": "some"}, "tool_choice.type", "'allowed_tools'"),
        ("parallel_tool_calls", "yes", "parallel_tool_calls", "true or false"),
        ("stream", "yes", "stream", "true or false"),
        ("stream_options", {"usage": True}, "stream_options.usage", "Unrecognized"),
        ("user", 5, "user", "a string"),
        ("metadata", {str(each): "v" for each in range(17)}, "metadata", "length <= 16"),
        ("metadata", {"k" * 65: "v"}, "metadata", "A key of 'metadata'"),
        ("metadata", {"k": "v" * 513}, "metadata[...]", "length <= 512"),
        ("metadata", {"k": 1}, "metadata[...]", "a string"),
        ("safety_identifier", "x" * 129, "safety_identifier", "length <= 128"),
        ("service_tier", "gold", "service_tier", "'auto', 'default'"),
        ("prompt_cache_retention", "1h", "prompt_cache_retention", "'24h'"),
        ("modalities", ["smell"], "modalities[0]", "'audio', 'text'"),
        ("verbosity", "loud", "verbosity", "'high', 'low', 'medium'"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(field: str, value: object, param: str, words: str) -> None:
    refusal = refuse(json.dumps(PLAIN | {field: value}).encode()).refusal

    assert refusal.param == param
    assert words in refusal.message


@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"temperatur": 1}, "temperatur", "unknown_parameter"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"logprobs": False, "top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_value"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"audio": {"voice": "x"}}, "audio", "unsupported_parameter"),
        ({"prediction": {}}, "prediction", "unsupported_parameter"),
        ({"moderation": {"model": "x"}}, "moderation", "unsupported_parameter"),
        ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
        ({"functions": []}, "functions", "unsupported_parameter"),
        ({"function_call": "auto"}, "function_call", "unsupported_parameter"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].custom.name", "missing_required_parameter"),
        ({"tools": [custom(name="a b")]}, "tools[0].custom.name", "invalid_value"),
        ({"tools": [TOOL, custom(name="f")]}, "tools[1].custom.name", "invalid_value"),
        ({"tools": [custom(format={"type": "grammar"})]}, "tools[0].custom.format.grammar", MISSING),
        ({"tools": [custom(format={"type": "xml"})]}, "tools[0].custom.format.type", "invalid_value"),
        ({"tools": [grammar("gbnf", "x")]}, "tools[0].custom.format.grammar.syntax", "invalid_value"),
        ({"tools": [grammar("lark", "")]}, "tools[0].custom.format.grammar.definition", "invalid_value"),
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name", "invalid_value"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "invalid_value",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters",
            "invalid_function_parameters",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": nested(100)}}]},
            "tools[0].function.parameters",
            "invalid_value",
        ),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice.function.name",
            "invalid_value",
        ),
        (
            {
                "tools": [TOOL],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [TOOL, {"type": "function", "function": {"name": "g"}}],
                    },
                },
            },
            "tool_choice.allowed_tools.tools[1].function.name",
            "invalid_value",
        ),
        ({"tool_choice": {"type": "custom", "custom": {"name": "c"}}}, "tool_choice", "invalid_value"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "f"}}},
            "tool_choice.custom.name",
            "invalid_value",
        ),
        (
            {"tools": [custom()], "tool_choice": {"type": "function", "function": {"name": "c"}}},
            "tool_choice.function.name",
            "invalid_value",
        ),
        (schema(name="a b"), "response_format.json_schema.name", "invalid_value"),
        (schema(schema=None), "response_format.json_schema.schema", "missing_required_parameter"),
        (schema(schema={"type": "text"}), "response_format.json_schema.schema", "invalid_json_schema"),
        (schema(schema={"type": [{}]}), "response_format.json_schema.schema", "invalid_json_schema"),
        (schema(schema={"maximum": 2**70}), "response_format.json_schema.schema", "invalid_value"),
        (
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema",
            "missing_required_parameter",
        ),
    ],
)
def test_fields_that_do_not_fit_together_are_named(more: dict[str, Any], param: str, code: str) -> None:
    refusal = refuse(json.dumps(PLAIN | more).encode()).refusal

    assert (refusal.param, refusal.code) == (param, code)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "bot", "content": "x"}, "messages[1].role"),
        ({"content": "x"}, "messages[1].role"),
        ({"role": "user"}, "messages[1].content"),
        ({"role": "user", "content": None}, "messages[1].content"),
        ({"role": "user", "content": []}, "messages[1].content"),
        ({"role": "user", "content": 5}, "messages[1].content"),
        ({"role": "user", "content": "x", "mood": "good"}, "messages[1].mood"),
        ({"role": "user", "content": [{"type": "smell"}]}, "messages[1].content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[1].content[0].text"),
        ({"role": "user", "content": [{"type": "refusal", "refusal": "no"}]}, "messages[1].content[0]"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
            IMAGE_URL,
        ),
        ({"role": "user", "content": [image("https://example.org/a.png")]}, IMAGE_URL),
        ({"role": "user", "content": [image("file:///etc/passwd")]}, IMAGE_URL),
        ({"role": "user", "content": [image("data:image/png,raw")]}, IMAGE_URL),
        ({"role": "user", "content": [image("data:image/png;base64,@@@@")]}, IMAGE_URL),
        ({"role": "user", "content": [image(data_url(b"GIF"))]}, IMAGE_URL),
        ({"role": "user", "content": [image(data_url(PNG[:20]))]}, IMAGE_URL),
        (
            {"role": "user", "content": [image(data_url(PNG)) | {"detail": "high"}]},
            "messages[1].content[0].detail",
        ),
        ({"role": "system", "content": [image(data_url(PNG))]}, "messages[1].content[0].type"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "messages[1].content[0].type"),
        ({"role": "user", "content": [{"type": "file"}]}, "messages[1].content[0].type"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "messages[1].tool_calls"),
        ({"role": "user", "content": "x", "tool_call_id": "c1"}, "messages[1].tool_call_id"),
        ({"role": "user", "content": "x", "name": ""}, "messages[1].name"),
        ({"role": "assistant"}, "messages[1].content"),
        ({"role": "assistant", "content": "x", "audio": {"id": "a"}}, "messages[1].audio"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages[1].function_call"),
        ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, "messages[1].tool_calls[0].id"),
        (
            {"role": "assistant", "tool_calls": [CUSTOM_CALL, CALL | {"id": "c2"}]},
            "messages[1].tool_calls[1].id",
        ),
        ({"role": "assistant", "tool_calls": [CALL, CALL]}, "messages[1].tool_calls[1].id"),
        (ASSISTANT, "messages[1].tool_calls"),
        ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": "c9"}, "messages[1].tool_call_id"),
        ({"role": "function", "content": "x", "name": "f"}, "messages[1].role"),
    ],
)
def test_a_message_at_fault_is_named(message: dict[str, Any], param: str) -> None:
    assert refuse(json.dumps(PLAIN | talk(message)).encode()).refusal.param == param


def test_a_call_without_its_result_is_refused_before_the_next_message() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "x"}
    accept(**talk(ASSISTANT, result, {"role": "user", "content": "and?"}))

    late = json.dumps(PLAIN | talk(ASSISTANT, {"role": "user", "content": "and?"}, result)).encode()
    twice = json.dumps(PLAIN | talk(ASSISTANT, result, result)).encode()

    assert refuse(late).refusal.param == "messages[1].tool_calls"
    assert refuse(twice).refusal.param == "messages[3].tool_call_id"


def test_a_misspelt_field_gets_the_name_that_was_meant() -> None:
    assert (
        "Did you mean 'temperature'?"
        in refuse(json.dumps(PLAIN | {"temperatur": 1}).encode()).refusal.message
    )
    assert nearest("max_token", {"max_tokens", "seed"}) == "max_tokens"
    assert nearest("zzz", {"max_tokens", "seed"}) is None


def test_a_message_repeats_only_a_little_of_what_was_sent() -> None:
    for more in ({"x" * 100_000: 1}, {"reasoning_effort": "x" * 100_000}, talk({"role": "x" * 100_000})):
        refusal = refuse(json.dumps(PLAIN | more).encode()).refusal
        assert len(refusal.message) < 600
        assert len(refusal.param or "") < 120


def test_every_field_that_is_honoured_reaches_the_core() -> None:
    request = accept(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        typical_p=0.7,
        presence_penalty=1,
        frequency_penalty=-1,
        repeat_penalty=1.1,
        seed=-7,
        max_completion_tokens=9,
        stop=["a", "b", "a"],
        logit_bias={"12": -100},
        logprobs=True,
        top_logprobs=3,
        n=2,
        ignore_eos=True,
        reasoning_effort="low",
        parallel_tool_calls=False,
        adapter="formal",
        priority="agent",
        deadline_s=2.5,
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "f"}},
    )

    sampling = request.sampling
    assert sampling.typical_p == 0.7
    assert (request.adapter, request.priority, request.deadline_s) == ("formal", "agent", 2.5)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 40, 0.1)
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.repeat_penalty) == (1, -1, 1.1)
    assert (sampling.seed, sampling.max_tokens, sampling.stop) == (-7, 9, ("a", "b"))
    assert (sampling.logit_bias, sampling.logprobs, sampling.ignore_eos) == ({12: -100.0}, 3, True)
    assert (request.choices, request.reasoning_effort, request.parallel_tool_calls) == (2, "low", False)
    assert (request.tool_choice.mode, request.tool_choice.names) == ("required", ("f",))


def test_bookkeeping_of_a_cloud_is_accepted_and_changes_nothing() -> None:
    request = accept(
        user="u",
        metadata={"a": "b"},
        safety_identifier="s",
        service_tier="scale",
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        prompt_cache_options={"ttl": "30m"},
        store=False,
        modalities=["text"],
        verbosity="low",
        stream=True,
        stream_options={"include_obfuscation": True},
    )

    assert request == accept()


def test_null_means_the_same_as_nothing() -> None:
    empty = dict.fromkeys(ChatBody.__struct_fields__) | PLAIN

    assert accept(**empty) == accept()


def test_parts_are_joined_and_a_refusal_is_what_the_assistant_said() -> None:
    request = accept(
        messages=[
            {
                "role": "developer",
                "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind"}],
            },
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "refusal": "No.", "annotations": []},
        ]
    )

    assert [each.content for each in request.messages] == ["Be\nkind", "Hi", "No."]


def test_allowed_tools_narrow_the_choice() -> None:
    other = {"type": "function", "function": {"name": "g"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [other]}}

    assert accept(tools=[TOOL, other], tool_choice=choice).tool_choice.names == ("g",)
    assert accept(tools=[TOOL], tool_choice="none").tool_choice.mode == "none"
    assert accept(tool_choice="auto").tool_choice.mode == "auto"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "role", "content", "name", "function"]) | st.text(), inner)
    ),
    max_leaves=8,
)


def outcome(content: bytes) -> Refusal | ChatRequest:
    try:
        return chat_request_of(decode_body(content, ChatBody))
    except Refused as refused:
        return refused.refusal


@given(
    st.dictionaries(
        st.sampled_from(sorted(ChatBody.__struct_fields__)) | st.text(max_size=5), JSON, max_size=6
    )
)
def test_any_json_is_either_understood_or_refused_with_a_reason(body: dict[str, Any]) -> None:
    for candidate in (body, PLAIN | body):
        found = outcome(json.dumps(candidate).encode())
        assert isinstance(found, ChatRequest) or (found.status == 400 and found.message)


@given(st.binary(max_size=200))
def test_any_bytes_are_either_understood_or_refused(content: bytes) -> None:
    found = outcome(content)
    assert isinstance(found, ChatRequest) or (found.status == 400 and found.message)


@pytest.mark.parametrize(
    ("more", "priority"),
    [
        ({}, "interactive"),
        ({"service_tier": "flex"}, "batch"),
        ({"service_tier": "priority"}, "interactive"),
        ({"service_tier": "fast"}, "interactive"),
        ({"service_tier": "flex", "priority": "agent"}, "agent"),
        ({"priority": "batch"}, "batch"),
    ],
)
def test_a_tier_of_the_cloud_says_who_goes_first(more: dict[str, Any], priority: str) -> None:
    assert accept(**more).priority == priority


def test_custom_tools_reach_the_core_with_their_grammar() -> None:
    request = accept(tools=[TOOL, custom(), custom(name="d", format={"type": "text"})])
    lark = accept(tools=[grammar("lark", 'start: "a"')], tool_choice="required")
    regex = accept(
        tools=[grammar("regex", "[0-9]+"), TOOL],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [custom(), TOOL]},
        },
    )

    assert request.tools[1:] == (CustomTool(name="c"), CustomTool(name="d"))
    assert lark.tools == (CustomTool(name="c", syntax="lark", definition='start: "a"'),)
    assert regex.tools[0] == CustomTool(name="c", syntax="regex", definition="[0-9]+")
    assert (regex.tool_choice.mode, regex.tool_choice.names) == ("required", ("c", "f"))
    named = accept(tools=[custom()], tool_choice=custom())
    assert (named.tool_choice.mode, named.tool_choice.names) == ("required", ("c",))


def test_a_call_of_a_custom_tool_goes_back_to_the_model() -> None:
    result = {"role": "tool", "tool_call_id": "c2", "content": "2"}
    request = accept(**talk({"role": "assistant", "tool_calls": [CUSTOM_CALL]}, result))

    call = request.messages[1].tool_calls[0]
    assert (call.id, call.type, call.function.name, call.function.arguments) == ("c2", "custom", "c", "1 + 1")
    assert request.messages[2].tool_call_id == "c2"


def test_a_picture_keeps_the_parts_of_its_message_apart() -> None:
    picture = {"type": "image_url", "image_url": {"url": data_url(PNG), "detail": "low"}}
    parts = [{"type": "text", "text": "What"}, picture, {"type": "text", "text": "is it?"}]
    request = accept(messages=[{"role": "user", "content": parts}])

    assert request.messages[0].content == (
        TextPart(text="What"),
        ImagePart(data=PNG),
        TextPart(text="is it?"),
    )


def test_a_request_with_too_many_pictures_is_refused_before_any_is_read() -> None:
    parts = [image("data:broken")] * 65

    refusal = refuse(json.dumps(PLAIN | talk({"role": "user", "content": parts})).encode()).refusal

    assert refusal.param == "messages[1].content[64]"
    assert "64 pictures" in refusal.message
