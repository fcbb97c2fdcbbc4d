"""Documents within requests on a real server: by file id, as data, by link; read by Lar's own readers."""

import base64
import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.kit.documents import pdf
from tests.kit.eye_gguf import png
from tests.kit.server import RunningServer, running_server

_WORDS = "The harbour of Velm has nine piers."


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the library
        del format, args


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve two documents and a picture on this machine; yield the address."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "velm.pdf").write_bytes(pdf([_WORDS]))
    (folder / "velm.txt").write_text(_WORDS)
    (folder / "red.png").write_bytes(png((255, 0, 0)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def started(home: Path, settings: str = "") -> Any:
    home.mkdir(exist_ok=True)
    (home / "lar.toml").write_text(settings)
    return running_server(home)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    granted = '[recall]\nprivate_addresses = ["127.0.0.1"]\n'
    with started(tmp_path_factory.mktemp("documents") / "home", granted) as running:
        yield running


def ask(server: RunningServer, **file: Any) -> Any:
    """Send a document, and have its words said again."""
    with server.openai(timeout=60) as client:
        content: Any = [{"type": "input_file", **file}]
        return client.responses.create(model="scripted", input=[{"role": "user", "content": content}])


def coded(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def heard(server: RunningServer, made: Any) -> str:
    """Return what the run holds of the document."""
    return server.get(f"/api/runs/{made.id.replace('resp_', 'run_')}/steps").text


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [("velm.pdf", pdf([_WORDS]), "application/pdf"), ("velm.txt", _WORDS.encode(), "text/plain")],
)
def test_a_document_is_read_by_its_id_and_as_data(
    server: RunningServer, name: str, content: bytes, media_type: str
) -> None:
    with server.openai() as client:
        file = client.files.create(file=(name, content, media_type), purpose="user_data")

    by_id = ask(server, file_id=file.id)
    as_data = ask(server, filename=name, file_data=coded(content, media_type))

    for made in (by_id, as_data):
        assert made.status == "completed"
        assert _WORDS in heard(server, made)


@pytest.mark.parametrize("name", ["velm.pdf", "velm.txt"])
def test_a_link_that_the_settings_grant_is_followed(server: RunningServer, site: str, name: str) -> None:
    made = ask(server, file_url=f"{site}/{name}")

    assert made.status == "completed"
    assert _WORDS in heard(server, made)


def test_a_linked_picture_is_fetched_and_shown_by_its_link(server: RunningServer, site: str) -> None:
    part: Any = {"type": "input_image", "image_url": f"{site}/red.png"}
    item: Any = {"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, part]}
    with server.openai() as client:
        made = client.responses.create(model="scripted", input=[item])
        (said,) = client.responses.input_items.list(made.id).data
        assert made.status == "completed"
        assert said.to_dict()["content"][1]["image_url"] == f"{site}/red.png"  # type: ignore[index]  # a dict

        part["image_url"] = f"{site}/velm.txt"
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="scripted", input=[item])
        assert refused.value.code == "invalid_image_format"


def test_a_conversation_keeps_what_stands_behind_a_link(server: RunningServer, site: str) -> None:
    part: Any = {"type": "input_file", "file_url": f"{site}/velm.pdf"}
    item: Any = {"type": "message", "role": "user", "content": [part]}
    with server.openai() as client:
        kept = client.conversations.create(items=[item])
        made = client.responses.create(model="scripted", input="What is it?", conversation=kept.id)

        assert _WORDS in heard(server, made)
        with pytest.raises(openai.BadRequestError) as refused:
            client.conversations.items.create(
                kept.id, items=[item, item | {"content": [part | {"file_url": f"{site}/none.pdf"}]}]
            )
        assert refused.value.param == "items[1].content[0].file_url"


def test_links_into_private_networks_and_to_nowhere_are_refused_with_cause_and_fix(
    server: RunningServer, site: str
) -> None:
    told = {}
    for url in ("http://169.254.169.254/latest", f"{site}/none.pdf", "ftp://example.org/a.pdf"):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(server, file_url=url)
        assert refused.value.code == "invalid_file_url"
        assert refused.value.param == "input[0].content[0].file_url"
        told[url] = str(refused.value)
    assert all("/v1/files" in each for each in told.values())
    assert "nothing is there" in told[f"{site}/none.pdf"]


def test_this_machine_is_not_reached_by_links_where_the_settings_say_nothing(
    tmp_path: Path, site: str
) -> None:
    with started(tmp_path / "home") as server, pytest.raises(openai.BadRequestError) as refused:
        ask(server, file_url=f"{site}/velm.txt")
    assert "cannot be fetched" in str(refused.value)


def test_a_document_that_is_damaged_is_refused_with_its_place(server: RunningServer) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(server, filename="a.pdf", file_data=coded(b"%PDF-1.4 broken", "application/pdf"))
    assert refused.value.code == "unsupported_file"
    assert refused.value.param == "input[0].content[0].file_data"
