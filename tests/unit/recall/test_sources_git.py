"""Tests of runtime/recall/sources/git.py: real repositories, on disk and over HTTP, read by its child."""

import base64
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from dulwich import porcelain
from dulwich.objects import Blob, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import BackendRepo, DictBackend
from dulwich.web import make_wsgi_chain

from runtime.egress.client import open_fetcher
from runtime.recall.sources.git import GitOrigin, uri_of
from runtime.recall.sources.origin import Entry, Gone, Look, OriginFailed
from tests.kit.fake_fetcher import FakeFetcher
from tests.kit.source_stage import PRIVATE, Taken, files, remember, take

WHO = b"A <a@example.org>"


class Stage:
    """A repository and its working tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.repo = porcelain.init(str(path))

    def commit(self, **files: str | None) -> str:
        for name, text in files.items():
            file = self.path / name.replace("__", "/").replace("_", ".")
            if text is None:
                porcelain.remove(str(self.path), [str(file)])
            else:
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
                porcelain.add(str(self.path), [str(file)])
        return porcelain.commit(str(self.path), message=b"m", author=WHO, committer=WHO).decode()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "repo")
    stage.commit(one_md="# One", sub__two_py="two = 2")
    yield stage
    stage.repo.close()


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    (tmp_path / "bodies").mkdir()
    return tmp_path / "bodies"


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's
        del format, args


App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Served:
    """A web server in a thread; `asked` holds the paths."""

    def __init__(self, inner: App, token: str = "", redirect: str = "") -> None:
        self.asked: list[str] = []
        self._inner, self._redirect = inner, redirect
        self._wanted = "Basic " + base64.b64encode(f"oauth2:{token}".encode()).decode() if token else ""
        self.server = make_server("127.0.0.1", 0, self._answer, handler_class=_Quiet)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/repo"

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(environ["PATH_INFO"])
        if self._redirect:
            start("302 Found", [("Location", self._redirect)])
            return []
        if self._wanted and environ.get("HTTP_AUTHORIZATION") != self._wanted:
            start("401 Unauthorized", [])
            return []
        return self._inner(environ, start)

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join(5)
        self.server.server_close()


@pytest.fixture
def serve(stage: Stage) -> Iterator[Callable[..., Served]]:
    opened: list[Served] = []

    def open_one(**rest: str) -> Served:
        repos: dict[str, BackendRepo] = {"/repo": stage.repo}
        opened.append(Served(make_wsgi_chain(DictBackend(repos)), **rest))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


async def look(asked: Look, known: dict[str, Entry], bodies: Path, limit_s: float = 60.0) -> Taken:
    async with open_fetcher(PRIVATE, "1.2.3") as fetcher:
        return await take(GitOrigin(fetcher, limit_s), asked, known, bodies)


async def test_a_local_repository_is_read_and_read_again(stage: Stage, bodies: Path) -> None:
    asked = Look(uri=str(stage.path))
    first = await look(asked, {}, bodies)
    assert first.bodies == {"one.md": b"# One", "sub/two.py": b"two = 2"}
    known = remember({}, first)
    stage.commit(one_md="# Uno", sub__two_py=None, three_md="two = 2")
    again = await look(Look(uri=asked.uri, state=first.state), known, bodies)
    assert again.bodies == {"one.md": b"# Uno", "three.md": b"two = 2"}
    assert Gone(key="sub/two.py", is_certain=True) in again.seen


async def test_over_http_an_unchanged_commit_is_not_fetched_again(
    serve: Callable[..., Served], bodies: Path
) -> None:
    served = serve()
    first = await look(Look(uri=served.uri), {}, bodies)
    assert first.bodies == {"one.md": b"# One", "sub/two.py": b"two = 2"}
    served.asked.clear()
    again = await look(Look(uri=served.uri, state=first.state), remember({}, first), bodies)
    assert set(again.words().values()) == {"same"}
    assert again.state == first.state
    fetched = len(served.asked)
    served.asked.clear()
    await look(Look(uri=served.uri), {}, bodies)
    assert len(served.asked) > fetched


async def test_a_branch_is_read_and_a_missing_one_is_told(stage: Stage, bodies: Path) -> None:
    stage.repo.refs[Ref(b"refs/heads/old")] = stage.repo.head()
    stage.commit(one_md="new")
    assert (await look(Look(uri=str(stage.path), branch="old"), {}, bodies)).bodies["one.md"] == b"# One"
    with pytest.raises(OriginFailed) as failed:
        await look(Look(uri=str(stage.path), branch="none"), {}, bodies)
    assert failed.value.fault.code == "not_found"


async def test_a_wrong_token_is_refused_and_never_told(serve: Callable[..., Served], bodies: Path) -> None:
    served = serve(token="right")
    assert (await look(Look(uri=served.uri, token="right"), {}, bodies)).bodies
    with pytest.raises(OriginFailed) as failed:
        await look(Look(uri=served.uri, token="wr0ng"), {}, bodies)
    assert failed.value.fault.code == "refused"
    assert "wr0ng" not in failed.value.fault.message


async def test_a_redirect_to_another_host_is_refused(serve: Callable[..., Served], bodies: Path) -> None:
    other = serve()
    with pytest.raises(OriginFailed) as failed:
        await look(Look(uri=serve(redirect=f"{other.uri}/info/refs").uri, token="t"), {}, bodies)
    assert failed.value.fault.code == "refused"
    assert other.asked == []


async def test_a_silent_host_is_given_up_and_its_child_is_gone(bodies: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(5)
        with pytest.raises(OriginFailed) as failed:
            await look(Look(uri=f"http://127.0.0.1:{silent.getsockname()[1]}/r"), {}, bodies, 3.0)
        assert failed.value.fault.code == "too_slow"
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(5)
            while connection.recv(4096):  # ends only when the child's end is closed
                pass


async def test_a_name_that_leads_to_a_private_address_is_refused(bodies: Path) -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return ["10.0.0.1"]

    async with open_fetcher((), "1.2.3", lookup) as fetcher:
        with pytest.raises(OriginFailed) as failed:
            await take(GitOrigin(fetcher), Look(uri="https://git.example/r"), {}, bodies)
    assert failed.value.fault.code == "refused"


@pytest.mark.parametrize(
    "uri", ["git@host.example:a/b", "ssh://host.example/a", "https://u:p@host.example/a"]
)
async def test_other_addresses_are_refused_with_the_way_out(bodies: Path, uri: str) -> None:
    with pytest.raises(OriginFailed) as failed:
        await take(GitOrigin(FakeFetcher()), Look(uri=uri), {}, bodies)
    assert "https" in failed.value.fault.message


async def test_hostile_names_are_keys_and_no_paths(tmp_path: Path, bodies: Path) -> None:
    with Repo.init_bare(str(tmp_path / "bad"), mkdir=True) as repo:
        blob, tree = Blob.from_string(b"evil"), Tree()
        for name in (b"../out.md", b"/abs.md", b"\xff.md"):
            tree.add(name, 0o100644, blob.id)
        tree.add(b"link.md", 0o120000, blob.id)
        tree.add(b"module.md", 0o160000, blob.id)
        repo.object_store.add_object(blob)
        repo.object_store.add_object(tree)
        repo.get_worktree().commit(message=b"m", author=WHO, committer=WHO, tree=tree.id)
    taken = await look(Look(uri=str(tmp_path / "bad")), {}, bodies)
    assert set(taken.bodies) == {"../out.md", "/abs.md", "\\xff.md"}
    assert [each.name for each in files(tmp_path)] == ["bad", "bodies"]
    assert len(taken.finished.notes) == 2


async def test_a_file_that_is_too_large_is_refused(stage: Stage, bodies: Path) -> None:
    stage.commit(large_md="x" * 101)
    taken = await look(Look(uri=str(stage.path), most_bytes=100), {}, bodies)
    assert taken.refused("large.md").fault.code == "too_large"


def test_a_file_is_found_at_its_forge_or_as_git_writes_it() -> None:
    assert uri_of("https://github.com/a/b.git", "c1", "x y.md") == "https://github.com/a/b/blob/c1/x%20y.md"
    assert uri_of("/srv/b", "c1", "x.md") == "/srv/b@c1:x.md"
