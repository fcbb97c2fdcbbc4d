"""Tests of runtime/recall/sources/page.py, and of what it shares with the rest of the web (web.py)."""

from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.fetching import FetchFault
from runtime.core.ids import DocumentId
from runtime.recall.sources.origin import Changed, Entry, Finished, Gone, Listed, Look, OriginFailed, Same
from runtime.recall.sources.page import PageOrigin
from runtime.recall.sources.web import Globs, clean, is_same_origin, name_of_page, read_url, site_of
from tests.kit.fake_fetcher import FakeFetcher, Page
from tests.kit.source_stage import files, open_host, remember, take

URI = "https://bread.example/guide/sourdough.html"


@pytest.fixture
def fetcher() -> FakeFetcher:
    return FakeFetcher()


async def test_a_page_is_had_once_and_then_asked_for_conditionally(
    fetcher: FakeFetcher, tmp_path: Path
) -> None:
    fetcher.pages[URI] = Page(b"<p>Bread</p>", last_modified="Wed, 01 Jan 2025 00:00:00 GMT")
    origin = PageOrigin(fetcher)

    first = await take(origin, Look(uri=URI, token="secret"), {}, tmp_path)
    known = remember({}, first)
    second = await take(origin, Look(uri=URI), known, tmp_path)

    changed = first.changed(URI)
    assert first.bodies == {URI: b"<p>Bread</p>"}
    assert (changed.name, changed.uri, changed.media_type) == ("sourdough.html", URI, "text/html")
    assert second.seen == [Listed(entries=1), Same(key=URI), Finished()]
    assert [request.token for request in fetcher.asked] == ["secret", None]
    assert (fetcher.asked[1].etag, fetcher.asked[1].last_modified) == (changed.etag, changed.last_modified)


async def test_a_page_whose_document_is_not_there_is_had_whole(fetcher: FakeFetcher, tmp_path: Path) -> None:
    fetcher.pages[URI] = page = Page(b"<p>Bread</p>")

    taken = await take(PageOrigin(fetcher), Look(uri=URI), {URI: Entry(key=URI, etag=page.etag)}, tmp_path)

    assert taken.words() == {URI: "changed"}


async def test_a_page_that_redirects_keeps_its_key(fetcher: FakeFetcher, tmp_path: Path) -> None:
    fetcher.pages[URI] = Page(b"<p>Bread</p>", to="https://other.example/")

    changed = (await take(PageOrigin(fetcher), Look(uri=URI), {}, tmp_path)).changed(URI)

    assert (changed.key, changed.uri, changed.name) == (URI, "https://other.example/", "other.example")


async def test_a_known_page_that_is_not_there_is_gone_but_not_for_certain(
    fetcher: FakeFetcher, tmp_path: Path
) -> None:
    known = {URI: Entry(key=URI, document=DocumentId("doc_1"))}

    taken = await take(PageOrigin(fetcher), Look(uri=URI), known, tmp_path)

    assert taken.seen == [Listed(entries=1), Gone(key=URI, is_certain=False), Finished()]


async def test_a_page_that_never_was_there_fails_with_its_address(
    fetcher: FakeFetcher, tmp_path: Path
) -> None:
    with pytest.raises(OriginFailed, match=r"nothing at https://bread\.example.*check the address") as failed:
        await take(PageOrigin(fetcher), Look(uri=URI), {}, tmp_path)

    assert failed.value.fault.code == "not_found"


async def test_a_fault_of_the_one_page_is_one_of_the_place(fetcher: FakeFetcher, tmp_path: Path) -> None:
    fetcher.pages[URI] = FetchFault(code="unreachable", message="busy", retry_after_s=30.0)
    with pytest.raises(OriginFailed) as busy:
        await take(PageOrigin(fetcher), Look(uri=URI), {}, tmp_path)
    fetcher.pages[URI] = FetchFault(code="refused", message="not allowed")
    with pytest.raises(OriginFailed) as refused:
        await take(PageOrigin(fetcher), Look(uri=URI), {}, tmp_path)

    assert (busy.value.fault.code, busy.value.retry_after_s) == ("unreachable", 30.0)
    assert (refused.value.fault.code, refused.value.retry_after_s) == ("refused", None)


@pytest.mark.parametrize(
    "uri", ["", "bread", "ftp://bread.example/", "file:///etc/passwd", "https://a:b@c.d/"]
)
async def test_what_is_no_address_of_the_web_is_refused_unasked(
    uri: str, fetcher: FakeFetcher, tmp_path: Path
) -> None:
    with pytest.raises(OriginFailed, match="begins with http"):
        await take(PageOrigin(fetcher), Look(uri=uri), {}, tmp_path)

    assert fetcher.asked == []


async def test_a_look_that_is_given_up_leaves_no_file(fetcher: FakeFetcher, tmp_path: Path) -> None:
    fetcher.pages[URI] = Page(b"<p>Bread</p>")
    look = PageOrigin(fetcher).look(Look(uri=URI), {}, tmp_path)

    async for seen in look:
        if isinstance(seen, Changed):
            assert await anyio.Path(seen.body).exists()
            break
    await look.aclose()

    assert files(tmp_path) == []


