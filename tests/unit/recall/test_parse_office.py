import time
from pathlib import Path

import pytest

from runtime.recall.parse.limits import MIB, Limits
from tests.kit import documents
from tests.kit.reading import fault, outline, parsed

LAUGHS = (
    "<!DOCTYPE lolz [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
    + "]>"
)
FILE_ENTITY = "<!DOCTYPE x [<!ENTITY secret SYSTEM 'file:///etc/hostname'>]>"


def with_entity(xml: str, doctype: str, name: str) -> str:
    """Return XML with a DOCTYPE and a reference to an entity inside the first text."""
    head, close, rest = xml.partition("?>")
    for tag in ("<w:t>", "<a:t>", "<t>", "<dc:title>"):
        if tag in rest:
            rest = rest.replace(tag, f"{tag}&{name};", 1)
            break
    else:
        pytest.fail("no place for the entity")
    return f"{head}{close}{doctype}{rest}"


def test_a_word_document_gives_headings_lists_and_tables(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.docx", documents.docx())

    assert document.title == "The harbour"
    assert outline(document) == {
        ("Harbour",): "Harbour\n\nBoats lie at the quay.",
        ("Harbour", "Cranes"): (
            "\n\nCranes\n\nThey lift crates.\n- Rope\n\nBoat | Length\nSwift | 12 m\n\nAfter the table."
        ),
    }


def test_what_was_inserted_counts_and_what_was_deleted_does_not(tmp_path: Path) -> None:
    content = documents.docx()
    body = documents.member(content, "word/document.xml")
    changed = body.replace(
        "<w:r><w:t>They lift crates.</w:t></w:r>",
        "<w:ins><w:r><w:t>Inserted.</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>Deleted.</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>Moved.</w:t></w:r></w:moveFrom>",
    ).replace(
        "<w:p><w:r><w:t>After the table.</w:t></w:r></w:p>",
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a</w:t><w:tab/><w:t>control.</w:t>"
        "</w:r></w:p></w:sdtContent></w:sdt>",
    )
    text = parsed(tmp_path, "a.docx", documents.changed(content, {"word/document.xml": changed})).text

    assert "Inserted." in text
    assert "In a\tcontrol." in text
    assert not any(word in text for word in ("Deleted", "Moved"))


def test_footnotes_are_part_of_a_document(tmp_path: Path) -> None:
    note = (
        '<w:footnotes xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:footnote>'
        "<w:p><w:r><w:t>A small remark.</w:t></w:r></w:p></w:footnote></w:footnotes>"
    )
    content = documents.changed(documents.docx(), {"word/footnotes.xml": note})

    assert parsed(tmp_path, "a.docx", content).text.endswith("A small remark.")


def test_a_presentation_gives_slides_tables_and_notes(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.pptx", documents.pptx())

    assert outline(document) == {
        ("Slide 1: Wind",): "Wind\n\nIt blows from the west.\n\nNotes: Say it loudly.",
        ("Slide 2: Rain",): "\n\nRain\n\nIt falls on the plain.\n\nMonth | Rain\nMay | 70 mm",
    }


def test_a_workbook_gives_a_section_for_each_sheet_and_a_line_for_each_row(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.xlsx", documents.xlsx())

    assert document.keeps_lines
    assert outline(document) == {
        ("People",): "People\n\nName: Ada; Born: 1815; Town: London\nName: Alan; Born: 1912",
        ("Prices",): "\n\nPrices\n\nThing: Bread; Price: 2.5",
    }


def test_lines_above_a_table_are_no_names_of_columns(tmp_path: Path) -> None:
    rows = [
        ("Sales of the year", None, None),
        (None,),
        ("Month", "Sold", "Sum"),
        ("May", 3, 4.5),
        ("June", 2, 3),
    ]
    text = parsed(tmp_path, "a.xlsx", documents.xlsx(rows)).text

    assert "Sales of the year\n\nMonth: May; Sold: 3; Sum: 4.5\nMonth: June; Sold: 2; Sum: 3" in text


def test_a_sheet_that_claims_to_be_endless_is_read_by_what_it_holds(tmp_path: Path) -> None:
    content = documents.xlsx()
    sheet = documents.member(content, "xl/worksheets/sheet1.xml").replace("A1:C3", "A1:XFD1048576")
    began = time.process_time()

    text = parsed(tmp_path, "a.xlsx", documents.changed(content, {"xl/worksheets/sheet1.xml": sheet})).text

    assert "Name: Ada" in text
    assert time.process_time() - began < 10


def test_an_e_book_gives_its_chapters_in_the_order_of_the_spine(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.epub", documents.epub())

    assert document.title == "Sea tales"
    assert outline(document) == {
        ("One",): "One\n\nIt began at sea.",
        ("Part 1",): "\n\nNo heading here.",
    }


def test_an_e_book_locked_by_its_seller_is_encrypted_and_scrambled_fonts_are_not(tmp_path: Path) -> None:
    def method(algorithm: str) -> dict[str, str]:
        namespace = 'xmlns:enc="http://www.w3.org/2001/04/xmlenc#"'
        xml = f'<e {namespace}><enc:EncryptionMethod Algorithm="{algorithm}"/></e>'
        return {"META-INF/encryption.xml": xml}

    aes = documents.epub(extra=method("http://www.w3.org/2001/04/xmlenc#aes256-cbc"))
    fonts = documents.epub(extra=method("http://www.idpf.org/2008/embedding"))

    assert fault(tmp_path, "a.epub", aes).code == "encrypted"
    assert parsed(tmp_path, "a.epub", fonts).text


def test_a_missing_chapter_is_noted_and_the_others_are_read(tmp_path: Path) -> None:
    content = documents.changed(documents.epub(), {"OEBPS/text/c 0.xhtml": None})
    document = parsed(tmp_path, "a.epub", content)

    assert document.text == "No heading here."
    assert document.notes == ("1 of its 2 chapters are missing or damaged.",)


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("a.docx", "word/document.xml"),
        ("a.pptx", "ppt/slides/slide1.xml"),
        ("a.xlsx", "xl/worksheets/sheet1.xml"),
        ("a.epub", "OEBPS/book.opf"),
    ],
)
def test_entities_neither_multiply_nor_fetch_anything(tmp_path: Path, name: str, member: str) -> None:
    content = documents.EVERY[name]
    xml = documents.member(content, member)
    if "?>" not in xml:
        xml = f"<?xml version='1.0'?>{xml}"
    host = Path("/etc/hostname")
    secret = host.read_text().strip() if host.exists() else ""
    began = time.process_time()

    for doctype, entity in ((LAUGHS, "a9"), (FILE_ENTITY, "secret")):
        bomb = documents.changed(content, {member: with_entity(xml, doctype, entity)})
        (tmp_path / "a").mkdir(exist_ok=True)
        try:
            text = parsed(tmp_path / "a", name, bomb).text
        except AssertionError:
            assert fault(tmp_path / "a", name, bomb).code in ("broken", "too_large")
            text = ""
        assert "haha" not in text
        assert not secret or secret not in text
    assert time.process_time() - began < 10


def test_a_container_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = documents.changed(documents.docx(), {"word/media/zeros.bin": b"\x00" * (8 * MIB)})

    by_ratio = fault(tmp_path, "a.docx", bomb)
    by_size = fault(tmp_path, "a.docx", bomb, limits=Limits(unpacked_bytes=4 * MIB))
    by_count = fault(tmp_path, "a.docx", documents.docx(), limits=Limits(members=3))

    assert {by_ratio.code, by_size.code, by_count.code} == {"too_large"}
    assert "packed" in by_ratio.message
    assert "unpacks to" in by_size.message
    assert "parts" in by_count.message


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("a.docx", "word/document.xml"),
        ("a.pptx", "ppt/presentation.xml"),
        ("a.xlsx", "xl/workbook.xml"),
        ("a.epub", "OEBPS/book.opf"),
    ],
)
@pytest.mark.parametrize("content", ["", "<a", "<a/>", None])
def test_a_container_with_a_damaged_main_part_is_broken(
    tmp_path: Path, name: str, member: str, content: str | None
) -> None:
    problem = fault(tmp_path, name, documents.changed(documents.EVERY[name], {member: content}))

    assert problem.code in ("broken", "no_text")
    assert "." in problem.message
