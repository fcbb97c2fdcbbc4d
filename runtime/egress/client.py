"""The guarded client: fetches one URL at a time into a file, under the rules of the perimeter.

Redirects are followed by hand, each judged like a first address. The body is measured after decompression,
piece by piece; aiohttp expands no more than a piece at once.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
from aiohttp import ClientResponse
from yarl import URL

from runtime.core.fetching import Fetched, FetchFault, FetchRequest, Posted, PostRequest, Reach
from runtime.egress.addresses import Perimeter, judge_redirect, plain_host, refusal
from runtime.egress.answers import (
    fault_of_error,
    fault_of_headers,
    fault_of_status,
    media_type_of,
    retry_after,
    validator_of,
)
from runtime.egress.resolver import Denied, GuardedResolver, Lookup, system_lookup

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_PIECE_BYTES = 256 * 1024
_CONNECT_LIMIT_S = 15.0
"""For one connection; a host that drops packets must not take all of a request's time."""
_LOOKUP_LIMIT_S = 15.0
_CONNECTIONS = 32
_CONNECTIONS_PER_HOST = 4

HostCheck = Callable[[str, int], Awaitable[str | None]]
"""Says why a host may not be reached on a port, None where it may."""


@asynccontextmanager
async def open_fetcher(
    private: Sequence[str], version: str, lookup: Lookup = system_lookup, check: HostCheck | None = None
) -> AsyncIterator["GuardedFetcher"]:
    """Open the one client of a server.

    `private` is what the settings grant beside the public addresses; `check` is asked about every host.
    """
    perimeter = Perimeter(private)
    resolver = GuardedResolver(perimeter, lookup)
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        limit=_CONNECTIONS,
        limit_per_host=_CONNECTIONS_PER_HOST,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"Lar/{version}"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_LIMIT_S),
        trust_env=False,
        auto_decompress=True,
    ) as session:
        yield GuardedFetcher(session, perimeter, resolver, check)


