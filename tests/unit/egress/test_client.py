"""Tests of runtime/egress/client.py against a real server on loopback."""

import gzip
import socket
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtime.core.fetching import Fetched, FetchFault, FetchRequest
from runtime.egress.client import GuardedFetcher, open_fetcher

PRIVATE = ("127.0.0.1/32",)
PAGE = b"<p>Bread needs time.</p>" * 1000


class Stage:
    """A server that notes what it was asked for, and the way to it."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.cut_off = anyio.Event()
        self.started = anyio.Event()
        app = web.Application()
        app.router.add_get("/page", self._page)
        app.router.add_get("/to", self._to)
        app.router.add_get("/loop/{rest}", self._loop)
        app.router.add_get("/status/{status}", self._status)
        app.router.add_get("/slow", self._slow)
        app.router.add_get("/huge", self._huge)
        app.router.add_get("/bomb", self._bomb)
        app.router.add_get("/dropped", self._dropped)
        self.server = TestServer(app, host="127.0.0.1")
        self.bomb = b""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server.port}{path}"

    async def _page(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        headers = {"ETag": '"1"', "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT", "Set-Cookie": "a=b"}
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304, headers=headers)
        answer = web.Response(body=PAGE, headers=headers | {"Content-Type": "Text/HTML; charset=utf-8"})
        answer.enable_compression()
        return answer

    async def _to(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        return web.Response(status=302, headers={"Location": request.query["url"]})

    async def _loop(self, request: web.Request) -> web.Response:
        left = int(request.match_info["rest"])
        return web.Response(status=307, headers={"Location": f"/loop/{left - 1}" if left else "../page"})

    async def _status(self, request: web.Request) -> web.Response:
        headers = {"Retry-After": request.query["after"]} if "after" in request.query else {}
        return web.Response(status=int(request.match_info["status"]), headers=headers)

    async def _slow(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first")
        self.started.set()
        with anyio.move_on_after(30):
            await self.cut_off.wait()
        return answer

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(64):
            await answer.write(bytes(65536))
        return answer

    async def _bomb(self, request: web.Request) -> web.Response:
        return web.Response(body=self.bomb, headers={"Content-Encoding": "gzip"})

    async def _dropped(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return answer


class Names:
    """A name service that answers from a list, one answer per question."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.questions: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.questions.append(host)
        if not self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self._answers.pop(0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    async with stage.server:
        yield stage
        stage.cut_off.set()


@pytest.fixture
async def fetcher() -> AsyncIterator[GuardedFetcher]:
    async with open_fetcher(PRIVATE, "1.2.3") as fetcher:
        yield fetcher


async def fetch(
    fetcher: GuardedFetcher,
    folder: Path,
    url: str,
    *,
    most_bytes: int = 1 << 20,
    limit_s: float = 5,
    token: str | None = None,
) -> Fetched | FetchFault:
    request = FetchRequest(url=url, most_bytes=most_bytes, limit_s=limit_s, token=token)
    with anyio.fail_after(10):
        return await fetcher.fetch(request, folder)


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def expect_fault(answer: Fetched | FetchFault, code: str, folder: Path) -> str:
    assert isinstance(answer, FetchFault), answer
    assert answer.code == code, answer
    assert files_in(folder) == []
    return answer.message


async def test_a_page_comes_back_as_a_file_with_what_is_known_of_it(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    answer = await fetch(fetcher, tmp_path, stage.url("/page#part"))
    assert isinstance(answer, Fetched)
    assert answer.body is not None
    assert answer.body.read_bytes() == PAGE
    assert (answer.status, answer.url, answer.media_type) == ("ok", stage.url("/page"), "text/html")
    assert (answer.size_bytes, answer.etag) == (len(PAGE), '"1"')
    assert answer.last_modified == "Wed, 01 Jan 2025 00:00:00 GMT"
    assert files_in(tmp_path) == [answer.body]
    await fetch(fetcher, tmp_path, stage.url("/page"))
    assert stage.asked[1].headers["User-Agent"] == "Lar/1.2.3"
    assert "Cookie" not in stage.asked[1].headers
    assert "Authorization" not in stage.asked[1].headers


async def test_an_unchanged_page_comes_back_without_a_body(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    answer = await fetcher.fetch(FetchRequest(url=stage.url("/page"), etag='"1"', limit_s=5), tmp_path)
    assert isinstance(answer, Fetched)
    assert (answer.status, answer.body, answer.etag) == ("not_modified", None, '"1"')
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("status", [404, 410])
async def test_a_page_that_is_not_there_is_gone(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path, status: int
) -> None:
    answer = await fetch(fetcher, tmp_path, stage.url(f"/status/{status}"))
    assert isinstance(answer, Fetched)
    assert (answer.status, answer.body) == ("gone", None)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "refused"),
        (403, "refused"),
        (400, "unreachable"),
        (500, "unreachable"),
        (206, "broken"),
        (304, "broken"),
    ],
)
async def test_a_status_that_brings_nothing_is_named(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path, status: int, code: str
) -> None:
    message = expect_fault(await fetch(fetcher, tmp_path, stage.url(f"/status/{status}")), code, tmp_path)
    assert str(status) in message


