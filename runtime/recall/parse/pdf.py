"""PDF: text page by page, outline and pages as sections; OCR for pages without text, where it is there."""

import re
from collections.abc import Iterator

import pypdfium2  # type: ignore[import-untyped]  # pypdfium2 ships no types

from runtime.recall.parse.draft import Draft, one_line
from runtime.recall.parse.faults import Refused, broken, encrypted
from runtime.recall.parse.lines import reflow
from runtime.recall.parse.ocr import page_text
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed

_WHAT = "a PDF"
_PASSWORD_WRONG = 4  # FPDF_ERR_PASSWORD
_SECURITY_UNKNOWN = 5  # FPDF_ERR_SECURITY
_HYPHENS = re.compile("[\ufffe\x02]\r?\n?")
"""How pdfium writes a hyphen at the end of a line inside a word."""
_POOR_TITLE = re.compile(
    r"^(untitled|microsoft (word|powerpoint|excel)\b.*|.*\.(docx?|indd|tex|dvi|qxd|pdf))$", re.IGNORECASE
)
_OUTLINE_ENTRIES = 5000
_OUTLINE_DEPTH = 8
INSTALL_OCR = "Install Tesseract (the program `tesseract`) and add the document again."

Outline = dict[int, list[tuple[int, str]]]
"""Level and title of the entries that point to a page."""


def read(source: Source) -> Parsed:
    """Read a PDF."""
    try:
        document = pypdfium2.PdfDocument(source.path)
    except pypdfium2.PdfiumError as problem:
        if problem.err_code in (_PASSWORD_WRONG, _SECURITY_UNKNOWN):
            raise encrypted(_WHAT) from problem
        raise broken(_WHAT, str(problem)) from problem

    try:
        draft = Draft(source.limits)
        draft.title = _title(document)
        _read_pages(document, draft, source)
        return draft.parsed(source.media_type)
    finally:
        document.close()


def _read_pages(document: pypdfium2.PdfDocument, draft: Draft, source: Source) -> None:
    count = len(document)
    if count == 0:
        raise broken(_WHAT, "it has no pages")

    outline = _outline(document)
    path: list[tuple[int, str]] = []
    silent: list[int] = []
    unread = 0
    for number in range(min(count, source.limits.pages)):
        for level, name in outline.get(number, ()):
            while path and path[-1][0] >= level:
                path.pop()
            path.append((level, name))
        text, is_read = _page(document, number, source, has_ocr_left=len(silent) < source.limits.ocr_pages)
        unread += not is_read
        if not text.strip():
            silent.append(number + 1)
            continue
        draft.mark((*(each for _, each in path), f"Page {number + 1}"))
        draft.add(text)
    if count > source.limits.pages:
        draft.note(f"Only the first {source.limits.pages:,} of its {count:,} pages were read.")
    if unread:
        draft.note(f"{unread} of its pages are damaged and were left out.")
    _tell_silent(draft, silent, count, source)


def _page(
    document: pypdfium2.PdfDocument, number: int, source: Source, *, has_ocr_left: bool
) -> tuple[str, bool]:
    """Return the text of a page, and whether the page could be opened."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return "", False
    try:
        text = reflow(_HYPHENS.sub("", page.get_textpage().get_text_range()))
        if not text.strip() and source.tesseract and has_ocr_left:
            text = page_text(page, source.tesseract)
    except pypdfium2.PdfiumError:
        return "", False
    finally:
        page.close()
    return text, True


def _tell_silent(draft: Draft, silent: list[int], count: int, source: Source) -> None:
    """Say which pages gave no text, and what would help. Raises Refused where no page gave any."""
    if not silent:
        return
    pages = f"{len(silent)} of its {count} pages ({_ranges(silent)})"
    if draft.is_empty:
        tried = "OCR found none either." if source.tesseract else INSTALL_OCR
        raise Refused("no_text", f"None of its {count} pages has text: it seems to be scanned. {tried}")
    if source.tesseract:
        draft.note(f"{pages} have no text, and OCR found none.")
    else:
        draft.note(f"{pages} have no text and seem to be scanned. {INSTALL_OCR}")


def _ranges(numbers: list[int], shown: int = 12) -> str:
    """Return numbers such as 1-3, 7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    return ", ".join([*words[:shown], *(["…"] if len(words) > shown else [])])


def _title(document: pypdfium2.PdfDocument) -> str:
    """Return the title from the metadata, unless a program put in what is none."""
    title = one_line(document.get_metadata_value("Title"))
    return "" if _POOR_TITLE.match(title) else title


def _outline(document: pypdfium2.PdfDocument) -> Outline:
    """Return the outline by page."""
    found: Outline = {}
    for count, (level, title, page) in enumerate(_entries(document)):
        if count >= _OUTLINE_ENTRIES:
            break
        if title:
            found.setdefault(page, []).append((level, title))
    return found


def _entries(document: pypdfium2.PdfDocument) -> Iterator[tuple[int, str, int]]:
    for entry in document.get_toc(max_depth=_OUTLINE_DEPTH):
        target = entry.get_dest()
        page = target.get_index() if target is not None else None
        if page is not None:
            yield entry.level, one_line(entry.get_title()), page
