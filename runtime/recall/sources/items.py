"""The items of a feed: what is known of each, which text is its own, and JSON Feed. Pure.

the item brings its text    its content has 500 characters, or its summary 1500: then that is the document
else                        the page that it links to is had
it links nowhere            whatever it says is the document
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape, unescape
from typing import Any

import msgspec
from yarl import URL

from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.listing import Broken
from runtime.recall.sources.stamps import read_time
from runtime.recall.sources.web import LONGEST_URL, clean, read_url

_FULL_CONTENT = 500
"""Characters; shorter contents are mostly a first paragraph with "read more"."""
_FULL_SUMMARY = 1500
"""Characters; feeds that have no content but whole articles as summaries are seldom shorter."""
_MOST_JSON_MARKS = 500_000
"""Of `{` and `[`, for each of which an object may be held."""
_TAG = re.compile(r"<[^<>]*>")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a feed."""

    key: str
    link: str = ""
    """The page that it links to; empty: none."""
    uri: str = ""
    """Where a person finds it: the link with the part of the page that it points to."""
    title: str = ""
    content: str = ""
    """HTML; what the item gives as its text."""
    summary: str = ""
    """HTML."""
    created_at: float | None = None
    stamp: str = ""
    """Changes with all that the item says."""


class Words(msgspec.Struct, kw_only=True):
    """What an item says, as it stands there."""

    identity: str = ""
    link: str = ""
    title: str = ""
    content: str = ""
    summary: str = ""
    published: str = ""
    updated: str = ""


def item_of(words: Words) -> Item:
    """Put an item together; what names it is its id, else its link, else all that it says."""
    said = _digest(words)
    identity = words.identity.strip()
    key = identity if len(identity) <= LONGEST_URL and identity.isprintable() else _digest(identity)
    return Item(
        key=key or words.link or said,
        link=str(read_url(words.link) or ""),
        uri=words.link,
        title=clean(plain(words.title)),
        content=words.content,
        summary=words.summary,
        created_at=read_time(words.published or words.updated),
        stamp=said,
    )


def is_own(item: Item) -> bool:
    """Tell whether an item is a document of its own, rather than the page that it links to."""
    if not item.link or len(plain(item.content)) >= _FULL_CONTENT:
        return True
    return len(plain(item.summary)) >= _FULL_SUMMARY


def told_apart(items: Iterable[Item], base: str) -> list[Item]:
    """Return items of which no two are the same document: a page that several link to is had for the first.

    Items with texts of their own that are found at one address, or at none, each get a part of it.
    """
    found: list[Item] = []
    pages: set[str] = set()
    for item in items:
        if is_own(item):
            found.append(item)
        elif item.link not in pages:
            pages.add(item.link)
            found.append(item)
    shared = Counter(item.uri for item in found)
    return [
        msgspec.structs.replace(item, uri=f"{item.link or base}#item-{_digest(item.key)[:16]}")
        if not item.uri or shared[item.uri] > 1
        else item
        for item in found
    ]


def text_of(item: Item) -> bytes | None:
    """Return an item's own text as a page; None if the page that it links to has to be had."""
    if not is_own(item):
        return None
    body = max(item.content, item.summary, key=lambda text: len(plain(text)))
    title = escape(item.title)
    heading = f"<h1>{title}</h1>" if title else ""
    page = (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><article>{heading}\n{body}\n</article></body></html>\n"
    )
    return page.encode("utf-8", "replace")


def plain(html: str) -> str:
    """Return the text of a piece of HTML, on one line."""
    return " ".join(unescape(_TAG.sub(" ", html)).split())


def as_html(text: str) -> str:
    """Return plain text as paragraphs."""
    return "\n".join(f"<p>{escape(part)}</p>" for part in re.split(r"\n\s*?\n", text) if part.strip())


def link_of(base: str, text: str) -> str:
    """Return where a link leads, with the part of the page, if it is an address of the web; else nothing."""
    start, text = read_url(base), text.strip()
    if not text or start is None or len(text) > LONGEST_URL:
        return ""
    try:
        url = str(start.join(URL(text)))
    except ValueError:
        return ""
    return url if read_url(url) else ""


class _JsonItem(msgspec.Struct):
    id: Any = None
    url: Any = None
    external_url: Any = None
    title: Any = None
    content_html: Any = None
    content_text: Any = None
    summary: Any = None
    date_published: Any = None
    date_modified: Any = None


class _JsonFeed(msgspec.Struct):
    version: str
    items: list[_JsonItem]


def read_json(content: bytes, shown: str) -> Iterator[Item]:
    """Read a JSON Feed. Raises Broken where it is none."""
    if content.count(b"{") + content.count(b"[") > _MOST_JSON_MARKS:
        raise Broken(
            DocumentFault(
                code="too_large", message=f"{shown} has too many parts; its operator has to split it"
            )
        )
    try:
        feed = msgspec.json.decode(content, type=_JsonFeed)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise Broken(
            DocumentFault(
                code="broken", message=f"{shown} is no JSON Feed ({problem}); give the address of a feed"
            )
        ) from problem
    if "jsonfeed.org/version/" not in feed.version:
        raise Broken(
            DocumentFault(
                code="broken", message=f"{shown} is JSON, but no JSON Feed; give the address of a feed"
            )
        )
    return (_from_json(item, shown) for item in feed.items)


def _from_json(item: _JsonItem, base: str) -> Item:
    text = _text(item.content_text)
    return item_of(
        Words(
            identity=_text(item.id),
            link=link_of(base, _text(item.url) or _text(item.external_url)),
            title=escape(_text(item.title)),
            content=_text(item.content_html) or as_html(text),
            summary=as_html(_text(item.summary)),
            published=_text(item.date_published),
            updated=_text(item.date_modified),
        )
    )


def _text(value: object) -> str:
    """Return what should be a text; numbers as ids are common, though not allowed."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest() if value else ""
