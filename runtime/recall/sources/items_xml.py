"""Reads RSS, RDF and Atom, and tells them from JSON Feed. Touches no network. Blocking: for a thread.

lxml reads them as they stand, broken ones as far as it goes, in bounded time and without holding up other
threads, which matters since a feed comes from strangers. No entity stands for what a feed says it does.
"""

import re
from collections.abc import Iterator
from html import escape
from html.entities import name2codepoint
from itertools import islice
from pathlib import Path

import msgspec
from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

from runtime.core.fetching import MIB
from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.items import Item, Words, as_html, item_of, link_of, read_json, told_apart
from runtime.recall.sources.listing import Broken, unpack
from runtime.recall.sources.web import Globs

MOST_FEED_BYTES = 16 * MIB
_MOST_MARKS = 2_000_000
"""Of `<`, `=` and `&`, for each of which something may be held: some 200 MiB."""
_BOM = b"\xef\xbb\xbf"
_MOST_ITEMS = 50_000
"""That are looked at."""
_ENTITY = re.compile(rb"&[A-Za-z_:\x80-\xff][\w:.\x80-\xff-]{0,63};")
_NUMBERS = {f"&{name};".encode(): b"&#%d;" % code for name, code in name2codepoint.items()} | {
    b"&%s;" % name: b"&%s;" % name for name in (b"amp", b"lt", b"gt", b"quot", b"apos")
}
"""The entities of HTML, most of which XML does not know."""
_WIDE = (b"\xfe\xff", b"\xff\xfe")
_ENCODING = re.compile(rb"<\?xml[^>]{0,200}encoding")
_ROOTS = frozenset({"rss", "rdf", "feed"})
_ITEMS = frozenset({"item", "entry"})
_NAMESPACES = {
    "": "",
    "http://purl.org/rss/1.0/": "",
    "http://my.netscape.com/rdf/simple/0.9/": "",
    "http://www.w3.org/2005/Atom": "",
    "http://purl.org/atom/ns#": "",
    "http://purl.org/rss/1.0/modules/content/": "content:",
    "http://purl.org/dc/elements/1.1/": "dc:",
    "http://purl.org/dc/terms/": "dc:",
}
_PUBLISHED = ("published", "pubdate", "issued", "dc:date", "dc:issued", "dc:created", "created")
_UPDATED = ("updated", "modified", "dc:modified")
_TEXTUAL = frozenset({"", "text", "html", "xhtml", "text/plain", "text/html", "application/xhtml+xml"})


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed says."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    left_out: int = 0
    """Items beyond the cap."""


def read_feed(path: Path, base: str, most: int, globs: Globs) -> Feed:
    """Read a feed that was found at `base`: the first items that are wanted, each once.

    Raises Broken where it is no feed.
    """
    content = unpack(path, base, MOST_FEED_BYTES).removeprefix(_BOM).lstrip()
    notes: tuple[str, ...] = ()
    if not content:
        fault = DocumentFault(code="empty", message=f"{base} is empty; its operator has to fill the feed")
        raise Broken(fault)
    if content.startswith(b"{"):
        found = read_json(content, base)
    else:
        root, notes = _parse(content, base)
        found = (item_of(_words(element, base)) for element in _elements(root))
    items: dict[str, Item] = {}
    for item in islice(found, _MOST_ITEMS):
        if globs.takes(item.link):
            items.setdefault(item.key, item)
    apart = told_apart(items.values(), base)
    return Feed(items=tuple(apart[:most]), notes=notes, left_out=max(0, len(apart) - most))


def _broken(why: str, shown: str) -> Broken:
    return Broken(DocumentFault(code="broken", message=f"{shown} cannot be read as a feed: {why}"))


def _parse(content: bytes, base: str) -> tuple[etree._Element, tuple[str, ...]]:
    """Parse XML as far as it goes; the notes say where it is broken."""
    if sum(content.count(mark) for mark in (b"<", b"=", b"&")) > _MOST_MARKS:
        raise _broken("it has too many elements; its operator has to split it", base)
    content, encoding = _encoded(content)
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        encoding=encoding,
    )
    try:
        root = etree.fromstring(_ENTITY.sub(_number, content), parser, base_url=base)
    except etree.XMLSyntaxError as problem:
        raise _broken(f"{str(problem)[:200]}; give the address of a feed", base) from problem
    if root is None or _name(root) not in _ROOTS:
        named = "" if root is None else _name(root)
        why = "it is a web page; give the feed's own address, or follow it as a page"
        raise _broken(why if named == "html" else "it is no RSS or Atom; give the address of a feed", base)
    if not len(parser.error_log):
        return root, ()
    first = parser.error_log[0]
    if next(_elements(root), None) is None:
        raise _broken(f"line {first.line}: {first.message[:200]}; its operator has to mend it", base)
    where = f"line {first.line}: {first.message[:200]}"
    return root, (f"the feed is broken in places ({where}); what could be read of it was taken",)


