"""From Anthropic's bodies to the core's request, and what is wrong with a body by the name of its field."""

import base64
import json
from typing import Any

import pytest

from runtime.api.anthropic.body import MessagesBody, PromptBody
from runtime.api.anthropic.request import chat_request_of, is_thinking_shown
from runtime.api.bodies import decode_body
from runtime.api.errors import Refusal, Refused
from runtime.core.messages import ChatRequest, FunctionTool, ImagePart, ResponseFormat, TextPart, ToolChoice

PLAIN: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE: dict[str, Any] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()},
}

LINK = PICTURE | {"source": {"type": "url", "url": "https://example.com/a.png"}}
UPLOADED = PICTURE | {"source": {"type": "file", "file_id": "f"}}


def accept(**more: Any) -> ChatRequest:
    return chat_request_of(decode_body(json.dumps(PLAIN | more).encode(), MessagesBody))


def refuse(**more: Any) -> Refusal:
    with pytest.raises(Refused) as caught:
        accept(**more)
    assert caught.value.refusal.status == 400
    return caught.value.refusal


def talk(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(call_id: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": given}


def result(call_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id} | more


def called(answer: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [("user", "a"), ("assistant", answer), ("user", results)]


# ---- what is taken


def test_sampling_reaches_the_core() -> None:
    asked = accept(
        temperature=0.5, top_p=0.9, top_k=5, stop_sequences=["a", "b", "a"], metadata={"user_id": None}
    )

    sampling = asked.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 5)
    assert (sampling.max_tokens, sampling.stop) == (9, ("a", "b"))


@pytest.mark.parametrize(
    ("system", "told"),
    [
        (None, None),
        ("", None),
        ([], None),
        ("Be brief.", "Be brief."),
        (
            [text("Be brief.") | {"cache_control": {"type": "ephemeral"}}, text("Be kind.")],
            "Be brief.\nBe kind.",
        ),
    ],
)
def test_the_system_prompt_comes_first(system: Any, told: str | None) -> None:
    messages = accept(system=system).messages

    assert [each.role for each in messages] == (["user"] if told is None else ["system", "user"])
    assert messages[0].content == (told or "Hi")


def test_turns_of_one_role_are_one_turn() -> None:
    asked = accept(**talk(("user", "a"), ("user", [text("b"), text("c")]), ("assistant", "d"), ("user", "e")))

    assert [(each.role, each.content) for each in asked.messages] == [
        ("user", "a\nb\nc"),
        ("assistant", "d"),
        ("user", "e"),
    ]


def test_a_system_message_in_the_middle_stays_there() -> None:
    asked = accept(**talk(("user", "a"), ("assistant", "b"), ("system", "Hurry."), ("user", "c")))

    assert [each.role for each in asked.messages] == ["user", "assistant", "system", "user"]


def test_an_earlier_answer_keeps_its_text_thoughts_and_calls() -> None:
    answer = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        text("One"),
        text(" two") | {"citations": None},
        use("t1", city="Lisboa") | {"caller": {"type": "direct"}},
    ]
    asked = accept(**talk(("user", "a"), ("assistant", answer), ("user", [result("t1")])))

    said = asked.messages[1]
    assert (said.content, said.reasoning_content) == ("One two", "Hm.")
    assert [(each.id, each.function.arguments) for each in said.tool_calls] == [("t1", '{"city":"Lisboa"}')]
    assert (asked.messages[2].tool_call_id, asked.messages[2].content) == ("t1", "")


def test_an_answer_of_calls_alone_has_no_content() -> None:
    asked = accept(**talk(("user", "a"), ("assistant", [use("t1")]), ("user", [result("t1", content="ok")])))

    assert asked.messages[1].content is None


def test_results_come_before_what_the_user_says() -> None:
    said = [text("And now?"), result("t2", content=[text("x"), text("y")]), result("t1", content="z")]
    asked = accept(**talk(("user", "a"), ("assistant", [use("t1"), use("t2")]), ("user", said)))

    assert [(each.role, each.content) for each in asked.messages[2:]] == [
        ("tool", "x\ny"),
        ("tool", "z"),
        ("user", "And now?"),
    ]


def test_pictures_stand_where_they_were_put() -> None:
    asked = accept(
        **talk(
            ("user", [text("Look:"), PICTURE]),
            ("assistant", [use("t1")]),
            ("user", [result("t1", content=[PICTURE], is_error=True)]),
        )
    )

    picture = ImagePart(data=PNG)
    assert asked.messages[0].content == (TextPart(text="Look:"), picture)
    assert asked.messages[2].content == (TextPart(text="The tool failed:"), picture)


@pytest.mark.parametrize(
    ("choice", "told", "is_parallel"),
    [
        (None, ToolChoice(), True),
        ({"type": "auto"}, ToolChoice(), True),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(), False),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice(mode="required"), False),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="required", names=("f",)), True),
        ({"type": "none"}, ToolChoice(mode="none"), True),
    ],
)
def test_tool_choices_reach_the_core(choice: Any, told: ToolChoice, is_parallel: bool) -> None:
    asked = accept(tools=[TOOL], tool_choice=choice)

    assert (asked.tool_choice, asked.parallel_tool_calls) == (told, is_parallel)


