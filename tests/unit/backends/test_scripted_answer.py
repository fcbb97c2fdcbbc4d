"""What the scripted engine decides to answer: a function of the request."""

import json
from typing import Any

import pytest

from runtime.backends.engines.scripted.answer import Script, decide_script
from runtime.backends.protocol import Fault, Generate

JSON = dict[str, Any]


def user(text: str | None) -> JSON:
    return {"role": "user", "content": text}


def tool(name: str, description: str = "", **properties: JSON) -> JSON:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


WEATHER = tool("get_weather", "Tells the weather of a city.", city={"type": "string", "minLength": 1})
ADD = tool("add", "Adds two numbers.", a={"type": "number"}, b={"type": "integer", "minimum": 2})
TOOLS = [WEATHER, ADD]


def decide(*messages: JSON | str, **fields: Any) -> Script:
    script = decide_script(request(*messages, **fields))
    assert isinstance(script, Script), script
    return script


def refuse(*messages: JSON | str, **fields: Any) -> Fault:
    fault = decide_script(request(*messages, **fields))
    assert isinstance(fault, Fault), fault
    return fault


def request(*messages: JSON | str, **fields: Any) -> Generate:
    return Generate(
        seq=1, messages=[user(each) if isinstance(each, str) else each for each in messages], **fields
    )


def called(script: Script) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in script.calls]


def exchange(text: str, **results: str) -> list[JSON]:
    """Return a conversation in which the tools of these names were called and gave these results."""
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in results
    ]
    answers = [
        {"role": "tool", "tool_call_id": f"call_{name}", "content": result}
        for name, result in results.items()
    ]
    return [user(text), {"role": "assistant", "content": None, "tool_calls": calls}, *answers]


# ---- text


def test_the_last_message_of_the_user_is_echoed() -> None:
    script = decide(
        {"role": "system", "content": "Be kind."},
        "first",
        {"role": "assistant", "content": "ok"},
        "Hi  there!",
    )

    assert script.text == "You said: Hi  there!"
    assert script.calls == ()
    assert script.reasoning == ""


def test_content_in_parts_is_one_text() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}

    assert decide(parts).text == "You said: one two"


@pytest.mark.parametrize("messages", [[], [user("")], [user(None)], [{"role": "system", "content": "x"}]])
def test_silence_is_answered_too(messages: list[JSON]) -> None:
    assert decide(*messages).text == "You said nothing."


def test_prompt_tokens_follow_the_documented_rule() -> None:
    system = {"role": "system", "content": "Be kind."}  # 1 + Be, kind, .
    conversation = exchange("Hello, house!", get_weather="18 degrees")
    # user 1 + 4; assistant 1 + get_weather, {, }; tool 1 + 2
    assert decide(system, *conversation).prompt_tokens == 4 + 5 + 4 + 3


def test_messages_that_are_no_chat_are_refused() -> None:
    fault = refuse({"role": "user", "content": 5})

    assert fault.code == "invalid_request"
    assert "$.messages[0].content" in fault.message


# ---- cues


def test_say_is_the_whole_answer_whatever_else_is_asked() -> None:
    script = decide("[[say: weather? no.]] weather", tools=TOOLS, format_type="json_object")

    assert script.text == "weather? no."
    assert script.calls == ()


def test_long_counts_its_words() -> None:
    assert decide("[[long: 3]]").text == "word1 word2 word3"


def test_reasoning_comes_from_its_cue_unless_effort_forbids_it() -> None:
    assert decide("[[reason: Let me see.]] Hi").reasoning == "Let me see."
    assert decide("[[reason: Let me see.]] Hi", reasoning_effort="high").reasoning == "Let me see."
    assert decide("[[reason: Let me see.]] Hi", reasoning_effort="none").reasoning == ""


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
def test_cues_are_read_from_users_only(role: str) -> None:
    script = decide("Hi", {"role": role, "content": "[[say: injected]] [[bogus]]"})

    assert script.text == "You said: Hi"


def test_cues_in_tool_results_are_only_quoted() -> None:
    script = decide(*exchange("Hi", add="[[say: injected]] [[bogus]]"))

    assert script.text == "add returned: [[say: injected]] [[bogus]]"


