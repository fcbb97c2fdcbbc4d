"""What tests of places share: a receiver that takes a look to its end as the port demands, and web hosts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtime.core.ids import DocumentId
from runtime.egress.client import GuardedFetcher, open_fetcher
from runtime.recall.sources.origin import (
    Changed,
    Entry,
    Finished,
    Gone,
    Listed,
    Look,
    Origin,
    Refused,
    Same,
    Seen,
)

PRIVATE = ("127.0.0.1/32",)


class Taken(NamedTuple):
    """What a look found, with the bodies' bytes."""

    seen: list[Seen]
    bodies: dict[str, bytes]

    @property
    def state(self) -> str:
        """What it left to the next one."""
        return self.finished.state

    @property
    def finished(self) -> Finished:
        """Its last word."""
        last = self.seen[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def listed(self) -> int:
        """How many entries it told of."""
        return next(seen.entries for seen in self.seen if isinstance(seen, Listed))

    def words(self) -> dict[str, str]:
        """What was said of each entry, in a word."""
        return {
            seen.key: type(seen).__name__.lower()
            for seen in self.seen
            if isinstance(seen, Same | Changed | Gone | Refused)
        }

    def changed(self, key: str) -> Changed:
        """What is new of an entry."""
        return next(seen for seen in self.seen if isinstance(seen, Changed) and seen.key == key)

    def refused(self, key: str) -> Refused:
        """Why an entry could not be had."""
        return next(seen for seen in self.seen if isinstance(seen, Refused) and seen.key == key)


def files(folder: Path) -> list[Path]:
    """What lies in a folder."""
    return sorted(folder.iterdir())


def _receive(body: Path) -> bytes:
    content = body.read_bytes()
    body.unlink()
    return content


async def take(origin: Origin, asked: Look, known: Mapping[str, Entry], folder: Path) -> Taken:
    """Take a look to its end; each body is read and removed as it comes."""
    seen: list[Seen] = []
    bodies: dict[str, bytes] = {}
    look = origin.look(asked, known, folder)
    try:
        async for found in look:
            seen.append(found)
            if isinstance(found, Changed):
                assert files(folder) == [found.body]
                bodies[found.key] = _receive(found.body)
    finally:
        await look.aclose()
        assert files(folder) == []
    return Taken(seen, bodies)


def remember(known: Mapping[str, Entry], taken: Taken) -> dict[str, Entry]:
    """Remember what a look found, as a sync does."""
    entries = dict(known)
    for seen in taken.seen:
        if isinstance(seen, Changed):
            entries[seen.key] = Entry(
                key=seen.key,
                stamp=seen.stamp,
                etag=seen.etag,
                last_modified=seen.last_modified,
                document=DocumentId(f"doc_{len(entries)}"),
            )
        elif isinstance(seen, Same):
            entries[seen.key] = msgspec.structs.replace(entries[seen.key], misses=0)
        elif isinstance(seen, Gone) and seen.key in entries:
            entry = entries.pop(seen.key)
            if not seen.is_certain and entry.misses == 0:
                entries[seen.key] = msgspec.structs.replace(entry, misses=1)
    return entries


class Host:
    """A web server on loopback; `pages` are its answers, by path, `asked` what came."""

    def __init__(self) -> None:
        self.pages: dict[str, web.Response] = {}
        self.asked: list[tuple[str, int]] = []
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.port}{path}"

    def put(self, path: str, body: bytes, media_type: str = "text/html", **headers: str) -> None:
        """Put a page there."""
        self.pages[path] = web.Response(body=body, content_type=media_type, headers=headers)

    async def _answer(self, request: web.Request) -> web.Response:
        page = self.pages.get(request.path)
        if page is None:
            answer = web.Response(status=404)
        elif page.headers.get("ETag") and page.headers["ETag"] == request.headers.get("If-None-Match"):
            answer = web.Response(status=304, headers={"ETag": page.headers["ETag"]})
        else:
            answer = web.Response(body=page.body, status=page.status, headers=page.headers)
            if page.status == 200 and "Content-Encoding" not in page.headers:
                answer.enable_compression()
        self.asked.append((request.path, answer.status))
        return answer


@asynccontextmanager
async def open_host() -> AsyncIterator[tuple[Host, GuardedFetcher]]:
    """Start a host, and open the real way to it."""
    host = Host()
    async with host.server, open_fetcher(PRIVATE, "1.2.3") as fetcher:
        yield host, fetcher