def test_a_tool_brings_its_schema_and_its_examples() -> None:
    tool = TOOL | {
        "type": "custom",
        "description": "Does it.",
        "strict": True,
        "input_examples": [{"a": 1}, {"a": 2}],
        "allowed_callers": ["direct"],
        "defer_loading": False,
        "eager_input_streaming": True,
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    made = accept(tools=[tool]).tools[0]

    assert isinstance(made, FunctionTool)
    assert (made.name, made.parameters, made.strict) == ("f", {"type": "object"}, True)
    assert made.description == 'Does it.\nExamples of its input:\n{"a":1}\n{"a":2}'
    assert accept(tools=[TOOL]).tools[0].description is None


@pytest.mark.parametrize(
    ("more", "effort"),
    [
        ({}, None),
        ({"thinking": None}, None),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, "high"),
    ],
)
def test_thinking_is_an_effort(more: dict[str, Any], effort: str | None) -> None:
    assert accept(**more).reasoning_effort == effort


@pytest.mark.parametrize(
    ("thinking", "is_shown"),
    [
        (None, True),
        ({"type": "disabled"}, True),
        ({"type": "adaptive", "display": "summarized"}, True),
        ({"type": "enabled", "budget_tokens": 1024, "display": "omitted"}, False),
    ],
)
def test_thoughts_are_shown_unless_they_are_to_be_omitted(thinking: Any, is_shown: bool) -> None:
    body = decode_body(json.dumps(PLAIN | {"thinking": thinking}).encode(), MessagesBody)

    assert is_thinking_shown(body) == is_shown


@pytest.mark.parametrize("where", ["output_config", "output_format"])
def test_a_schema_is_taken_under_both_of_its_names(where: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wire: dict[str, Any] = {"type": "json_schema", "schema": schema}
    asked = accept(**{where: {"format": wire} if where == "output_config" else wire})

    assert asked.response_format == ResponseFormat(
        type="json_schema", name="output", schema=schema, strict=True
    )


def test_a_cloud_s_bookkeeping_is_taken() -> None:
    accept(
        cache_control={"type": "ephemeral"},
        diagnostics={"previous_message_id": None},
        inference_geo="eu",
        service_tier="standard_only",
        speed="standard",
        user_profile_id="u",
        container=None,
        mcp_servers=[],
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    )


def test_counting_takes_the_prompt_and_nothing_else() -> None:
    plain = {key: value for key, value in PLAIN.items() if key != "max_tokens"}
    asked = chat_request_of(decode_body(json.dumps(plain).encode(), PromptBody))

    assert asked.sampling.max_tokens is None
    with pytest.raises(Refused, match="max_tokens"):
        decode_body(json.dumps(PLAIN).encode(), PromptBody)


# ---- what is refused


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"max_tokens": 0}, "max_tokens", ">= 1"),
        ({"max_tokens": None}, "max_tokens", "an integer"),
        ({"max_token": 1}, "max_token", "Did you mean 'max_tokens'?"),
        ({"messages": []}, "messages", "length"),
        ({"temperature": 1.5}, "temperature", "<= 1"),
        ({"top_p": 0}, "top_p", "> 0"),
        ({"stop_sequences": [""]}, "stop_sequences[0]", "length"),
        ({"stop_sequences": "x"}, "stop_sequences", "a list"),
        ({"service_tier": "priority"}, "service_tier", "standard_only"),
        ({"metadata": {"user": "x"}}, "metadata.user", "Did you mean 'metadata.user_id'?"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "Missing"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "thinking.budget_tokens", ">= 1024"),
        ({"thinking": {"type": "on"}}, "thinking.type", "'adaptive'"),
        ({"output_config": {"effort": "none"}}, "output_config.effort", "'xhigh'"),
        ({"container": "c"}, "container", "not supported"),
        ({"mcp_servers": [{"name": "x"}]}, "mcp_servers", "'tools'"),
        ({"context_management": {"edits": [{"type": "compact"}]}}, "context_management", "not supported"),
        ({"context_management": 3}, "context_management", "not supported"),
        ({"thread": {"type": "create"}}, "thread", "all messages"),
    ],
)
def test_a_wrong_field_is_named(more: dict[str, Any], param: str, words: str) -> None:
    refusal = refuse(**more)

    assert refusal.param == param
    assert words in refusal.message