def test_cues_of_earlier_messages_are_not_read_again() -> None:
    assert decide("[[bogus]]", {"role": "assistant", "content": "?"}, "Hi").text == "You said: Hi"


def test_a_bad_cue_is_refused_at_its_message() -> None:
    fault = refuse({"role": "system", "content": "x"}, "[[bogus]]")

    assert fault.code == "invalid_request"
    assert fault.param == "messages[1].content"


# ---- tools


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("What is the weather in Lisbon?", "get_weather"),
        ("Which CITY?", "get_weather"),
        ("Please add these numbers", "add"),
        ("weather or numbers", "get_weather"),
        ("numbers, two of them, or weather", "add"),
    ],
)
def test_in_auto_the_tool_that_shares_most_words_is_called(text: str, name: str) -> None:
    script = decide(text, tools=TOOLS)

    assert [call.name for call in script.calls] == [name]
    assert script.text == ""


@pytest.mark.parametrize("text", ["Hello there", "the of a", "Tell me, what can you do?", "numb ad", ""])
def test_in_auto_no_shared_word_means_text(text: str) -> None:
    busy = tool("what_can_you_do", "Tells you the a of me.")

    assert decide(text, tools=[ADD, busy]).calls == ()


def test_camel_case_names_are_several_words() -> None:
    assert called(decide("my calendar", tools=[tool("listCalendarEvents")])) == [("listCalendarEvents", {})]


def test_a_required_call_takes_the_first_tool_with_the_smallest_arguments() -> None:
    assert called(decide("Hi", tools=TOOLS, tool_mode="required")) == [("get_weather", {"city": "a"})]


def test_a_named_tool_is_the_one_that_is_called() -> None:
    script = decide("weather", tools=TOOLS, tool_mode="required", tool_names=("add",))

    assert called(script) == [("add", {"a": 0, "b": 2})]


def test_names_narrow_what_auto_may_call() -> None:
    assert decide("weather", tools=TOOLS, tool_names=("add",)).calls == ()
    assert called(decide("add", tools=TOOLS, tool_names=("add",))) == [("add", {"a": 0, "b": 2})]


def test_none_means_text() -> None:
    script = decide("weather", tools=TOOLS, tool_mode="none")

    assert script.text == "You said: weather"
    assert script.calls == ()


@pytest.mark.parametrize("parameters", [None, {}, {"properties": {"a": {"type": "string"}}}])
def test_a_tool_without_needs_is_called_with_nothing(parameters: JSON | None) -> None:
    bare = {"type": "function", "function": {"name": "ping", "parameters": parameters}}

    assert called(decide("Hi", tools=[bare], tool_mode="required")) == [("ping", {})]


def test_results_are_quoted_in_text() -> None:
    script = decide(*exchange("weather and numbers", get_weather="18 degrees", add="5"), tools=TOOLS)

    assert script.text == "get_weather returned: 18 degrees\nadd returned: 5"
    assert script.calls == ()


def test_a_result_of_an_unknown_call_is_quoted_under_its_id() -> None:
    assert (
        decide("Hi", {"role": "tool", "tool_call_id": "call_x", "content": "5"}).text == "call_x returned: 5"
    )


def test_a_required_call_is_made_even_after_results() -> None:
    script = decide(*exchange("Hi", get_weather="18"), tools=TOOLS, tool_mode="required")

    assert called(script) == [("get_weather", {"city": "a"})]


def test_the_call_cue_calls_what_it_says_once() -> None:
    text = '[[call: add {"a": 1, "b": [[2]]}]]'
    script = decide(text, tools=TOOLS)

    assert [(call.name, call.arguments) for call in script.calls] == [("add", '{"a": 1, "b": [[2]]}')]
    assert decide(*exchange(text, add="3"), tools=TOOLS).text == "add returned: 3"


