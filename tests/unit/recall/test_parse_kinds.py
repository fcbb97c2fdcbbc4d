from pathlib import Path

import pytest

from runtime.recall.parse.limits import Limits
from tests.kit import documents
from tests.kit.reading import answer, fault, parsed

KINDS = {
    "a.txt": "text/plain",
    "a.md": "text/markdown",
    "a.html": "text/html",
    "a.pdf": "application/pdf",
    "a.csv": "text/csv",
    "a.json": "application/json",
    "a.jsonl": "application/jsonl",
    "a.epub": "application/epub+zip",
    "a.eml": "message/rfc822",
    "a.py": "text/plain",
}
BY_CONTENT = ("a.html", "a.pdf", "a.docx", "a.pptx", "a.xlsx", "a.epub", "a.eml")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_told_by_its_name_and_content(tmp_path: Path, name: str) -> None:
    document = parsed(tmp_path, name, documents.EVERY[name])

    assert document.media_type == KINDS[name]
    assert document.notes == () or name == "a.eml"


@pytest.mark.parametrize("name", BY_CONTENT)
@pytest.mark.parametrize("other", ["a.pdf", "a.docx", "a.txt", "a.csv", "a.wav", "unknown", "a.xyz"])
def test_a_wrongly_named_document_is_read_as_what_it_is(tmp_path: Path, name: str, other: str) -> None:
    rightly = parsed(tmp_path, name, documents.EVERY[name])
    wrongly = parsed(tmp_path, other, documents.EVERY[name])

    assert wrongly.text == rightly.text
    is_wrong = "." in other and not other.endswith("xyz") and other != name
    assert any("Its name stands for" in note for note in wrongly.notes) == is_wrong


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.xlsx", "a.epub", "a.mp3"])
def test_text_under_the_name_of_something_else_is_read_as_text(tmp_path: Path, name: str) -> None:
    document = parsed(tmp_path, name, b"Only words, nothing more than words.")

    assert document.text == "Only words, nothing more than words."
    assert document.notes


def test_what_was_said_of_a_text_counts_more_than_its_name(tmp_path: Path) -> None:
    document = parsed(tmp_path, "download.txt", b"# One\n\ntext", media_type="text/markdown; charset=utf-8")

    assert document.media_type == "text/markdown"
    assert document.title == "One"
    assert document.notes == ()


def test_source_code_that_holds_a_page_stays_source_code(tmp_path: Path) -> None:
    assert parsed(tmp_path, "page.php", b"<!doctype html><html><?php echo 1 ?>").media_type == "text/plain"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{\\rtf1\\ansi hello}", "RTF"),
        (b"\x1f\x8b\x08\x00" + b"\x01" * 50, "gzip"),
        (b"\x7fELF\x02\x01\x01\x00" + b"\x00" * 50, "a program"),
        (b"SQLite format 3\x00" + b"\x00" * 100, "SQLite"),
        (b"\x00\x00\x00\x18ftypisom" + b"\x00" * 50, "video"),
        (b"RIFF\x00\x00\x00\x00AVI " + b"\x00" * 50, "video"),
        (bytes(range(256)) * 20, "neither text"),
        (documents.archive({"a.txt": "x"}), "a zip archive"),
        (documents.archive({"mimetype": "application/vnd.oasis.opendocument.text"}), "OpenDocument"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, "before 2007"),
        (documents.picture(), "a picture"),
    ],
)
def test_what_lar_does_not_read_is_named_with_a_way_out(tmp_path: Path, content: bytes, words: str) -> None:
    problem = fault(tmp_path, "a.bin", content)

    assert problem.code == "unsupported_format"
    assert words in problem.message
    assert problem.message.count(".") >= 2


def test_a_recording_is_left_to_whoever_hears(tmp_path: Path) -> None:
    assert answer(tmp_path, "a.bin", documents.sound()).recording == "audio/wav"
    for head, media_type in (
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"fLaC\x00", "audio/flac"),
        (b"OggS\x00", "audio/ogg"),
    ):
        assert answer(tmp_path, "a", head + b"\x00" * 100).recording == media_type
    assert answer(tmp_path, "a", b"\x00\x00\x00\x1cftypM4A " + b"\x00" * 50).recording == "audio/mp4"


@pytest.mark.parametrize("name", documents.EVERY)
def test_nothing_is_an_empty_document_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert fault(tmp_path, name, b"").code == "empty"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.py", "a.html", "a.jsonl"])
def test_white_space_is_no_text(tmp_path: Path, name: str) -> None:
    assert fault(tmp_path, name, b" \n\t\n").code == "no_text"


def test_a_file_beyond_the_limit_is_not_looked_at(tmp_path: Path) -> None:
    problem = fault(tmp_path, "a.txt", b"x" * 2_000_000, limits=Limits(size_bytes=1 << 20))

    assert problem.code == "too_large"
    assert "1 MiB" in problem.message


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.epub"])
def test_containers_with_a_password_say_so(tmp_path: Path, name: str) -> None:
    assert fault(tmp_path, name, documents.locked(documents.EVERY[name])).code in ("encrypted", "broken")


def test_an_office_document_with_a_password_says_so(tmp_path: Path) -> None:
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 504 + "EncryptedPackage".encode("utf-16-le")

    assert fault(tmp_path, "a.docx", content).code == "encrypted"


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.pptx", "a.xlsx", "a.epub"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_what_was_cut_off_is_a_fault_or_is_read_as_far_as_it_goes(
    tmp_path: Path, name: str, share: float
) -> None:
    content = documents.EVERY[name]

    got = answer(tmp_path, name, content[: int(len(content) * share)])

    assert got.parsed is not None or (
        got.fault is not None and got.fault.code in ("broken", "no_text", "empty")
    )
