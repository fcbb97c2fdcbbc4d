"""Reads one file of a sitemap: XML, an index of such files, plain text, packed or not. Touches no network.

No tree is built, no entity replaced, and a file stays bounded when it is unpacked. Blocking: for a thread.
"""

import gzip
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

from runtime.core.fetching import MIB
from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.web import LONGEST_URL, read_url

MOST_LISTING_BYTES = 64 * MIB
"""Of one file, unpacked; the format itself allows 50 MiB."""
_PIECE = 256 * 1024
_GZIP = b"\x1f\x8b"
_XML_HEADS = (b"<", b"\xfe\xff", b"\xff\xfe", b"\x00<", b"<\x00")
_MOST_DEPTH = 64
_KINDS: dict[str, Literal["pages", "files"]] = {"urlset": "pages", "sitemapindex": "files"}


class Broken(Exception):
    """A file that is no listing."""

    def __init__(self, fault: DocumentFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True)
class Listing:
    """What one file says."""

    kind: Literal["pages", "files"] = "pages"
    places: list[tuple[str, str]] = field(default_factory=list)
    """Address and lastmod, as they stand there."""
    note: str = ""
    """What is wrong with it, if it could be read only in part; then it is not whole."""


def read_listing(path: Path, shown: str, most: int) -> Listing:
    """Read a file, at most so many of its addresses. Raises Broken where it is no listing."""
    content = unpack(path, shown, MOST_LISTING_BYTES)
    content = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not content:
        raise Broken(
            DocumentFault(code="empty", message=f"{shown} is empty; its operator has to fill the sitemap")
        )
    if content.startswith(_XML_HEADS):
        return _read_xml(content, shown, most)
    return _read_text(content, shown, most)


def unpack(path: Path, shown: str, most_bytes: int) -> bytes:
    """Return the bytes of a file, unpacked if it is a gzip. Raises Broken where they are too many."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        try:
            content = (
                gzip.GzipFile(fileobj=file).read(most_bytes + 1) if packed else file.read(most_bytes + 1)
            )
        except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
            raise Broken(
                DocumentFault(
                    code="broken",
                    message=f"{shown} breaks off or is no valid gzip; its operator has to mend it",
                )
            ) from problem
    if len(content) > most_bytes:
        raise Broken(
            DocumentFault(
                code="too_large",
                message=f"{shown} has more than {most_bytes // MIB} MiB, which is too much for a listing; its"
                " operator has to split it",
            )
        )
    return content


class _TooDeep(Exception):
    """Elements are nested as in no sitemap."""


class _Reader:
    """Takes the parts of a sitemap as lxml finds them; `url` and `sitemap` hold `loc` and `lastmod`."""

    def __init__(self, most: int) -> None:
        self.root = ""
        self.listing = Listing()
        self.is_full = False
        self._most = most
        self._path: list[str] = []
        self._words: dict[str, str] = {}

    def start(self, tag: str, _attributes: object) -> None:
        name = tag.rpartition("}")[2].lower()
        self.root = self.root or name
        if len(self._path) >= _MOST_DEPTH:
            raise _TooDeep
        self._path.append(name)
        if len(self._path) == 2:
            self._words = {}

    def data(self, text: str) -> None:
        if len(self._path) == 3 and self._path[2] in ("loc", "lastmod"):
            so_far = self._words.get(self._path[2], "")
            if len(so_far) <= LONGEST_URL:
                self._words[self._path[2]] = so_far + text[: LONGEST_URL + 1]

    def end(self, _tag: str) -> None:
        if len(self._path) == 2 and "loc" in self._words:
            if len(self.listing.places) < self._most:
                self.listing.places.append(
                    (self._words["loc"].strip(), self._words.get("lastmod", "").strip())
                )
            else:
                self.is_full = True
        self._path.pop()

    def close(self) -> None:
        """End of the file."""


def _read_xml(content: bytes, shown: str, most: int) -> Listing:
    reader = _Reader(most)
    parser = etree.XMLParser(
        target=reader, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    problem = ""
    try:
        for start in range(0, len(content), _PIECE):
            parser.feed(content[start : start + _PIECE])
            if reader.is_full or (reader.root and reader.root not in _KINDS):
                break
        else:
            parser.close()
    except etree.XMLSyntaxError as error:
        problem = f"{shown} is broken: {str(error)[:200]}"
    except _TooDeep:
        problem = f"{shown} is broken: its elements are nested more than {_MOST_DEPTH} deep"
    if reader.root not in _KINDS:
        raise _no_sitemap(reader.root, problem, shown)
    listing = reader.listing
    listing.kind = _KINDS[reader.root]
    if problem and not listing.places:
        raise Broken(DocumentFault(code="broken", message=f"{problem}; its operator has to mend it"))
    if problem:
        listing.note = f"{problem}; what stands before was taken, its operator has to mend the rest"
    elif reader.is_full:
        listing.note = _more(shown, most)
    return listing


def _no_sitemap(root: str, problem: str, shown: str) -> Broken:
    if root in ("rss", "feed", "rdf"):
        why = f"{shown} is a feed, not a sitemap; follow it as a feed"
    elif root == "html":
        why = f"{shown} is a web page, not a sitemap; give the sitemap's own address, or follow it as a page"
    elif root:
        why = f"{shown} is no sitemap: it begins with <{root[:40]}>; give the address of a sitemap"
    else:
        why = f"{problem or shown + ' is no sitemap'}; give the address of a sitemap"
    return Broken(DocumentFault(code="broken", message=why))


def _read_text(content: bytes, shown: str, most: int) -> Listing:
    """Read one address a line; a file whose first line is none is no listing."""
    listing = Listing()
    for raw in io.BytesIO(content):
        line = raw[: LONGEST_URL + 2].decode("utf-8", "replace").strip()
        if not line:
            continue
        if not listing.places and read_url(line) is None:
            break
        if len(listing.places) >= most:
            listing.note = _more(shown, most)
            break
        listing.places.append((line, ""))
    if listing.places:
        return listing
    raise Broken(
        DocumentFault(
            code="broken",
            message=f"{shown} is neither XML nor a list of addresses; give the address of a sitemap",
        )
    )


def _more(shown: str, most: int) -> str:
    return f"{shown} lists more than {most} addresses; the rest was not read"
