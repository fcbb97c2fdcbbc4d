"""The command line's client against the real edge."""

import socket
from pathlib import Path

import anyio
import pytest

from runtime.api.client import LarClient, ServerRefused, ServerUnreachable
from runtime.core.errors import Fault
from runtime.core.events import ModelEvicted, RunFinished
from runtime.core.ids import ModelId
from runtime.core.messages import Began, Broke, Delta, Message
from tests.kit.fake_models import known_model
from tests.kit.http_stage import open_stage

HI = [Message(role="user", content="Hi")]
M = ModelId("m")


async def test_state_health_and_operations(tmp_path: Path) -> None:
    models = [known_model("owner/name", "available")]
    async with open_stage(tmp_path, models=models) as stage, LarClient(stage.address) as client:
        assert await client.health()
        assert (await client.state()).address == stage.address
        assert (await client.install(ModelId("owner/name"))).stage == "installing"
        assert (await client.unload(ModelId("owner/name"))).stage == "installed"


async def test_an_answer_comes_in_pieces(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, LarClient(stage.address) as client:
        pieces = [each async for each in client.chat(M, HI, temperature=0)]

    assert "".join(each.text for each in pieces) == "Hello there"
    assert [each.finish_reason for each in pieces if each.finish_reason] == ["stop"]
    assert pieces[-1].completion_tokens == 2
    assert stage.pool.chats[0].sampling.temperature == 0


async def test_events_are_followed(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, LarClient(stage.address) as client:
        stage.bus.publish(ModelEvicted(model=M, reason="idle"))
        async for _ in client.chat(M, HI):
            pass
        with anyio.fail_after(5):
            while not stage.facts(RunFinished):
                await anyio.lowlevel.checkpoint()
        all_kinds = [each.kind async for each in client.events(0, follow=False)]
        evictions = [each.seq async for each in client.events(0, ["model.*"], follow=False)]

    assert all_kinds[:2] == ["model.evicted", "run.requested"]
    assert evictions == [1]


async def test_a_fault_in_mid_answer_is_raised(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, LarClient(stage.address) as client:
        broken = Broke(fault=Fault(code="worker_died", message="The worker died."))
        stage.pool.play([Began(prompt_tokens=1), Delta(text="He"), broken])
        with pytest.raises(ServerRefused, match="The worker died") as caught:
            assert [each async for each in client.chat(M, HI)] == []

    assert caught.value.code == "worker_died"


async def test_a_refusal_is_told_in_the_servers_words(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, LarClient(stage.address, "lar-wrong") as client:
        await anyio.to_thread.run_sync(stage.keys.create, "a", "operator")
        stage.clock.advance(1.0)
        with pytest.raises(ServerRefused) as caught:
            await client.state()
        assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
        with pytest.raises(ServerRefused):
            assert [each async for each in client.events()] == []


async def test_nobody_there_is_said_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with LarClient(address) as client:
        with pytest.raises(ServerUnreachable, match=address):
            await client.health()
        with pytest.raises(ServerUnreachable, match=address):
            assert [each async for each in client.chat(M, HI)] == []
