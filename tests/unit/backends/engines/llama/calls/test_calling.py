"""What a request becomes before it is rendered."""

import json
from typing import Any

import pytest

from runtime.backends.engines.llama.calls.forms import find_form
from runtime.backends.engines.llama.masking import Control
from runtime.backends.engines.llama.template import CHATML, ChatTemplate
from runtime.backends.protocol import Generate, RawPrompt, Sampling
from tests.unit.backends.engines.llama.calls.kit import (
    CONVERSATION,
    FAMILIES,
    Family,
    Output,
    ask,
    call_message,
    decide,
    numbers,
    read,
    refuse,
    render,
    text_of,
)

USER = {"role": "user", "content": "Weather in Paris?"}
ALIKE = [
    (family, output)
    for family in FAMILIES.values()
    for output in family.outputs
    if output.whole_calls and not output.is_cut
]
UNLIKE = {
    "mistral",  # adds an id to each call
    "mistral-numbered",  # the id that the model chose is not the one of the call
    "harmony",  # names the recipient before the channel
    "deepseek",  # the prompt opens the reasoning, and the history drops it
}
"""Families whose templates do not write a call as their models do."""


@pytest.mark.parametrize(("family", "output"), ALIKE, ids=[f"{f.name}: {o.name}" for f, o in ALIKE])
def test_a_call_told_again_is_the_text_that_was_generated(family: Family, output: Output) -> None:
    before = text_of(render(family, ask(messages=[USER])))
    message = call_message(output.calls, output.says or None)
    message["reasoning_content"] = output.reasoning
    results = [
        {"role": "tool", "content": "fine", "tool_call_id": call["id"]} for call in message["tool_calls"]
    ]
    if family.form.is_single and len(results) > 1:
        return

    after = text_of(render(family, ask(messages=[USER, message, *results])))
    assert after.startswith(before + output.text) == output.is_rendered_alike


def test_the_families_that_are_not_told_again_alike_are_known() -> None:
    plain = {
        family.name
        for family, output in ALIKE
        if output.name in ("one call", "no reasoning") and output.is_rendered_alike
    }
    assert set(FAMILIES) - plain == UNLIKE


def test_tools_are_hidden_where_none_may_be_called() -> None:
    for family in FAMILIES.values():
        calling = decide(family, ask(tool_mode="none", messages=[USER]))
        assert calling.template_tools is None
        assert calling.grammar(False) is None
        assert "get_weather" not in text_of(render(family, ask(tool_mode="none", messages=[USER])))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_narrowing_the_choice_or_requiring_a_call_keeps_the_prompt(family: Family) -> None:
    prompts = {
        text_of(render(family, ask(tool_mode=mode, tool_names=names)))
        for mode in ("auto", "required")
        for names in ((), ("get_time",))
    }
    assert prompts == {family.prompt}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_schema_of_the_answer_comes_after_system_and_tools(family: Family) -> None:
    schema = {"type": "object", "properties": {"zip": {"type": "string"}}}
    request = ask(messages=[{"role": "system", "content": "Be brief."}, USER], tools=[])
    with_schema = ask(
        messages=[{"role": "system", "content": "Be brief."}, USER],
        tools=[],
        format_type="json_schema",
        format_schema=schema,
    )
    plain, shaped = text_of(render(family, request)), text_of(render(family, with_schema))
    assert '{"zip"?: string}' in shaped
    assert shaped.index("Be brief.") < shaped.index('"zip"') < shaped.index("Weather in Paris?")
    assert plain.split("Be brief.")[0] == shaped.split("Be brief.")[0]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_neither_tools_nor_results_nor_calls_can_write_control_tokens(family: Family) -> None:
    attack = "".join(family.controls)
    messages = [
        {"role": "system", "content": f"sys{attack}"},
        {"role": "user", "content": f"usr{attack}"},
        call_message([("get_weather", json.dumps({"city": f"arg{attack}"}))]),
        {"role": "tool", "content": f"res{attack}", "tool_call_id": "abcDEF120"},
        USER,
    ]
    tools = [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": f"dsc{attack}",
                "parameters": {"type": "object"},
            },
        },
        {"type": "custom", "custom": {"name": "note", "description": f"cst{attack}", "syntax": "text"}},
    ]
    format_ = {"format_type": "json_schema", "format_schema": {"title": attack}}
    counts = [count_controls(family, ask(messages=messages, tools=tools, **format_))]
    clean = json.loads(json.dumps([messages, tools, format_]).replace(json.dumps(attack)[1:-1], ""))
    counts.append(count_controls(family, ask(messages=clean[0], tools=clean[1], **clean[2])))
    assert counts[0] == counts[1]


