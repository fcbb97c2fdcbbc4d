"""What reads documents and repositories has no network, where the system lets it be without one."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest
from dulwich import porcelain

import runtime
from runtime.cli import doctor
from runtime.recall.parse.reader import open_reader
from runtime.recall.parts import Parsed
from runtime.recall.seclusion import find_obstacle, leave_network
from runtime.recall.sources.git_wire import Order
from tests.kit import documents

WAIT_S = 60
ROOT = os.fspath(Path(runtime.__path__[0]).parent)
CALLS = """
import os, pathlib, socket
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=5).close()
    found = "reached"
except OSError as problem:
    found = type(problem).__name__
pathlib.Path({told!r}).write_text(f"{{found}} {{os.geteuid()}}")
"""
# The child as it is, which calls before it opens the repository.
GIT_CHILD = """
import sys
sys.path.append({root!r})
from runtime.recall.sources import git_child
opens = git_child._open
def calling(order):
    exec({calls!r})
    return opens(order)
git_child._open = calling
git_child.main()
"""
needs_namespaces = pytest.mark.skipif(find_obstacle() != "", reason="the system refuses network namespaces")


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def call_while_reading(folder: Path, port: int) -> str:
    """Have a program that stands in for Tesseract, started by a reading child, call a port."""
    program, told = folder / "tesseract", folder / "told"
    program.write_text(f"#!{sys.executable}\n" + CALLS.format(port=port, told=str(told)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = folder / "a.pdf"
    path.write_bytes(documents.pdf([""]))
    with anyio.fail_after(WAIT_S):
        async with open_reader(1, tesseract=str(program)) as reader:
            await reader.read(path, path.name, None, None)
    return told.read_text()


def call_while_fetching(folder: Path, port: int, order: Order) -> str:
    """Have the child that reads repositories call a port."""
    told = folder / "told"
    code = GIT_CHILD.format(root=ROOT, calls=CALLS.format(port=port, told=str(told)))
    line = msgspec.json.encode(order) + b"\n"
    subprocess.run([sys.executable, "-I", "-c", code], input=line, capture_output=True, timeout=WAIT_S)
    return told.read_text()


def order(folder: Path, **where: str) -> Order:
    limits = {"most_entries": 10, "most_bytes": 1 << 20, "most_pack_bytes": 1 << 20}
    return msgspec.convert({"folder": str(folder), **limits, **where}, Order)


@needs_namespaces
async def test_a_child_that_reads_documents_reaches_nothing(tmp_path: Path, port: int) -> None:
    assert await call_while_reading(tmp_path, port) == f"OSError {os.geteuid()}"


@needs_namespaces
def test_a_child_that_reads_a_local_repository_reaches_nothing(tmp_path: Path, port: int) -> None:
    porcelain.init(str(tmp_path / "repo")).close()

    asked = order(tmp_path, path=str(tmp_path / "repo"))

    assert call_while_fetching(tmp_path, port, asked) == f"OSError {os.geteuid()}"


def test_a_child_that_fetches_a_repository_keeps_its_network(tmp_path: Path, port: int) -> None:
    asked = order(tmp_path, url="http://127.0.0.1:9/a.git")

    assert call_while_fetching(tmp_path, port, asked) == f"reached {os.geteuid()}"


async def test_a_system_that_refuses_is_read_on_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert leave_network() == "Linux alone has network namespaces"
    monkeypatch.undo()

    path = tmp_path / "a.txt"
    path.write_text("apples")
    with anyio.fail_after(WAIT_S):
        async with open_reader(1, tesseract="") as reader:
            assert isinstance(await reader.read(path, path.name, None, None), Parsed)


@pytest.mark.parametrize(("obstacle", "verdict"), [("", "ok"), ("the system refuses it", "warn")])
def test_the_doctor_says_what_is_true(monkeypatch: pytest.MonkeyPatch, obstacle: str, verdict: str) -> None:
    monkeypatch.setattr(doctor, "find_obstacle", lambda: obstacle)

    check = doctor._check_readers()

    assert check.verdict == verdict
    assert obstacle in check.finding
    assert bool(check.fix) == bool(obstacle)
