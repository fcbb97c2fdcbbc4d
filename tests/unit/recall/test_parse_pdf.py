import stat
import sys
from pathlib import Path

import pytest

from runtime.recall.parse.limits import Limits
from tests.kit import documents
from tests.kit.reading import fault, outline, parsed

READS = """#!{python}
import sys
picture = sys.stdin.buffer.read()
if picture.startswith(b"P5"):
    width, height = map(int, picture.split()[1:3])
    pixels = picture.split(b"255\\n", 1)[1]
    assert len(pixels) == width * height
    print(f"Seen {{width > 1000}} {{len(set(pixels)) > 1}}")
else:
    print("Seen a picture")
"""
FAILS = "#!{python}\nimport sys\nsys.exit(1)\n"


def program(folder: Path, script: str) -> str:
    """Return the path of a program that stands in for Tesseract."""
    path = folder / "tesseract"
    path.write_text(script.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_pages_are_sections(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.pdf", documents.pdf(["Of the sea.", "Of the land."], title="Two tales"))

    assert document.title == "Two tales"
    assert outline(document) == {("Page 1",): "Of the sea.", ("Page 2",): "\n\nOf the land."}


def test_the_outline_is_above_the_pages(tmp_path: Path) -> None:
    content = documents.pdf(["one", "two", "three"], outline=[("Sea", 0), ("Land", 2)])

    assert list(outline(parsed(tmp_path, "a.pdf", content))) == [
        ("Sea", "Page 1"),
        ("Sea", "Page 2"),
        ("Land", "Page 3"),
    ]


@pytest.mark.parametrize("title", ["untitled", "Microsoft Word - x.doc", "paper.dvi"])
def test_what_a_program_put_in_is_no_title(tmp_path: Path, title: str) -> None:
    assert parsed(tmp_path, "a.pdf", documents.pdf(["text"], title=title)).title == ""


def test_a_scanned_document_says_how_to_get_its_text(tmp_path: Path) -> None:
    problem = fault(tmp_path, "a.pdf", documents.pdf(["", "", ""]))

    assert problem.code == "no_text"
    assert "None of its 3 pages" in problem.message
    assert "Install Tesseract" in problem.message


def test_scanned_pages_among_others_are_noted(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.pdf", documents.pdf(["text", "", "", "text", ""]))

    assert len(document.notes) == 1
    assert document.notes[0].startswith(
        "3 of its 5 pages (2-3, 5) have no text and seem to be scanned. Install"
    )


def test_ocr_reads_scanned_pages_where_it_is_installed(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.pdf", documents.pdf(["text", ""]), tesseract=program(tmp_path, READS))

    assert outline(document) == {("Page 1",): "text", ("Page 2",): "\n\nSeen True True"}
    assert document.notes == ()


def test_ocr_that_finds_nothing_is_told(tmp_path: Path) -> None:
    failing = program(tmp_path, FAILS)

    assert "OCR found none either" in fault(tmp_path, "a.pdf", documents.pdf([""]), tesseract=failing).message
    assert "OCR found none" in parsed(tmp_path, "a.pdf", documents.pdf(["a", ""]), tesseract=failing).notes[0]


def test_a_picture_is_read_by_ocr(tmp_path: Path) -> None:
    reading = program(tmp_path, READS)

    assert parsed(tmp_path, "a.png", documents.picture(), tesseract=reading).text == "Seen a picture"
    assert fault(tmp_path, "a.png", documents.picture(), tesseract=program(tmp_path, FAILS)).code == "no_text"


def test_a_document_with_a_password_says_so(tmp_path: Path) -> None:
    assert fault(tmp_path, "a.pdf", documents.pdf(["text"], encrypt=True)).code == "encrypted"


def test_pages_beyond_the_limit_are_noted(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a.pdf", documents.pdf(["one", "two", "three"]), limits=Limits(pages=2))

    assert document.text == "one\n\ntwo"
    assert document.notes == ("Only the first 2 of its 3 pages were read.",)


def test_noise_after_the_magic_is_a_broken_document(tmp_path: Path) -> None:
    problem = fault(tmp_path, "a.pdf", b"%PDF-1.4\n" + b"noise " * 100)

    assert problem.code == "broken"
    assert "save it anew" in problem.message
