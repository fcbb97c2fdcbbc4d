"""Reading a document in the test's own process: what a child does, without the child."""

from pathlib import Path

from runtime.core.knowledge import DocumentFault
from runtime.recall.parse.limits import Limits
from runtime.recall.parse.reading import answer_to
from runtime.recall.parse.wire import Answer, Request
from runtime.recall.parts import Parsed


def answer(
    folder: Path,
    name: str,
    content: bytes,
    *,
    media_type: str = "",
    limits: Limits | None = None,
    tesseract: str = "",
) -> Answer:
    """Return what a child would answer about a document."""
    path = folder / "document"
    path.write_bytes(content)
    return answer_to(
        Request(
            path=str(path),
            name=name,
            media_type=media_type,
            limits=limits or Limits(),
            tesseract=tesseract,
            chunking=None,
        )
    )


def parsed(
    folder: Path,
    name: str,
    content: bytes,
    *,
    media_type: str = "",
    limits: Limits | None = None,
    tesseract: str = "",
) -> Parsed:
    """Return the document as it was read; it must be readable."""
    got = answer(folder, name, content, media_type=media_type, limits=limits, tesseract=tesseract)
    assert got.parsed is not None, got.fault or got.recording
    check(got.parsed)
    return got.parsed


def fault(
    folder: Path,
    name: str,
    content: bytes,
    *,
    media_type: str = "",
    limits: Limits | None = None,
    tesseract: str = "",
) -> DocumentFault:
    """Return why the document cannot be read; there must be a reason, and it must be foreseen."""
    got = answer(folder, name, content, media_type=media_type, limits=limits, tesseract=tesseract)
    assert got.fault is not None, got
    return got.fault


def check(document: Parsed) -> None:
    """Assert what holds of every parsed document: sections cover the text, which is clean."""
    if document.sections:
        assert document.sections[0].start == 0
        assert document.sections[-1].end == len(document.text)
        for one, other in zip(document.sections, document.sections[1:], strict=False):
            assert one.end == other.start
    document.text.encode()
    assert not set(document.text) & {"\x00", "\r", "\x0b", "\x1b", "\ufeff"}


def outline(document: Parsed) -> dict[tuple[str, ...], str]:
    """Return the text below each heading."""
    return {each.heading: document.text[each.start : each.end] for each in document.sections}
