"""Tests of runtime/recall/sources/feed.py, and of how items are read (items.py, items_xml.py)."""

import gzip
import json
import time
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.core.fetching import FetchFault
from runtime.core.ids import DocumentId
from runtime.recall.sources.feed import FeedOrigin
from runtime.recall.sources.items import Item, plain
from runtime.recall.sources.items_xml import Feed, read_feed
from runtime.recall.sources.listing import Broken
from runtime.recall.sources.origin import Changed, Entry, Look, OriginFailed
from runtime.recall.sources.web import Globs
from tests.kit.fake_fetcher import FakeFetcher, Page
from tests.kit.source_stage import Taken, files, open_host, remember, take

HOST = "https://bread.example"
URI = f"{HOST}/feed.xml"
LONG = "<p>Bread needs time, and so does whoever bakes it.</p>" * 20
ALL = Globs([], [])


def rss(*items: str) -> bytes:
    return (
        '<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"'
        ' xmlns:media="http://search.yahoo.com/mrss/"><channel><title>Bread</title>'
        f"<link>{HOST}/</link>{''.join(items)}</channel></rss>"
    ).encode()


def item(number: int, content: str = "", more: str = "") -> str:
    encoded = f"<content:encoded><![CDATA[{content}]]></content:encoded>" if content else ""
    return (
        f"<item><title>Loaf {number} &amp;amp; salt</title><link>/loaf/{number}</link>"
        f'<guid isPermaLink="false">loaf-{number}</guid><pubDate>Wed, 01 Jan 2025 10:00:00 +0200</pubDate>'
        f"<description>Short.</description>{encoded}{more}</item>"
    )


class Stand:
    """A feed, and who looks at it."""

    def __init__(self, folder: Path) -> None:
        self.fetcher = FakeFetcher()
        self.known: dict[str, Entry] = {}
        self.state = ""
        self._folder = folder

    def put(self, body: bytes) -> None:
        self.fetcher.pages[URI] = Page(body, "application/rss+xml")

    async def look(self, asked: Look | None = None) -> Taken:
        """Look, and remember it."""
        self.fetcher.forget()
        asked = msgspec.structs.replace(asked or Look(uri=URI), state=self.state)
        taken = await take(FeedOrigin(self.fetcher), asked, self.known, self._folder)
        self.known, self.state = remember(self.known, taken), taken.state
        return taken


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def read(tmp_path: Path, content: bytes, most: int = 100) -> Feed:
    path = tmp_path / "feed"
    path.write_bytes(content)
    return read_feed(path, URI, most, ALL)


async def test_an_item_that_brings_its_text_is_a_document_of_its_own(stand: Stand) -> None:
    stand.put(rss(item(1, LONG)))

    taken = await stand.look()

    changed = taken.changed("loaf-1")
    assert (changed.name, changed.title, changed.uri) == ("Loaf 1 & salt", "Loaf 1 & salt", f"{HOST}/loaf/1")
    assert (changed.media_type, changed.created_at) == ("text/html", 1735718400.0)
    page = taken.bodies["loaf-1"].decode()
    assert "<h1>Loaf 1 &amp; salt</h1>" in page
    assert LONG in page
    assert stand.fetcher.urls == [URI]


async def test_the_page_of_an_item_that_only_points_there_is_had(stand: Stand) -> None:
    stand.fetcher.pages[f"{HOST}/loaf/1"] = Page(b"<p>All of it</p>", to=f"{HOST}/loaf/1/")
    stand.put(rss(item(1)))

    taken = await stand.look()

    changed = taken.changed("loaf-1")
    assert taken.bodies == {"loaf-1": b"<p>All of it</p>"}
    assert (changed.name, changed.uri, changed.created_at) == (
        "Loaf 1 & salt",
        f"{HOST}/loaf/1",
        1735718400.0,
    )


