import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.chunks import split_chunks

_lines = st.sampled_from(
    [
        "",
        " ",
        "text",
        "- item",
        "1. item",
        "2024 was",
        "**bold**",
        "  more",
        "```python",
        "```",
        "~~~",
        "# head",
        "| a |",
        "-",
    ]
)
_documents = st.lists(_lines, max_size=25).map("\n".join)


@given(_documents)
def test_chunks_joined_are_the_text(text: str) -> None:
    assert "".join(split_chunks(text)) == text


@given(_documents, st.integers(0, 200))
def test_a_chunk_never_changes_once_it_is_closed(text: str, length: int) -> None:
    early = split_chunks(text[:length])[:-1]
    assert split_chunks(text)[: len(early)] == early


@given(_documents)
def test_no_chunk_begins_inside_a_fence(text: str) -> None:
    for chunk in split_chunks(text)[:-1]:
        assert chunk.count("```python") + chunk.count("~~~") <= chunk.count("```") + chunk.count("~~~")
        lines = [line for line in chunk.split("\n") if line.strip()]
        if lines and lines[0] == "```python":
            assert lines[-1].startswith("```")


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("one\n\ntwo", ["one\n\n", "two"]),
        ("- a\n\n- b\n\nend", ["- a\n\n- b\n\n", "end"]),
        ("```\na\n\nb\n```\nend", ["```\na\n\nb\n```\n", "end"]),
        ("a\n\n**b", ["a\n\n**b"]),
        ("a\n\n**b**\n", ["a\n\n", "**b**\n"]),
        ("1. a\n\n   more\n\n2. b\n", ["1. a\n\n   more\n\n2. b\n"]),
    ],
)
def test_pieces_end_where_something_new_begins(text: str, chunks: list[str]) -> None:
    assert split_chunks(text) == chunks
