"""Laws of decoding schemas: what the guide lets through is valid by the original, and comes to an end."""

import random

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from runtime.backends.engines.llama.grammar.bounds import Limits
from runtime.backends.engines.llama.grammar.compiler import Compiler, lark_of_schema
from runtime.backends.engines.llama.grammar.schema import bound_schema
from runtime.backends.engines.llama.grammar.validity import Validity
from runtime.backends.protocol import Fault
from tests.kit.byte_tokenizer import ENDS, byte_tokenizer, walk
from tests.unit.backends.engines.llama.grammar.random_schemas import SCHEMAS, Schema

COMPILER = Compiler(byte_tokenizer(), ends=ENDS, limit=2)
SMALL = Limits(characters=12, items=3, names=2, name_characters=5, decimals=3, depth=2)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(schema=SCHEMAS, seed=st.integers(0, 999))
def test_every_text_that_a_guide_lets_through_is_valid_by_the_original_schema(
    schema: Schema, seed: int
) -> None:
    decoding = bound_schema(schema, param="p", limits=SMALL)
    if isinstance(decoding, Fault):
        assert decoding.code == "invalid_json_schema"
        return

    guide = COMPILER.compile(lark_of_schema(decoding))
    if isinstance(guide, Fault):
        assert guide.code == "invalid_json_schema"
        return

    validity, draw = Validity(schema), random.Random(seed)
    for _ in range(3):
        text = walk(guide.copy(), draw).decode()
        note(text)
        assert validity.problem(text) is None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(schema=SCHEMAS)
def test_the_default_limits_refuse_no_more_than_smaller_ones_and_change_nothing_given(schema: Schema) -> None:
    before = repr(schema)
    wide, small = bound_schema(schema, param="p"), bound_schema(schema, param="p", limits=SMALL)

    assert repr(schema) == before
    assert isinstance(wide, Fault) <= isinstance(small, Fault)
    assert bound_schema(schema, param="p") == wide
