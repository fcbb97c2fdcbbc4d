"""The server takes an address, says which, and stops within its bound."""

import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import anyio
import pytest

from runtime.api.server import PORT_TRIES, HttpServer, create_app
from runtime.core.errors import SettingsInvalid
from runtime.core.events import RunCancelled, RunFinished
from runtime.core.messages import Began, Ended, Usage
from runtime.core.settings import ServerSettings
from tests.kit.fake_pool import Hold
from tests.kit.http_stage import open_stage


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


async def test_a_taken_port_is_answered_with_a_following_one(tmp_path: Path, taken_port: int) -> None:
    async with open_stage(tmp_path) as stage:
        settings = ServerSettings(port=taken_port)
        server = HttpServer(create_app(stage.deps), settings)
        bound = await server.open()
        try:
            assert bound.is_moved
            assert taken_port < bound.port < taken_port + PORT_TRIES
            assert bound.address == server.address == f"http://127.0.0.1:{bound.port}"
            async with stage.http.get(f"{bound.address}/healthz") as response:
                assert response.status == 200
        finally:
            await server.aclose(0.0)


async def test_a_port_of_choice_is_not_called_moved(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        server = HttpServer(create_app(stage.deps), ServerSettings(port=0, host="0.0.0.0"))
        bound = await server.open()
        await server.aclose(0.0)

    assert not bound.is_moved
    assert bound.address == f"http://127.0.0.1:{bound.port}"


async def test_no_free_port_is_said_with_the_setting_to_change(
    tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.api.server.PORT_TRIES", 1)
    async with open_stage(tmp_path) as stage:
        server = HttpServer(create_app(stage.deps), ServerSettings(port=taken_port))
        with pytest.raises(SettingsInvalid, match=r"server\.port"):
            await server.open()


async def test_an_address_that_is_not_ours_is_said_too(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        server = HttpServer(create_app(stage.deps), ServerSettings(port=0, host="192.0.2.1"))
        with pytest.raises(SettingsInvalid, match=r"192\.0\.2\.1"):
            await server.open()


async def test_a_stop_lets_a_request_end_within_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.api.server._CANCEL_S", 0.001)
    hold = Hold()
    async with open_stage(tmp_path) as stage, anyio.create_task_group() as tasks:
        stage.pool.play([Began(prompt_tokens=1), hold, Ended(reason="stop", usage=Usage())])
        statuses: list[int] = []

        async def ask() -> None:
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
                statuses.append(response.status)

        tasks.start_soon(ask)
        with anyio.fail_after(5):
            await hold.is_reached.wait()
            tasks.start_soon(stage.server.aclose, 5.0)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(aiohttp.ClientConnectorError):
                await stage.http.get(f"{stage.address}/healthz")
            hold.release()
            while not statuses:
                await anyio.lowlevel.checkpoint()

        assert statuses == [200]
        assert len(stage.facts(RunFinished)) == 1


async def test_a_stop_does_not_wait_longer_than_its_grace(tmp_path: Path) -> None:
    hold = Hold()
    async with open_stage(tmp_path) as stage, anyio.create_task_group() as tasks:
        stage.pool.play([Began(prompt_tokens=1), hold, Ended(reason="stop", usage=Usage())])

        async def ask() -> None:
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            with pytest.raises(aiohttp.ClientError):
                async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
                    await response.text()

        tasks.start_soon(ask)
        with anyio.fail_after(5):
            await hold.is_reached.wait()
            await stage.server.aclose(0.0)
            await stage.server.aclose(0.0)
            while not stage.facts(RunCancelled):
                await anyio.lowlevel.checkpoint()
