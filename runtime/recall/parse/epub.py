"""E-books: the chapters of the spine in order, title and language from the package."""

import posixpath
import zipfile
from typing import NamedTuple
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types
from selectolax.lexbor import LexborHTMLParser

from runtime.recall.parse.decode import decode
from runtime.recall.parse.draft import Draft, one_line
from runtime.recall.parse.faults import broken, encrypted
from runtime.recall.parse.html import charset_of
from runtime.recall.parse.html_blocks import add_blocks
from runtime.recall.parse.source import Source
from runtime.recall.parse.zips import open_container, parse_xml
from runtime.recall.parts import Parsed

_WHAT = "an e-book"
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


class _Book(NamedTuple):
    title: str
    language: str
    chapters: list[str]


def read(source: Source) -> Parsed:
    """Read an e-book."""
    with open_container(source.path, _WHAT, source.limits) as container:
        try:
            _refuse_if_encrypted(container)
            book = _book(container)
            return _read(container, book, source)
        except (etree.XMLSyntaxError, KeyError) as problem:
            raise broken(_WHAT, str(problem)) from problem


def _read(container: zipfile.ZipFile, book: _Book, source: Source) -> Parsed:
    draft = Draft(source.limits)
    draft.title = book.title
    missing = 0
    for chapter in book.chapters:
        try:
            content = container.read(chapter)
        except (KeyError, zipfile.BadZipFile):
            missing += 1
            continue
        _add_chapter(decode(content, charset_of(content)).text, draft)
    if missing:
        draft.note(f"{missing} of its {len(book.chapters)} chapters are missing or damaged.")
    return draft.parsed(source.media_type)._replace(language=book.language)


def _add_chapter(html: str, draft: Draft) -> None:
    tree = LexborHTMLParser(html)
    if tree.body is None:
        return

    title = tree.css_first("head > title")
    has_heading = tree.css_first("h1, h2, h3") is not None
    if not has_heading and title is not None and one_line(title.text()) not in ("", draft.title):
        draft.heading(1, title.text(), is_shown=False)
    add_blocks(tree.body, draft)


def _refuse_if_encrypted(container: zipfile.ZipFile) -> None:
    """Refuse a book whose chapters are encrypted; scrambled fonts do not matter."""
    try:
        root = parse_xml(container.read(_ENCRYPTION))
    except KeyError:
        return
    methods = [each.get("Algorithm") for each in root.iter() if _is(each, "EncryptionMethod")]
    if any(method not in _FONT_SCRAMBLING for method in methods):
        raise encrypted(f"{_WHAT} that is locked by its seller (DRM) or")


def _book(container: zipfile.ZipFile) -> _Book:
    """Return what the package says: title, language, and its chapters in reading order."""
    package = next(
        (
            each.get("full-path") or ""
            for each in parse_xml(container.read(_CONTAINER)).iter()
            if _is(each, "rootfile")
        ),
        "",
    )
    root = parse_xml(container.read(package))
    folder = posixpath.dirname(package)
    pages = {
        each.get("id"): _member(folder, each.get("href") or "")
        for each in root.iter()
        if _is(each, "item") and each.get("media-type") in _PAGES
    }
    spine = [each.get("idref") for each in root.iter() if _is(each, "itemref")]
    return _Book(
        title=_first(root, "title"),
        language=_first(root, "language").partition("-")[0].lower()[:3],
        chapters=[pages[each] for each in spine if each in pages],
    )


def _first(root: etree._Element, name: str) -> str:
    return next((one_line(each.text or "") for each in root.iter() if _is(each, name)), "")


def _member(folder: str, href: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(href)))


def _is(element: etree._Element, name: str) -> bool:
    return isinstance(element.tag, str) and element.tag.rpartition("}")[2] == name
