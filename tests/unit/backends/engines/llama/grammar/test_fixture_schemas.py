"""The schemas that the other tests share: all are accepted, and walks through them are valid."""

import random

from runtime.backends.engines.llama.grammar.bounds import Limits
from runtime.backends.engines.llama.grammar.compiler import Compiler, lark_of_schema
from runtime.backends.engines.llama.grammar.guide import Guide
from runtime.backends.engines.llama.grammar.schema import bound_schema
from runtime.backends.engines.llama.grammar.validity import Validity
from tests.kit.byte_tokenizer import ENDS, byte_tokenizer, walk
from tests.kit.schemas import SCHEMAS

SMALL = Limits(characters=12, items=3, names=2, name_characters=5, decimals=3, depth=2)


def test_there_are_two_hundred_of_them_and_all_differ() -> None:
    assert len({repr(schema) for schema in SCHEMAS}) == len(SCHEMAS) == 200


def test_all_are_accepted_and_what_is_made_by_them_is_valid() -> None:
    compiler = Compiler(byte_tokenizer(), ends=ENDS)
    for number, schema in enumerate(SCHEMAS):
        guides: list[Guide] = []
        for limits in (Limits(), SMALL):
            decoding = bound_schema(schema, param="p", limits=limits)
            assert isinstance(decoding, dict), (schema, decoding)
            guide = compiler.compile(lark_of_schema(decoding))
            assert isinstance(guide, Guide), (schema, guide)
            guides.append(guide)

        text = walk(guides[-1], random.Random(number)).decode()
        assert Validity(schema).problem(text) is None, (schema, text)
