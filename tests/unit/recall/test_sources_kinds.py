"""Which place a uri names, and which uris name none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.errors import RequestInvalid
from runtime.core.knowledge import NewSource
from runtime.recall.sources.kinds import kind_of, same_place


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("https://example.org", "page"),
        ("https://example.org/a.pdf", "page"),
        ("HTTP://example.org/feedback", "page"),
        ("https://example.org/repo.git", "git"),
        ("https://github.com/owner/repo", "git"),
        ("https://github.com/owner/repo/", "git"),
        ("https://github.com/owner/repo/issues", "page"),
        ("https://github.com/owner", "page"),
        ("https://gitlab.com/owner/repo", "git"),
        ("https://codeberg.org/owner/repo", "git"),
        ("https://example.org/sitemap.xml", "sitemap"),
        ("https://example.org/deep/sitemap_index.xml.gz", "sitemap"),
        ("https://example.org/wp-sitemap.xml", "sitemap"),
        ("https://example.org/sitemap", "page"),
        ("https://example.org/blog/feed/", "feed"),
        ("https://example.org/feed.xml", "feed"),
        ("https://example.org/news.rss", "feed"),
        ("https://example.org/news.atom", "feed"),
        ("/home/me/papers", "folder"),
        ("/home/me/repo.git", "folder"),
        ("file:///home/me/my%20papers", "folder"),
    ],
)
def test_the_kind_is_told_by_the_address(uri: str, kind: str) -> None:
    assert kind_of(NewSource(uri=uri)) == kind


def test_a_kind_that_is_told_is_taken() -> None:
    assert kind_of(NewSource(uri="https://example.org/x", kind="feed")) == "feed"
    assert kind_of(NewSource(uri="/home/me/repo", kind="git", branch="main")) == "git"


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({"uri": ""}, "uri"),
        ({"uri": "notes/today"}, "uri"),
        ({"uri": "ftp://example.org/x"}, "uri"),
        ({"uri": "ssh://git@example.org/x.git"}, "uri"),
        ({"uri": "git@example.org:x.git"}, "uri"),
        ({"uri": "javascript:alert(1)"}, "uri"),
        ({"uri": "https://"}, "uri"),
        ({"uri": "https://example.org:port/"}, "uri"),
        ({"uri": "https://[::1/"}, "uri"),
        ({"uri": "https://me:secret@example.org/"}, "uri"),
        ({"uri": "https://token@example.org/"}, "uri"),
        ({"uri": " https://example.org/"}, "uri"),
        ({"uri": "https://example.org/\n"}, "uri"),
        ({"uri": "https://example.org/" + "x" * 3000}, "uri"),
        ({"uri": "file://elsewhere/share"}, "uri"),
        ({"uri": "file:relative"}, "uri"),
        ({"uri": "/home/me", "kind": "page"}, "kind"),
        ({"uri": "https://example.org", "kind": "folder"}, "kind"),
        ({"uri": "https://example.org", "branch": "main"}, "branch"),
        ({"uri": "https://example.org/x.git", "branch": ""}, "branch"),
        ({"uri": "https://example.org", "interval_s": 59.0}, "interval_s"),
        ({"uri": "https://example.org", "interval_s": float("nan")}, "interval_s"),
        ({"uri": "https://example.org", "include": ("",)}, "include"),
        ({"uri": "https://example.org", "exclude": ("x",) * 101}, "exclude"),
        ({"uri": "https://example.org", "secret": "sk-very-secret"}, "secret"),
    ],
)
def test_what_names_no_place_is_refused_by_its_field(told: dict[str, object], param: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        kind_of(NewSource(**told))  # type: ignore[arg-type]  # told by the table above

    assert refused.value.fault.param == param


def test_credentials_are_never_repeated_in_the_refusal() -> None:
    with pytest.raises(RequestInvalid) as refused:
        kind_of(NewSource(uri="https://me:hunter2@example.org/"))

    assert "hunter2" not in refused.value.fault.message
    assert "'secret'" in refused.value.fault.message


@given(st.text(max_size=200))
def test_any_text_is_a_place_or_is_refused(uri: str) -> None:
    try:
        kind_of(NewSource(uri=uri))
    except RequestInvalid:
        return
    assert same_place(uri) == same_place(same_place(uri))


def test_one_place_has_one_name_however_it_is_written() -> None:
    assert same_place("https://Example.org") == same_place("HTTPS://example.org/")
    assert same_place("/home/me/") == same_place("file:///home/me")
    assert same_place("https://example.org/a") != same_place("https://example.org/A")
    assert same_place("https://example.org/?a=1") != same_place("https://example.org/?a=2")
