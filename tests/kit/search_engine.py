"""A search engine that answers as SearXNG documents its JSON: https://docs.searxng.org/dev/search_api.html."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGES = (
    {
        "url": "https://en.example.org/wiki/Samovar",
        "title": "Samovar, Ünïcode",
        "content": "A samovar heats water for tea.",
        "engine": "wikipedia",
        "engines": ["wikipedia"],
        "category": "general",
        "score": 2.0,
        "publishedDate": None,
        "template": "default.html",
    },
    {
        "url": "https://shop.example.com/samovar",
        "title": None,
        "content": "Buy one.",
        "engine": "other",
        "score": 1.0,
        "publishedDate": "2026-01-02T00:00:00",
    },
)


class SearchEngine:
    """What it was asked, and what it answers: pages, or a status."""

    def __init__(self) -> None:
        self.address = ""
        self.queries: list[str] = []
        self.status = 200
        self.is_html = False

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, media type and body."""
        parts = urlsplit(path)
        asked = parse_qs(parts.query)
        if parts.path != "/search" or asked.get("format") != ["json"]:
            return 404, "text/html", b"not found"
        self.queries += asked["q"]
        if self.status != 200:
            return self.status, "text/html", b"<h1>Forbidden</h1>"
        if self.is_html:
            return 200, "text/html", b"<html>results</html>"
        found: dict[str, Any] = {
            "query": asked["q"][0],
            "number_of_results": 0,
            "results": PAGES,
            "answers": [],
            "corrections": [],
            "infoboxes": [{"infobox": "Samovar", "id": "x", "content": "…", "urls": []}],
            "suggestions": ["tea"],
            "unresponsive_engines": [["qwant", "timeout"]],
        }
        return 200, "application/json", json.dumps(found).encode()


@contextmanager
def open_search_engine() -> Iterator[SearchEngine]:
    """Serve one on this machine."""
    engine = SearchEngine()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, media_type, body = engine.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    engine.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield engine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