@pytest.mark.parametrize(
    ("tools", "choice", "param", "words"),
    [
        (
            [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
            None,
            "tools[0].type",
            "web_sea",
        ),
        ([TOOL, {"type": "bash_20250124", "name": "bash"}], None, "tools[1].type", "bash_20250124"),
        ([TOOL, TOOL], None, "tools[1].name", "Two tools"),
        ([TOOL | {"name": "a b"}], None, "tools[0].name", "letters"),
        ([TOOL | {"parameters": {}}], None, "tools[0].parameters", "Unrecognized"),
        ([{"name": "f"}], None, "tools[0].input_schema", "Missing"),
        ([TOOL | {"input_schema": {"type": "array"}}], None, "tools[0].input_schema.type", "'object'"),
        ([TOOL | {"input_schema": {"a": 2**70}}], None, "tools[0].input_schema", "64 bits"),
        ([TOOL | {"allowed_callers": ["code"]}], None, "tools[0].allowed_callers", "'direct'"),
        ("x", None, "tools", "a list"),
        ([3], None, "tools[0]", "an object"),
        ([TOOL], {"type": "tool", "name": "g"}, "tool_choice.name", "not among"),
        ([TOOL], {"type": "required"}, "tool_choice.type", "'any'"),
        ([TOOL], "auto", "tool_choice", "an object"),
        (None, {"type": "any"}, "tool_choice", "'tools' are given"),
    ],
)
def test_a_wrong_tool_is_named(tools: Any, choice: Any, param: str, words: str) -> None:
    refusal = refuse(tools=tools, tool_choice=choice)

    assert refusal.param == param
    assert words in refusal.message


@pytest.mark.parametrize(
    ("turns", "param", "words"),
    [
        ([("assistant", "The answer is")], "messages[0]", "prefill"),
        ([("user", "a"), ("assistant", "b"), ("assistant", "c")], "messages[2]", "prefill"),
        ([("user", [])], "messages[0].content", "empty list"),
        ([("tool", "x")], "messages[0].role", "'assistant'"),
        ([("user", [use("t")])], "messages[0].content[0].type", "'tool_use' do not belong"),
        ([("user", "a"), ("assistant", [PICTURE]), ("user", "b")], "messages[1].content[0].type", "'image'"),
        ([("system", [PICTURE]), ("user", "b")], "messages[0].content[0].type", "'system'"),
        ([("user", [{"type": "document", "source": {}}])], "messages[0].content[0].type", "as pictures"),
        ([("user", [{"type": "search_result", "title": "x"}])], "messages[0].content[0].type", "as text"),
        ([("user", [{"type": "server_tool_use"}])], "messages[0].content[0].type", "'tool_result'"),
        ([("user", [text("a") | {"txt": 1}])], "messages[0].content[0].txt", "[0].text'"),
        ([("user", [LINK])], "messages[0].content[0].source.url", "fetches nothing"),
        ([("user", [UPLOADED])], "messages[0].content[0].source.type", "base64"),
        ([("user", [result("t")])], "messages[0].content[0].tool_use_id", "does not make"),
        ([("user", "a"), ("assistant", [use("t")]), ("user", "b")], "messages[1].content[0]", "has none"),
        (called([use("t"), use("t")], [result("t")]), "messages[1].content[1]", "repeats"),
        (called([use("t")], [result("t"), result("t")]), "messages[2].content[1]", "second time"),
        (called([use("t", n=2**70)], [result("t")]), "messages[1].content[0].input", "64 bits"),
        ([("user", [PICTURE] * 65)], "messages[0].content[64]", "at most 64"),
    ],
)
def test_a_wrong_block_is_named(turns: list[tuple[str, Any]], param: str, words: str) -> None:
    refusal = refuse(**talk(*turns))

    assert refusal.param == param
    assert words in refusal.message


def test_a_schema_may_come_once_only() -> None:
    wire = {"type": "json_schema", "schema": {}}

    assert refuse(output_config={"format": wire}, output_format=wire).param == "output_format"
