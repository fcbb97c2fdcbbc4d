"""Tokens, stop strings and log probabilities of the scripted engine."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.scripted.chances import choose
from runtime.backends.engines.scripted.pieces import count_pieces, split_pieces
from runtime.backends.engines.scripted.stops import Stops


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("You said: hello!", ["You", " said", ":", " hello", "!"]),
        ('{"a": 1}', ["{", '"', "a", '"', ":", " 1", "}"]),
        ("two  \n words ", ["two", "  \n words", " "]),
        ("a" * 20, ["a" * 16, "a" * 4]),
        (" " * 20 + "x", [" " * 16, "    x"]),
        ("né_1 你好🏠", ["né_1", " 你好", "🏠"]),
    ],
)
def test_text_is_cut_by_the_documented_rule(text: str, pieces: list[str]) -> None:
    assert list(split_pieces(text)) == pieces
    assert count_pieces(text) == len(pieces)


@given(st.text(max_size=200))
def test_pieces_joined_are_the_text_and_none_is_empty_or_long(text: str) -> None:
    pieces = list(split_pieces(text))

    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 32 for piece in pieces)


@given(
    st.text(alphabet="ab ", max_size=30), st.lists(st.text(alphabet="ab ", max_size=4), max_size=4), st.data()
)
def test_text_ends_before_the_first_stop_string_however_it_was_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=6)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    watch = Stops(tuple(stops))
    passed, is_hit = "", False
    for index, piece in enumerate(pieces):
        some, is_hit = watch.feed(piece, is_last=index == len(pieces) - 1)
        passed += some
        if is_hit:
            break

    starts = [text.find(stop) for stop in stops if stop and stop in text]
    assert is_hit == bool(starts) == (watch.hit is not None)
    assert watch.hit is None or (watch.hit in stops and watch.hit in text)
    if len(cuts) == 0 or not starts:
        assert passed == (text[: min(starts)] if starts else text)
    else:
        assert text.startswith(passed)
        assert all(stop not in passed for stop in stops if stop)


def test_text_is_held_back_only_while_it_may_begin_a_stop_string() -> None:
    watch = Stops(("STOP",))

    assert watch.feed("one S", is_last=False).text == "one "
    assert watch.feed("T", is_last=False).text == ""
    assert watch.feed("E", is_last=False).text == "STE"
    assert watch.feed("ST", is_last=True).text == "ST"


@given(st.text(min_size=1, max_size=8), st.integers(0, 10_000), st.integers(0, 20))
def test_log_probabilities_are_consistent_in_themselves(piece: str, position: int, count: int) -> None:
    choice = choose(piece, position, count)

    assert choice == choose(piece, position, count)
    assert choice.chosen.token == piece
    assert choice.chosen.data == piece.encode()
    assert choice.chosen.logprob < 0
    assert len(choice.top) == count
    assert choice.top[:1] == [choice.chosen][:count]
    assert len({each.token for each in choice.top}) == count
    assert [each.logprob for each in choice.top] == sorted(
        (each.logprob for each in choice.top), reverse=True
    )
    assert sum(math.exp(each.logprob) for each in choice.top) <= 1.0 + 1e-5
