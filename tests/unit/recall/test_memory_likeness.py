"""Which texts are the same, which say much the same, and which may be merged."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from runtime.recall.memory.likeness import (
    NEAR_BITS,
    features_of,
    hash_of,
    is_near,
    print_of,
    sayings_of,
    simhash_of,
)


def distance(one: str, other: str) -> int:
    return ((simhash_of(one) ^ simhash_of(other)) & (2**64 - 1)).bit_count()


def test_spaces_do_not_tell_texts_apart_but_case_does() -> None:
    assert hash_of("the sky  is\nblue ", "fact") == hash_of(" the sky is blue", "fact")
    assert hash_of("login is Admin", "fact") != hash_of("login is admin", "fact")


def test_indents_tell_procedures_apart() -> None:
    assert hash_of("if x:\n  a()\nb()", "procedure") != hash_of("if x:\n  a()\n  b()", "procedure")
    assert hash_of("make\ntest  \n", "procedure") == hash_of("make\ntest", "procedure")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The user lives in Lisbon.", "the user lives in Lisbon"),
        ("User lives in the city", "User lives in city!"),
        ("O João gosta de café", "João gosta de café"),
    ],
)
def test_case_articles_and_punctuation_do_not_keep_texts_from_being_merged(one: str, other: str) -> None:
    assert sayings_of(one) == sayings_of(other)
    assert print_of(one, "fact").sayings_hash == print_of(other, "fact").sayings_hash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The pin is 1234", "The pin is 1235"),
        ("Anna owes Bob", "Bob owes Anna"),
        ("User likes tea", "User does not like tea"),
        ("He writes C", "He writes C++"),
        ("Call us", "Call US"),
        ("It is -5 degrees", "It is 5 degrees"),
        ("She takes vitamin A", "She takes vitamin"),
    ],
)
def test_texts_that_mean_something_else_are_never_merged(one: str, other: str) -> None:
    assert print_of(one, "fact").sayings_hash != print_of(other, "fact").sayings_hash


def test_a_text_of_punctuation_is_never_merged() -> None:
    assert print_of("?!", "fact").sayings_hash == ""


def test_a_reworded_text_is_near_and_passes_the_gate() -> None:
    one = "The user prefers dark roast coffee in the morning"
    other = "The user prefers dark roast coffee in the early morning"

    assert is_near(features_of(one), features_of(other))
    assert distance(one, other) <= NEAR_BITS
    assert not is_near(features_of(one), features_of("Invoices are due on the first of the month"))


@given(st.text(), st.sampled_from(["fact", "procedure"]))
def test_any_text_has_fingerprints_that_do_not_change(text: str, kind: str) -> None:
    marks = print_of(text, kind)  # type: ignore[arg-type]  # both are kinds

    assert marks == print_of(text, kind)  # type: ignore[arg-type]  # both are kinds
    assert -(2**63) <= marks.simhash < 2**63