class GuardedFetcher:
    """Fulfils `core.fetching.Fetcher` over one session of aiohttp."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        perimeter: Perimeter,
        resolver: GuardedResolver,
        check: HostCheck | None = None,
    ) -> None:
        self._session = session
        self._perimeter = perimeter
        self._resolver = resolver
        self._check = check

    async def check_host(self, host: str, port: int) -> FetchFault | None:
        """Say why a host may not be reached, None where it may."""
        found = await self.find_host(host, port)
        return found if isinstance(found, FetchFault) else None

    async def find_host(self, host: str, port: int) -> tuple[str, ...] | FetchFault:
        """Return the addresses of a host that may be reached, all judged: connect to these and no others."""
        fault = self._perimeter.judge_host(host, port)
        if fault is not None:
            return fault
        try:
            await self._pass(host, port)
        except Denied as denied:
            return denied.fault
        return await _looked_up(self._resolver.checked, host, port)

    async def find_named(self, host: str, port: int, reach: Reach) -> tuple[str, ...] | FetchFault:
        """Return the addresses of a host that a definition names; policies have been asked about it."""

        async def look(host: str, port: int) -> list[str]:
            return await self._resolver.named(host, port, reach)

        return await _looked_up(look, host, port)

    async def fetch(self, request: FetchRequest, folder: Path) -> Fetched | FetchFault:
        """Get what is at a URL; the body goes to a new file in `folder`. Leaves no file behind on failure."""
        body = folder / f"fetch-{secrets.token_hex(16)}"
        kept = False
        try:
            with anyio.fail_after(request.limit_s):
                fetched = await self._follow(request, body)
            kept = fetched.body is not None
            return fetched
        except Denied as denied:
            return denied.fault
        except aiohttp.ClientError as problem:
            return fault_of_error(problem, _shown(request.url))
        except TimeoutError:
            return FetchFault(
                code="too_slow",
                message=f"{_shown(request.url)} took longer than {request.limit_s:g} s; try again later,"
                " or allow more time",
            )
        finally:
            if not kept:
                with anyio.CancelScope(shield=True):
                    await anyio.Path(body).unlink(missing_ok=True)

    async def post(self, request: PostRequest) -> Posted | FetchFault:
        """Send a body to a URL; an answer that points elsewhere is refused."""
        shown = _shown(request.url)
        try:
            with anyio.fail_after(request.limit_s):
                return await self._send(request, shown)
        except Denied as denied:
            return denied.fault
        except aiohttp.ClientError as problem:
            return fault_of_error(problem, shown)
        except TimeoutError:
            message = f"{shown} did not answer within {request.limit_s:g} s"
            return FetchFault(code="too_slow", message=message)

    async def _send(self, request: PostRequest, shown: str) -> Posted:
        url = self._admitted(_read_url(request.url), None)
        await self._pass_url(url)
        _check_headers(request.headers)
        async with self._session.post(
            url, data=request.body, headers=request.headers, allow_redirects=False
        ) as response:
            if response.status in _REDIRECTS:
                raise Denied(refusal(f"{shown} redirects; give the address where it ends"))
            told = retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
            return Posted(status=response.status, retry_after_s=told)

    async def _follow(self, request: FetchRequest, body: Path) -> Fetched:
        """Ask, and go where the answers point, until one is the last."""
        url = self._admitted(_read_url(request.url), None)
        await self._pass_url(url)
        headers = _headers_of(request)
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._take(request, response, url, body)
                following = self._admitted(_read_redirect(response, url), url)
            if following.origin() != url.origin():
                headers.pop("Authorization", None)
                await self._pass_url(following)
            url = following
        raise Denied(
            FetchFault(
                code="broken",
                message=f"{_shown(request.url)} redirects more than {_MOST_REDIRECTS} times; give the address"
                " where it ends",
            )
        )

    async def _pass_url(self, url: URL) -> None:
        await self._pass(url.host or "", url.port or 0)

    async def _pass(self, host: str, port: int) -> None:
        """Ask the policies about a host. Raises Denied."""
        reason = None if self._check is None else await self._check(plain_host(host), port)
        if reason is not None:
            raise Denied(refusal(reason))

    def _admitted(self, url: URL, before: URL | None) -> URL:
        fault = self._perimeter.judge_url(url)
        if fault is None and before is not None:
            fault = judge_redirect(before, url)
        if fault is not None:
            raise Denied(fault)
        return url.with_fragment(None)

    async def _take(self, request: FetchRequest, response: ClientResponse, url: URL, body: Path) -> Fetched:
        """Turn the last answer into what came back."""
        shown = _shown(str(url))
        etag, last_modified = validator_of(response, "ETag"), validator_of(response, "Last-Modified")
        if response.status in _GONE:
            return Fetched(status="gone", url=str(url))
        if response.status == 304 and (request.etag or request.last_modified):
            return Fetched(
                status="not_modified",
                url=str(url),
                etag=etag or request.etag,
                last_modified=last_modified or request.last_modified,
            )
        fault = fault_of_status(response, shown) or fault_of_headers(response, shown, request.most_bytes)
        if fault is not None:
            raise Denied(fault)
        return Fetched(
            status="ok",
            url=str(url),
            media_type=media_type_of(response),
            body=body,
            size_bytes=await _store(response, body, request.most_bytes, shown),
            etag=etag,
            last_modified=last_modified,
        )


async def _looked_up(
    look: Callable[[str, int], Awaitable[list[str]]], host: str, port: int
) -> tuple[str, ...] | FetchFault:
    """Return the addresses that a look-up gives, or why there are none."""
    try:
        with anyio.fail_after(_LOOKUP_LIMIT_S):
            return tuple(await look(plain_host(host), port))
    except Denied as denied:
        return denied.fault
    except TimeoutError:
        return FetchFault(
            code="too_slow",
            message=f"the name service did not answer for {host} within {_LOOKUP_LIMIT_S:g} s;"
            " try again later",
        )
    except OSError:
        return FetchFault(
            code="unreachable",
            message=f"the host name {host} is not known; check its spelling and the network",
        )


async def _store(response: ClientResponse, body: Path, most_bytes: int, shown: str) -> int:
    """Write the body to its file, and return its size."""
    size = 0
    async with await anyio.open_file(body, "xb") as file:
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            size += len(piece)
            if size > most_bytes:
                raise Denied(
                    FetchFault(
                        code="too_large",
                        message=f"{shown} is larger than {most_bytes} bytes; allow more, or leave it out",
                    )
                )
            await file.write(piece)
    return size


def _read_url(text: str) -> URL:
    try:
        return URL(text)
    except ValueError as problem:
        raise Denied(refusal("this is no web address; check its spelling")) from problem


def _read_redirect(response: ClientResponse, url: URL) -> URL:
    """Return where an answer points."""
    target = response.headers.get("Location", "")
    try:
        if target:
            return url.join(URL(target))
    except ValueError:
        target = ""
    raise Denied(
        FetchFault(
            code="broken",
            message=f"{_shown(str(url))} redirects without saying where to; its operator has to mend it",
        )
    )


def _headers_of(request: FetchRequest) -> dict[str, str]:
    """Build the headers of the first request."""
    headers = {"Accept": request.accept}
    if request.etag:
        headers["If-None-Match"] = request.etag
    if request.last_modified:
        headers["If-Modified-Since"] = request.last_modified
    if request.token:
        headers["Authorization"] = f"Bearer {request.token}"
    _check_headers(headers)
    return headers


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raise Denied for what no header may carry."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise Denied(
                refusal(f"the header {name} would hold characters that none may carry; check its value")
            )


def _shown(url: str) -> str:
    """Return a URL as messages may show it: without credentials and query, where keys are often put."""
    try:
        plain = URL(url)
        return (
            str(plain.with_user(None).with_query(None).with_fragment(None)) if plain.host else "this address"
        )
    except ValueError:
        return "this address"
