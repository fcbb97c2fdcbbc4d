"""The guide of a seq, with a small vocabulary: what may come, what must, when it is over, what breaks it."""

from typing import Any

import pytest

from runtime.backends.engines.llama.grammar.compiler import Compiler, lark_of_schema
from runtime.backends.engines.llama.grammar.guide import Guide, GuideBroken
from runtime.backends.engines.llama.grammar.schema import bound_schema
from tests.kit.byte_tokenizer import (
    END,
    ENDS,
    OTHER_END,
    TOOL_CALL,
    VOCABULARY,
    byte_tokenizer,
    decode,
    encode,
)

CALL: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"const": "get_weather"},
        "days": {"type": "integer", "minimum": 1, "maximum": 30},
    },
    "required": ["name", "days"],
}


def guide_of(lark: str) -> Guide:
    guide = Compiler(byte_tokenizer(), ends=ENDS).compile(lark)
    assert isinstance(guide, Guide), guide
    return guide


def guide_of_call() -> Guide:
    schema = bound_schema(CALL, param="p")
    assert isinstance(schema, dict)
    return guide_of(lark_of_schema(schema))


def state(guide: Guide) -> tuple[bool, bool]:
    return guide.may_end, guide.is_over


def accept(guide: Guide, text: str) -> None:
    for token in encode(text):
        guide.accept(token)


def test_what_is_forced_is_told_and_does_not_move_the_guide() -> None:
    guide = guide_of_call()

    assert decode(guide.forced()).startswith(b'{"name": "get_weather", "days"')
    assert guide.forced() == guide.forced()
    for token in guide.forced():
        guide.accept(token)

    assert guide.forced() == [] or decode(guide.forced()) == b": "


def test_a_text_may_end_only_when_it_is_complete_and_any_end_will_do() -> None:
    guide = guide_of_call()
    accept(guide, '{"name": "get_weather", "days": 3')

    assert [guide.allows(token) for token in ENDS] == [False, False]

    accept(guide, "}")
    assert state(guide) == (True, True)
    assert [guide.allows(token) for token in ENDS] == [True, True]
    assert guide.forced() == []

    guide.accept(OTHER_END)
    assert state(guide) == (False, True)
    assert not any(guide.allows(token) for token in range(VOCABULARY))


def test_a_text_that_may_end_may_also_go_on() -> None:
    guide = guide_of("start: /[0-9]+/\n")
    accept(guide, "1")

    assert state(guide) == (True, False)
    assert guide.allows(END)
    assert guide.allows(encode("2")[0])


def test_a_token_that_does_not_fit_is_told_and_leaves_the_guide_as_it_was() -> None:
    guide = guide_of_call()
    accept(guide, '{"name')

    with pytest.raises(GuideBroken, match="token 120 does not fit"):
        guide.accept(ord("x"))

    accept(guide, '": "get_weather", "days": 3}')
    assert guide.may_end


def test_accepting_after_the_end_breaks_and_does_not_crash() -> None:
    guide = guide_of('start: "a"\n')
    accept(guide, "a")
    guide.accept(END)

    for token in (END, ord("a")):
        with pytest.raises(GuideBroken):
            guide.accept(token)


def test_tokens_can_be_taken_back_across_the_end() -> None:
    guide = guide_of('start: "x" "c"*\n')
    accept(guide, "xcc")
    guide.accept(END)

    guide.rollback(2)
    assert guide.may_end
    assert guide.allows(ord("c"))

    guide.rollback(2)
    accept(guide, "xc")
    with pytest.raises(GuideBroken):
        guide.rollback(100)


def test_a_copy_goes_its_own_way() -> None:
    guide = guide_of("start: /[ab]+/\n")
    accept(guide, "a")
    twin = guide.copy()
    twin.accept(END)

    assert twin.is_over
    assert not guide.is_over
    accept(guide, "b")


def test_a_control_token_comes_where_the_grammar_names_it_and_nowhere_else() -> None:
    guide = guide_of('start: "a" <tool_call> "b"\n')

    assert not guide.allows(TOOL_CALL)
    accept(guide, "a")
    assert guide.allows(TOOL_CALL)
    assert not guide.allows(ord("<"))
    guide.accept(TOOL_CALL)
    accept(guide, "b")
    assert guide.may_end

    text = guide_of("start: /(.|\\n)*/\n")
    assert not text.allows(TOOL_CALL)
    assert text.allows(END)


def test_an_end_that_the_grammar_names_is_part_of_the_text() -> None:
    guide = guide_of('start: "a" <|other_end|>\n')
    accept(guide, "a")

    assert state(guide) == (False, False)
    assert not guide.allows(END)
    guide.accept(OTHER_END)
    assert state(guide) == (True, True)
    assert guide.allows(END)
