"""Hard use of the doors by raw clients: revoked keys under open sessions, noise and silence on stdio."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
import pytest

from tests.kit.server import RunningServer, environment, lar, running_server

LIMIT_S = 30
VERSION = "2025-11-25"
ACCEPT = {"Accept": "application/json, text/event-stream"}


def frame(method: str, number: int | None = 1, **params: Any) -> bytes:
    told: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(told if number is None else {**told, "id": number}).encode() + b"\n"


OPENING = frame(
    "initialize", protocolVersion=VERSION, capabilities={}, clientInfo={"name": "raw", "version": "1"}
) + frame("notifications/initialized", None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home") / "home") as running:
        yield running


def relay(home: Path, **more: str) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "runtime", "mcp", "serve"]
    return subprocess.Popen(command, env=environment(home) | more, stdin=pipe, stdout=pipe, stderr=pipe)


def said(home: Path, *lines: bytes, **more: str) -> list[dict[str, Any]]:
    """Return all that the relay answers to these lines, and see that it ends well."""
    process = relay(home, **more)
    out, err = process.communicate(b"".join(lines), timeout=LIMIT_S)
    assert (process.returncode, err) == (0, b"")
    return [json.loads(each) for each in out.splitlines()]


def give(process: "subprocess.Popen[bytes]", content: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(content)
    process.stdin.flush()


def end(process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    """Close what the client writes to; return how the relay ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdin.close()
        return process.wait(LIMIT_S), process.stderr.read()
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()


def test_lines_that_are_no_messages_are_each_refused_and_the_next_is_answered(server: RunningServer) -> None:
    noise = [b'{"jsonrpc": "2.0", "id": 3, "me\n', b"[1, 2]\n", b"\xff\xfe\n", b"null\n", b'{"id": {}}\n']
    told = said(server.home, *noise, OPENING)
    assert [each["error"]["code"] for each in told[:-1]] == [-32700] * len(noise)
    assert told[-1]["result"]["protocolVersion"] == VERSION


def test_what_is_too_long_is_refused_and_its_rest_is_no_message(server: RunningServer) -> None:
    long = frame("tools/call", 5, name="files_read", arguments={"path": "x" * (65 * 1024 * 1024)})
    told = said(server.home, long, OPENING)
    assert [each["id"] for each in told] == [None, 1]
    assert "longer than 67108864 bytes and was dropped" in told[0]["error"]["message"]


def test_what_the_server_finds_too_long_is_told_with_the_setting(server: RunningServer) -> None:
    process = relay(server.home)
    give(process, OPENING + frame("tools/call", 5, name="files_read", arguments={"path": "x" * 20_000_000}))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["id"] == 1
    refused = json.loads(process.stdout.readline())
    assert end(process) == (0, b"")
    assert refused["id"] == 5
    assert "raise server.max_body_bytes in lar.toml. (HTTP 413)" in refused["error"]["message"]


def test_a_client_that_never_reads_holds_nothing_up(server: RunningServer) -> None:
    process = relay(server.home)
    give(process, OPENING + b"".join(frame("tools/list", 10 + number) for number in range(40)))
    assert process.stdout is not None
    process.stdout.peek(1)  # type: ignore[attr-defined]  # it is buffered; what has come proves that it is full soon
    assert end(process) == (0, b"")


def test_a_client_that_closes_its_end_of_stdout_ends_the_relay_without_a_word(server: RunningServer) -> None:
    process = relay(server.home)
    assert process.stdout is not None
    process.stdout.close()
    give(process, OPENING)
    assert end(process) == (0, b"")
    assert not (server.home / "logs" / "command.txt").exists()


def test_stdin_that_closes_in_mid_call_ends_the_relay_and_leaves_nothing(server: RunningServer) -> None:
    process = relay(server.home)
    give(process, OPENING + frame("tools/call", 5, name="inference_generate", arguments={"prompt": "hi"}))
    assert process.stdout is not None
    process.stdout.readline()
    children = psutil.Process(process.pid).children(recursive=True)
    assert end(process) == (0, b"")
    assert not [each for each in children if each.is_running()]


def make_key(home: Path, role: str) -> tuple[str, str]:
    """Return the secret and the id of a new key."""
    secret = json.loads(lar(home, "keys", "create", role, "--role", role, "--json").stdout)["secret"]
    listed = json.loads(lar(home, "keys", "list", "--json").stdout)
    return secret, next(each["id"] for each in listed if each["name"] == role)


def test_a_key_that_is_revoked_ends_open_streams_and_refuses_what_follows(tmp_path: Path) -> None:
    (tmp_path / "lar.toml").write_text("[mcp]\nsse = true\n")
    make_key(tmp_path, "operator")
    secret, key = make_key(tmp_path, "user")
    with running_server(tmp_path) as running:
        refused = said(tmp_path, OPENING, LAR_API_KEY="lar_wrong")
        assert "Set LAR_API_KEY to a key that exists" in refused[0]["error"]["message"]
        assert "Incorrect API key provided" in refused[0]["error"]["message"]

        process = relay(tmp_path, LAR_API_KEY=secret)
        give(process, OPENING)
        assert process.stdout is not None
        assert "result" in json.loads(process.stdout.readline())
        anyio.run(revoke_amid_streams, running.address, tmp_path, secret, key)
        give(process, frame("tools/list", 2))
        assert "(HTTP 401)" in json.loads(process.stdout.readline())["error"]["message"]
        assert end(process) == (0, b"")


async def revoke_amid_streams(address: str, home: Path, secret: str, key: str) -> None:
    headers = ACCEPT | {"Authorization": f"Bearer {secret}"}
    opening, _, ready = OPENING.partition(b"\n")
    content = {"Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=LIMIT_S) as http:
        begun = await http.post("/mcp", content=opening, headers=content)
        session = {"Mcp-Session-Id": begun.headers["mcp-session-id"], "MCP-Protocol-Version": VERSION}
        await http.post("/mcp", content=ready, headers=content | session)
        opened = [anyio.Event(), anyio.Event()]

        async def listen(path: str, there: anyio.Event) -> None:
            with suppress(httpx2.RemoteProtocolError):  # it is cut: nobody shall take it for whole
                async with http.stream("GET", path, headers=session) as answer:
                    assert answer.status_code == 200
                    there.set()
                    async for _ in answer.aiter_bytes():
                        continue

        with anyio.fail_after(LIMIT_S):
            async with anyio.create_task_group() as tasks:
                for path, there in zip(("/mcp", "/sse"), opened, strict=True):
                    tasks.start_soon(listen, path, there)
                for there in opened:
                    await there.wait()
                assert (await anyio.to_thread.run_sync(lar, home, "keys", "revoke", key)).returncode == 0
            # Both streams were ended here.
        late = await http.post("/mcp", content=frame("tools/list", 2), headers=content | session)
        assert (late.status_code, late.json()["error"]["code"]) == (401, "invalid_api_key")
        assert (await http.get("/sse")).status_code == 401
