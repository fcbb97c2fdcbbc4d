"""The words of looking at a place: what is known of its entries, and what a look finds.

One class per kind of place fulfils `Origin`. A look yields what it finds piece by piece, so that a long one
can be cut short without loss; whoever syncs (`sync.py`) stores, removes and remembers.
"""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from runtime.core.ids import DocumentId
from runtime.core.knowledge import DocumentFault


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one entry of a place: a page, a file, an item of a feed."""

    key: str
    """What names it at its place for ever: an address, or a path with `/` between its parts."""
    stamp: str = ""
    """What its origin tells versions apart by (a blob's id, a size with a time, the sitemap's lastmod);
    empty where there is nothing of the kind."""
    etag: str | None = None
    last_modified: str | None = None
    document: DocumentId | None = None
    misses: int = 0
    """How often in a row it was not found."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a look is given."""

    uri: str
    """As the person gave it."""
    token: str | None = None
    include: tuple[str, ...] = ()
    """Globs over keys' paths; empty: all that Recall can read."""
    exclude: tuple[str, ...] = ()
    branch: str | None = None
    """Of a git repository; None: the one it names itself."""
    state: str = ""
    """What the last look that came to its end left (`Finished.state`)."""
    most_entries: int = 10_000
    most_bytes: int = 64 * 1024 * 1024
    """Of one entry."""


class Same(msgspec.Struct, frozen=True, kw_only=True):
    """The entry is there and has not changed."""

    key: str


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The entry is new or has changed; `body` is a file in the look's folder, which the receiver removes."""

    key: str
    name: str
    """What a person calls it: the file's name, the page's last part, the item's title."""
    uri: str
    """Where a person finds it."""
    body: Path
    media_type: str = ""
    title: str = ""
    stamp: str = ""
    etag: str | None = None
    last_modified: str | None = None
    created_at: float | None = None
    """When its origin says that it was written."""


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """The entry is not there any more. Not certain: it has to be missed twice in a row to be removed."""

    key: str
    is_certain: bool


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The entry is there but cannot be had now; what was stored of it stays."""

    key: str
    fault: DocumentFault


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries the place has, as far as is known; may come again as it grows."""

    entries: int


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """Always the last word of a look that came to its end."""

    state: str = ""
    """Given to the next look: the commit, the listing's etag."""
    notes: tuple[str, ...] = ()
    """What a person should know: entries beyond the cap, files of unknown kinds."""


Seen = Listed | Same | Changed | Gone | Refused | Finished


class OriginFailed(Exception):
    """The place itself could not be looked at: nothing may be concluded about its entries."""

    def __init__(self, fault: DocumentFault, retry_after_s: float | None = None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.retry_after_s = retry_after_s


class Origin(Protocol):
    """One kind of place."""

    def look(self, asked: Look, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        """Yield what is there; bodies go to new files in `folder`, at most one of them open at a time.

        Raises OriginFailed where the place cannot be looked at. An entry that is known and not named by a
        finished look stays as it is.
        """
