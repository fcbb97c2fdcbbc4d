"""Which texts are shown once."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.recall.search_duplicates import LIKENESS, Shown, _likeness, _shingles

WORDS = (
    "the house stands on a hill above the river and its garden reaches down to the water where boats lie "
    "in summer and in winter the ice is thick enough to walk across to the village on the other bank"
)


def shown(*texts: str) -> list[bool]:
    seen = Shown()
    return [seen.is_new(text) for text in texts]


def test_the_same_text_is_shown_once() -> None:
    assert shown(WORDS, "something else entirely", WORDS) == [True, True, False]


def test_case_spaces_and_marks_do_not_make_another_text() -> None:
    assert shown(WORDS, WORDS.upper().replace(" ", "  ") + "!") == [True, False]


def test_a_word_more_at_the_end_of_a_long_text_makes_no_other_text() -> None:
    assert shown(WORDS, f"{WORDS} again") == [True, False]


def test_texts_that_differ_in_a_number_are_both_shown() -> None:
    assert shown(f"{WORDS} since 1901", f"{WORDS} since 1910") == [True, True]


def test_a_short_text_with_another_word_is_another_text() -> None:
    assert shown("Anna likes tea in the morning", "Anna likes coffee in the morning") == [True, True]


def test_chunks_that_overlap_by_half_are_both_shown() -> None:
    words = WORDS.split()
    half = len(words) // 2

    assert shown(" ".join(words[: half + 10]), " ".join(words[half - 10 :])) == [True, True]


def test_texts_without_words_are_compared_by_their_marks() -> None:
    assert shown("", "…", "", "!!", "…") == [True, True, False, True, False]


texts = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), max_size=30).map(" ".join)


@given(st.lists(texts, max_size=12))
def test_the_shortcut_finds_what_comparing_all_with_all_finds(them: list[str]) -> None:
    kept: list[str] = []
    expected = []
    for text in them:
        is_new = all(_likeness(_shingles(text), _shingles(other)) < LIKENESS for other in kept)
        expected.append(is_new)
        if is_new:
            kept.append(text)

    assert shown(*them) == expected


@given(st.lists(st.text(), max_size=6))
def test_no_text_is_too_odd(them: list[str]) -> None:
    for text, is_new in zip(them, shown(*them), strict=True):
        assert is_new or them.count(text) > 1 or len(them) > 1
