"""What lasts ends with the key that let it in: streams, sockets and answers, on a real server."""

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from runtime.api.keys import KeyStore
from tests.kit.server import RunningServer, running_server

LIMIT_S = 30
SLOW = "[[slow: 100ms]] [[long: 5000]]"
CHAT: Mapping[str, object] = {"model": "scripted", "messages": [{"role": "user", "content": SLOW}]}
RESPONSE: Mapping[str, object] = {"model": "scripted", "input": SLOW}
BACKGROUND = {**RESPONSE, "input": "[[slow: 100ms]] [[long: 80]]", "stream": True, "background": True}
"""It has passed the gate: its answer goes on to the end, and what it wants next is refused."""
STREAMED: dict[str, tuple[str, str, Mapping[str, object] | None]] = {
    "events": ("GET", "/api/events?after=0", None),
    "a chat": ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    "a response": ("POST", "/v1/responses", {**RESPONSE, "stream": True}),
    "a response in the background": ("POST", "/v1/responses", BACKGROUND),
    "lines of the Ollama API": ("POST", "/api/chat", CHAT),
}

Open = Callable[[httpx2.AsyncClient, anyio.Event], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home") / "home") as running:
        yield running


@pytest.mark.parametrize("name", list(STREAMED))
def test_a_stream_is_cut_and_never_ends_as_if_it_were_whole(server: RunningServer, name: str) -> None:
    method, path, body = STREAMED[name]

    async def listen(http: httpx2.AsyncClient, begun: anyio.Event) -> None:
        async def read() -> None:
            async with http.stream(method, path, json=body) as answer:
                assert answer.status_code == 200
                async for _ in answer.aiter_bytes():
                    begun.set()

        with pytest.raises(httpx2.RemoteProtocolError):
            await read()

    outlive(server, listen)


def test_an_answer_that_had_not_begun_says_why_it_is_refused(server: RunningServer) -> None:
    async def ask(http: httpx2.AsyncClient, begun: anyio.Event) -> None:
        begun.set()
        answer = await http.post("/v1/chat/completions", json=CHAT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "revoked meanwhile" in answer.json()["error"]["message"]

    outlive(server, ask)


def test_a_socket_is_closed(server: RunningServer) -> None:
    async def talk(http: httpx2.AsyncClient, begun: anyio.Event) -> None:
        address = str(http.base_url).replace("http", "ws", 1).rstrip("/")
        async with connect(f"{address}/v1/responses", additional_headers=dict(http.headers)) as socket:
            await socket.send(json.dumps({"type": "response.create", **RESPONSE}))

            async def read() -> None:
                while True:
                    await socket.recv()
                    begun.set()

            with pytest.raises(ConnectionClosedError):  # cut, without a word that would say it had ended well
                await read()

    outlive(server, talk)


def test_who_came_without_a_key_leaves_when_the_first_is_made(server: RunningServer) -> None:
    keys = KeyStore(server.home / "keys.json")

    async def run() -> None:
        async with httpx2.AsyncClient(base_url=server.address, timeout=LIMIT_S) as http:
            while (await http.get("/api/state")).status_code != 200:  # noqa: ASYNC110 - keys of other tests
                await anyio.sleep(0.1)

            async def read() -> None:
                async with http.stream("GET", "/api/events?after=0") as answer:
                    async for _ in answer.aiter_bytes():
                        if not keys.has_any():
                            await anyio.to_thread.run_sync(keys.create, "first", "operator")

            with pytest.raises(httpx2.RemoteProtocolError):
                await read()
            assert (await http.get("/api/state")).status_code == 401

    try:
        anyio.run(run)
    finally:
        for each in keys.list_keys():
            keys.revoke(each.id)


def outlive(server: RunningServer, use: Open) -> None:
    """Use a server with a key, which is revoked meanwhile: what uses it ends, and nothing of it goes on."""
    keys = KeyStore(server.home / "keys.json")
    secret = keys.create("laptop", "operator")
    (laptop,) = keys.list_keys()
    owner = keys.create("desk", "operator")

    async def run() -> None:
        begun = anyio.Event()
        async with client(server, "none") as nobody:
            while (await nobody.get("/api/state")).status_code != 401:  # noqa: ASYNC110 - the server looks soon
                await anyio.sleep(0.1)
        async with client(server, secret) as http:
            with anyio.fail_after(LIMIT_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(use, http, begun)
                    await begun.wait()
                    assert await anyio.to_thread.run_sync(keys.revoke, laptop.id)
                await until_idle(server, owner)

    try:
        anyio.run(run)
    finally:
        for each in keys.list_keys():
            keys.revoke(each.id)


async def until_idle(server: RunningServer, secret: str) -> None:
    async with client(server, secret) as http:
        while True:
            models = (await http.get("/api/state")).json()["models"]
            if not any(each["running"] for each in models):
                return
            await anyio.sleep(0.1)


def client(server: RunningServer, secret: str) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx2.AsyncClient(base_url=server.address, headers=headers, timeout=LIMIT_S)
