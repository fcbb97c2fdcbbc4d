"""Web pages: the main content where there is one to be told apart, else all of the text.

Trafilatura finds the main content; its tree is walked here for headings, lists and tables. Where it leaves
most of a page out (documentation, indexes, tables), the whole page is taken, without its menus.
"""

import re

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types
from selectolax.lexbor import LexborHTMLParser
from trafilatura import bare_extraction
from trafilatura.settings import Document as Page

from runtime.recall.parse.decode import decode
from runtime.recall.parse.draft import Draft, one_line
from runtime.recall.parse.html_blocks import add_blocks
from runtime.recall.parse.source import Source
from runtime.recall.parts import Parsed

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_META_WITHIN = 8192
_EXTRACTION_CHARACTERS = 2_000_000
"""Extraction looks at a page several times over; what is longer is no article."""
_MAIN_SHARE = 0.4
"""Less than so much of a page's text is not taken for its main content."""
_MAIN_CHARACTERS = 250
_NO_TEXT = "The page has no text. If scripts fill it in a browser, save it from there and add that file."


def read(source: Source) -> Parsed:
    """Read a web page."""
    content = source.content()
    decoding = decode(content, source.charset or charset_of(content))
    draft = read_page(decoding.text, source)
    if decoding.note:
        draft.note(decoding.note)
    if draft.is_empty:
        draft.note(_NO_TEXT)
    return draft.parsed(source.media_type)


def charset_of(content: bytes) -> str:
    """Return the encoding that a page names, empty where it names none."""
    found = _META_CHARSET.search(content[:_META_WITHIN])
    return found.group(1).decode("ascii") if found else ""


def read_page(html: str, source: Source) -> Draft:
    """Return the text of a page."""
    tree = LexborHTMLParser(html)
    head = tree.css_first("head > title")
    title = one_line(head.text()) if head is not None else ""
    whole = Draft(source.limits)
    if tree.body is not None:
        add_blocks(tree.body, whole)
    main = _main(html, source) if len(html) <= _EXTRACTION_CHARACTERS else None
    is_main = main is not None and main.length >= max(_MAIN_CHARACTERS, whole.length * _MAIN_SHARE)
    chosen = main if main is not None and is_main else whole
    chosen.title = chosen.title or title
    return chosen


def _main(html: str, source: Source) -> Draft | None:
    """Return the main content, None where none is found."""
    try:
        page = bare_extraction(
            html, include_comments=False, include_tables=True, include_formatting=True, with_metadata=False
        )
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, etree.LxmlError):
        return None  # odd pages defeat it; the whole text is there all the same
    if not isinstance(page, Page) or page.body is None:
        return None

    draft = Draft(source.limits)
    for element in page.body:
        _add(element, draft, 0)
    return draft


_HEADING = re.compile(r"h([1-6])")
_DEPTH = 40


def _add(element: etree._Element, draft: Draft, depth: int) -> None:
    """Add an element of trafilatura's tree: head, p, list, table, code, quote."""
    tag = element.tag
    if tag == "head":
        level = _HEADING.match(element.get("rend") or "")
        draft.heading(int(level.group(1)) if level else 2, _text(element))
    elif tag == "list":
        for item in element.iterchildren("item"):
            draft.add(
                f"- {one_line(_text(item), 100_000)}", "\n" if item.getprevious() is not None else "\n\n"
            )
    elif tag == "table":
        for row in element.iter("row"):
            cells = [one_line(_text(cell), 100_000) for cell in row.iter("cell")]
            draft.add(" | ".join(cells), "\n" if row.getprevious() is not None else "\n\n")
    elif tag in ("quote", "div") and len(element) and depth < _DEPTH and not (element.text or "").strip():
        for child in element:
            _add(child, draft, depth + 1)
    else:
        draft.add(_text(element))


def _text(element: etree._Element) -> str:
    """Return the text inside an element; `lb` is the end of a line."""
    parts: list[str] = []
    for node in element.iter():
        if node is not element and node.tag == "lb":
            parts.append("\n")
        elif isinstance(node.tag, str):
            parts.append(node.text or "")
        if node is not element:
            parts.append(node.tail or "")
    return "".join(parts)
