import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.reasoning import Parts, ReasoningSplitter


def split(pieces: list[str], *, is_inside: bool = False) -> Parts:
    splitter = ReasoningSplitter(is_inside=is_inside)
    parts = [*map(splitter.feed, pieces), splitter.flush()]
    return Parts("".join(part.text for part in parts), "".join(part.reasoning for part in parts))


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", " ", "\n", "a", "<"]), max_size=10),
    st.booleans(),
    st.data(),
)
def test_the_split_does_not_depend_on_how_the_text_arrives(
    words: list[str], is_inside: bool, data: st.DataObject
) -> None:
    text = "".join(words)
    pieces: list[str] = []
    while text:
        size = data.draw(st.integers(1, len(text)))
        pieces.append(text[:size])
        text = text[size:]

    assert split(pieces, is_inside=is_inside) == split(["".join(pieces)], is_inside=is_inside)


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<think>\nhm\n</think>\n\nYes.", "Yes.", "hm"),
        ("\n<think>hm</think>Yes.", "Yes.", "hm"),
        ("<think>\n\n</think>\n\nYes.", "Yes.", ""),
        ("<think>cut off ", "", "cut off"),
        ("<think>a < b </thin", "", "a < b </thin"),
        ("No block.", "No block.", ""),
        ("  leading blanks", "  leading blanks", ""),
        ("The tag <think> is text.", "The tag <think> is text.", ""),
        ("<think>a</think>b <think>c</think>", "b <think>c</think>", "a"),
        ("<thin", "<thin", ""),
        ("", "", ""),
    ],
)
def test_a_leading_block_is_reasoning_and_all_else_is_the_answer(
    text: str, answer: str, reasoning: str
) -> None:
    assert split([text]) == Parts(answer, reasoning)


def test_a_prompt_that_opened_the_block_makes_the_model_begin_inside_it() -> None:
    assert split(["hm", "</think>", "\n", "Yes."], is_inside=True) == Parts("Yes.", "hm")


def test_reasoning_streams_as_it_comes() -> None:
    splitter = ReasoningSplitter(is_inside=False)
    seen = [
        (splitter.feed(piece), splitter.is_inside) for piece in ("<think>one", " two", "</think>", "answer")
    ]
    assert seen == [
        (Parts("", "one"), True),
        (Parts("", " two"), True),
        (Parts("", ""), False),
        (Parts("answer", ""), False),
    ]
