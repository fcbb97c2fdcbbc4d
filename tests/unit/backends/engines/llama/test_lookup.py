"""Guesses from the text itself, against a search through all of it."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.lookup import Lookup

TOKENS = st.lists(st.integers(0, 3), max_size=40)


def search(tokens: list[int], most: int) -> list[int]:
    """What the lookup promises, spelled out: longest run of 4 to 2, then the newest place."""
    for run in (4, 3, 2):
        for place in range(len(tokens) - 2, run - 2, -1):
            if len(tokens) > run and tokens[place - run + 1 : place + 1] == tokens[-run:]:
                whole = list(tokens)
                for at in range(most):
                    whole.append(whole[place + 1 + at])
                return whole[len(tokens) :]
    return []


@given(prompt=TOKENS, answer=TOKENS, most=st.integers(0, 12))
def test_it_finds_what_a_search_finds(prompt: list[int], answer: list[int], most: int) -> None:
    lookup = Lookup(prompt)
    lookup.draft(most)
    for token in answer:
        lookup.extend(token)
        lookup.draft(1)

    assert lookup.draft(most) == search(prompt + answer, most)


def test_the_longest_run_wins_over_a_newer_one() -> None:
    assert Lookup([1, 2, 3, 4, 50, 9, 3, 4, 60, 8, 1, 2, 3, 4]).draft(1) == [50]


def test_the_newest_of_equal_runs_wins() -> None:
    assert Lookup([3, 4, 50, 7, 3, 4, 60, 7, 7, 3, 4]).draft(2) == [60, 7]


def test_one_token_alone_says_nothing() -> None:
    assert Lookup([5, 6, 7, 5]).draft(4) == []
    assert Lookup([]).draft(4) == Lookup([1]).draft(4) == Lookup([1, 1]).draft(4) == []


def test_the_end_does_not_find_itself() -> None:
    assert Lookup([1, 2, 3, 4]).draft(4) == []


def test_repetition_is_taken_to_go_on() -> None:
    assert Lookup([1, 2, 3, 1, 2, 3, 1, 2]).draft(7) == [3, 1, 2, 3, 1, 2, 3]


def test_a_frequent_pair_costs_no_walk_through_the_whole_text() -> None:
    common = [token for number in range(100_000, 101_000) for token in (number, 1, 2)]
    lookup = Lookup([7, 7, 1, 2, 99, *common, 8, 7, 1, 2])

    # The run of three is a thousand places back, further than anybody looks.
    assert lookup.draft(1) == [8]