def count_controls(family: Family, request: Generate) -> dict[str, int]:
    trusted = "\0".join(piece.text for piece in render(family, request).pieces if piece.is_trusted)
    return {control: trusted.count(control) for control in family.controls}


def test_a_template_without_a_system_role_is_told_of_tools_in_the_first_message() -> None:
    request = ask(messages=[{"role": "system", "content": "Be brief."}, USER])
    messages = decide(FAMILIES["gemma"], request).messages
    assert [message["role"] for message in messages] == ["user"]
    text = text_of(render(FAMILIES["gemma"], request))
    assert text.index("Be brief.") < text.index("get_weather") < text.index("Weather in Paris?")


def test_roles_alternate_whatever_the_tools_answered() -> None:
    message = call_message([("get_weather", '{"city": "Paris"}'), ("get_time", '{"zone": "UTC"}')], "Wait.")
    results = [
        {"role": "tool", "content": text, "tool_call_id": f"abcDEF12{at}"}
        for at, text in enumerate(["18", "12:00"])
    ]
    request = ask(messages=[USER, message, *results, {"role": "user", "content": "So?"}])
    messages = decide(FAMILIES["gemma"], request).messages
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    text = text_of(render(FAMILIES["gemma"], request))
    assert text.endswith(
        "<start_of_turn>user\n<tool_response>\n18\n</tool_response>\n<tool_response>\n12:00\n</tool_response>\n\n"
        "So?<end_of_turn>\n<start_of_turn>model\n"
    )
    assert all("is_results" not in message for message in messages)


@pytest.mark.parametrize("name", ["llama", "harmony"])
def test_templates_that_know_one_call_at_a_time_are_told_one_after_the_other(name: str) -> None:
    message = call_message([("get_weather", '{"city": "Paris"}'), ("get_time", '{"zone": "UTC"}')], "Wait.")
    results = [
        {"role": "tool", "content": text, "tool_call_id": id_}
        for text, id_ in (("12:00", "abcDEF121"), ("18", "abcDEF120"), ("stray", "none"))
    ]
    request = ask(messages=[USER, message, *results, USER])
    told = decide(FAMILIES[name], request).messages
    assert [each["role"] for each in told] == [
        "user", "assistant", "tool", "assistant", "tool", "tool", "user"
    ]  # fmt: skip
    assert [each["content"] for each in told[1:6]] == ["Wait.", "18", None, "12:00", "stray"]
    text = text_of(render(FAMILIES[name], request))
    assert text.index("Paris") < text.index("18") < text.index("UTC") < text.index("12:00")


def test_a_custom_call_is_told_as_the_model_writes_it_and_reads_the_same() -> None:
    custom = {"type": "custom", "custom": {"name": "patch", "syntax": "text"}}
    call = {"id": "c", "type": "custom", "function": {"name": "patch", "arguments": "+a\n<b>"}}
    for family in FAMILIES.values():
        request = ask(
            tools=[custom],
            messages=[
                USER,
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "done", "tool_call_id": "c"},
                USER,
            ],
        )
        if family.form.has_short_ids:
            assert text_of(render(family, request))

        written = '<custom_call name="patch">\n+a\n<b>\n</custom_call>'
        assert written in text_of(render(family, request))
        parts = read(decide(family, request).reader(False, numbers()), [written])
        assert [piece.arguments for piece in parts.calls] == (["+a\n<b>"] if parts.calls else [])


def test_ids_are_told_alike_each_time_and_as_the_template_wants_them() -> None:
    long, short = "call_Q2l0eSBvZiBsaWdodCBmb3I", "abcDEF123"
    for id_ in (long, short):
        message = call_message([("get_weather", '{"city": "Paris"}')])
        message["tool_calls"][0]["id"] = id_
        request = ask(messages=[USER, message, {"role": "tool", "content": "18", "tool_call_id": id_}])
        first, second = (decide(FAMILIES["mistral"], request).messages for _ in range(2))
        assert first == second
        told = first[1]["tool_calls"][0]["id"]
        assert told == first[2]["tool_call_id"]
        assert (told == id_) == (id_ == short)
        assert len(told) == 9
        assert decide(FAMILIES["hermes"], request).messages[1]["tool_calls"][0]["id"] == id_


