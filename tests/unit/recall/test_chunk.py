import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.core.knowledge import Chunking
from runtime.recall.chunk import Piece, context, cut, embedded_text
from runtime.recall.chunk_tokens import Tally, estimate_tokens
from runtime.recall.parts import Parsed, Section

SENTENCE = "The quick brown fox jumps over the lazy dog near the river bank. "
CHARACTERS = st.sampled_from(
    [
        *"aZ9 \n\t.,-_",
        "word ",
        "sentence. ",
        "\n\n",
        "é",
        "漢字",
        "。",
        "한국",
        "👩\u200d👩\u200d👧",
        "e\u0301",
        "\x00",
    ]
)
TEXTS = st.lists(CHARACTERS, max_size=400).map("".join) | st.text(max_size=600)


def check(parsed: Parsed, pieces: list[Piece], max_tokens: int) -> None:
    """Assert what holds of every cut."""
    covered = [False] * len(parsed.text)
    for number, piece in enumerate(pieces):
        assert piece.ordinal == number
        assert piece.text == parsed.text[piece.start : piece.end]
        assert piece.text.strip()
        assert estimate_tokens(piece.text) <= max_tokens
        covered[piece.start : piece.end] = [True] * (piece.end - piece.start)
    assert all(
        is_covered or character.isspace() for is_covered, character in zip(covered, parsed.text, strict=True)
    )
    assert all(one.start < other.start and one.end <= other.end for one, other in pairwise(pieces))


def check_lines(text: str, pieces: list[Piece], max_tokens: int) -> None:
    """Assert that no line was cut that fits into a piece."""
    for place in [place for piece in pieces for place in (piece.start, piece.end)]:
        start = text.rfind("\n", 0, place) + 1
        end = text.find("\n", place)
        line = text[start : end if end >= 0 else len(text)]
        is_inside = text[start:place].strip() and text[place : start + len(line)].strip()
        assert not is_inside or estimate_tokens(line) > max_tokens - 1


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, max_tokens=st.integers(16, 64), overlap=st.integers(0, 40), keeps_lines=st.booleans())
def test_offsets_are_exact_nothing_is_lost_and_no_piece_is_too_long(
    text: str, max_tokens: int, overlap: int, keeps_lines: bool
) -> None:
    parsed = Parsed(text=text, keeps_lines=keeps_lines)
    chunking = Chunking(max_tokens=max_tokens, overlap_tokens=overlap)

    pieces = cut(parsed, chunking)

    check(parsed, pieces, max_tokens)
    if keeps_lines:
        check_lines(text, pieces, max_tokens)
    assert pieces == cut(parsed, chunking)


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(st.tuples(st.lists(st.sampled_from("abc"), max_size=3), TEXTS), min_size=1, max_size=8),
    max_tokens=st.integers(16, 64),
)
def test_the_laws_hold_across_sections(texts: list[tuple[list[str], str]], max_tokens: int) -> None:
    sections: list[Section] = []
    at = 0
    for heading, text in texts:
        sections.append(Section(at, at + len(text), tuple(heading)))
        at += len(text)
    parsed = Parsed(text="".join(text for _, text in texts), sections=tuple(sections))

    check(parsed, cut(parsed, Chunking(max_tokens=max_tokens)), max_tokens)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, max_tokens=st.integers(16, 48), overlap=st.integers(0, 24))
def test_a_counter_of_ones_own_is_obeyed(text: str, max_tokens: int, overlap: int) -> None:
    def count(part: str) -> int:
        return len(part.encode())

    pieces = cut(Parsed(text=text), Chunking(max_tokens=max_tokens, overlap_tokens=overlap), count)

    assert all(count(piece.text) <= max_tokens for piece in pieces)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, data=st.data())
def test_the_tally_never_counts_fewer_tokens_than_the_estimate(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))

    assert (
        estimate_tokens(text[start:end])
        <= Tally(text).count(start, end)
        <= estimate_tokens(text[start:end]) + 1
    )


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        SENTENCE * 15_000,
        "漢字かな" * 100_000,
        "ab1_" * 200_000,
        " " * 500_000 + "a",
        "\n" * 300_000 + "b",
    ],
    ids=["one word", "one line", "no spaces", "identifier", "blanks", "empty lines"],
)
@pytest.mark.parametrize("keeps_lines", [False, True])
def test_a_line_of_a_million_characters_is_cut_in_little_time(text: str, keeps_lines: bool) -> None:
    began = time.process_time()

    pieces = cut(Parsed(text=text, keeps_lines=keeps_lines), Chunking(overlap_tokens=32))

    assert (
        time.process_time() - began < 4.0
    )  # a tenth of it on an idle machine; what is quadratic takes minutes
    assert all(estimate_tokens(piece.text) <= 256 for piece in pieces)
    assert sum(len(piece.text) for piece in pieces) >= len(text.strip()) - len(pieces)


def test_a_text_that_fits_is_one_piece() -> None:
    assert cut(Parsed(text="\n  One thought. \n"), Chunking()) == [Piece(0, 3, 15, (), "One thought.")]


