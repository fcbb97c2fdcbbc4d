from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.foreign import fact, hung, marked


def test_what_goes_on_of_a_fact_stands_under_what_is_known() -> None:
    told = hung([fact("who", "one two three four"), marked("no fact, and as long as it likes")], 20)
    assert told.plain.split("\n") == [
        "who       one two",
        "          three four",
        "no fact, and as long as it likes",
    ]


@given(st.text("ab ⟨", min_size=0, max_size=60), st.integers(1, 60))
def test_no_letter_of_a_fact_is_lost(text: str, width: int) -> None:
    told = hung([fact("name", text)], width).plain
    assert "".join(told.split()) == "".join(f"name {text}".split())


@given(st.text("ab ⟨漢", min_size=0, max_size=60), st.integers(20, 60))
def test_no_line_of_a_fact_is_wider_than_the_room(text: str, width: int) -> None:
    told = hung([fact("name", text)], width)
    assert all(each.rstrip().cell_length <= width for each in told.split("\n"))