async def test_items_that_link_to_parts_of_one_page_are_that_page_once(stand: Stand) -> None:
    stand.fetcher.pages[f"{HOST}/news"] = Page(b"<p>All news</p>")
    stand.put(rss(*(f"<item><guid>{n}</guid><link>{HOST}/news#{n}</link></item>" for n in range(3))))

    taken = await stand.look()

    assert taken.words() == {"0": "changed"}
    assert taken.changed("0").uri == f"{HOST}/news#0"
    assert stand.fetcher.urls == [URI, f"{HOST}/news"]
    assert taken.state


async def test_items_with_texts_of_their_own_are_never_found_at_the_same_address(stand: Stand) -> None:
    links = ["<link>/news</link>", "<link>/news</link>", "<link>/news#a</link>", "", ""]
    own = f"<description><![CDATA[{LONG * 2}]]></description>"
    items = (f'<item><guid isPermaLink="false">{n}</guid>{link}{own}</item>' for n, link in enumerate(links))
    stand.put(rss(*items))

    taken = await stand.look()

    uris = [taken.changed(str(number)).uri for number in range(5)]
    places = [uri.partition("#item-")[0] for uri in uris]
    assert len(set(uris)) == 5
    assert places == [f"{HOST}/news", f"{HOST}/news", f"{HOST}/news#a", URI, URI]


async def test_an_unchanged_feed_asks_for_nothing_more(stand: Stand) -> None:
    stand.fetcher.pages[f"{HOST}/loaf/1"] = Page(b"<p>All of it</p>")
    stand.put(rss(item(1), item(2, LONG)))
    first = await stand.look()

    second = await stand.look()

    assert first.words() == {"loaf-1": "changed", "loaf-2": "changed"}
    assert second.words() == {}
    assert second.state == first.state != ""
    assert stand.fetcher.urls == [URI]


async def test_only_what_the_feed_says_anew_is_looked_at_again(stand: Stand) -> None:
    stand.put(rss(item(1, LONG), item(2, LONG)))
    await stand.look()
    stand.put(rss(item(3, LONG), item(1, LONG), item(2, LONG + "<p>More.</p>")))

    assert (await stand.look()).words() == {"loaf-3": "changed", "loaf-1": "same", "loaf-2": "changed"}


async def test_what_fell_off_the_end_of_the_feed_is_not_gone(stand: Stand) -> None:
    stand.put(rss(item(1, LONG), item(2, LONG)))
    await stand.look()
    stand.put(rss(item(3, LONG), item(2, LONG)))

    taken = await stand.look()

    assert "loaf-1" not in taken.words()
    assert set(stand.known) == {"loaf-1", "loaf-2", "loaf-3"}


async def test_an_item_whose_page_could_not_be_had_is_tried_again_though_the_feed_is_unchanged(
    stand: Stand,
) -> None:
    page = f"{HOST}/loaf/1"
    stand.fetcher.pages[page] = FetchFault(code="too_slow", message="slow")
    stand.put(rss(item(1), item(2)))
    first = await stand.look()
    stand.fetcher.pages[page] = Page(b"<p>All of it</p>")

    second = await stand.look()

    assert first.words() == {"loaf-1": "refused", "loaf-2": "refused"}
    assert first.refused("loaf-2").fault.code == "not_found"
    assert second.words() == {"loaf-1": "changed", "loaf-2": "refused"}


async def test_a_changed_item_whose_page_is_not_there_is_gone_but_not_for_certain(stand: Stand) -> None:
    stand.fetcher.pages[f"{HOST}/loaf/1"] = Page(b"<p>All of it</p>")
    stand.put(rss(item(1)))
    await stand.look()
    del stand.fetcher.pages[f"{HOST}/loaf/1"]
    stand.put(rss(item(1, "Withdrawn")))

    assert (await stand.look()).words() == {"loaf-1": "gone"}
    assert stand.known["loaf-1"].misses == 1


