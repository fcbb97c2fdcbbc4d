"""A fetcher that answers from a table, by the rules of the port."""

import hashlib
import secrets
from pathlib import Path

import anyio

from runtime.core.fetching import Fetched, FetchFault, FetchRequest, Reach


class Page:
    """What stands at an address."""

    def __init__(
        self,
        body: bytes,
        media_type: str = "text/html",
        *,
        is_marked: bool = True,
        last_modified: str | None = None,
        to: str | None = None,
    ) -> None:
        self.body = body
        self.media_type = media_type
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"' if is_marked else None
        self.last_modified = last_modified
        self.to = to
        """Where it redirects to; then the rest is what stands there."""


class FakeFetcher:
    """Fulfils `core.fetching.Fetcher`; what is at no place in the table is gone."""

    def __init__(self) -> None:
        self.pages: dict[str, Page | FetchFault] = {}
        self.asked: list[FetchRequest] = []
        self.hosts: dict[str, tuple[str, ...] | FetchFault] = {}
        """Where hosts are; those that it does not name are on this machine."""

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.asked]

    def forget(self) -> None:
        """Forget what was asked so far."""
        self.asked.clear()

    async def fetch(self, request: FetchRequest, folder: Path) -> Fetched | FetchFault:
        self.asked.append(request)
        page = self.pages.get(request.url)
        if page is None:
            return Fetched(status="gone", url=request.url)
        if isinstance(page, FetchFault):
            return page
        url = page.to or request.url
        if _is_unchanged(request, page):
            return Fetched(status="not_modified", url=url, etag=page.etag, last_modified=page.last_modified)
        if len(page.body) > request.most_bytes:
            return FetchFault(code="too_large", message=f"{url} is larger than {request.most_bytes} bytes")
        body = folder / f"fetch-{secrets.token_hex(8)}"
        await anyio.Path(body).write_bytes(page.body)
        return Fetched(
            status="ok",
            url=url,
            media_type=page.media_type,
            body=body,
            size_bytes=len(page.body),
            etag=page.etag,
            last_modified=page.last_modified,
        )

    async def check_host(self, host: str, port: int) -> FetchFault | None:
        return None

    async def find_named(self, host: str, port: int, reach: Reach) -> tuple[str, ...] | FetchFault:
        return await self.find_host(host, port)

    async def find_host(self, host: str, port: int) -> tuple[str, ...] | FetchFault:
        return self.hosts.get(host, ("127.0.0.1",))


def _is_unchanged(request: FetchRequest, page: Page) -> bool:
    """Compare as HTTP does: the etag decides where one was sent, else the date."""
    if request.etag is not None:
        return request.etag == page.etag
    return request.last_modified is not None and request.last_modified == page.last_modified
