"""Pulling a model: the install of one that is known, told as Ollama tells a download."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from ollama import ResponseError

from runtime.core.errors import Fault
from runtime.core.events import Progress
from runtime.core.ids import ModelId
from runtime.core.states import ModelState
from tests.kit.fake_models import FakeModels, known_model
from tests.kit.http_stage import open_stage
from tests.unit.api.ollama.client import ollama

M = ModelId("m")
Plan = Callable[..., None]
DOWNLOAD = Progress(phase="downloading weights", done=250.4, total=1000, unit="bytes")


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Let the model be in given states, one at each look after its install began; looks are frequent."""
    monkeypatch.setattr("runtime.api.ollama.pull.LOOK_S", 0.001)

    def play(models: FakeModels, *states: ModelState) -> None:
        find, coming = FakeModels.find_model, iter(states)

        def look(model: ModelId) -> ModelState | None:
            if models.installs:
                models.states[M] = next(coming, models.states[M])
            return find(models, model)

        monkeypatch.setattr(models, "find_model", look)

    return play


def at(stage: Any, **more: Any) -> ModelState:
    return msgspec.structs.replace(known_model("m", stage), **more)


async def test_an_install_is_told_up_to_its_success(tmp_path: Path, plan: Plan) -> None:
    async with open_stage(tmp_path, models=[at("available")]) as stage, ollama(stage) as client:
        downloading = at("installing", progress=DOWNLOAD)
        plan(stage.models, downloading, downloading, at("installing"), at("installed"))
        with anyio.fail_after(5):
            told = [each async for each in await client.pull("m:latest", stream=True)]

    assert [each.status for each in told] == [
        "building llama.cpp 34 %, about 3 min left",
        "downloading weights",
        "installing",
        "success",
    ]
    assert (told[1].completed, told[1].total) == (250, 1000)
    assert told[1].digest is not None
    assert told[1].digest.startswith("sha256:")
    assert told[0].completed is None
    assert stage.models.installs == ["m"]


async def test_without_a_stream_the_answer_comes_at_the_end(tmp_path: Path, plan: Plan) -> None:
    async with open_stage(tmp_path, models=[at("available")]) as stage, ollama(stage) as client:
        plan(stage.models, at("installing"), at("installed"))
        with anyio.fail_after(5):
            assert (await client.pull("m")).status == "success"


async def test_what_is_here_is_not_installed_again(tmp_path: Path, plan: Plan) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        told = [each.status async for each in await client.pull("m", stream=True)]

    assert told == ["success"]
    assert stage.models.installs == []


async def test_a_failed_install_is_an_error(tmp_path: Path, plan: Plan) -> None:
    fault = Fault(code="install_failed", message="The disk is full.")
    async with open_stage(tmp_path, models=[at("available")]) as stage, ollama(stage) as client:
        plan(stage.models, at("broken", fault=fault))
        with anyio.fail_after(5), pytest.raises(ResponseError, match="The disk is full"):
            async for _ in await client.pull("m", stream=True):
                pass
        stage.models.installs.clear()
        stage.models.states[M] = at("available")
        plan(stage.models, at("broken", fault=fault))
        with anyio.fail_after(5), pytest.raises(ResponseError, match="The disk is full") as caught:
            await client.pull("m")

    assert caught.value.status_code == 503


async def test_a_long_phase_is_said_again(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.api.ollama.pull.REPEAT_S", 0.002)
    slow = [at("installing")] * 8
    async with open_stage(tmp_path, models=[at("available")]) as stage, ollama(stage) as client:
        plan(stage.models, *slow, at("installed"))
        with anyio.fail_after(5):
            told = [each.status async for each in await client.pull("m", stream=True)]

    assert told.count("installing") > 1
    assert told[-1] == "success"


async def test_a_pull_ends_when_the_server_does(tmp_path: Path, plan: Plan) -> None:
    async with open_stage(tmp_path, models=[at("available")]) as stage, ollama(stage) as client:
        pulling = aiter(await client.pull("m", stream=True))
        assert (await anext(pulling)).status == "building llama.cpp 34 %, about 3 min left"
        await stage.runs.stop(0.0)
        with anyio.fail_after(5), pytest.raises(ResponseError, match="The server is stopping"):
            await anext(pulling)


async def test_an_unknown_model_cannot_be_pulled_and_a_users_key_pulls_nothing(
    tmp_path: Path, plan: Plan
) -> None:
    async with open_stage(tmp_path, models=[at("available")]) as stage:
        async with ollama(stage) as client:
            with pytest.raises(ResponseError, match="does not exist") as unknown:
                await client.pull("llama3.2", stream=False)
        key = await anyio.to_thread.run_sync(stage.keys.create, "friend", "user")
        async with ollama(stage, key) as client:
            with pytest.raises(ResponseError, match="does not include 'operate'") as refused:
                await client.pull("m")

    assert (unknown.value.status_code, refused.value.status_code) == (404, 403)
    assert stage.models.installs == []
