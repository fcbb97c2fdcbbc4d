"""Walks through the files of a sitemap: its index, what that names, and so on, within bounds.

What the last look had is asked for conditionally; if nothing of it has changed, no file is read again.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio.to_thread
from yarl import URL

from runtime.core.fetching import Fetched, FetchFault
from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.asking import Asker, discard
from runtime.recall.sources.listing import MOST_LISTING_BYTES, Broken, Listing, read_listing
from runtime.recall.sources.origin import Entry, Look, OriginFailed
from runtime.recall.sources.web import (
    Mark,
    document_fault,
    not_there,
    read_marks,
    read_url,
    site_of,
)

_MOST_DEPTH = 3
_MOST_FILES = 500
_MOST_LISTED = 200_000
"""Addresses that are held in memory at once; more if a look takes more entries."""
_MOST_NOTES = 5


@dataclass(slots=True)
class Walked:
    """What the files of a sitemap say together."""

    places: list[tuple[str, str]] = field(default_factory=list)
    """Address and lastmod of each page, as they stand there."""
    found_at: list[str] = field(default_factory=list)
    """Where the files were in the end."""
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_unchanged: bool = False
    is_whole: bool = True
    """False: something could not be read, and nothing follows for a page that is not listed."""

    def lacks(self, why: str) -> None:
        """Note that something is missing, and why."""
        self.is_whole = False
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(why)


async def walk(asker: Asker, asked: Look, known: Mapping[str, Entry], root: URL) -> Walked:
    """Read all files of a sitemap. Raises OriginFailed where its root cannot be read or no page is listed."""
    marks = read_marks(asked, known)
    got = await _first_change(asker, marks) if marks else await _get(asker, str(root))
    if got is None:
        return Walked(marks=list(marks), is_unchanged=True)
    walked = Walked()
    most = max(_MOST_LISTED, asked.most_entries)
    waiting, met = deque([(str(root), 1)]), {str(root)}
    while waiting:
        url, depth = waiting.popleft()
        room = most - len(walked.places)
        if room <= 0:
            walked.lacks(f"the sitemap lists more than {most} addresses; the rest was not read")
            break
        file = await _get(asker, url) if got is None else got
        got = None
        listing = await _read(file, url, walked, room)
        if isinstance(listing, DocumentFault):
            if url == str(root):
                raise OriginFailed(listing)
            walked.lacks(listing.message)
        elif listing.kind == "pages":
            walked.places += listing.places
        elif depth == _MOST_DEPTH:
            walked.lacks(f"{url} names more files, deeper than {_MOST_DEPTH} levels; they were not read")
        else:
            waiting.extend((each, depth + 1) for each in _files(listing, root, met, walked))
    if not walked.places:
        fault = DocumentFault(
            code="empty",
            message="; ".join(["the sitemap lists no page; its operator has to fill it", *walked.notes]),
        )
        raise OriginFailed(fault)
    return walked


async def _get(asker: Asker, url: str, mark: Mark | None = None) -> Fetched | FetchFault:
    """Ask for a file. Raises OriginFailed where its host wants no more to be asked."""
    etag, last_modified = (mark.etag, mark.last_modified) if mark else (None, None)
    got = await asker.get(url, etag, last_modified, MOST_LISTING_BYTES)
    if isinstance(got, FetchFault):
        await asker.weigh(got)
    return got


async def _first_change(asker: Asker, marks: tuple[Mark, ...]) -> Fetched | FetchFault | None:
    """Ask for the files of the last look until one has changed or cannot be had; None if none has.

    Returns what came for the root, which is the first of them.
    """
    for mark in marks:
        got = await _get(asker, mark.url, mark)
        if isinstance(got, Fetched) and got.status == "not_modified":
            continue
        if mark is marks[0]:
            return got
        if isinstance(got, Fetched):
            await discard(got.body)
        return await _get(asker, marks[0].url)
    return None


async def _read(got: Fetched | FetchFault, url: str, walked: Walked, most: int) -> Listing | DocumentFault:
    """Read a file that came, and remove it."""
    if isinstance(got, FetchFault):
        return document_fault(got)
    if got.body is None:
        return not_there(url)
    try:
        listing = await anyio.to_thread.run_sync(read_listing, got.body, got.url, most)
    except Broken as broken:
        return broken.fault
    finally:
        await discard(got.body)
    _note(walked, url, got, listing)
    return listing


def _note(walked: Walked, url: str, got: Fetched, listing: Listing) -> None:
    walked.marks.append(Mark(url=url, etag=got.etag, last_modified=got.last_modified))
    walked.found_at.append(got.url)
    if listing.note:
        walked.lacks(listing.note)


def _files(listing: Listing, root: URL, met: set[str], walked: Walked) -> list[str]:
    """Return which files of an index are to be read: new ones of the same site, as long as there is room."""
    sites = {site_of(root), *(site_of(url) for url in map(read_url, walked.found_at) if url)}
    files = []
    for text, _ in listing.places:
        url = read_url(text)
        if url is None or site_of(url) not in sites:
            walked.lacks(f"the sitemap names {text[:200]}, which is not of this site; it was not read")
        elif len(met) >= _MOST_FILES:
            walked.lacks(f"the sitemap has more than {_MOST_FILES} files; the rest was not read")
            break
        elif str(url) not in met:
            met.add(str(url))
            files.append(str(url))
    return files
