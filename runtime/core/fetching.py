"""The words of fetching from other hosts and sending to them, and the ports; `runtime/egress` fulfils them.

What goes wrong in a way that is to be expected is a value: the page is gone, the perimeter forbids it.
"""

from pathlib import Path
from typing import Literal, Protocol

import msgspec

MIB = 1024 * 1024

Reach = Literal["anywhere", "this_machine", "public"]
"""Where a host may be that a definition names.

    anywhere       but not where machines give out their secrets
    this_machine   public, or this machine by its own names and addresses (localhost, 127.0.0.1, ::1)
    public         public alone
What the settings grant may be reached with each of them.
"""


class FetchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One GET."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    """What the last answer carried: then an unchanged page comes back as `not_modified`, without a body."""
    token: str | None = None
    """Sent as `Authorization: Bearer …` to the host of `url` alone, never to one that it redirects to."""
    accept: str = "*/*"
    most_bytes: int = 64 * MIB
    """Of the body as it is after decompression."""
    limit_s: float = 60.0
    """For all of it, redirects included."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: Literal["ok", "not_modified", "gone"]
    """gone: 404 or 410."""
    url: str
    """Where it was found in the end, redirects followed."""
    media_type: str = ""
    """Without parameters, lower case; empty where none was told."""
    body: Path | None = None
    """The bytes, in the folder that was given; the caller removes it. None unless `ok`."""
    size_bytes: int = 0
    etag: str | None = None
    last_modified: str | None = None


class FetchFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing came back; `message` says cause and fix."""

    code: Literal["refused", "unreachable", "too_large", "too_slow", "broken"]
    """refused: the perimeter forbids it, or the other side does (401, 403)."""
    message: str
    retry_after_s: float | None = None
    """When the other side asked to come back (429, 503)."""


class PostRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One POST. No redirect is followed: what is signed for one host is not handed on to another."""

    url: str
    body: bytes
    headers: dict[str, str]
    limit_s: float = 15.0
    """For all of it."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What the other side said; its body is not read."""

    status: int
    retry_after_s: float | None = None
    """When it asked to come back."""


class Poster(Protocol):
    """Sends under the rules of the perimeter."""

    async def post(self, request: PostRequest) -> Posted | FetchFault:
        """Send a body to a URL."""

    async def check_host(self, host: str, port: int) -> FetchFault | None:
        """Say why a host may not be reached, None where it may."""


class HostFinder(Protocol):
    """Says where hosts are, under the rules of the perimeter: for what connects by other means (git, MCP)."""

    async def find_host(self, host: str, port: int) -> tuple[str, ...] | FetchFault:
        """Return the addresses of a host that may be reached, all judged: connect to these and no others."""

    async def find_named(self, host: str, port: int, reach: Reach) -> tuple[str, ...] | FetchFault:
        """Return the addresses of a host that a definition names, which policies have let connect."""


class Fetcher(HostFinder, Protocol):
    """Fetches under the rules of the perimeter."""

    async def fetch(self, request: FetchRequest, folder: Path) -> Fetched | FetchFault:
        """Get what is at a URL; the body goes to a new file in `folder`. Leaves no file behind on failure."""

    async def check_host(self, host: str, port: int) -> FetchFault | None:
        """Say why a host may not be reached, None where it may: for what connects by other means (git)."""
