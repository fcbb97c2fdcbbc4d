"""The grammar of every form in every mode, held against what models wrote."""

import functools
import itertools
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from tests.unit.backends.engines.llama.calls.kit import (
    CONVERSATION,
    FAMILIES,
    OUTPUT_NAMES,
    OUTPUTS,
    Family,
    Output,
    ask,
    decide,
    numbers,
    read,
)


class Bytes:
    """A vocabulary of bytes, the family's control tokens, and the end."""

    bos_token_id = None

    def __init__(self, controls: list[str]) -> None:
        self._controls = controls
        self.tokens = [bytes([byte]) for byte in range(256)] + [
            text.encode() for text in [*controls, "<end>"]
        ]
        self.special_token_ids = list(range(256, len(self.tokens)))
        self.eos_token_id = len(self.tokens) - 1

    def __call__(self, text: bytes) -> list[int]:
        """Return the tokens of the text, none of them special."""
        return list(text)

    def split(self, text: str) -> list[int]:
        """Return the tokens of the text, control tokens where they stand."""
        tokens: list[int] = []
        while text:
            control = next((each for each in self._controls if text.startswith(each)), None)
            if control is None:
                tokens += text[0].encode()
                text = text[1:]
            else:
                tokens.append(256 + self._controls.index(control))
                text = text[len(control) :]

        return tokens


@functools.cache
def tokenizer_of(controls: tuple[str, ...]) -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(Bytes(list(controls))))


def judge(grammar: str, text: str, controls: list[str]) -> str:
    """Return "whole" where the text may end, "begun" where it must go on, "refused" where it cannot be."""
    vocabulary = Bytes(controls)
    tokenizer = tokenizer_of(tuple(controls))
    lark = LLMatcher.grammar_from_lark(grammar)
    assert LLMatcher.validate_grammar(lark, tokenizer) == ""
    matcher = LLMatcher(tokenizer, lark)
    tokens = vocabulary.split(text)
    if matcher.try_consume_tokens(tokens) < len(tokens):
        return "refused"

    return "whole" if matcher.is_accepting() else "begun"


def grammar_of(family: Family, *, opened: bool = False, **changes: Any) -> str:
    grammar = decide(family, ask(**changes)).grammar(opened)
    assert grammar is not None
    return grammar


@pytest.mark.parametrize(("family", "output"), OUTPUTS, ids=OUTPUT_NAMES)
def test_what_models_wrote_follows_the_grammar_of_auto(family: Family, output: Output) -> None:
    verdict = judge(grammar_of(family, opened=output.opens_reasoning), output.text, family.controls)
    if not output.follows_grammar:
        assert verdict == "refused"
    elif output.is_cut:
        assert verdict in ("begun", "whole")
    else:
        assert verdict == "whole"


@pytest.mark.parametrize(("family", "output"), OUTPUTS, ids=OUTPUT_NAMES)
def test_a_required_call_leaves_no_way_but_a_call(family: Family, output: Output) -> None:
    if not output.follows_grammar:
        return

    grammar = grammar_of(family, opened=output.opens_reasoning, tool_mode="required")
    verdict = judge(grammar, output.text, family.controls)
    if output.calls and not output.says and not output.is_cut and not output.text.startswith("<|python"):
        assert verdict == "whole"
    else:
        assert verdict != "whole"


@pytest.mark.parametrize(("family", "output"), OUTPUTS, ids=OUTPUT_NAMES)
def test_only_the_tools_that_are_allowed_may_be_called(family: Family, output: Output) -> None:
    grammar = grammar_of(
        family, opened=output.opens_reasoning, tool_mode="required", tool_names=("get_time",)
    )
    verdict = judge(grammar, output.text, family.controls)
    assert verdict != "whole" or {name for name, _ in output.calls} == {"get_time"}


@pytest.mark.parametrize(("family", "output"), OUTPUTS, ids=OUTPUT_NAMES)
def test_without_parallel_calls_the_first_is_the_last(family: Family, output: Output) -> None:
    grammar = grammar_of(family, opened=output.opens_reasoning, parallel_tool_calls=False)
    if output.follows_grammar and not output.is_cut:
        verdict = judge(grammar, output.text, family.controls)
        assert verdict == ("refused" if len(output.calls) > 1 else "whole")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize(
    "arguments", ['{"days": 1}', '{"city": 1}', '{"city":"Paris"}', '{"city": "Paris", "x": 1}', "[]"]
)
def test_arguments_that_break_the_schema_cannot_be_written(family: Family, mode: str, arguments: str) -> None:
    call = next(output for output in family.outputs if output.name in ("one call", "reasoning and a call"))
    bad = call.text.replace('{"city": "Rome", "days": 3}', arguments)
    if family.form.shape == "tags":
        bad = call.text.replace("city", "town")

    grammar = grammar_of(family, opened=call.opens_reasoning, tool_mode=mode)
    assert judge(grammar, call.text, family.controls) == "whole"
    assert judge(grammar, bad, family.controls) == "refused"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_an_answer_in_json_is_of_its_schema_and_nothing_else(family: Family) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    opened = any(output.opens_reasoning for output in family.outputs)
    start = "x</think>\n" if opened else ""
    start += "<|channel|>final<|message|>" if family.form.channels else ""
    shaped = {"format_type": "json_schema", "format_schema": schema}
    alone = grammar_of(family, opened=opened, tools=[], **shaped)
    beside = grammar_of(family, opened=opened, **shaped)
    for grammar in (alone, beside):
        verdicts = [
            judge(grammar, start + text, family.controls)
            for text in ('{"a": 1}', '{"a": "1"}', "Sure", '{"a": 1} ')
        ]
        assert verdicts == ["whole", "refused", "refused", "refused"]

    call = next(output for output in family.outputs if output.name == "one call")
    assert judge(beside, f"{family.form.lead}{call.text}", family.controls) == "whole"
    assert judge(alone, f"{family.form.lead}{call.text}", family.controls) == "refused"