@pytest.mark.parametrize("status", [429, 503])
async def test_a_host_that_asks_for_time_says_how_long(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path, status: int
) -> None:
    answer = await fetch(fetcher, tmp_path, stage.url(f"/status/{status}?after=17"))
    expect_fault(answer, "unreachable", tmp_path)
    assert isinstance(answer, FetchFault)
    assert answer.retry_after_s == 17.0


async def test_five_redirects_are_followed_and_six_are_not(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    answer = await fetch(fetcher, tmp_path, stage.url("/loop/4"))
    assert isinstance(answer, Fetched)
    assert answer.url == stage.url("/page")
    assert answer.body is not None
    await anyio.Path(answer.body).unlink()
    endless = await fetch(fetcher, tmp_path, stage.url("/loop/5"))
    assert "redirects more than 5 times" in expect_fault(endless, "broken", tmp_path)


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/page",
        "http://[::1]:{port}/page",
        "http://[::ffff:7f00:2]:{port}/page",
        "http://2130706434:{port}/page",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "http://anna:secret@127.0.0.1:{port}/page",
    ],
)
async def test_a_redirect_is_judged_like_a_first_address(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path, target: str
) -> None:
    url = stage.url("/to?url=" + target.format(port=stage.server.port))
    expect_fault(await fetch(fetcher, tmp_path, url), "refused", tmp_path)
    assert [request.path for request in stage.asked] == ["/to"]