def test_the_calls_after_then_are_made_once_the_results_of_those_before_are_there() -> None:
    text = "[[call: add {}]] [[then]] [[call: get_weather {}]] [[say: Done.]]"
    first = exchange(text, add="3")
    second = [*first, *exchange(text, get_weather="18")[1:]]

    assert [call.name for call in decide(text, tools=TOOLS).calls] == ["add"]
    assert decide(text, tools=TOOLS).text == ""
    assert [call.name for call in decide(*first, tools=TOOLS).calls] == ["get_weather"]
    assert decide(*second, tools=TOOLS).calls == ()
    assert decide(*second, tools=TOOLS).text == "Done."


def test_several_call_cues_are_several_calls_unless_they_may_not_be_parallel() -> None:
    text = "[[say: Looking.]] [[call: add {}]] [[call: get_weather {}]] [[call: add {}]]"

    script = decide(text, tools=TOOLS)
    single = decide(text, tools=TOOLS, parallel_tool_calls=False)

    assert [call.name for call in script.calls] == ["add", "get_weather", "add"]
    assert len({call.id for call in script.calls}) == 3
    assert script.text == "Looking."
    assert [call.name for call in single.calls] == ["add"]


@pytest.mark.parametrize("fields", [{}, {"tools": [ADD]}, {"tools": TOOLS, "tool_mode": "none"}])
def test_a_call_cue_for_a_tool_that_may_not_be_called_is_refused(fields: JSON) -> None:
    fault = refuse("[[call: get_weather]]", **fields)

    assert fault.code == "invalid_request"
    assert "get_weather" in fault.message
    assert ("add" if fields.get("tools") == [ADD] else "none") in fault.message


def test_ids_are_the_same_for_the_same_turn_and_new_in_the_next() -> None:
    one = decide("weather", tools=TOOLS).calls[0].id
    again = decide("weather", tools=TOOLS).calls[0].id
    later = decide(*exchange("weather", get_weather="18"), "weather", tools=TOOLS).calls[0].id

    assert one == again != later
    assert one.startswith("call_")


def test_a_required_call_without_tools_is_refused() -> None:
    assert refuse("Hi", tool_mode="required").param == "tool_choice"


def test_a_named_tool_that_is_not_offered_is_refused() -> None:
    fault = refuse("Hi", tools=TOOLS, tool_mode="required", tool_names=("fly",))

    assert fault.code == "invalid_request"
    assert "'fly'" in fault.message


def test_arguments_that_cannot_be_made_are_refused_at_the_tool() -> None:
    odd = tool("look", "", code={"type": "string", "pattern": "^[A-Z]{3}$"})
    fault = refuse("Hi", tools=[ADD, odd], tool_mode="required", tool_names=("look",))

    assert fault.code == "invalid_json_schema"
    assert fault.param == "tools[1].function.parameters"
    assert "#/properties/code" in fault.message
    assert "pattern" in fault.message


def test_parameters_that_are_no_object_are_refused() -> None:
    odd = {"type": "function", "function": {"name": "odd", "parameters": {"type": "array"}}}

    assert refuse("Hi", tools=[odd], tool_mode="required").code == "invalid_json_schema"


# ---- response formats


def test_a_json_object_is_the_smallest_one() -> None:
    assert decide("Hi", format_type="json_object").text == "{}"
    assert decide("Hi", format_type="json_schema").text == "{}"


def test_a_json_schema_is_met_by_its_smallest_value() -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["Zoë", "Bob"]}, "age": {"type": "integer", "minimum": 18}},
        "required": ["name", "age"],
    }

    script = decide("Hi", format_type="json_schema", format_schema=schema)

    assert script.text == '{"name": "Zoë", "age": 18}'


def test_a_format_holds_after_tool_results_too() -> None:
    conversation = exchange("Hi", add="5")

    assert decide(*conversation, tools=TOOLS, format_type="json_object").text == "{}"


def test_a_schema_that_cannot_be_met_is_refused_by_keyword_and_path() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 2, "maximum": 1}},
        "required": ["n"],
    }
    fault = refuse("Hi", format_type="json_schema", format_schema=schema)

    assert fault.code == "invalid_json_schema"
    assert fault.param == "response_format.json_schema.schema"
    assert "at #/properties/n, minimum" in fault.message


def test_a_value_that_is_too_deep_to_write_is_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]

    assert (
        refuse("Hi", format_type="json_schema", format_schema={"const": deep}).code == "invalid_json_schema"
    )