def _encoded(content: bytes) -> tuple[bytes, str | None]:
    """Return the bytes with the encoding to read them by; None: the one that they name, or else UTF-8."""
    if content.startswith(_WIDE):
        return content.decode("utf-16", "replace").encode(), "utf-8"
    if _ENCODING.match(content):
        return content, None
    try:
        content.decode()
    except UnicodeDecodeError:
        return content, "windows-1252"
    return content, None


def _number(found: re.Match[bytes]) -> bytes:
    """Write an entity of HTML as a number; any other is not one, whatever the feed says, but text."""
    return _NUMBERS.get(found[0]) or b"&amp;" + found[0][1:]


def _name(element: etree._Element) -> str:
    """Return an element's name with the prefix that is usual for it; nothing in foreign vocabularies."""
    if not isinstance(element.tag, str):
        return ""
    space, _, local = element.tag.removeprefix("{").rpartition("}")
    if local.lower() in ("rdf", "html"):
        return str(local).lower()
    prefix = _NAMESPACES.get(space)
    return "" if prefix is None else f"{prefix}{local}".lower()


def _elements(root: etree._Element) -> Iterator[etree._Element]:
    """Find the items: below the root, or below its channel."""
    for child in root:
        if _name(child) in _ITEMS:
            yield child
        elif _name(child) == "channel":
            yield from (below for below in child if _name(below) in _ITEMS)


def _words(element: etree._Element, base: str) -> Words:
    """Take from an item what is of interest."""
    parts: dict[str, etree._Element] = {}
    links = []
    for child in element:
        if (name := _name(child)) == "link":
            links.append(child)
        elif name:
            parts.setdefault(name, child)
    identity = _first(parts, ("guid", "id", "dc:identifier"))
    return Words(
        identity=identity or element.get("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about", ""),
        link=_link(links, base) or _permalink(parts, identity, base),
        title=_html(parts, ("title", "dc:title")),
        content=_html(parts, ("content:encoded", "content")),
        summary=_html(parts, ("description", "summary", "dc:description")),
        published=_first(parts, _PUBLISHED),
        updated=_first(parts, _UPDATED),
    )


def _first(parts: dict[str, etree._Element], names: tuple[str, ...]) -> str:
    texts = ("".join(parts[name].itertext()).strip() for name in names if name in parts)
    return next((text for text in texts if text), "")


def _link(links: list[etree._Element], base: str) -> str:
    """Return where an item leads: the text of RSS's link, or Atom's alternate, a web page before others."""
    found: list[tuple[bool, int, str]] = []
    for link in links:
        target = link.get("href") or (link.text or "")
        if link.get("rel", "alternate") == "alternate" and target.strip():
            is_page = link.get("type", "text/html") in ("text/html", "application/xhtml+xml")
            found.append((not is_page, len(found), link_of(link.base or base, target)))
    return next((address for _, _, address in sorted(found) if address), "")


def _permalink(parts: dict[str, etree._Element], identity: str, base: str) -> str:
    """Return RSS's guid if it says that it is a link, as it does where it says nothing."""
    guid = parts.get("guid")
    if guid is None or guid.get("isPermaLink", "true").lower() != "true" or "://" not in identity:
        return ""
    return link_of(base, identity)


def _html(parts: dict[str, etree._Element], names: tuple[str, ...]) -> str:
    """Return the first of these that says something, as HTML."""
    texts = (_html_of(parts[name]) for name in names if name in parts)
    return next((text for text in texts if text.strip()), "")


def _html_of(element: etree._Element) -> str:
    """Return what an element holds as HTML, by what Atom's `type` says; RSS holds HTML throughout."""
    kind = element.get("type", "").lower()
    if kind not in _TEXTUAL or element.get("src"):
        return ""
    inner = [child for child in element if isinstance(child.tag, str)]
    if inner:
        pieces = (etree.tostring(child, encoding="unicode", method="html") for child in inner)
        return escape(element.text or "") + "".join(pieces)
    text = "".join(element.itertext())
    is_atom = "atom" in element.tag.lower()
    is_plain = not kind and element.get("mode") != "escaped" if is_atom else False
    return as_html(text) if is_plain or kind in ("text", "text/plain") else text