async def test_a_host_that_asks_to_wait_ends_the_look(stand: Stand) -> None:
    stand.fetcher.pages[f"{HOST}/loaf/1"] = FetchFault(code="unreachable", message="busy", retry_after_s=9.0)
    stand.put(rss(item(1), item(2)))

    with pytest.raises(OriginFailed) as failed:
        await stand.look()

    assert failed.value.retry_after_s == 9.0


async def test_a_feed_that_is_not_there_or_cannot_be_had_fails(stand: Stand) -> None:
    with pytest.raises(OriginFailed) as gone:
        await stand.look()
    stand.fetcher.pages[URI] = FetchFault(code="refused", message="no")
    with pytest.raises(OriginFailed) as refused:
        await stand.look()

    assert (gone.value.fault.code, refused.value.fault.code) == ("not_found", "refused")


async def test_a_token_does_not_go_to_the_hosts_that_a_feed_points_to(stand: Stand) -> None:
    stand.fetcher.pages["https://other.example/x"] = Page(b"x")
    stand.put(rss("<item><link>https://other.example/x</link></item>"))

    await stand.look(Look(uri=URI, token="secret"))

    assert [request.token for request in stand.fetcher.asked] == ["secret", None]


async def test_beyond_the_cap_items_are_left_out_aloud(stand: Stand) -> None:
    stand.put(rss(*(item(number, LONG) for number in range(5))))

    taken = await stand.look(Look(uri=URI, most_entries=2))

    assert list(taken.words()) == ["loaf-0", "loaf-1"]
    assert "3 items beyond the first 2 were left out" in taken.finished.notes[0]


async def test_globs_choose_items_by_where_they_link_to(stand: Stand) -> None:
    stand.put(rss(item(1, LONG), item(2, LONG)))

    assert list((await stand.look(Look(uri=URI, exclude=("/loaf/2",)))).words()) == ["loaf-1"]


async def test_an_item_larger_than_allowed_is_refused(stand: Stand) -> None:
    stand.put(rss(item(1, LONG)))

    taken = await stand.look(Look(uri=URI, most_bytes=600))

    assert taken.refused("loaf-1").fault.code == "too_large"


async def test_a_feed_that_is_broken_in_places_is_taken_with_a_note(stand: Stand) -> None:
    stand.put(rss(item(1, LONG), item(2, LONG, "<b>open &nbsp; & <br>")))

    taken = await stand.look()

    assert taken.words() == {"loaf-1": "changed", "loaf-2": "changed"}
    assert "broken in places" in taken.finished.notes[0]


async def test_a_feed_without_items_is_one(stand: Stand) -> None:
    stand.put(rss())

    taken = await stand.look()

    assert (taken.listed, taken.words()) == (0, {})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b"nothing", "cannot be read as a feed"),
        (b"<html><body/></html>", "is a web page"),
        (b"<urlset/>", "no RSS or Atom"),
        (b"<rss><channel><title>", "mend"),
        (b'{"version": "https://jsonfeed.org/version/1"', "no JSON Feed"),
        (b'{"version": "2", "items": []}', "no JSON Feed"),
        (b"[" * 10, "cannot be read as a feed"),
        (gzip.compress(rss())[:-9], "breaks off"),
    ],
)
async def test_what_is_no_feed_fails_and_nothing_is_gone(body: bytes, said: str, stand: Stand) -> None:
    stand.known = {"loaf-1": Entry(key="loaf-1", document=DocumentId("doc_1"))}
    stand.put(body)

    with pytest.raises(OriginFailed, match=said):
        await stand.look()


async def test_a_look_that_is_given_up_leaves_no_file(stand: Stand, tmp_path: Path) -> None:
    stand.put(rss(item(1, LONG), item(2, LONG)))
    look = FeedOrigin(stand.fetcher).look(Look(uri=URI), {}, tmp_path)

    async for seen in look:
        if isinstance(seen, Changed):
            break
    await look.aclose()

    assert files(tmp_path) == []


