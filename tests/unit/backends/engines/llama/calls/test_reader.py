"""What models wrote, read back: the fixtures of each family, cut at any place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backends.engines.llama.answer import Answer
from runtime.backends.engines.llama.calls.calling import new_call_id
from runtime.backends.engines.llama.calls.reader import Parts, Reader
from runtime.backends.protocol import Sampling
from tests.unit.backends.engines.llama.calls.kit import (
    FAMILIES,
    OUTPUT_NAMES,
    OUTPUTS,
    Family,
    Output,
    ask,
    decide,
    numbers,
    read,
    render,
    text_of,
)


def reader_of(family: Family, output: Output) -> Reader:
    return decide(family).reader(output.opens_reasoning, numbers())


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_conversation_with_tools_is_told_as_the_template_tells_it(family: Family) -> None:
    assert text_of(render(family)) == family.prompt


@pytest.mark.parametrize(("family", "output"), OUTPUTS, ids=OUTPUT_NAMES)
def test_an_answer_means_what_was_recorded(family: Family, output: Output) -> None:
    reader = reader_of(family, output)
    parts = read(reader, [output.text], is_cut=output.is_cut)
    calls = [(piece.name, piece.arguments) for piece in parts.calls]
    assert (parts.text, parts.reasoning, calls) == (output.says, output.reasoning, output.calls)
    assert reader.has_calls == (output.whole_calls > 0)
    assert reader.fault is None


@pytest.mark.parametrize(("family", "output"), OUTPUTS, ids=OUTPUT_NAMES)
def test_an_answer_that_comes_letter_by_letter_means_the_same(family: Family, output: Output) -> None:
    whole = read(reader_of(family, output), [output.text], is_cut=output.is_cut)
    assert read(reader_of(family, output), list(output.text), is_cut=output.is_cut) == whole


@settings(max_examples=100)
@given(st.sampled_from(OUTPUTS), st.data())
def test_an_answer_means_the_same_however_it_is_cut_up(
    case: tuple[Family, Output], data: st.DataObject
) -> None:
    family, output = case
    text = output.text
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = read(reader_of(family, output), [text], is_cut=output.is_cut)
    assert read(reader_of(family, output), pieces, is_cut=output.is_cut) == whole


@settings(max_examples=100)
@given(st.sampled_from(OUTPUTS), st.data())
def test_an_answer_cut_by_length_has_no_call_that_was_not_written_whole(
    case: tuple[Family, Output], data: st.DataObject
) -> None:
    family, output = case
    end = data.draw(st.integers(0, len(output.text)))
    reader = reader_of(family, output)
    parts = read(reader, [output.text[:end]], is_cut=True)
    recorded = [arguments for _, arguments in output.calls]
    told = [piece.arguments for piece in parts.calls]
    assert len(told) <= len(recorded)
    assert all(whole.startswith(part) for part, whole in zip(told, recorded, strict=False))
    assert parts.reasoning.startswith(output.reasoning) or output.reasoning.startswith(parts.reasoning)
    assert reader.fault is None


@given(
    st.sampled_from(list(FAMILIES.values())),
    st.lists(
        st.sampled_from(
            [
                "<tool_call>",
                '{"name": "get_weather", "arguments": ',
                '{"city": "',
                '"}',
                "}",
                "</tool_call>",
                "<function=get_weather>",
                "<parameter=city>",
                "\n",
                "</parameter>",
                "</function>",
                "[TOOL_CALLS]",
                "get_weather",
                "[ARGS]",
                "[{",
                "]",
                " ",
                "Hi",
                "<|channel|>",
                "final",
                "analysis",
                "<|message|>",
                "<|end|>",
                "<think>",
                "</think>",
                "<custom_call",
                ' name="',
                '">',
            ]
        ),
        max_size=12,
    ),
    st.booleans(),
    st.data(),
)
def test_whatever_a_model_writes_reads_alike_in_one_piece_and_in_many(
    family: Family, words: list[str], is_cut: bool, data: st.DataObject
) -> None:
    text = "".join(words)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    calling = decide(family, ask(tools=[*ask().tools, {"type": "custom", "custom": {"name": "note"}}]))
    whole = read(calling.reader(False, numbers()), [text], is_cut=is_cut)
    assert read(calling.reader(False, numbers()), pieces, is_cut=is_cut) == whole


def test_a_name_is_known_before_the_arguments_come() -> None:
    reader = decide(FAMILIES["hermes"]).reader(False, numbers())
    assert reader.feed('<tool_call>\n{"name": "get_weather", "arguments": ').calls == ()
    pieces = [reader.feed(text).calls for text in ("{", '"city"', ': "Paris"')]
    assert [[(piece.id, piece.name, piece.arguments) for piece in calls] for calls in pieces] == [
        [("call_0", "get_weather", "{")],
        [(None, None, '"city"')],
        [(None, None, ': "Paris"')],
    ]


def test_a_text_streams_in_its_tag_as_it_is_written() -> None:
    reader = decide(FAMILIES["qwen-coder"]).reader(False, numbers())
    texts = ["<tool_call>\n<function=get_weather>\n<parameter=city>\n", "Pa", "ris\n", "x", "\n</parameter>"]
    shown = ["".join(piece.arguments for piece in reader.feed(text).calls) for text in texts]
    assert shown == ['{"city": ', '"Pa', "ris", "\\nx", '"']


def test_a_stop_string_counts_in_the_text_and_not_in_calls_or_reasoning() -> None:
    family = FAMILIES["qwen3"]
    calling = decide(family, ask(sampling=Sampling(stop=("Paris",))))
    reader = calling.reader(False, numbers())
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    parts = read(reader, ["<think>Paris</think>", call])
    assert (parts.text, parts.reasoning, parts.calls[0].arguments) == ("", "Paris", '{"city": "Paris"}')
    assert not reader.is_stopped

    reader = calling.reader(False, numbers())
    assert read(reader, ["In Par", "is it rains. ", call]) == Parts("In ", "", ())
    assert (reader.is_stopped, reader.stop, reader.has_calls) == (True, "Paris", False)


def test_arguments_that_break_the_schema_of_the_request_are_a_fault() -> None:
    reader = decide(FAMILIES["hermes"]).reader(False, numbers())
    read(reader, ['<tool_call>\n{"name": "get_weather", "arguments": {"days": "two"}}\n</tool_call>'])
    assert reader.fault is not None
    assert "get_weather" in reader.fault.message


def test_a_whole_call_that_breaks_its_schema_is_a_fault_in_a_cut_answer_too() -> None:
    reader = decide(FAMILIES["hermes"]).reader(False, numbers())
    text = '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>\n<tool_call>'
    read(reader, [text], is_cut=True)
    assert reader.fault is not None


def test_an_answer_that_breaks_its_format_is_a_fault_unless_it_was_cut() -> None:
    calling = decide(FAMILIES["hermes"], ask(tools=[], format_type="json_object"))
    faults = []
    for text, is_cut in (('{"a": 1}', False), ("[1]", False), ('{"a"', False), ('{"a"', True)):
        reader = calling.reader(False, numbers())
        assert read(reader, [text], is_cut=is_cut).text == text
        faults.append(reader.fault is not None)

    assert faults == [False, True, True, False]


def test_a_required_call_that_never_came_is_a_fault() -> None:
    reader = decide(FAMILIES["hermes"], ask(tool_mode="required")).reader(False, numbers())
    read(reader, ["It is sunny."])
    assert reader.fault is not None


def test_an_answer_that_breaks_off_inside_a_call_without_being_cut_is_a_fault() -> None:
    reader = decide(FAMILIES["hermes"]).reader(False, numbers())
    read(reader, ['<tool_call>\n{"name": "get_weather", "arguments": {"city"'])
    assert reader.fault is not None
    assert not reader.has_calls


@pytest.mark.parametrize("mode", ["none", "auto"])
def test_without_tools_every_mark_is_text(mode: str) -> None:
    text = '<tool_call>\n{"name": "get_weather", "arguments": {}}\n</tool_call>'
    request = ask(tools=[] if mode == "auto" else ask().tools, tool_mode=mode)
    assert read(decide(FAMILIES["hermes"], request).reader(False), [text]) == Parts(text)


@pytest.mark.parametrize("text", ["*** Begin\n+a < b\n</custom_call", "", "\nx\n", 'a "b" \\n {'])
def test_the_input_of_a_custom_tool_is_what_stands_between_its_marks(text: str) -> None:
    custom = {"type": "custom", "custom": {"name": "patch", "syntax": "text"}}
    for family in FAMILIES.values():
        if family.form.channels:
            continue

        calling = decide(family, ask(tools=[*ask().tools, custom]))
        written = f'Here:\n<custom_call name="patch">\n{text}\n</custom_call>'
        for pieces in ([written], list(written)):
            reader = calling.reader(False, numbers())
            parts = read(reader, pieces)
            assert (parts.text, reader.has_calls, reader.fault) == ("Here:", True, None)
            assert [(call.type, call.name, call.arguments) for call in parts.calls] == [
                ("custom", "patch", text)
            ]


def test_ids_are_never_the_same_and_look_as_openai_writes_them() -> None:
    ids = {new_call_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(each.startswith("call_") and len(each) == 29 for each in ids)


def test_bytes_that_split_a_character_are_read_whole() -> None:
    answer = Answer(decide(FAMILIES["hermes"]).reader(False, numbers()))
    text = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Orléans"}}\n</tool_call>'
    parts = [answer.feed(bytes([byte])) for byte in text.encode()] + [answer.flush(is_cut=False)]
    assert "".join(piece.arguments for part in parts for piece in part.calls) == '{"city": "Orléans"}'
    assert (answer.has_calls, answer.fault) == (True, None)
