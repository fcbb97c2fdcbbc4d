"""The old form of log probabilities, and the bodies of plain completions, as laws."""

import json
from itertools import accumulate, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.api.bodies import decode_body
from runtime.api.errors import Refused
from runtime.api.openai.completion_body import CompletionBody, requests_of
from runtime.api.openai.legacy_logprobs import LegacyWriter, mean_logprob, token_text
from runtime.core.messages import ChatRequest, ChosenLogprob

PLAIN: dict[str, Any] = {"model": "m", "prompt": "a"}


def cut(text: str, at: list[int]) -> list[ChosenLogprob]:
    """Cut a text's bytes into tokens, also in mid-character."""
    data = text.encode()
    places = sorted({0, len(data), *(each % (len(data) + 1) for each in at)})
    parts = [data[begin:end] for begin, end in pairwise(places)]
    return [ChosenLogprob(token="", logprob=-1.0, bytes=tuple(each)) for each in parts]


@given(st.text(max_size=20), st.lists(st.integers(0, 100)), st.integers(0, 20))
def test_offsets_count_whole_characters_however_the_text_is_cut_and_told(
    text: str, at: list[int], told_first: int
) -> None:
    tokens = cut(text, at)
    whole = LegacyWriter().write(tokens)
    writer = LegacyWriter()
    first, rest = writer.write(tokens[:told_first]), writer.write(tokens[told_first:])

    ends = accumulate((len(each.bytes) for each in tokens), initial=0)
    expected = [len(text.encode()[:end].decode(errors="ignore")) for end in ends]
    assert whole.text_offset == expected[: len(tokens)]
    assert first.text_offset + rest.text_offset == whole.text_offset
    assert first.tokens + rest.tokens == whole.tokens


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_two_tokens_are_never_written_alike(one: bytes, other: bytes) -> None:
    spelled = token_text(one).startswith("bytes:"), token_text(other).startswith("bytes:")

    assert (token_text(one) == token_text(other)) == (one == other) or spelled[0] != spelled[1]


def test_an_answer_without_tokens_is_the_least_likely() -> None:
    likely = [ChosenLogprob(token="a", logprob=-100.0, bytes=(97,))]

    assert mean_logprob([]) < mean_logprob(likely)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(CompletionBody.__struct_fields__)), JSON, max_size=6))
def test_any_json_is_either_understood_or_refused_with_a_reason(body: dict[str, Any]) -> None:
    for candidate in (body, PLAIN | body, body | PLAIN):
        try:
            found = requests_of(decode_body(json.dumps(candidate).encode(), CompletionBody))
        except Refused as refused:
            message, status = refused.refusal.message, refused.refusal.status
            found = ()
        else:
            message, status = "understood", 400
        assert (status, bool(message)) == (400, True)
        assert all(isinstance(each, ChatRequest) for each in found)
