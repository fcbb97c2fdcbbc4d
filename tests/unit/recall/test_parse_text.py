import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.recall.parse.decode import decode
from runtime.recall.parse.draft import Draft, clean
from runtime.recall.parse.limits import Limits
from runtime.recall.parse.lines import reflow
from tests.kit import documents
from tests.kit.reading import fault, outline, parsed

PORTUGUESE = "A informação não é conhecimento, e a ação começa na manhã de amanhã. " * 20


@given(st.text(st.characters()))
def test_cleaning_leaves_composed_text_without_controls_and_changes_nothing_twice(text: str) -> None:
    once = clean(text)

    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert all(each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cs") for each in once)


@given(st.lists(st.tuples(st.integers(1, 4), st.text(max_size=8), st.text(max_size=30)), max_size=12))
def test_sections_cover_the_draft_whatever_is_put_in(blocks: list[tuple[int, str, str]]) -> None:
    draft = Draft(Limits())
    for level, title, text in blocks:
        draft.heading(level, title)
        draft.add(text)
    document = draft.parsed("text/plain")

    assert "".join(document.text[each.start : each.end] for each in document.sections) in (document.text, "")
    assert draft.length == len(document.text)


def test_headings_nest_by_their_levels() -> None:
    draft = Draft(Limits())
    for level, title in ((1, "A"), (3, "B"), (2, "C"), (1, "D")):
        draft.heading(level, title)

    headings = [each.heading for each in draft.parsed("text/plain").sections]
    assert headings == [("A",), ("A", "B"), ("A", "C"), ("D",)]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_text_is_decoded_in_whatever_encoding_it_comes(tmp_path: Path, encoding: str) -> None:
    assert parsed(tmp_path, "a.txt", PORTUGUESE.encode(encoding)).text == PORTUGUESE


def test_a_stray_byte_does_not_turn_utf_8_into_another_encoding() -> None:
    decoded = decode(PORTUGUESE.encode() + b"\xff" + PORTUGUESE.encode())

    assert decoded.text == f"{PORTUGUESE}\ufffd{PORTUGUESE}"
    assert "could not be decoded" in decoded.note


def test_controls_and_nuls_in_a_text_are_removed(tmp_path: Path) -> None:
    content = (
        b"Some words\x00 and \x1b[1mmore\x07 words of a log that was damaged, \xed\xa0\x80read all the same."
    )

    assert parsed(tmp_path, "a.txt", content).text.startswith("Some words and [1mmore words of a log")


def test_an_encoding_that_was_told_is_believed_where_it_fits(tmp_path: Path) -> None:
    content = "Привет, мир, это русский текст".encode("koi8-r")

    assert parsed(tmp_path, "a.txt", content, media_type="text/plain; charset=koi8-r").text.startswith(
        "Привет"
    )


def test_a_text_has_no_sections_and_its_language_is_told(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.txt", PORTUGUESE.encode())

    assert (document.sections, document.language, document.keeps_lines) == ((), "pt", False)


@pytest.mark.parametrize("text", ["ok", "12345 67890", "x = 1; y = 2"])
def test_too_little_text_has_no_language(tmp_path: Path, text: str) -> None:
    assert parsed(tmp_path, "a.txt", text.encode()).language == ""


def test_settings_and_logs_keep_their_lines(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.yaml", b"a: 1\nb: 2\n")

    assert document.keeps_lines
    assert document.text == "a: 1\nb: 2\n"


def test_markdown_is_kept_as_it_is_with_sections_by_its_headings(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.md", documents.MARKDOWN.encode())

    assert document.text == documents.MARKDOWN
    assert document.title == "The lighthouse"
    sections = outline(document)
    assert list(sections) == [(), ("History",), ("History", "The keeper"), ("History", "Ships")]
    assert "# not a heading" in sections["History", "The keeper"]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# A #\n\ntext", [("A",)]),
        ("# [A](b) and *c* `d`\n", [("A and c d",)]),
        ("# snake_case_name\n", [("snake_case_name",)]),
        ("#hashtag\n", []),
        ("- item\n---\n", []),
        ("> quote\n===\n", []),
        ("~~~\n# a\n~~~\n# B\n", [(), ("B",)]),
        ("````\n```\n# a\n````\n# B\n", [(), ("B",)]),
        ("```\n# never closed\n", []),
        ("#\n", []),
        ("---\ntitle: x\n", []),
    ],
)
def test_what_is_a_heading_of_markdown(tmp_path: Path, text: str, headings: list[tuple[str, ...]]) -> None:
    assert [each.heading for each in parsed(tmp_path, "a.md", text.encode()).sections] == headings


def test_the_first_heading_names_markdown_without_front_matter(tmp_path: Path) -> None:
    assert parsed(tmp_path, "a.md", b"intro\n\n# One\n\n# Two\n").title == "One"


def test_a_page_gives_its_main_content_without_menus(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.html", documents.HTML.encode())

    assert document.title == "Tea - a site"
    sections = outline(document)
    assert list(sections) == [("How to make tea",), ("How to make tea", "Steeping")]
    assert "Assam | 4" in sections["How to make tea", "Steeping"]
    assert "- A pot\n- A strainer" in document.text
    for left_out in ("About us", "Copyright", "hidden"):
        assert left_out not in document.text


def test_a_page_that_is_no_article_is_taken_whole(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>k{number}</td><td><p>value {number}</p></td></tr>" for number in range(50))
    document = parsed(
        tmp_path, "a.html", f"<html><body><nav>Menu</nav><table>{rows}</table></body></html>".encode()
    )

    assert "k0 | value 0\nk1 | value 1" in document.text
    assert "k49 | value 49" in document.text
    assert "Menu" not in document.text


def test_blocks_of_a_page_are_paragraphs_and_inline_marks_are_not(tmp_path: Path) -> None:
    html = b"<body><div>one <b>two</b>three<p>four<br>five</p>six</div><pre>a\n  b</pre></body>"

    assert parsed(tmp_path, "a.html", html).text == "one twothree\n\nfour\nfive\n\nsix\n\na\n  b"


def test_a_page_of_ten_thousand_nested_blocks_is_read(tmp_path: Path) -> None:
    html = "<body>" + "<div>a" * 10_000 + "</div>" * 10_000

    assert "a" in parsed(tmp_path, "a.html", html.encode()).text


def test_a_page_in_an_old_encoding_is_decoded_as_it_says(tmp_path: Path) -> None:
    html = '<html><head><meta charset="windows-1251"></head><body><p>Привет</p></body></html>'

    assert parsed(tmp_path, "a.html", html.encode("cp1251")).text == "Привет"


def test_a_page_without_text_says_so(tmp_path: Path) -> None:
    problem = fault(tmp_path, "a.html", b"<html><body><script>run()</script></body></html>")

    assert problem.code == "no_text"
    assert "scripts" in problem.message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_of_a_table_carry_the_names_of_their_columns(tmp_path: Path, delimiter: str) -> None:
    rows = [("Name", "Born", "Said"), ("Ada", 1815, "a, b; c|d\te\nf"), ("Alan", 1912, "")]
    document = parsed(tmp_path, "a.csv", documents.table(rows, delimiter))

    assert document.text.split("\n") == [
        "Name: Ada; Born: 1815; Said: a, b; c|d e f",
        "Name: Alan; Born: 1912",
    ]
    assert document.keeps_lines


def test_a_table_without_names_gives_its_values(tmp_path: Path) -> None:
    assert parsed(tmp_path, "a.csv", b"1,2\n3,4\n").text == "1 | 2\n3 | 4"


def test_a_huge_table_is_cut_and_says_so(tmp_path: Path) -> None:
    rows = [("n", "square"), *((number, number * number) for number in range(500))]
    document = parsed(tmp_path, "a.csv", documents.table(rows), limits=Limits(rows=100))

    assert document.text.count("\n") == 99
    assert document.notes == ("Only the first 100 rows of its tables were read.",)


def test_a_table_that_ends_inside_of_quotes_is_read(tmp_path: Path) -> None:
    assert "Ada" in parsed(tmp_path, "a.csv", b'Name,Said\nAda,"never closed\nmore').text


def test_values_of_json_carry_their_paths(tmp_path: Path) -> None:
    content = (
        b'{"name": "Map", "open": true, "sizes": [1, 2], "in": [{"town": {"name": "Rio"}}], "none": null}'
    )
    document = parsed(tmp_path, "a.json", content)

    assert document.title == "Map"
    assert document.text.split("\n") == ["name: Map", "open: true", "sizes: 1, 2", "in[0].town.name: Rio"]


def test_records_of_json_are_lines(tmp_path: Path) -> None:
    records = b'[{"a": 1, "b": {"c": "x\\ny"}}, {"a": 2}]'

    assert parsed(tmp_path, "a.json", records).text == "a: 1; b.c: x y\na: 2"


def test_broken_json_is_read_as_text_with_a_note(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.json", b'{"a": 1, "b": ')

    assert document.text == '{"a": 1, "b": '
    assert "not valid JSON" in document.notes[0]


def test_lines_of_json_under_the_name_of_json_are_read_as_lines(tmp_path: Path) -> None:
    assert parsed(tmp_path, "a.json", b'{"a": 1}\n{"a": 2}\n').text == "a: 1\na: 2"


def test_a_broken_line_of_json_is_kept(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.jsonl", b'{"a": 1}\n{"a"\n')

    assert document.text == 'a: 1\n{"a"'
    assert document.notes == ("1 of its lines are not valid JSON and were kept as they are.",)


def test_json_nested_a_hundred_thousand_times_is_read_as_text(tmp_path: Path) -> None:
    assert parsed(tmp_path, "a.json", b"[" * 100_000 + b"]" * 100_000).notes


def test_a_notebook_gives_the_sources_of_its_cells(tmp_path: Path) -> None:
    content = b'{"cells": [{"source": ["import os\\n", "x = 1"]}, {"source": "# Title"}], "nbformat": 4}'

    assert parsed(tmp_path, "a.ipynb", content).text == "import os\nx = 1\n\n# Title"


def test_a_mail_gives_its_headers_its_plain_text_and_the_names_of_attachments(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.eml", documents.eml())

    assert document.title == "Résumé of the week"
    assert document.text.startswith("From: Ada <ada@example.org>\nTo: bob@example.org\n")
    assert "The words of the mail." in document.text
    assert "in HTML" not in document.text
    assert "The older words." in outline(document)[("Older news",)]
    assert "report.pdf" in document.notes[0]


def test_a_mail_of_html_alone_is_read(tmp_path: Path) -> None:
    mail = b"From: a@b\nSubject: Hi\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>Hello <b>you</b></p>"

    assert parsed(tmp_path, "a.eml", mail).text.endswith("Subject: Hi\n\nHello you")


def test_a_mail_of_ten_thousand_nested_parts_does_no_harm(tmp_path: Path) -> None:
    parts = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(10_000))

    fault_or_text = f"From: a@b\nSubject: deep\nMIME-Version: 1.0\n{parts}\nend"
    problem = fault(tmp_path, "a.eml", fault_or_text.encode())
    assert problem.code == "broken"


def test_a_text_beyond_the_limit_is_cut_and_says_so(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.txt", b"word " * 100, limits=Limits(characters=50))

    assert len(document.text) == 50
    assert document.notes == ("Only the first 50 characters were read.",)


def test_lines_that_a_margin_broke_are_joined_again() -> None:
    page = (
        "The harbour was built in the year of the great storm, when\r\n"
        "ships could find no shelter on the whole of the coast and\r\n"
        "many were lost.\r\n"
        "A second wall came later.\r\n"
        "- stones\r\n"
        "- sand"
    )

    assert reflow(page) == (
        "The harbour was built in the year of the great storm, when ships could find no shelter on the whole "
        "of the coast and many were lost.\n\nA second wall came later.\n- stones\n- sand"
    )
