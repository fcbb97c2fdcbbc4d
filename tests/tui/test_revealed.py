import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tui.revealed import MOST_LETTERS, differences, pretty, reveal, shown


def test_what_cannot_be_seen_is_named() -> None:
    assert reveal("a\u200bb\u202ec\x1b[2J\U000e0041") == "a⟨200B⟩b⟨202E⟩c⟨001B⟩[2J⟨E0041⟩"


def test_lines_and_letters_of_all_scripts_stay() -> None:
    assert reveal("é\t水\r\nñ") == "é\t水\nñ"


@given(st.text())
def test_nothing_in_a_revealed_text_is_hidden_and_revealing_again_changes_nothing(text: str) -> None:
    shown = reveal(text)
    assert all(each in "\n\t" or unicodedata.category(each)[0] != "C" for each in shown)
    assert reveal(shown) == shown


def test_arguments_are_indented_json_with_the_letters_that_they_have() -> None:
    assert pretty({"a": "ü\u200d"}) == '{\n  "a": "ü⟨200D⟩"\n}'


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert shown("a" * (MOST_LETTERS + 7)) == ("a" * MOST_LETTERS, 7)
    assert shown("short\u200b") == ("short⟨200B⟩", 0)


def test_a_difference_beyond_what_is_shown_is_told() -> None:
    long = "a\n" * MOST_LETTERS
    assert (
        differences(long, long + "b")[-1].text == f"… {MOST_LETTERS + 1} letters more are not compared here"
    )


def test_a_difference_marks_what_went_and_what_came() -> None:
    found = differences("a\n--b\nc", "a\nb\u200b\nc")
    assert [(each.kind, each.text) for each in found] == [
        ("place", "-1,3 +1,3"),
        ("same", " a"),
        ("gone", "---b"),
        ("new", "+b⟨200B⟩"),
        ("same", " c"),
    ]


@given(st.text(alphabet="ab\n"), st.text(alphabet="ab\n"))
def test_texts_differ_if_and_only_if_there_are_differences(before: str, now: str) -> None:
    assert bool(differences(before, now)) == (before != now)
