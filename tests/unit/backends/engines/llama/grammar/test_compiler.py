"""Compiling: once per grammar, so many kept, and never without the grammar that was asked for."""

import pytest
from llguidance import LLTokenizer

from runtime.backends.engines.llama.grammar.compiler import (
    Compiler,
    lark_of_custom,
    lark_of_regex,
    lark_of_schema,
)
from runtime.backends.engines.llama.grammar.guide import Guide
from runtime.backends.protocol import Fault
from tests.kit.byte_tokenizer import ENDS, byte_tokenizer, encode


class Lazy:
    def __init__(self) -> None:
        self.asked = 0
        self._tokenizer = byte_tokenizer()

    def get(self) -> LLTokenizer:
        self.asked += 1
        return self._tokenizer


def accepts(lark: str | Fault, text: str) -> bool:
    assert isinstance(lark, str), lark
    guide = Compiler(byte_tokenizer(), ends=ENDS).compile(lark)
    assert isinstance(guide, Guide), guide
    for token in encode(text):
        if not guide.allows(token):
            return False

        guide.accept(token)

    return guide.may_end


def test_a_grammar_is_compiled_once_and_guides_are_independent() -> None:
    compiler = Compiler(byte_tokenizer(), ends=ENDS)
    first, second = compiler.compile('start: "ab"\n'), compiler.compile('start: "ab"\n')
    assert isinstance(first, Guide)
    assert isinstance(second, Guide)

    first.accept(encode("ab")[0])

    assert not first.allows(encode("ab")[0])
    assert second.allows(encode("ab")[0])
    assert (compiler.hits, compiler.misses) == (1, 1)


def test_the_grammar_that_was_used_least_lately_is_forgotten() -> None:
    compiler = Compiler(byte_tokenizer(), ends=ENDS, limit=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        compiler.compile(f'start: "{text}"\n')

    assert (compiler.hits, compiler.misses) == (2, 4)


def test_the_tokenizer_is_asked_for_when_a_grammar_is_compiled() -> None:
    lazy = Lazy()
    compiler = Compiler(lazy, ends=ENDS)
    assert lazy.asked == 0

    compiler.compile('start: "a"\n')
    assert lazy.asked == 1


@pytest.mark.parametrize(
    ("grammar", "code", "said"),
    [
        ('start: "a\n', "invalid_request", "lexer error"),
        ("start: foo\n", "invalid_request", "unknown name"),
        ("", "invalid_request", "Empty grammar"),
        ("start: /(?=a)/\n", "invalid_request", "look-around"),
        ('start: %json {"not": {}}\n', "invalid_json_schema", "not"),
        ("start: <no_such_token>\n", "invalid_request", "no_such_token"),
        (" " * 3_000_000, "invalid_request", "too long"),
    ],
)
def test_a_grammar_that_cannot_be_compiled_is_a_fault_with_the_reason(
    grammar: str, code: str, said: str
) -> None:
    compiler = Compiler(byte_tokenizer(), ends=ENDS)
    fault = compiler.compile(grammar, param="tools[1].custom")

    assert isinstance(fault, Fault)
    assert (fault.code, fault.param) == (code, "tools[1].custom")
    assert said in fault.message
    assert len(fault.message) < 300


def test_a_schema_stands_in_a_grammar_of_its_own() -> None:
    assert accepts(lark_of_schema({"enum": ["é/\n"]}), '"é/\\n"')


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("a/b", "a/b", "ab"),
        (r"a\/b", "a/b", r"a\/b"),
        (r"\d+-[A-Z]{2}", "12-AB", "12-A"),
        ("a\nb", "a\nb", "ab"),
        (r"\\/", r"\/", "/"),
    ],
)
def test_a_regex_is_followed_from_beginning_to_end(pattern: str, good: str, bad: str) -> None:
    for lark in (lark_of_regex(pattern), lark_of_custom("regex", pattern, "p")):
        assert accepts(lark, good)
        assert not accepts(lark, bad)


ARITHMETIC = """
start: expr
expr: term (SP ADD SP term)*
term: INT | "(" expr ")"
SP: " "
ADD: "+" | "-" // both
%import common.INT
"""


def test_a_lark_grammar_is_followed() -> None:
    lark = lark_of_custom("lark", ARITHMETIC, "p")

    assert accepts(lark, "12 + (3 - 4)")
    assert not accepts(lark, "12 +")


@pytest.mark.parametrize(
    ("syntax", "definition", "said"),
    [
        ("lark", "start: a\n", "unknown name"),
        ("lark", 'first: "a"\n', "no start rule"),
        ("lark", "start: /(?<!a)b/\n", "look-around"),
        ("lark", 'start: "a" <|end|>\n', "'<|end|>' is not allowed"),
        ("lark", "start: <[1-5]>\n", "'<[1-5]>' is not allowed"),
        ("lark", "start: @other\n", "'@other' is not allowed"),
        ("lark", "%declare X\nstart: X\n", "'%declare' is not allowed"),
        ("lark", 'start[max_tokens=3]: "a"\n', "is not allowed"),
        ("lark", 'start: "a"\n}\nb: "c"\n', "cannot be enforced"),
        ("regex", "(?=a)b", "look-around"),
        ("regex", "(", "regex"),
        ("gbnf", 'root ::= "a"', "syntax 'gbnf' is unknown"),
    ],
)
def test_a_custom_grammar_that_cannot_be_followed_is_refused(syntax: str, definition: str, said: str) -> None:
    fault = lark_of_custom(syntax, definition, "tools[0].custom.format")

    assert isinstance(fault, Fault)
    assert (fault.code, fault.param) == ("invalid_request", "tools[0].custom.format")
    assert said in fault.message


def test_signs_in_texts_and_comments_are_no_reason_to_refuse() -> None:
    lark = lark_of_custom("lark", 'start: "<b>" /@[a-z]<stop=>/ // <|end|> @x\n', "p")

    assert accepts(lark, "<b>@x<stop=>")
