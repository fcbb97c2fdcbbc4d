import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.events import Progress
from tui.words import clean, counted, fraction, progress_line, size, span, tally


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0s"),
        (0.042, "42ms"),
        (0.31, "0.3s"),
        (9.94, "9.9s"),
        (12.4, "12s"),
        (190, "3m10"),
        (3840, "1h04"),
        (183_600, "2d3h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (491_000_000, "491 MB"), (5.4e9, "5.4 GB")],
)
def test_bytes_are_told_in_decimal_units(count: float, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(("count", "words"), [(7, "7"), (1234, "1.2k"), (34_000, "34k"), (2_100_000, "2.1M")])
def test_counts_are_short(count: int, words: str) -> None:
    assert tally(count) == words


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(phase="checking"), "checking"),
        (Progress(phase="reading", done=0.4, total=1.0), "reading 40 %"),
        (
            Progress(phase="building llama.cpp", done=74, total=220, left_s=190),
            "building llama.cpp 34 % · 74/220 · 3m10 left",
        ),
        (
            Progress(
                phase="fetching", done=1.12e10, total=1.74e10, unit="bytes", rate_per_s=9.2e7, left_s=67.2
            ),
            "fetching 64 % · 11/17 GB · 92 MB/s · 1m07 left",
        ),
        (Progress(phase="fetching", done=3_000_000, unit="bytes"), "fetching · 3.0 MB"),
        (Progress(phase="almost", done=9, total=10, left_s=0.2), "almost 90 % · 9/10 · 1s left"),
    ],
)
def test_progress_is_one_line_that_says_what_how_much_how_fast_and_how_long(
    progress: Progress, line: str
) -> None:
    assert progress_line(progress) == line


def test_a_fraction_is_known_only_with_a_total_and_never_leaves_its_range() -> None:
    assert fraction(Progress(phase="x", done=5)) is None
    assert fraction(Progress(phase="x", done=5, total=0)) is None
    assert fraction(Progress(phase="x", done=9, total=3)) == 1.0


@given(st.text())
def test_cleaned_text_cannot_steer_a_terminal(text: str) -> None:
    cleaned = clean(text)
    assert not any(ord(each) < 32 and each not in "\n\t" for each in cleaned)
    assert not any(0x7F <= ord(each) <= 0x9F for each in cleaned)
    assert "\u202e" not in cleaned
    assert clean(cleaned) == cleaned


def test_counts_have_their_thing_in_the_right_number() -> None:
    assert [counted(each, "turn") for each in (0, 1, 2, 1200)] == [
        "0 turns",
        "1 turn",
        "2 turns",
        "1.2k turns",
    ]