def test_reasoning_is_free_before_the_call_and_closed_where_it_was_declined() -> None:
    family = FAMILIES["qwen3"]
    call = next(output for output in family.outputs if output.name == "one call")
    assert judge(grammar_of(family, tool_mode="required"), call.text, family.controls) == "whole"
    for mode in ("auto", "required"):
        grammar = grammar_of(family, tool_mode=mode, reasoning_effort="none")
        assert judge(grammar, call.text, family.controls) == "refused"


def test_tags_of_reasoning_that_are_control_tokens_stand_in_the_grammar_as_such() -> None:
    family = FAMILIES["qwen3"]
    controls = [*family.controls, "<think>", "</think>", "<tool_call>", "</tool_call>"]
    family = family._replace(controls=controls)
    calling = decide(family)
    assert set(calling.reveals) == {"<think>", "</think>", "<tool_call>", "</tool_call>"}
    for output in family.outputs:
        # A call's own control token cannot stand inside the reasoning: it would begin a call.
        if not output.is_cut and output.name != "a call in the reasoning":
            assert judge(grammar_of(family), output.text, controls) == "whole"
            is_call = bool(output.whole_calls) and not output.says
            verdict = judge(grammar_of(family, tool_mode="required"), output.text, controls)
            assert (verdict == "whole") == is_call


CUSTOMS: list[dict[str, Any]] = [
    {"type": "custom", "custom": {"name": "patch", "syntax": "text"}},
    {"type": "custom", "custom": {"name": "digits", "syntax": "regex", "definition": "[0-9]+"}},
    {
        "type": "custom",
        "custom": {"name": "sum", "syntax": "lark", "definition": 'start: N ("+" N)*\nN: /[0-9]/'},
    },
]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_the_input_of_a_custom_tool_is_of_its_grammar(family: Family, mode: str) -> None:
    opened = any(output.opens_reasoning for output in family.outputs)
    start = "x</think>\n" if opened else ""
    grammar = grammar_of(family, opened=opened, tools=[*CONVERSATION.tools, *CUSTOMS], tool_mode=mode)
    cases = {
        ("patch", 'any <text>\n"at all"'): "whole",
        ("digits", "123"): "whole",
        ("digits", "12x"): "refused",
        ("sum", "1+2"): "whole",
        ("sum", "1+"): "refused",
        ("other", "1"): "refused",
    }
    for (name, text), verdict in cases.items():
        written = f'{start}<custom_call name="{name}">\n{text}\n</custom_call>'
        assert judge(grammar, written, family.controls) == verdict, (name, text)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_whatever_the_grammar_lets_through_reads_as_calls_that_satisfy_the_schema(family: Family) -> None:
    """Take the grammar at its word: always the first token that it allows, after a start of its choice."""
    opened = any(output.opens_reasoning for output in family.outputs)
    request = ask(tool_mode="required")
    calling = decide(family, request)
    grammar = calling.grammar(opened)
    assert grammar is not None
    vocabulary = Bytes(family.controls)
    tokenizer = tokenizer_of(tuple(family.controls))
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(grammar))
    start = "x</think>" if opened else ""
    assert matcher.consume_tokens(vocabulary.split(start))
    text = start.encode()
    for turn in itertools.count():
        if matcher.is_stopped() or turn > 2000:
            break

        token = pick(matcher, vocabulary, turn)
        if token == vocabulary.eos_token_id:
            break

        assert matcher.consume_token(token)
        text += vocabulary.tokens[token]

    reader = calling.reader(opened, numbers())
    parts = read(reader, [text.decode("utf-8", "replace")], is_cut=turn > 2000)
    assert reader.fault is None
    assert parts.text == ""
    assert turn > 2000 or reader.has_calls


def pick(matcher: LLMatcher, vocabulary: Bytes, turn: int) -> int:
    """Return an allowed token: the end where it is allowed, else now a low one, now a high one."""
    mask = matcher.compute_bitmask()
    allowed = [token for token in range(len(vocabulary.tokens)) if mask[token // 8] >> (token % 8) & 1]
    if vocabulary.eos_token_id in allowed:
        return vocabulary.eos_token_id

    printable = [token for token in allowed if 32 <= token < 127 or token > 255] or allowed
    return printable[turn % len(printable)]
