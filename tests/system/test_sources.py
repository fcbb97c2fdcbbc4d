"""Places that change, followed by a real server process: a site over real HTTP, and a folder on disk."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.instance import find_instance
from tests.kit.server import RunningServer, lar, running_server

LIMIT_S = 60.0


class Site:
    """Pages over HTTP on the loopback; while `gate` is not set, those in `slow` do not answer."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.slow: set[str] = set()
        self.gate = threading.Event()
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        site = self

        class _Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.tokens.append(self.headers.get("Authorization"))
                if self.path in site.slow:
                    site.gate.wait(LIMIT_S)
                text = site.pages.get(self.path)
                body = (text or "").encode()
                self.send_response(404 if text is None else 200)
                self.send_header(
                    "Content-Type", "application/xml" if self.path.endswith(".xml") else "text/html"
                )
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def page(self, path: str, text: str) -> str:
        """Put a page; return its address."""
        self.pages[path] = f"<html><title>{path}</title><body><p>{text}</p></body></html>"
        return f"{self.address}{path}"

    def sitemap(self, *paths: str) -> str:
        """Put a sitemap of these pages; return its address."""
        places = "".join(f"<url><loc>{self.address}{each}</loc></url>" for each in paths)
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        self.pages["/sitemap.xml"] = f'<?xml version="1.0"?><urlset xmlns="{space}">{places}</urlset>'
        return f"{self.address}/sitemap.xml"

    def close(self) -> None:
        """Answer no more."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()


@contextmanager
def following_server(home: Path, *, is_granted: bool = True) -> Iterator[RunningServer]:
    """Run a server that may fetch from the loopback."""
    home.mkdir(parents=True, exist_ok=True)
    granted = '"127.0.0.1/32"' if is_granted else ""
    (home / "lar.toml").write_text(f"[recall]\nprivate_addresses = [{granted}]\n")
    with running_server(home) as running:
        yield running


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    """Ask a route of Recall as the owner."""
    instance = find_instance(server.home)
    assert instance is not None
    headers = {"Authorization": f"Bearer {instance.secret}"}
    url = f"{server.address}/api/recall{path}"
    answer = httpx2.request(method, url, json=body, headers=headers, timeout=30)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def texts(server: RunningServer, words: str) -> list[str]:
    """Return the passages that are found by their words."""
    body = {"text": words, "collections": ["notes"], "arm": "text"}
    return [each["chunk"]["text"] for each in ask(server, "POST", "/search", body)["hits"]]


def until(what: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)


def follow(server: RunningServer, place: str, *options: str) -> dict[str, Any]:
    """Follow a place by the command line; return the source."""
    done = lar(
        server.home,
        *("recall", "add", place, "-c", "notes", "--follow", "10m", "--no-wait", "--json"),
        *options,
    )
    assert done.returncode == 0, done.stderr
    source: dict[str, Any] = json.loads(done.stdout)["sources"][0]
    return source


def synced(server: RunningServer, count: int) -> list[dict[str, Any]]:
    """Wait for so many ends of syncs; return them."""
    until(lambda: len(server.events("recall.source_synced")) >= count)
    return [each["event"] for each in server.events("recall.source_synced")]


def test_a_page_is_followed_through_changes_until_it_is_gone(tmp_path: Path, site: Site) -> None:
    address = site.page("/guide", "Olga buys the samovar")
    with following_server(tmp_path) as server:
        source = follow(server, address)
        until(lambda: texts(server, "samovar"))
        assert "Olga" in texts(server, "samovar")[0]

        site.page("/guide", "Boris buys the samovar")
        done = lar(server.home, "recall", "sync", address, "--no-wait")
        assert done.returncode == 0, done.stderr
        until(lambda: any("Boris" in each for each in texts(server, "samovar")))

        del site.pages["/guide"]
        for looks in (3, 4):  # gone is what two looks in a row do not find
            assert texts(server, "samovar") != []
            lar(server.home, "recall", "sync", source["id"], "--no-wait")
            synced(server, looks)
        until(lambda: texts(server, "samovar") == [])
        listed = json.loads(lar(server.home, "recall", "sources", "--json").stdout)
        assert [(each["uri"], each["kind"], each["documents"]) for each in listed] == [(address, "page", 0)]
        counts = [(each["added"], each["changed"], each["removed"] > 0) for each in synced(server, 4)]
        assert counts == [(1, 0, False), (0, 1, False), (0, 0, False), (0, 0, True)]


def test_sources_are_paused_resumed_and_removed_by_the_command_line(tmp_path: Path, site: Site) -> None:
    address = site.page("/guide", "Olga buys the samovar")
    with following_server(tmp_path) as server:
        follow(server, address)
        synced(server, 1)
        paused = lar(server.home, "recall", "sources", address, "--pause")
        assert "paused" in paused.stdout
        resumed = lar(server.home, "recall", "sources", address, "--resume", "--json")
        assert json.loads(resumed.stdout)["is_paused"] is False
        again = lar(server.home, "recall", "add", address, "-c", "notes", "--follow", "--no-wait")
        assert (again.returncode, "follows this place already" in again.stderr) == (1, True)
        removed = lar(server.home, "recall", "sources", address, "--remove", "--yes")

        assert removed.returncode == 0, removed.stderr
        assert texts(server, "samovar") == []
        assert json.loads(lar(server.home, "recall", "sources", "--json").stdout) == []


def test_addresses_of_this_machine_are_refused_unless_they_are_granted(tmp_path: Path, site: Site) -> None:
    address = site.page("/guide", "Olga buys the samovar")
    with following_server(tmp_path, is_granted=False) as server:
        source = follow(server, address)
        facts = synced(server, 1)

        assert facts[0]["fault"] is not None
        found = ask(server, "GET", f"/sources/{source['id']}")
        assert found["fault"]["code"] == "refused"
        assert "private_addresses" in found["fault"]["message"]
        assert site.asked == []


def test_a_killed_server_goes_on_with_the_sync_that_it_was_cut_off_in(tmp_path: Path, site: Site) -> None:
    site.page("/one", "Olga buys the samovar")
    site.page("/two", "Boris polishes the samovar")
    place = site.sitemap("/one", "/two")
    site.slow = {"/two"}
    with following_server(tmp_path) as server:
        source = follow(server, place)
        until(lambda: "/two" in site.asked and texts(server, "samovar"))
        server.process.kill()
        server.process.wait(10)
    site.slow = set()
    with following_server(tmp_path) as server:
        cut = ask(server, "GET", f"/jobs/{source['job']}")
        assert (cut["status"], cut["finished_at"] is not None) == ("running", False) or cut[
            "fault"
        ] is not None
        until(lambda: len(texts(server, "samovar")) == 2)
        found = ask(server, "GET", f"/sources/{source['id']}")

        assert found["documents"] == 2
        assert not [each for each in (tmp_path / "recall" / "looks").iterdir() if each.name == source["job"]]
        assert len(ask(server, "GET", "/collections/notes/documents")["documents"]) == 2


def test_a_folder_is_seen_to_change_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / "tea.md").write_text("# Tea\n\nOlga buys the samovar")
    (folder / "deep" / "coffee.txt").write_text("Boris grinds the beans")
    with following_server(tmp_path / "home") as server:
        source = follow(server, str(folder))
        until(lambda: texts(server, "samovar") and texts(server, "beans"))
        synced(server, 1)

        (folder / "tea.md").write_text("# Tea\n\nAnna sells the samovar")
        until(lambda: any("Anna" in each for each in texts(server, "samovar")))
        (folder / "deep" / "coffee.txt").unlink()
        until(lambda: texts(server, "beans") == [])
        (folder / "new.txt").write_text("Vera paints the fence")
        until(lambda: texts(server, "fence"))

        assert ask(server, "GET", f"/sources/{source['id']}")["fault"] is None
