"""Asks for the pages of one look, one after the other, and says what became of each.

A host that asks to wait ends the look, and so does one that has stopped answering at all.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from runtime.core.fetching import Fetched, Fetcher, FetchFault, FetchRequest
from runtime.recall.sources.origin import Changed, Entry, Gone, Look, Refused, Same
from runtime.recall.sources.web import document_fault, failed, is_same_origin, name_of_page, not_there

_MOST_SILENT = 10
"""Pages in a row that nobody answered for, before it is found out whether anybody is there at all."""
_SILENT = frozenset({"unreachable", "too_slow"})


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A page to ask for."""

    key: str
    url: str
    uri: str = ""
    """Where a person finds it. Empty: where it was found in the end."""
    name: str = ""
    """Empty: by where it is found."""
    title: str = ""
    stamp: str = ""
    created_at: float | None = None


class Asker:
    """Asks under the bounds of one look."""

    def __init__(self, fetcher: Fetcher, look: Look, folder: Path) -> None:
        self._fetcher = fetcher
        self._look = look
        self._folder = folder
        self._silent = 0

    async def get(
        self, url: str, etag: str | None, last_modified: str | None, most_bytes: int
    ) -> Fetched | FetchFault:
        """Ask for one address; the token goes only to where the place itself is."""
        token = self._look.token if is_same_origin(url, self._look.uri) else None
        got = await self._fetcher.fetch(
            FetchRequest(url=url, etag=etag, last_modified=last_modified, token=token, most_bytes=most_bytes),
            self._folder,
        )
        if isinstance(got, Fetched):
            self._silent = 0
        return got

    async def take(self, wanted: Wanted, entry: Entry | None) -> Same | Changed | Gone | Refused:
        """Ask for a page as it is now. Raises OriginFailed where its host wants no more to be asked."""
        stored = entry if entry is not None and entry.document is not None else None
        got = await self.get(
            wanted.url,
            stored.etag if stored else None,
            stored.last_modified if stored else None,
            self._look.most_bytes,
        )
        if isinstance(got, FetchFault):
            await self.weigh(got)
            return Refused(key=wanted.key, fault=document_fault(got))
        return seen(wanted, stored, got)

    async def weigh(self, fault: FetchFault) -> None:
        """Go on after a fault, or raise OriginFailed where its host wants, or gives, no more."""
        if fault.retry_after_s is not None:
            raise failed(fault)
        self._silent = self._silent + 1 if fault.code in _SILENT else 0
        if self._silent < _MOST_SILENT:
            return
        self._silent = 0
        answer = await self.get(self._look.uri, None, None, self._look.most_bytes)
        if isinstance(answer, FetchFault):
            raise failed(answer)
        await discard(answer.body)


def seen(wanted: Wanted, stored: Entry | None, got: Fetched) -> Same | Changed | Gone | Refused:
    """Say what an answer means for a page."""
    if got.status == "not_modified":
        return Same(key=wanted.key)
    if got.status == "gone" or got.body is None:
        if stored is None:
            return Refused(key=wanted.key, fault=not_there(wanted.url))
        return Gone(key=wanted.key, is_certain=False)
    return Changed(
        key=wanted.key,
        name=wanted.name or name_of_page(got.url),
        uri=wanted.uri or got.url,
        body=got.body,
        media_type=got.media_type,
        title=wanted.title,
        stamp=wanted.stamp,
        etag=got.etag,
        last_modified=got.last_modified,
        created_at=wanted.created_at,
    )


@asynccontextmanager
async def handing(found: object) -> AsyncIterator[None]:
    """Hold what is yielded within; its body is removed unless the receiver came back for more."""
    taken = False
    try:
        yield
        taken = True
    finally:
        if not taken and isinstance(found, Changed):
            await discard(found.body)


async def discard(body: Path | None) -> None:
    """Remove a body that nobody needs."""
    if body is not None:
        with anyio.CancelScope(shield=True):
            await anyio.Path(body).unlink(missing_ok=True)