def test_nothing_gives_no_pieces() -> None:
    assert cut(Parsed(text=" \n\t "), Chunking()) == []


def test_prose_is_cut_between_sentences() -> None:
    pieces = cut(Parsed(text=SENTENCE * 40), Chunking(max_tokens=100))

    assert len(pieces) > 4
    assert all(piece.text.startswith("The quick") and piece.text.endswith("bank.") for piece in pieces)


def test_paragraphs_are_preferred_to_sentences() -> None:
    paragraph = SENTENCE * 3
    pieces = cut(Parsed(text=f"{paragraph}\n\n{paragraph}\n\n{paragraph}"), Chunking(max_tokens=100))

    assert [piece.text for piece in pieces] == [paragraph.strip()] * 3


def test_a_text_a_little_too_long_is_cut_evenly_rather_than_into_one_piece_and_a_crumb() -> None:
    sizes = [
        estimate_tokens(piece.text) for piece in cut(Parsed(text=SENTENCE * 16), Chunking(max_tokens=256))
    ]

    assert len(sizes) == 2
    assert min(sizes) > 80


def test_lines_of_code_are_never_cut_where_they_fit() -> None:
    lines = [f"    value_{number} = compute(number={number}, other='text')" for number in range(200)]
    pieces = cut(Parsed(text="\n".join(lines), keeps_lines=True), Chunking(max_tokens=64))

    assert all(set(piece.text.split("\n")) <= set(lines) for piece in pieces)


def test_a_short_line_before_a_long_one_stands_alone_rather_than_the_long_one_being_cut() -> None:
    long = "word " * 63
    pieces = cut(Parsed(text=f"short\n{long.strip()}\nend", keeps_lines=True), Chunking(max_tokens=64))

    assert [piece.text for piece in pieces] == ["short", f"{long.strip()}\nend"]


def test_pieces_overlap_by_at_most_what_was_asked_for() -> None:
    pieces = cut(Parsed(text=SENTENCE * 60), Chunking(max_tokens=120, overlap_tokens=40))

    shared = [(one.end - other.start) for one, other in pairwise(pieces)]
    assert all(each > 0 for each in shared)
    assert all(
        estimate_tokens((SENTENCE * 60)[other.start : one.end]) <= 40 for one, other in pairwise(pieces)
    )


def test_a_letter_is_not_parted_from_its_marks() -> None:
    family = "👩\u200d👩\u200d👧"
    pieces = cut(Parsed(text=family * 300), Chunking(max_tokens=16))

    assert all(len(piece.text) % len(family) == 0 for piece in pieces)


def sectioned(*parts: tuple[tuple[str, ...], int]) -> Parsed:
    texts = [(heading, SENTENCE * count) for heading, count in parts]
    sections: list[Section] = []
    at = 0
    for heading, text in texts:
        sections.append(Section(at, at + len(text), heading))
        at += len(text)
    return Parsed(text="".join(text for _, text in texts), sections=tuple(sections))


def test_sections_that_are_large_enough_are_not_mixed() -> None:
    pieces = cut(sectioned((("A",), 6), (("B",), 6), (("C",), 6)), Chunking(max_tokens=256))

    assert [piece.heading for piece in pieces] == [("A",), ("B",), ("C",)]


def test_small_neighbours_under_one_heading_are_joined_under_it() -> None:
    pieces = cut(sectioned((("A", "x"), 2), (("A", "y"), 2), (("B", "z"), 2)), Chunking(max_tokens=256))

    assert [piece.heading for piece in pieces] == [("A",), ("B", "z")]


def test_a_mere_heading_goes_with_the_section_below_it() -> None:
    parsed = Parsed(
        text="# A\n\n" + SENTENCE * 30,
        sections=(Section(0, 5, ("A",)), Section(5, 5 + len(SENTENCE) * 30, ("A", "B"))),
    )

    pieces = cut(parsed, Chunking(max_tokens=128))

    assert pieces[0].text.startswith("# A\n\nThe quick")
    assert {piece.heading for piece in pieces} == {("A", "B")}


def test_joined_pages_are_cited_by_the_first() -> None:
    pieces = cut(sectioned((("Page 1",), 1), (("Page 2",), 1)), Chunking(max_tokens=256))

    assert [piece.heading for piece in pieces] == [("Page 1",)]


def test_title_and_headings_precede_what_is_embedded() -> None:
    assert embedded_text("Guide", ("Install", "Linux"), "Run it.") == "Guide > Install > Linux\n\nRun it."
    assert embedded_text("", (), "Run it.") == "Run it."


def test_what_the_text_begins_with_is_not_said_twice() -> None:
    assert context("Guide", ("Guide", "Linux"), "## Linux\n\nRun it.") == "Guide"


def test_a_page_number_says_nothing_about_a_text() -> None:
    assert context("Report", ("Results", "Page 12"), "It fell.") == "Report > Results"
    assert context("Deck", ("Slide 2: Rain",), "It fell.") == "Deck > Slide 2: Rain"