async def test_a_redirect_without_a_target_is_broken(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    expect_fault(await fetch(fetcher, tmp_path, stage.url("/status/302")), "broken", tmp_path)


async def test_a_token_reaches_its_own_host_alone(stage: Stage, tmp_path: Path) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.1"])
    async with open_fetcher(PRIVATE, "1", names) as fetcher:
        there = stage.url("/to?url=" + stage.url("/page", host="b.example"), host="a.example")
        back = stage.url("/to?url=" + there, host="a.example")
        answer = await fetch(fetcher, tmp_path, back, token="secret")
    assert isinstance(answer, Fetched)
    assert [request.headers.get("Authorization") for request in stage.asked] == ["Bearer secret"] * 2 + [None]


async def test_every_host_is_put_to_the_check_and_a_no_is_a_refusal(stage: Stage, tmp_path: Path) -> None:
    asked: list[str] = []

    async def check(host: str, port: int) -> str | None:
        asked.append(f"{host}:{port}")
        return "No policy allows it." if host == "b.example" else None

    names = Names(["127.0.0.1"], ["127.0.0.1"])
    async with open_fetcher(PRIVATE, "1", names, check) as fetcher:
        away = stage.url("/to?url=" + stage.url("/page", host="b.example"), host="a.example")
        told = expect_fault(await fetch(fetcher, tmp_path, away), "refused", tmp_path)
        git = await fetcher.check_host("B.example.", 443)
        here = await fetch(fetcher, tmp_path, stage.url("/page", host="a.example"))

    port = stage.server.port
    assert isinstance(here, Fetched)
    assert told == "No policy allows it."
    assert git is not None
    assert git.message == "No policy allows it."
    assert asked == [f"a.example:{port}", f"b.example:{port}", "b.example:443", f"a.example:{port}"]
    assert [each.host for each in stage.asked] == [f"a.example:{port}"] * 2


async def test_a_token_with_a_line_break_is_refused(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    answer = await fetch(fetcher, tmp_path, stage.url("/page"), token="a\r\nHost: b")
    expect_fault(answer, "refused", tmp_path)
    assert stage.asked == []


async def test_the_connection_goes_to_the_address_that_was_checked(stage: Stage, tmp_path: Path) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with open_fetcher(PRIVATE, "1", names) as fetcher:
        answer = await fetch(fetcher, tmp_path, stage.url("/page", host="example.org"))
    assert isinstance(answer, Fetched)
    assert names.questions == ["example.org"]
    assert stage.asked[0].host == f"example.org:{stage.server.port}"


async def test_a_name_that_turns_to_a_closed_address_is_refused(stage: Stage, tmp_path: Path) -> None:
    names = Names(["1.1.1.1", "127.0.0.2"], ["127.0.0.2"])
    async with open_fetcher(PRIVATE, "1", names) as fetcher:
        for _ in range(2):
            answer = await fetch(fetcher, tmp_path, stage.url("/page", host="example.org"))
            assert "127.0.0.2" in expect_fault(answer, "refused", tmp_path)
    assert stage.asked == []


async def test_an_unknown_name_and_a_closed_port_are_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    async with open_fetcher(PRIVATE, "1", Names()) as fetcher:
        unknown = await fetch(fetcher, tmp_path, "http://nowhere.example/")
        closed = await fetch(fetcher, tmp_path, f"http://127.0.0.1:{port}/")
    assert "nowhere.example is not known" in expect_fault(unknown, "unreachable", tmp_path)
    assert "connection failed" in expect_fault(closed, "unreachable", tmp_path)


async def test_a_plain_server_spoken_to_by_https_is_unreachable(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    url = stage.url("/page").replace("http:", "https:")
    assert "secure" in expect_fault(await fetch(fetcher, tmp_path, url), "unreachable", tmp_path)


async def test_a_body_that_stalls_is_too_slow(stage: Stage, fetcher: GuardedFetcher, tmp_path: Path) -> None:
    expect_fault(await fetch(fetcher, tmp_path, stage.url("/slow"), limit_s=0.3), "too_slow", tmp_path)


async def test_a_body_without_a_length_stops_at_the_cap(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    expect_fault(await fetch(fetcher, tmp_path, stage.url("/huge")), "too_large", tmp_path)


async def test_a_small_file_that_expands_without_end_is_stopped_before_it_fills_memory(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    stage.bomb = gzip.compress(bytes(256 << 20), compresslevel=9)
    tracemalloc.start()
    try:
        answer = await fetch(fetcher, tmp_path, stage.url("/bomb"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    expect_fault(answer, "too_large", tmp_path)
    assert peak < 8 << 20


async def test_a_dropped_connection_leaves_nothing(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    expect_fault(await fetch(fetcher, tmp_path, stage.url("/dropped")), "broken", tmp_path)


async def test_a_cancelled_fetch_leaves_no_file(
    stage: Stage, fetcher: GuardedFetcher, tmp_path: Path
) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fetch, fetcher, tmp_path, stage.url("/slow"))
            await stage.started.wait()
            while not files_in(tmp_path):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert files_in(tmp_path) == []


async def test_a_host_is_checked_by_the_same_rules() -> None:
    names = Names(["1.1.1.1"], ["10.0.0.1"], ["1.1.1.1"])
    async with open_fetcher(("git.home.arpa",), "1", names) as fetcher:
        assert await fetcher.check_host("example.org", 443) is None
        codes = [
            (await fetcher.check_host(host, port) or FetchFault(code="broken", message="")).code
            for host, port in [
                ("example.org", 443),
                ("example.org", 22),
                ("::1", 443),
                ("nowhere.example", 443),
            ]
        ]
    assert codes == ["refused", "refused", "refused", "unreachable"]


@pytest.mark.parametrize(
    "url", ["http://anna:secret@[::1/", "http://anna:secret@a\\b/", "http://example.org:99999/"]
)
async def test_what_cannot_be_read_as_a_url_is_refused_without_being_repeated(
    fetcher: GuardedFetcher, tmp_path: Path, url: str
) -> None:
    message = expect_fault(await fetch(fetcher, tmp_path, url), "refused", tmp_path)
    assert "secret" not in message
