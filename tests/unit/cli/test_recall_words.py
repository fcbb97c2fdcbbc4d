"""The small notations of `lar recall`, and what hits look like."""

import argparse
from pathlib import Path, PurePosixPath

import pytest

from runtime.cli.recall_gathering import Choice, gather
from runtime.cli.recall_search import Marks, snippet
from runtime.cli.recall_words import all_of, attribute, condition, interval
from runtime.core.filters import Comparison
from runtime.core.knowledge import Span


@pytest.mark.parametrize(
    ("text", "operator", "value"),
    [
        ("year >= 2025", "gte", 2025),
        ("year>=2025", "gte", 2025),
        ("year != 1.5", "ne", 1.5),
        ('year = "2025"', "eq", "2025"),
        ("year in 2025,2026", "in", (2025, 2026)),
        ("year nin a, b", "nin", ("a", "b")),
        ("year contains 20", "contains", "20"),
        ("year exists", "exists", True),
        ("year missing", "exists", False),
        ("year == true", "eq", True),
        ("year = green tea", "eq", "green tea"),
    ],
)
def test_a_filter_is_read_as_people_write_it(text: str, operator: str, value: object) -> None:
    read = condition(text)

    assert (read.key, read.type, read.value) == ("year", operator, value)
    assert type(read.value) is type(value)


@pytest.mark.parametrize("text", ["", "year", "year ~ 3", "= 3", "year >="])
def test_what_is_no_filter_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="year >= 2025"):
        condition(text)


def test_several_filters_must_all_hold() -> None:
    one = Comparison(type="exists", key="a", value=True)

    assert all_of([]) is None
    assert all_of([one]) == one
    joined = all_of([one, one])
    assert joined is not None
    assert joined.type == "and"


def test_intervals_and_attributes_are_read_with_their_bounds() -> None:
    assert (interval("10m"), interval("1.5h"), interval("60")) == (600.0, 5400.0, 60.0)
    assert attribute("year=2026") == ("year", 2026)
    assert attribute("who=a=b") == ("who", "a=b")
    for wrong in ("59s", "x", "-1h", "900d"):
        with pytest.raises(argparse.ArgumentTypeError):
            interval(wrong)
    with pytest.raises(argparse.ArgumentTypeError):
        attribute("year")


def test_a_snippet_sets_found_words_off_and_cannot_steer_a_terminal() -> None:
    text = "a\x1b[2Jb  samovar\nhere"
    start = text.index("samovar")

    shown = snippet(text, (Span(start, start + 7),), Marks("<", ">"))

    assert shown == "a[2Jb <samovar> here"


def test_a_long_text_is_shown_around_the_first_word_that_was_found() -> None:
    text = "x " * 500 + "samovar" + " y" * 500

    shown = snippet(text, (Span(1000, 1007),), Marks("<", ">"))

    assert "<samovar>" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_a_folder_is_gathered_by_patterns_and_what_is_not_there_is_a_failure(tmp_path: Path) -> None:
    for name in ("a.md", "b.txt", ".hidden.md", "sub/c.md", ".git/d.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")

    given = gather([str(tmp_path), "no-such"], Choice(("*.md",), ("sub/*",)), is_following=False)
    followed = gather([str(tmp_path), "https://example.org"], Choice(), is_following=True)

    assert [each.name for each in given.files] == ["a.md"]
    assert [each.name for each in given.failures] == ["no-such"]
    assert followed.addresses == [str(tmp_path.resolve()), "https://example.org"]
    assert Choice(is_hidden_wanted=True).takes(PurePosixPath(".git/d.md"))
