"""The items of a feed as a place: an item is named by its id, or else by its link.

An item that brings its whole text is a document of its own (`items.py` has the rule), for others the page
that they link to is had, of whatever host. An item is looked at again when the feed says something else of
it. One that has fallen off the feed's end is not gone: nothing is said of it, and it stays.
"""

import secrets
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import anyio.to_thread

from runtime.core.fetching import Fetched, Fetcher, FetchFault
from runtime.core.knowledge import DocumentFault
from runtime.recall.sources.asking import Asker, Wanted, discard, handing
from runtime.recall.sources.items import Item, text_of
from runtime.recall.sources.items_xml import MOST_FEED_BYTES, Feed, read_feed
from runtime.recall.sources.listing import Broken
from runtime.recall.sources.origin import (
    Changed,
    Entry,
    Finished,
    Gone,
    Listed,
    Look,
    OriginFailed,
    Refused,
    Same,
    Seen,
)
from runtime.recall.sources.web import (
    Globs,
    Mark,
    check_url,
    failed,
    leave,
    name_of_page,
    not_there,
    read_marks,
)


class FeedOrigin:
    """Looks at the items of a feed."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def look(self, asked: Look, known: Mapping[str, Entry], folder: Path) -> AsyncGenerator[Seen, None]:
        """Yield what became of each item that the feed names now; of an unchanged feed, nothing.

        Raises OriginFailed where the feed cannot be had or read, and where a host wants no more to be asked.
        """
        url = str(check_url(asked.uri))
        asker = Asker(self._fetcher, asked, folder)
        got = await _get(asker, url, read_marks(asked, known))
        if got.status == "not_modified":
            yield Listed(entries=len(known))
            yield Finished(state=asked.state)
            return
        feed = await _read(got, asked)
        yield Listed(entries=len(feed.items))
        had = set[str]()
        for item in feed.items:
            found = await _look_at(item, known.get(item.key), asker, asked, folder)
            if isinstance(found, Same | Changed):
                had.add(item.key)
            async with handing(found):
                yield found
        is_clean = len(had) == len(feed.items) and not feed.left_out and not feed.notes
        mark = Mark(url=url, etag=got.etag, last_modified=got.last_modified)
        yield Finished(state=leave(asked, known, had, [mark]) if is_clean else "", notes=_notes(feed, asked))


async def _get(asker: Asker, url: str, marks: tuple[Mark, ...]) -> Fetched:
    """Have the feed itself."""
    etag, last_modified = (marks[0].etag, marks[0].last_modified) if marks else (None, None)
    got = await asker.get(url, etag, last_modified, MOST_FEED_BYTES)
    if isinstance(got, FetchFault):
        raise failed(got)
    if got.status == "gone":
        raise OriginFailed(not_there(url))
    return got


async def _read(got: Fetched, asked: Look) -> Feed:
    """Read the feed and remove its file; keep the items whose pages are wanted."""
    assert got.body is not None
    globs = Globs(asked.include, asked.exclude)
    try:
        return await anyio.to_thread.run_sync(read_feed, got.body, got.url, asked.most_entries, globs)
    except Broken as broken:
        raise OriginFailed(broken.fault) from broken
    finally:
        await discard(got.body)


async def _look_at(
    item: Item, entry: Entry | None, asker: Asker, asked: Look, folder: Path
) -> Same | Changed | Gone | Refused:
    """Say what became of one item."""
    if entry is not None and entry.document is not None and entry.stamp == item.stamp:
        return Same(key=item.key)
    text = await anyio.to_thread.run_sync(text_of, item)
    if text is None:
        wanted = Wanted(
            key=item.key,
            url=item.link,
            uri=item.uri,
            name=item.title,
            title=item.title,
            stamp=item.stamp,
            created_at=item.created_at,
        )
        return await asker.take(wanted, entry)
    if len(text) > asked.most_bytes:
        message = f"the item has more than {asked.most_bytes} bytes; allow more, or leave it out"
        return Refused(key=item.key, fault=DocumentFault(code="too_large", message=message))
    return Changed(
        key=item.key,
        name=item.title or name_of_page(item.link or asked.uri),
        uri=item.uri,
        body=await _store(text, folder),
        media_type="text/html",
        title=item.title,
        stamp=item.stamp,
        created_at=item.created_at,
    )


async def _store(text: bytes, folder: Path) -> Path:
    """Write an item's own text to a new file, whole or not at all."""
    body, is_whole = folder / f"item-{secrets.token_hex(16)}", False
    try:
        await anyio.Path(body).write_bytes(text)
        is_whole = True
    finally:
        if not is_whole:
            await discard(body)
    return body


def _notes(feed: Feed, asked: Look) -> tuple[str, ...]:
    """Say what a person should know."""
    if not feed.left_out:
        return feed.notes
    left_out = (
        f"{feed.left_out} items beyond the first {asked.most_entries} were left out; choose with include and"
        " exclude, or allow more entries"
    )
    return (*feed.notes, left_out)