def test_atom_is_read_by_its_types(tmp_path: Path) -> None:
    feed = read(
        tmp_path,
        b"""<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://base.example/a/">
        <entry><id>urn:1</id><title type="html">&lt;b&gt;Loaf&lt;/b&gt; &amp;amp; salt</title>
          <link rel="self" href="self"/><link href="one.pdf" type="application/pdf"/><link href="one"/>
          <published>2025-01-01T10:00:00+02:00</published><updated>2025-02-01T00:00:00Z</updated>
          <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>A <em>b</em></p></div></content>
        </entry>
        <entry><id>urn:2</id><title>a &lt; b</title><link href="/two"/><updated>2025-02-01T00:00:00Z</updated>
          <summary>first &lt; second

          third</summary><content type="image/png">AAAA</content></entry>
        <entry><id>urn:3</id><content type="html">&lt;p&gt;x&lt;/p&gt;</content></entry></feed>""",
    )

    one, two, three = feed.items
    assert (one.key, one.title, one.link) == ("urn:1", "Loaf & salt", "https://base.example/a/one")
    assert (one.created_at, plain(one.content)) == (1735718400.0, "A b")
    assert (two.title, two.link, two.content) == ("a < b", "https://base.example/two", "")
    assert plain(two.summary) == "first < second third"
    assert two.created_at == 1738368000.0
    assert (three.content, three.link) == ("<p>x</p>", "")