async def test_a_look_that_is_cancelled_leaves_no_file(fetcher: FakeFetcher, tmp_path: Path) -> None:
    fetcher.pages[URI] = Page(b"<p>Bread</p>")
    with anyio.CancelScope() as scope:
        async with aclosing(PageOrigin(fetcher).look(Look(uri=URI), {}, tmp_path)) as look:
            async for seen in look:
                if isinstance(seen, Changed):
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()

    assert scope.cancelled_caught
    assert files(tmp_path) == []


async def test_a_receiver_that_fails_leaves_no_file(fetcher: FakeFetcher, tmp_path: Path) -> None:
    fetcher.pages[URI] = Page(b"<p>Bread</p>")
    look = PageOrigin(fetcher).look(Look(uri=URI), {}, tmp_path)
    await anext(look)
    await anext(look)

    with pytest.raises(RuntimeError, match="disk"):
        await look.athrow(RuntimeError("disk"))

    assert files(tmp_path) == []


async def test_a_body_that_the_receiver_moved_on_with_is_left_to_it(
    fetcher: FakeFetcher, tmp_path: Path
) -> None:
    fetcher.pages[URI] = Page(b"<p>Bread</p>")

    seen = [found async for found in PageOrigin(fetcher).look(Look(uri=URI), {}, tmp_path)]

    assert isinstance(seen[1], Changed)
    assert files(tmp_path) == [seen[1].body]


async def test_a_real_page_is_followed_through_redirect_change_and_removal(tmp_path: Path) -> None:
    async with open_host() as (host, fetcher):
        body = b"<p>Bread needs time.</p>" * 100
        host.put("/page", body, ETag='"1"')
        host.pages["/old"] = web.Response(status=301, headers={"Location": "/page"})
        asked, origin = Look(uri=host.url("/old")), PageOrigin(fetcher)

        with anyio.fail_after(5):
            first = await take(origin, asked, {}, tmp_path)
            known = remember({}, first)
            second = await take(origin, asked, known, tmp_path)
            host.put("/page", b"<p>New</p>", ETag='"2"')
            third = await take(origin, asked, known, tmp_path)
            del host.pages["/page"]
            fourth = await take(origin, asked, known, tmp_path)

        assert first.bodies == {asked.uri: body}
        assert first.changed(asked.uri).uri == host.url("/page")
        assert (second.words(), host.asked[3]) == ({asked.uri: "same"}, ("/page", 304))
        assert third.bodies == {asked.uri: b"<p>New</p>"}
        assert fourth.words() == {asked.uri: "gone"}


@pytest.mark.parametrize(
    ("include", "exclude", "path", "is_taken"),
    [
        ((), (), "/any", True),
        (("*.html",), (), "/deep/er/a.html", True),
        (("*.html",), (), "/deep/er/a.pdf", False),
        (("/docs/*",), (), "/docs/a", True),
        (("/docs/*",), (), "/docs/a/b", False),
        (("docs/**",), (), "/docs/a/b", True),
        (("docs/",), (), "/docs/a/b", True),
        (("docs/**/b",), (), "/docs/b", True),
        ((), ("**/draft/**",), "/a/draft/b", False),
        (("docs/",), ("*.pdf",), "/docs/a.pdf", False),
        (("über/*",), (), "/%C3%BCber/a", True),
        (("docs/**",), (), "/docs", True),
        (("[ab].html",), (), "/c.html", False),
    ],
)
def test_globs_choose_by_the_path(
    include: tuple[str, ...], exclude: tuple[str, ...], path: str, is_taken: bool
) -> None:
    assert Globs(include, exclude).takes(f"https://bread.example{path}?q=1") is is_taken


@given(st.text(max_size=60), st.text(max_size=60))
def test_globs_and_names_take_any_text(pattern: str, path: str) -> None:
    url = f"https://bread.example/{path}"

    assert Globs([pattern], []).takes(url) in (True, False)
    assert name_of_page(url)
    assert "\n" not in clean(path)


def test_many_stars_take_no_long_time() -> None:
    assert not Globs(["*a" * 30 + "b", "**/" * 30 + "b"], []).takes("https://bread.example/" + "a" * 1900)


@given(st.text(max_size=80))
def test_an_address_is_read_or_is_none(text: str) -> None:
    url = read_url(text)

    assert url is None or (url.scheme in ("http", "https") and url.host and not url.fragment)


def test_a_site_is_its_host_and_port() -> None:
    sites = [
        site_of(url)
        for text in ("http://www.a.b/x", "https://A.b./", "https://a.b:8443/", "https://c.a.b/")
        if (url := read_url(text))
    ]

    assert sites == [("a.b", 0), ("a.b", 0), ("a.b", 8443), ("c.a.b", 0)]
    assert is_same_origin("https://a.b/x", "https://a.b:443/y")
    assert not is_same_origin("https://a.b/x", "http://a.b/x")
    assert not is_same_origin("https://a.b/x", "https://www.a.b/x")
