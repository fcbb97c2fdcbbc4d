"""Tests of sending with runtime/egress/client.py, against a real server on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from runtime.core.fetching import FetchFault, Posted, PostRequest
from runtime.egress.client import GuardedFetcher, open_fetcher

PRIVATE = ("127.0.0.1/32",)


class Stage:
    """A server that notes what it is sent, and a client that may reach it."""

    def __init__(
        self, server: BaseTestServer, fetcher: GuardedFetcher, sent: list[tuple[str, bytes]]
    ) -> None:
        self._server = server
        self.fetcher = fetcher
        self.sent = sent

    def request(self, path: str, *, limit_s: float = 5.0, header: str = "1") -> PostRequest:
        url = f"http://127.0.0.1:{self._server.port}{path}"
        return PostRequest(url=url, body=b'{"a": 1}', headers={"webhook-id": header}, limit_s=limit_s)


@asynccontextmanager
async def open_stage(private: tuple[str, ...] = PRIVATE) -> AsyncIterator[Stage]:
    sent: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        sent.append((request.headers.get("webhook-id", ""), await request.read()))
        return web.Response(status=204)

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async def point(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/take"})

    async def wait(request: web.Request) -> web.Response:
        await anyio.sleep_forever()
        return web.Response()

    app = web.Application()
    for path, handler in (("/take", take), ("/refuse", refuse), ("/point", point), ("/wait", wait)):
        app.router.add_post(path, handler)
    async with TestServer(app, host="127.0.0.1") as server, open_fetcher(private, "0") as fetcher:
        yield Stage(server, fetcher, sent)


async def test_a_body_and_its_headers_arrive() -> None:
    async with open_stage() as stage:
        assert await stage.fetcher.post(stage.request("/take", header="evt_1")) == Posted(status=204)
        assert stage.sent == [("evt_1", b'{"a": 1}')]


async def test_a_refusal_says_when_to_come_back() -> None:
    async with open_stage() as stage:
        assert await stage.fetcher.post(stage.request("/refuse")) == Posted(status=429, retry_after_s=7.0)


async def test_no_redirect_is_followed() -> None:
    async with open_stage() as stage:
        told = await stage.fetcher.post(stage.request("/point"))
        assert isinstance(told, FetchFault)
        assert told.code == "refused"
        assert "redirects" in told.message
        assert stage.sent == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:1/", "unreachable"),
        ("http://10.0.0.1/", "refused"),
        ("ftp://example.org/", "refused"),
        ("http://me:it@127.0.0.1/", "refused"),
        ("nonsense", "refused"),
    ],
)
async def test_what_cannot_or_may_not_be_reached_is_said(url: str, code: str) -> None:
    async with open_stage() as stage:
        told = await stage.fetcher.post(PostRequest(url=url, body=b"", headers={}))
        assert isinstance(told, FetchFault)
        assert told.code == code


async def test_an_address_that_is_not_granted_is_refused_before_anything_is_sent() -> None:
    async with open_stage(private=()) as stage:
        told = await stage.fetcher.post(stage.request("/take"))
        assert isinstance(told, FetchFault)
        assert (told.code, stage.sent) == ("refused", [])


async def test_a_header_cannot_carry_another_one() -> None:
    async with open_stage() as stage:
        told = await stage.fetcher.post(stage.request("/take", header="1\r\nx: y"))
        assert isinstance(told, FetchFault)
        assert (told.code, stage.sent) == ("refused", [])


async def test_whoever_does_not_answer_is_given_up() -> None:
    async with open_stage() as stage:
        with anyio.fail_after(5):
            told = await stage.fetcher.post(stage.request("/wait", limit_s=0.05))
        assert isinstance(told, FetchFault)
        assert told.code == "too_slow"