def test_rdf_is_read(tmp_path: Path) -> None:
    feed = read(
        tmp_path,
        b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
        xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="x"><title>t</title></channel>
        <item rdf:about="https://bread.example/1"><title>One</title><link>https://bread.example/1</link>
        <dc:date>2025-01-01</dc:date></item></rdf:RDF>""",
    )

    assert [(found.key, found.title, found.created_at) for found in feed.items] == [
        ("https://bread.example/1", "One", 1735689600.0)
    ]


def test_a_json_feed_is_read(tmp_path: Path) -> None:
    items = [
        {
            "id": 1,
            "url": "/one",
            "title": "a < b",
            "content_text": "x < y\n\nz",
            "date_published": "2025-01-01",
        },
        {"external_url": "https://other.example/", "content_html": "<p>x</p>", "title": None, "tags": [{}]},
    ]
    feed = read(
        tmp_path, json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items}).encode()
    )

    one, two = feed.items
    assert (one.key, one.link, one.title, one.created_at) == ("1", f"{HOST}/one", "a < b", 1735689600.0)
    assert one.content == "<p>x &lt; y</p>\n<p>z</p>"
    assert (two.key, two.content) == ("https://other.example/", "<p>x</p>")


def test_what_names_an_item_is_its_id_or_its_link_or_what_it_says(tmp_path: Path) -> None:
    feed = read(
        tmp_path,
        rss(
            "<item><guid>https://bread.example/1</guid></item>",
            "<item><link>https://bread.example/2</link></item>",
            "<item><title>Three</title></item>",
            "<item><title>Three</title></item>",
            "<item><title>Four</title><media:title>no</media:title></item>",
        ),
    )

    keys = [found.key for found in feed.items]
    assert keys[:2] == ["https://bread.example/1", "https://bread.example/2"]
    assert feed.items[0].link == "https://bread.example/1"
    assert [found.title for found in feed.items] == ["", "", "Three", "Four"]
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (
            b"\n <?xml version='1.0'?><rss><channel><item><title>caf\xc3\xa9</title></item></channel></rss>",
            "café",
        ),
        (b"<rss><channel><item><title>caf\xe9</title></item></channel></rss>", "café"),
        (
            b"<?xml version='1.0' encoding='iso-8859-15'?><feed><entry><title>5 \xa4</title></entry></feed>",
            "5 €",
        ),
        ("<rss><channel><item><title>café</title></item></channel></rss>".encode("utf-16"), "café"),
        (b"<rss><channel><item><title>caf&eacute;&nbsp;&lt;</title></item></channel></rss>", "café <"),
        (b"<rss><channel><item><title><![CDATA[caf&eacute;]]></title></item></channel></rss>", "café"),
    ],
)
def test_titles_are_read_whatever_their_encoding(content: bytes, title: str, tmp_path: Path) -> None:
    assert [found.title for found in read(tmp_path, content).items] == [title]


def test_entities_of_a_feed_reach_no_file_and_do_not_multiply(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden words")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 20}">' for n in range(1, 10))
    feed = read(
        tmp_path,
        (
            f'<!DOCTYPE rss [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY l0 "ha">{laughs}]><rss><channel>'
            "<item><title>a</title><description>&x;</description></item>"
            "<item><title>b &l9;</title></item></channel></rss>"
        ).encode(),
    )

    assert "hidden" not in str(feed)
    assert len(str(feed)) < 10_000


@pytest.mark.parametrize(
    "content",
    [
        b"<?xml version='1.0'?>" + b"\n" * 4_000_000 + b"<rss><channel/></rss>",
        b"<rss><channel><item><description>" + b"<" * 1_000_000,
        b"<rss><channel>" + b"<item>" * 200_000,
        rss(f"<item><description><![CDATA[{'<!' * 500_000}]]></description></item>"),
        rss(f"<item><title>{'&lt;' * 500_000}</title></item>"),
        rss("<item>" + " &x; " * 300_000 + "</item>"),
        b"<rss " + b"a='' " * 1_000_000 + b"/>",
        b"<" * 3_000_000,
        b'{"version":"","items":[' + b"{}," * 1_000_000,
        b'{"version":' + b"[" * 400_000,
    ],
)
def test_a_hostile_feed_costs_little_time(content: bytes, tmp_path: Path) -> None:
    started = time.process_time()

    with suppress(Broken):
        read(tmp_path, content)

    assert time.process_time() - started < 10


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    st.binary(max_size=300)
    | st.builds(
        lambda junk, at: rss(item(1, LONG), item(2))[:at] + junk, st.binary(max_size=40), st.integers(0, 2000)
    )
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "url", "title", "content_text", "date_published"]), inner
            )
        ),
        max_leaves=12,
    ).map(
        lambda found: json.dumps({"version": "https://jsonfeed.org/version/1", "items": [found, {}]}).encode()
    )
    | st.text(alphabet="<>&;/rsitemchanl \n:'=!-[]", max_size=200).map(
        lambda text: b"<rss><channel>" + text.encode()
    )
)
def test_any_bytes_are_a_bounded_list_of_items_or_no_feed(tmp_path: Path, content: bytes) -> None:
    try:
        items = read(tmp_path, content, most=2).items
    except Broken as broken:
        items = (Item(key=broken.fault.message),)

    assert len(items) <= 2
    assert all(found.key for found in items)


async def test_a_real_feed_is_followed(tmp_path: Path) -> None:
    async with open_host() as (host, fetcher):
        host.put("/feed", rss(item(1, LONG), item(2)), "application/rss+xml", ETag='"f"')
        host.put("/loaf/2", b"<p>Loaf</p>" * 200, ETag='"2"')
        asked, origin = Look(uri=host.url("/feed")), FeedOrigin(fetcher)

        with anyio.fail_after(5):
            first = await take(origin, asked, {}, tmp_path)
            known = remember({}, first)
            second = await take(origin, msgspec.structs.replace(asked, state=first.state), known, tmp_path)
            del host.pages["/feed"]
            with pytest.raises(OriginFailed):
                await take(origin, asked, known, tmp_path)

        assert first.bodies["loaf-2"] == b"<p>Loaf</p>" * 200
        assert first.changed("loaf-2").uri == host.url("/loaf/2")
        assert (second.words(), second.state) == ({}, first.state)
        assert host.asked == [("/feed", 200), ("/loaf/2", 200), ("/feed", 304), ("/feed", 404)]
