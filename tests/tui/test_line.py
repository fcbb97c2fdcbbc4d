from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.widgets.line import GAP, Word, content, fit

_words = st.lists(
    st.builds(Word, text=st.text("ab●漢 ", min_size=1, max_size=12), rank=st.integers(0, 5)), min_size=1
)


@given(_words, st.integers(0, 80))
def test_a_row_is_never_wider_than_its_room(words: list[Word], width: int) -> None:
    kept = fit(words, width)
    assert sum(cell_len(word.text) for word in kept) + len(GAP) * (len(kept) - 1) <= width


@given(_words, st.integers(0, 80))
def test_what_stays_keeps_its_order_and_the_first_stays_always(words: list[Word], width: int) -> None:
    kept = fit(words, width)
    assert words[0].text.startswith(kept[0].text.rstrip(" "))
    rest = iter(words[1:])
    assert all(word in rest for word in kept[1:])


def test_the_least_important_word_goes_first_and_the_rightmost_of_equals() -> None:
    words = [Word("a"), Word("b", rank=1), Word("c", rank=2), Word("d", rank=1)]
    assert [word.text for word in fit(words, 7)] == ["a", "b", "d"]
    assert [word.text for word in fit(words, 4)] == ["a", "b"]


def test_empty_words_take_no_room() -> None:
    assert content([Word("a"), Word(""), Word("b")], 20).plain == "a  b"
