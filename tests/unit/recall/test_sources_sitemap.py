"""Tests of runtime/recall/sources/sitemap.py, with the files that it reads and the times that it trusts."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.core.fetching import Fetched, FetchFault
from runtime.core.ids import DocumentId
from runtime.recall.sources.listing import Broken, read_listing
from runtime.recall.sources.origin import Changed, Entry, Look, OriginFailed
from runtime.recall.sources.sitemap import SitemapOrigin
from runtime.recall.sources.stamps import read_time, settled
from tests.kit.clock import FakeClock
from tests.kit.fake_fetcher import FakeFetcher, Page
from tests.kit.source_stage import Taken, files, open_host, remember, take

HOST = "https://bread.example"
URI = f"{HOST}/sitemap.xml"
SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
BUSY = FetchFault(code="unreachable", message="too much to do", retry_after_s=120.0)


def urlset(*places: str | tuple[str, str]) -> bytes:
    pairs = [(place, "") if isinstance(place, str) else place for place in places]
    urls = "".join(
        f"<url><loc>\n {loc} </loc>{f'<lastmod>{lastmod}</lastmod>' if lastmod else ''}</url>"
        for loc, lastmod in pairs
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><urlset {SPACE}>{urls}</urlset>'.encode()


def index(*locs: str) -> bytes:
    files = "".join(f"<sitemap><loc>{loc}</loc></sitemap>" for loc in locs)
    return f"<sitemapindex {SPACE}>{files}</sitemapindex>".encode()


class Site:
    """A site with a sitemap, and who looks at it."""

    def __init__(self, folder: Path) -> None:
        self.fetcher = FakeFetcher()
        self.known: dict[str, Entry] = {}
        self.state = ""
        self.origin = SitemapOrigin(self.fetcher, FakeClock())
        self._folder = folder

    def put(self, path: str, body: bytes = b"<p>Bread</p>", media_type: str = "text/html") -> str:
        self.fetcher.pages[HOST + path] = Page(body + path.encode() if body == b"<p>Bread</p>" else body)
        return HOST + path

    def list(self, *places: str | tuple[str, str], is_marked: bool = True) -> None:
        self.fetcher.pages[URI] = Page(urlset(*places), "application/xml", is_marked=is_marked)

    async def look(self, asked: Look | None = None) -> Taken:
        """Look, and remember it."""
        self.fetcher.forget()
        asked = msgspec.structs.replace(asked or Look(uri=URI), state=self.state)
        taken = await take(self.origin, asked, self.known, self._folder)
        self.known, self.state = remember(self.known, taken), taken.state
        return taken


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_the_listed_pages_of_the_site_are_had_once_each(site: Site) -> None:
    one, two, three = site.put("/one"), site.put("/two?a=1&b=2"), "https://www.bread.example/three"
    site.fetcher.pages[three] = Page(b"3")
    site.list(
        one,
        two.replace("&", "&amp;"),
        f"{one}#part",
        three,
        "https://elsewhere.example/",
        "ftp://bread.example/",
    )

    taken = await site.look()

    assert taken.words() == dict.fromkeys([one, two, three], "changed")
    assert taken.listed == 3
    assert taken.finished.notes == ("2 addresses that are not of this site were left out",)


async def test_pages_that_redirect_to_one_are_each_found_at_their_own_address(site: Site) -> None:
    urls = [HOST + "/one", HOST + "/two"]
    for url in urls:
        site.fetcher.pages[url] = Page(b"<p>Bread</p>", to=HOST + "/")
    site.list(*urls)

    taken = await site.look()

    assert [taken.changed(url).uri for url in urls] == urls


async def test_a_page_with_the_same_settled_lastmod_is_not_asked_for(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list((one, "2023-01-01"), (two, "2023-01-01T10:00:00+02:00"), is_marked=False)
    await site.look()
    site.list((one, "2023-01-01"), (two, "2023-01-02T10:00:00+02:00"), is_marked=False)

    taken = await site.look()

    assert taken.words() == {one: "same", two: "same"}
    assert site.fetcher.urls == [URI, two]


async def test_a_lastmod_of_the_day_of_the_look_is_not_trusted(site: Site) -> None:
    one = site.put("/one")
    site.list((one, "2023-11-14"), is_marked=False)
    await site.look()
    site.put("/one", b"changed in the evening")

    taken = await site.look()

    assert taken.bodies == {one: b"changed in the evening"}


async def test_pages_without_lastmod_are_asked_for_conditionally_though_the_listing_is_unchanged(
    site: Site,
) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list(one, (two, "2023-01-01"))
    await site.look()
    site.put("/one", b"new")

    taken = await site.look()

    assert (taken.words(), taken.bodies) == ({one: "changed", two: "same"}, {one: b"new"})
    assert [(request.url, request.etag is not None) for request in site.fetcher.asked] == [
        (URI, True),
        (one, True),
    ]
    assert taken.state == site.state != ""


async def test_a_changed_listing_is_fetched_once(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list(one)
    await site.look()
    site.list(one, two)

    assert (await site.look()).words() == {one: "same", two: "changed"}
    assert site.fetcher.urls == [URI, one, two]


async def test_a_changed_file_of_an_index_is_noticed_though_the_index_is_unchanged(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.put("/a.xml", urlset(one))
    site.put("/sitemap.xml", index(HOST + "/a.xml"))
    await site.look()
    site.put("/a.xml", urlset(two))

    assert (await site.look()).words() == {one: "gone", two: "changed"}


async def test_an_unchanged_listing_is_read_again_where_something_of_it_was_not_had(site: Site) -> None:
    one, two = site.put("/one"), HOST + "/two"
    site.fetcher.pages[two] = FetchFault(code="too_slow", message="slow")
    site.list(one, two)
    first = await site.look()
    site.put("/two")

    second = await site.look()

    assert first.words() == {one: "changed", two: "refused"}
    assert second.words() == {one: "same", two: "changed"}


async def test_an_unchanged_listing_is_read_again_after_a_document_was_removed_here(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list(one, two)
    await site.look()
    del site.known[one]

    assert (await site.look()).words() == {one: "changed", two: "same"}


async def test_an_unchanged_listing_is_read_again_when_other_pages_are_wanted(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list(one, two)
    await site.look(Look(uri=URI, include=("one",)))

    assert (await site.look()).words() == {one: "same", two: "changed"}


async def test_what_is_listed_no_more_is_gone_but_not_for_certain(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list(one, two)
    await site.look()
    site.list(one)

    second, third = await site.look(), await site.look()

    assert second.words() == third.words() == {one: "same", two: "gone"}
    assert set(site.known) == {one}


async def test_a_listed_page_that_is_not_there_is_gone_if_known_and_refused_if_not(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list(one)
    await site.look()
    del site.fetcher.pages[one], site.fetcher.pages[two]
    site.list(one, two)

    taken = await site.look()

    assert taken.words() == {one: "gone", two: "refused"}
    assert taken.refused(two).fault.code == "not_found"


async def test_globs_choose_pages_by_their_paths(site: Site) -> None:
    wanted, draft, other = site.put("/docs/a/b.html"), site.put("/docs/draft.html"), site.put("/shop/")
    site.list(wanted, draft, other)

    taken = await site.look(Look(uri=URI, include=("docs/**",), exclude=("draft.*",)))

    assert taken.words() == {wanted: "changed"}


async def test_beyond_the_cap_the_first_pages_are_taken_and_stay_the_ones(site: Site) -> None:
    urls = [site.put(f"/{number}") for number in range(5)]
    few = Look(uri=URI, most_entries=2)
    site.list(*urls[1:])
    first = await site.look(few)
    site.list(*urls)
    second = await site.look(few)

    assert first.words() == {urls[1]: "changed", urls[2]: "changed"}
    assert second.words() == {urls[1]: "same", urls[2]: "same"}
    assert "3 pages beyond the first 2 were left out" in second.finished.notes[0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b"   \n", "is empty"),
        (urlset(), "lists no page"),
        (b"<html><body>404</body></html>", "is a web page, not a sitemap"),
        (b"<rss><channel/></rss>", "is a feed"),
        (b"<urlset><url><loc>", "is broken"),
        (b"\x00\x01\x02", "neither XML nor a list"),
        (gzip.compress(urlset(f"{HOST}/"))[:-20], "breaks off"),
        (urlset("https://elsewhere.example/"), "none of them at bread.example"),
    ],
)
async def test_what_is_no_listing_fails_and_nothing_is_gone(body: bytes, said: str, site: Site) -> None:
    site.known = {HOST + "/one": Entry(key=HOST + "/one", document=DocumentId("doc_1"))}
    site.fetcher.pages[URI] = Page(body)

    with pytest.raises(OriginFailed, match=said):
        await site.look()


async def test_a_sitemap_that_is_not_there_fails(site: Site) -> None:
    with pytest.raises(OriginFailed) as failed:
        await site.look()

    assert failed.value.fault.code == "not_found"


async def test_the_files_of_an_index_are_read_packed_or_as_text(site: Site) -> None:
    one, two, three = site.put("/one"), site.put("/two"), site.put("/three")
    site.put("/a.xml.gz", gzip.compress(urlset(one)))
    site.put("/b.txt", f"\ufeff{two}\r\n\r\n{one}\r\n".encode())
    site.put("/c.xml", index(HOST + "/d.xml", HOST + "/a.xml.gz"))
    site.put("/d.xml", urlset(three))
    site.put("/sitemap.xml", index(HOST + "/a.xml.gz", HOST + "/b.txt", HOST + "/c.xml"))

    first = await site.look()
    second = await site.look()

    assert first.words() == dict.fromkeys([one, two, three], "changed")
    assert first.finished.notes == ()
    assert second.words() == dict.fromkeys([one, two, three], "same")
    assert all(request.etag for request in site.fetcher.asked)


async def test_a_file_of_an_index_that_cannot_be_read_leaves_its_pages_alone(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.put("/a.xml", urlset(one))
    site.put("/b.xml", urlset(two))
    site.put("/sitemap.xml", index(HOST + "/a.xml", HOST + "/b.xml"))
    await site.look()
    del site.fetcher.pages[HOST + "/b.xml"]

    taken = await site.look()

    assert taken.words() == {one: "same"}
    assert taken.state == ""
    assert f"nothing at {HOST}/b.xml" in taken.finished.notes[0]


async def test_an_index_that_names_itself_or_goes_too_deep_comes_to_an_end(site: Site) -> None:
    one = site.put("/one")
    site.put("/a.xml", urlset(one))
    for depth in range(5):
        site.put(f"/{depth}.xml", index(URI, f"{HOST}/{depth + 1}.xml"))
    site.put("/sitemap.xml", index(URI, HOST + "/a.xml", HOST + "/0.xml"))

    taken = await site.look()

    assert taken.words() == {one: "changed"}
    assert "deeper than 3 levels" in taken.finished.notes[0]
    assert HOST + "/2.xml" not in site.fetcher.urls


async def test_a_listing_that_breaks_off_gives_what_it_has_and_nothing_is_gone(site: Site) -> None:
    one, two = site.put("/one"), site.put("/two")
    site.list(one, two)
    await site.look()
    site.put("/sitemap.xml", urlset(one, two)[:-30])

    taken = await site.look()

    assert taken.words() == {one: "same"}
    assert "is broken" in taken.finished.notes[0]


async def test_a_host_that_asks_to_wait_ends_the_look(site: Site) -> None:
    one, two = site.put("/one"), HOST + "/two"
    site.fetcher.pages[two] = BUSY
    site.list(one, two, HOST + "/three")

    with pytest.raises(OriginFailed) as failed:
        await site.look()

    assert failed.value.retry_after_s == 120.0
    assert site.fetcher.urls == [URI, one, two]


async def test_a_host_that_has_stopped_answering_ends_the_look(site: Site) -> None:
    urls = [HOST + f"/{number}" for number in range(30)]
    for url in urls:
        site.fetcher.pages[url] = FetchFault(code="too_slow", message="slow")
    site.list(*urls)
    refused = await site.look()

    class Failing(FakeFetcher):
        """A host that dies after it gave its sitemap."""

        async def fetch(self, request: object, folder: Path) -> Fetched | FetchFault:
            if len(self.asked) > 1:
                self.pages[URI] = FetchFault(code="unreachable", message="dead")
            return await super().fetch(request, folder)  # type: ignore[arg-type]  # it passes what it was given

    failing = Failing()
    failing.pages = dict(site.fetcher.pages)
    with pytest.raises(OriginFailed, match="dead"):
        await take(SitemapOrigin(failing, FakeClock()), Look(uri=URI), {}, site._folder)

    assert set(refused.words().values()) == {"refused"}
    assert len(refused.words()) == 30
    assert len(failing.asked) == 1 + 10 + 1


async def test_an_index_whose_files_nobody_answers_for_ends_the_look(site: Site) -> None:
    files = [f"{HOST}/{number}.xml" for number in range(30)]
    for file in files:
        site.fetcher.pages[file] = FetchFault(code="too_slow", message="slow")
    site.put("/sitemap.xml", index(*files))
    with pytest.raises(OriginFailed, match="lists no page"):
        await site.look()
    asked = len(site.fetcher.asked)
    site.fetcher.pages[files[3]] = BUSY

    with pytest.raises(OriginFailed) as busy:
        await site.look()

    assert asked == 1 + 30 + 3
    assert busy.value.retry_after_s == 120.0
    assert len(site.fetcher.asked) == 1 + 4


async def test_a_token_goes_to_the_site_itself_alone(site: Site) -> None:
    one, two = site.put("/one"), "http://www.bread.example/two"
    site.fetcher.pages[two] = Page(b"2")
    site.list(one, two)

    await site.look(Look(uri=URI, token="secret"))

    assert {request.url: request.token for request in site.fetcher.asked} == {
        URI: "secret",
        one: "secret",
        two: None,
    }


async def test_a_look_that_is_given_up_leaves_no_file(site: Site, tmp_path: Path) -> None:
    site.list(*(site.put(f"/{number}") for number in range(3)))
    look = site.origin.look(Look(uri=URI), {}, tmp_path)

    async for seen in look:
        if isinstance(seen, Changed):
            break
    await look.aclose()

    assert files(tmp_path) == []


def test_a_packed_listing_does_not_grow_beyond_its_bound(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(bytes(65 * 1024 * 1024)))

    with pytest.raises(Broken, match="more than 64 MiB"):
        read_listing(bomb, "it", 10)


def test_entities_reach_no_file_and_do_not_multiply(tmp_path: Path) -> None:
    path = tmp_path / "listing"
    secret = tmp_path / "secret"
    secret.write_text("https://bread.example/secret")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 20}">' for n in range(1, 10))
    path.write_text(
        f'<!DOCTYPE urlset [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY l0 "https://bread.example/">{laughs}]>'
        "<urlset><url><loc>&x;</loc></url><url><loc>&l9;</loc></url></urlset>"
    )

    try:
        places = read_listing(path, "it", 10).places
    except Broken:
        places = []

    assert sum(len(loc) for loc, _ in places) < 10_000
    assert "secret" not in str(places)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    st.binary(max_size=300)
    | st.builds(
        lambda junk, at: urlset("https://a.b/c", "https://a.b/d")[:at] + junk,
        st.binary(max_size=40),
        st.integers(0, 200),
    )
    | st.builds(lambda junk: gzip.compress(junk), st.binary(max_size=80))
    | st.text(alphabet="<>&;/urlsetloc \n:htp.", max_size=200).map(str.encode)
)
def test_any_bytes_are_a_bounded_listing_or_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "listing"
    path.write_bytes(content)

    try:
        said = read_listing(path, "it", 2).places
    except Broken as broken:
        said = [(broken.fault.message, broken.fault.code)]

    assert 0 <= len(said) <= 2
    assert all(isinstance(word, str) for pair in said for word in pair)


@pytest.mark.parametrize(
    ("lastmod", "is_settled"),
    [
        ("2023", False),
        ("2022", True),
        ("2023-11", False),
        ("2023-10", True),
        ("2023-11-14", False),
        ("2023-11-12", True),
        ("2023-11-14T22:00:00Z", True),
        ("2023-11-14T22:13:00Z", False),
        ("2023-11-14T22:13:20.5+00:00", False),
        ("2030-01-01", False),
        ("", False),
        ("yesterday", False),
        ("0000-00-00", False),
        ("9999-12-31", False),
    ],
)
def test_a_lastmod_is_trusted_when_its_time_is_over(lastmod: str, is_settled: bool) -> None:
    assert settled(lastmod, FakeClock().now()) == (lastmod if is_settled else "")


@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?([+-]\d{2}:\d{2}|Z)?)?"))
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert settled(text, 1e9) in (text, "")
    assert isinstance(read_time(text), float | None)


async def test_a_real_sitemap_is_followed(tmp_path: Path) -> None:
    async with open_host() as (host, fetcher):
        one, two = host.url("/one"), host.url("/two")
        host.put("/one", b"<p>One</p>" * 200, ETag='"1"')
        host.put("/map.xml.gz", gzip.compress(urlset(one, two)), "application/gzip", ETag='"m"')
        asked, origin = Look(uri=host.url("/map.xml.gz")), SitemapOrigin(fetcher)
        known: Mapping[str, Entry] = {}

        with anyio.fail_after(5):
            first = await take(origin, asked, known, tmp_path)
            host.put("/two", b"<p>Two</p>", ETag='"2"')
            second = await take(origin, asked, remember(known, first), tmp_path)
            known = remember(remember(known, first), second)
            host.asked.clear()
            again = msgspec.structs.replace(asked, state=second.state)
            third = await take(origin, again, known, tmp_path)

        assert first.words() == {one: "changed", two: "refused"}
        assert first.bodies[one] == b"<p>One</p>" * 200
        assert second.words() == {one: "same", two: "changed"}
        assert third.words() == {one: "same", two: "same"}
        assert host.asked == [("/map.xml.gz", 304), ("/one", 304), ("/two", 304)]
