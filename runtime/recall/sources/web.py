"""What pages, sitemaps and feeds share: faults, names, globs, and what a look leaves to the next.

Pure: nothing here asks anybody for anything.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from urllib.parse import unquote

import msgspec
from yarl import URL

from runtime.core.fetching import FetchFault
from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.origin import Entry, Look, OriginFailed

LONGEST_URL = 2048
_LONGEST_NAME = 200
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def read_url(text: str) -> URL | None:
    """Return an absolute http or https address without its fragment; None if it is none.

    Addresses that carry a password are none either: they would be stored and shown.
    """
    text = text.strip()
    if not text or len(text) > LONGEST_URL:
        return None
    try:
        url = URL(text)
        if url.scheme not in _DEFAULT_PORTS or not url.host or url.user or url.password or not url.port:
            return None
        plain = url.with_fragment(None)
        if url.explicit_port == _DEFAULT_PORTS[url.scheme]:
            plain = plain.with_port(None)
    except ValueError:
        return None
    return plain if len(str(plain)) <= LONGEST_URL else None


def site_of(url: URL) -> tuple[str, int]:
    """Return what tells a site from others: its host without `www.`, and its port, if not the usual one."""
    host, port = (url.host or "").lower().rstrip("."), url.port or 0
    return host.removeprefix("www."), 0 if port == _DEFAULT_PORTS.get(url.scheme) else port


def is_same_origin(first: str, second: str) -> bool:
    """Tell whether what is secret to one address may be shown to another: scheme, host and port are equal."""
    one, other = read_url(first), read_url(second)
    return one is not None and other is not None and one.origin() == other.origin()


def name_of_page(url: str) -> str:
    """Return what a person calls a page: the last part of its path, else its host."""
    address = read_url(url)
    if address is None:
        return clean(url)
    parts = [part for part in address.raw_path.split("/") if part]
    return (clean(unquote(parts[-1])) if parts else "") or address.host or url


def clean(text: str) -> str:
    """Return a text as one short line that can be a name."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:_LONGEST_NAME].strip()


class Globs:
    """Which paths of addresses are wanted. `*` stays within one part, `**` stands for any number of them.

    A pattern without `/` is compared with the last part, one that ends in `/` takes all that lies below.
    """

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include = [_split(pattern) for pattern in include]
        self._exclude = [_split(pattern) for pattern in exclude]

    def takes(self, url: str) -> bool:
        """Tell whether an address is wanted; without patterns to include, every one is."""
        address = read_url(url)
        return self.takes_path(unquote(address.raw_path if address else "").strip("/"))

    def takes_path(self, path: str) -> bool:
        """Tell whether a path is wanted; no `/` stands before or behind it."""
        parts = path.split("/")
        if any(_fits(pattern, parts) for pattern in self._exclude):
            return False
        return not self._include or any(_fits(pattern, parts) for pattern in self._include)


def _split(pattern: str) -> tuple[str, ...]:
    """Turn a pattern into one for each part of a path."""
    below = pattern.endswith("/")
    parts = [part for part in pattern.split("/") if part]
    if len(parts) == 1 and "/" not in pattern:
        return ("**", *parts) if parts[0] != "**" else ("**",)
    return (*parts, "**") if below else tuple(parts)


def _fits(pattern: tuple[str, ...], parts: list[str]) -> bool:
    """Compare part by part; `reached` is how many parts of the path the pattern so far may stand for."""
    reached = {0}
    for piece in pattern:
        if piece == "**":
            reached = set(range(min(reached), len(parts) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], piece)}
        if not reached:
            return False
    return len(parts) in reached


def document_fault(fault: FetchFault) -> DocumentFault:
    """Say of an entry what the fetcher says of its address."""
    return DocumentFault(code=fault.code, message=fault.message)


def failed(fault: FetchFault) -> OriginFailed:
    """Say of a whole place what the fetcher says of its address."""
    return OriginFailed(document_fault(fault), fault.retry_after_s)


def check_url(uri: str) -> URL:
    """Return the address of a place. Raises OriginFailed where it is none."""
    url = read_url(uri)
    if url is None:
        raise OriginFailed(
            DocumentFault(
                code="refused",
                message="the address of a web source begins with http:// or https://, names a host and holds"
                " no password; correct it (a token is given apart)",
            )
        )
    return url


def not_there(url: str) -> DocumentFault:
    """Say that there is nothing at an address."""
    return DocumentFault(
        code="not_found",
        message=f"there is nothing at {_shown(url)} (404 or 410); check the address, or remove what names it",
    )


def _shown(url: str) -> str:
    address = read_url(url)
    return str(address.with_query(None)) if address else "this address"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """By what a listing is asked for the next time."""

    url: str
    etag: str | None = None
    last_modified: str | None = None


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a look leaves to the next: with which question, and of which entries, its listings were right."""

    question: str
    keys: str
    marks: tuple[Mark, ...]


def read_marks(look: Look, known: Mapping[str, Entry]) -> tuple[Mark, ...]:
    """Return by what to ask for the listings of the last look; nothing where they have to be had again.

    An unchanged listing comes without its body: what is known then has to be all that it names.
    """
    try:
        left = msgspec.json.decode(look.state, type=Left)
    except msgspec.DecodeError:
        return ()
    stored = {key for key, entry in known.items() if entry.document is not None}
    is_right = left.question == _question(look) and left.keys == _digest(sorted(stored))
    return left.marks if is_right else ()


def leave(look: Look, known: Mapping[str, Entry], had: Collection[str], marks: Collection[Mark]) -> str:
    """Return what is left to the next look: nothing, if a listing has no validators."""
    if not marks or any(not (mark.etag or mark.last_modified) for mark in marks):
        return ""
    stored = {key for key, entry in known.items() if entry.document is not None} | set(had)
    left = Left(question=_question(look), keys=_digest(sorted(stored)), marks=tuple(marks))
    return msgspec.json.encode(left).decode()


def _question(look: Look) -> str:
    return _digest([look.uri, look.include, look.exclude, look.most_entries, look.most_bytes])


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()