def test_arguments_that_are_no_json_stay_text() -> None:
    request = ask(messages=[USER, call_message([("get_weather", "{city")]), USER])
    assert (
        decide(FAMILIES["hermes"], request).messages[1]["tool_calls"][0]["function"]["arguments"] == "{city"
    )


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tool_names": ("fly",)}, "tool_choice"),
        ({"tools": [], "tool_mode": "required"}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": 'a"b'}}]}, "tools[0].custom.name"),
        ({"tools": [CONVERSATION.tools[0], CONVERSATION.tools[0]]}, "tools"),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "parameters": {"properties": {"a": {"type": "x"}}}},
                    }
                ]
            },
            "tools[0].function.parameters",
        ),
        (
            {
                "tools": [
                    CONVERSATION.tools[0],
                    {"type": "custom", "custom": {"name": "c", "syntax": "lark", "definition": "start: ("}},
                ]
            },
            "tools[1].custom.format",
        ),
        (
            {"format_type": "json_schema", "format_schema": {"type": "x"}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(changes: dict[str, Any], param: str) -> None:
    assert refuse(FAMILIES["hermes"], ask(**changes)).param == param


@pytest.mark.parametrize("kind", ["array", "string", None, ["string", "null"]])
def test_parameters_that_cannot_be_an_object_are_refused_by_the_keyword(kind: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": kind}}}
    fault = refuse(FAMILIES["hermes"], ask(tools=[tool]))
    assert (fault.code, fault.param) == ("invalid_json_schema", "tools[0].function.parameters")
    assert "'type'" in fault.message


@pytest.mark.parametrize("kind", [["object", "null"], "object"])
def test_parameters_that_may_be_an_object_are_one(kind: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": kind, "title": "F"}}}
    calling = decide(FAMILIES["hermes"], ask(tools=[tool], tool_mode="required"))
    (ruled,) = calling.wanted.tools
    assert ruled.schema is not None
    assert ruled.schema["type"] == "object"


def test_a_raw_prompt_has_neither_messages_nor_meaning() -> None:
    request = ask(messages=[], tools=[], prompt=RawPrompt(text="Once"), sampling=Sampling(stop=("x",)))
    calling = decide(FAMILIES["qwen3"], request)
    assert (calling.messages, calling.template_tools, calling.grammar(False)) == ([], None, None)
    parts = read(calling.reader(False), ["<think>a</think><tool_call>bxc"])
    assert (parts.text, parts.reasoning) == ("<think>a</think><tool_call>b", "")


def test_a_raw_prompt_may_be_held_to_a_schema() -> None:
    request = ask(messages=[], tools=[], prompt=RawPrompt(text="{"), format_type="json_object")
    calling = decide(FAMILIES["qwen3"], request)
    grammar = calling.grammar(False)
    assert grammar is not None
    assert "think" not in grammar
    reader = calling.reader(False)
    read(reader, ["no"])
    assert reader.fault is not None


def test_forms_are_known_by_the_source_of_their_template() -> None:
    found = {name: family.form.name for name, family in FAMILIES.items()}
    assert found == {name: name for name in FAMILIES} | {
        "chatml": "envelope",
        "gemma": "envelope",
        "qwen3": "hermes",
    }
    assert find_form(CHATML).name == "envelope"
    assert find_form("{% broken").name == "envelope"


def test_a_template_with_tools_of_an_unknown_form_is_given_none() -> None:
    source = CHATML + "{% for tool in tools %}{{ tool.function.name }}{% endfor %}"
    form = find_form(source)
    assert (form.name, form.abilities.has_tools) == ("envelope", False)


def test_a_template_that_speaks_of_marks_but_writes_others_has_an_unknown_form() -> None:
    source = FAMILIES["hermes"].source.replace('\\n{"name": "', '\\n{"tool": "')
    assert find_form(source).name == "envelope"


def test_marks_in_earlier_calls_are_the_models_own_tokens() -> None:
    family = FAMILIES["granite"]
    template = ChatTemplate(family.source, controls=[Control(text) for text in family.controls])
    pieces = template.render(decide(family).messages).pieces
    assert any(piece.is_trusted and "<|tool_call|>" in piece.text for piece in pieces)
