"""Cedar text is cut into policies, each with its line."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.core.gate.splitting import Piece, find_line, split_policies

TEXT = """// first; "not a string
@id("a") permit (principal, action, resource)
when { context.x == "a ; \\" // b" };

// second
forbid (principal,
  action, resource); permit(principal, action, resource);
"""


def test_comments_and_strings_hide_semicolons() -> None:
    pieces = split_policies(TEXT)

    assert [each.line for each in pieces] == [2, 6, 7]
    assert pieces[0].text.startswith('@id("a")')
    assert pieces[1].text == "forbid (principal,\n  action, resource);"


def test_what_follows_the_last_semicolon_is_a_piece_of_its_own() -> None:
    assert split_policies("permit(a);\n\n permit(b") == [Piece("permit(a);", 1), Piece("permit(b", 3)]
    assert split_policies("permit(a); // that is all\n") == [Piece("permit(a);", 1)]


def test_a_string_without_an_end_takes_the_rest() -> None:
    assert split_policies('a;\nb "c; d;') == [Piece("a;", 1), Piece('b "c; d;', 2)]


def test_the_line_is_the_one_where_the_word_stands_that_cedar_names() -> None:
    piece = split_policies("\n\npermit (principal, action, resource)\nwhen {\n  principal.rol == 1\n};")[0]

    assert find_line(piece, "attribute `rol` on entity type `Key` not found") == 5
    assert find_line(piece, "invalid variable: rol") == 5
    assert find_line(piece, "unexpected end of input") == 3


_PART = st.sampled_from(['"a;b"', "// c;\n", "x", "\n", " ", '"\\""', "(", "é"])


@given(st.lists(st.lists(_PART, max_size=6), max_size=5))
def test_whatever_the_parts_each_policy_is_found_at_its_own_line(policies: list[list[str]]) -> None:
    words = [f"p{index}" for index, _ in enumerate(policies)]
    text = "".join(f"{word} {''.join(parts)};\n" for word, parts in zip(words, policies, strict=True))

    pieces = split_policies(text)

    assert [each.text.split()[0] for each in pieces] == words
    assert all(text.split("\n")[each.line - 1].startswith(each.text.split()[0]) for each in pieces)
