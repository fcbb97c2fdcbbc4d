"""What kind of place a uri names, and which uris name none: refused with the field and the way out."""

import re
from pathlib import PurePosixPath
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from runtime.core.errors import Fault, RequestInvalid
from runtime.core.knowledge import NewSource, SourceKind

MAX_URI = 2048
MAX_GLOBS = 100
MAX_GLOB = 512
LONGEST_INTERVAL_S = 366 * 86400.0
SHORTEST_INTERVAL_S = 60.0
_FORGES = frozenset({"github.com", "www.github.com", "gitlab.com", "codeberg.org"})
_SITEMAP = re.compile(r"sitemap[^/]*\.xml(\.gz)?$", re.IGNORECASE)
_FEED = re.compile(r"(/feed/?|/rss/?|/atom/?|\.rss|\.atom|/feed\.xml|/rss\.xml|/atom\.xml)$", re.IGNORECASE)
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_LOCAL: frozenset[SourceKind] = frozenset({"folder", "git"})
_NEEDS_BRANCH: frozenset[SourceKind] = frozenset({"git"})


def kind_of(new: NewSource) -> SourceKind:
    """Return the kind of place that is meant. Raises RequestInvalid where there can be none."""
    _check_words(new)
    kind = _local_kind(new) if is_local(new.uri) else _web_kind(new)
    if new.branch is not None and kind not in _NEEDS_BRANCH:
        _refuse("branch", f"Only git repositories have branches; this is a {kind}. Leave it out.")
    return kind


def is_local(uri: str) -> bool:
    """Tell whether a uri names something on this machine's disk."""
    return uri.startswith("/") or uri[:5].lower() == "file:"


def path_of(uri: str) -> str:
    """Return the path that a local uri names. Raises RequestInvalid where that is not absolute."""
    if uri.startswith("/"):
        return uri
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        _refuse("uri", "A file address names an absolute path of this machine: file:///home/me/papers.")
    return path


def same_place(uri: str) -> str:
    """Return how a uri is compared with others: a place is followed once in a collection."""
    if is_local(uri):
        return str(PurePosixPath(path_of(uri)))
    parts = urlsplit(uri)
    host = (parts.hostname or "").lower()
    port = f":{parts.port}" if parts.port is not None else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.lower()}://{host}{port}{parts.path or '/'}{query}"


def _check_words(new: NewSource) -> None:
    if not 1 <= len(new.uri) <= MAX_URI or not new.uri.isprintable() or new.uri != new.uri.strip():
        _refuse("uri", f"An address has 1 to {MAX_URI} characters, without breaks or spaces around it.")
    if not SHORTEST_INTERVAL_S <= new.interval_s <= LONGEST_INTERVAL_S:
        _refuse("interval_s", "An interval lasts from a minute to a year, told in seconds.")
    for param, globs in (("include", new.include), ("exclude", new.exclude)):
        if len(globs) > MAX_GLOBS or any(not 1 <= len(each) <= MAX_GLOB for each in globs):
            _refuse(param, f"Up to {MAX_GLOBS} patterns of 1 to {MAX_GLOB} characters each.")
    if new.secret is not None and not _SECRET.fullmatch(new.secret):
        message = "'secret' is the name of an environment variable of the server, such as DOCS_TOKEN."
        _refuse("secret", message)
    if new.branch is not None and (not new.branch or not new.branch.isprintable()):
        _refuse("branch", "A branch has a name; leave it out for the one that the repository names itself.")


def _local_kind(new: NewSource) -> SourceKind:
    path_of(new.uri)
    if new.kind is not None and new.kind not in _LOCAL:
        _refuse("kind", f"A {new.kind} is fetched by http or https; a path is a folder or a git repository.")
    return new.kind or "folder"


def _web_kind(new: NewSource) -> SourceKind:
    parts = _web_parts(new.uri)
    if new.kind == "folder":
        _refuse("kind", "A folder is a path of this machine, not a web address.")
    return new.kind or _guess(parts)


def _web_parts(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        host, _port = parts.hostname, parts.port
    except ValueError:
        _refuse("uri", "This is no web address: check its spelling.")
    if parts.scheme not in ("http", "https"):
        what = f"'{parts.scheme}:' is not followed" if _SCHEME.match(uri) else "This is no address"
        _refuse("uri", f"{what}: give an http or https address, or an absolute path of this machine.")
    if "@" in parts.netloc:
        message = (
            "The address carries credentials. Put the token into an environment variable of the server, "
            "leave it out of the address, and name the variable in 'secret'."
        )
        _refuse("uri", message)
    if not host:
        _refuse("uri", "The address names no host: check its spelling.")
    return parts


def _guess(parts: SplitResult) -> SourceKind:
    path = parts.path
    if path.rstrip("/").endswith(".git"):
        return "git"
    steps = [each for each in path.split("/") if each]
    if (parts.hostname or "") in _FORGES and len(steps) == 2:
        return "git"
    if _SITEMAP.search(path):
        return "sitemap"
    return "feed" if _FEED.search(path) else "page"


def _refuse(param: str, message: str) -> NoReturn:
    raise RequestInvalid(Fault(code="invalid_request", message=message, param=param))
