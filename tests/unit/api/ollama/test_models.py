"""What Ollama's clients see of the models, and of what Lar does not do to them."""

from datetime import UTC, datetime
from pathlib import Path

import anyio
import msgspec
import pytest
from ollama import ResponseError

from runtime.api.ollama.models import size_name
from runtime.core.errors import Fault
from runtime.core.ids import ModelId
from tests.kit.fake_models import known_model
from tests.kit.http_stage import open_stage
from tests.unit.api.ollama.client import EMBEDDER, able_model, ollama

SHA = "ab" * 32
SMALL = msgspec.structs.replace(
    able_model("small"),
    size_bytes=98_362_432,
    needs_bytes=400_000_000,
    digest=SHA,
    format="gguf",
    parameters=134_515_008,
    licence="Apache-2.0",
    context_tokens=8192,
    leaves_in_s=600.0,
)


async def test_models_on_disk_are_listed_with_what_is_known_of_them(tmp_path: Path) -> None:
    absent = msgspec.structs.replace(
        known_model("absent", "broken"), fault=Fault(code="install_failed", message="no disk")
    )
    models = [SMALL, known_model("owner/name:8b", "installed"), known_model("known", "available"), absent]
    async with open_stage(tmp_path, models=models) as stage, ollama(stage) as client:
        listed = (await client.list()).models

    assert [each.model for each in listed] == ["small:latest", "owner/name:8b"]
    small, other = listed
    assert (small.size, small.digest) == (98_362_432, SHA)
    assert small.modified_at == datetime.fromtimestamp(1_600_000_000, UTC)
    assert small.details is not None
    assert (small.details.format, small.details.parameter_size) == ("gguf", "134.52M")
    assert (small.details.family, small.details.quantization_level) == ("", "")
    assert other.digest is not None
    assert len(other.digest) == 64
    assert other.details is not None
    assert other.details.parameter_size == ""


async def test_models_in_memory_are_listed_with_when_they_leave(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[SMALL, known_model("n", "installed")]) as stage:
        async with ollama(stage) as client:
            loaded = (await client.ps()).models
        now = stage.clock.now()

    assert [(each.name, each.model) for each in loaded] == [("small:latest", "small:latest")]
    assert (loaded[0].size, loaded[0].digest) == (400_000_000, SHA)
    assert loaded[0].context_length == 8192
    assert loaded[0].expires_at == datetime.fromtimestamp(now + 600, UTC)


async def test_a_model_is_shown_with_its_abilities(tmp_path: Path) -> None:
    models = [SMALL, known_model("e", features=EMBEDDER), known_model("plain", features=frozenset())]
    async with open_stage(tmp_path, models=models) as stage, ollama(stage) as client:
        shown = await client.show("small:latest")
        embedder, plain = await client.show("e"), await client.show("plain")
        with pytest.raises(ResponseError, match="does not exist") as caught:
            await client.show("nope")
        async with stage.http.post(f"{stage.address}/api/show", json={"name": "small"}) as response:
            assert (await response.json())["license"] == "Apache-2.0"
        async with stage.http.post(f"{stage.address}/api/show", json={}) as response:
            assert await response.json() == {"error": "Missing required parameter: 'model'."}

    assert shown.license == "Apache-2.0"
    assert shown.capabilities == ["completion", "tools", "insert", "vision", "thinking"]
    assert shown.parameters == "num_ctx                        8192"
    assert shown.modelinfo is not None
    assert shown.modelinfo["general.parameter_count"] == 134_515_008
    assert shown.modelinfo["lar.context_length"] == 8192
    assert (embedder.capabilities, plain.capabilities) == (["embedding"], ["completion"])
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (None, ""),
        (0, ""),
        (9_000, "9.00K"),
        (134_515_008, "134.52M"),
        (8_030_261_248, "8.0B"),
        (999_999_999, "1000.00M"),
    ],
)
def test_a_size_is_said_as_ollama_says_it(parameters: int | None, text: str) -> None:
    assert size_name(parameters) == text


async def test_a_digest_changes_with_the_weights(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        first = (await client.list()).models[0].digest
        again = (await client.list()).models[0].digest
        stage.models.states[ModelId("m")] = msgspec.structs.replace(known_model("m"), size_bytes=7)
        other = (await client.list()).models[0].digest

    assert first == again
    assert first != other


async def test_lar_speaks_of_itself(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await anyio.to_thread.run_sync(stage.keys.create, "friend", "user")
        async with stage.http.get(f"{stage.address}/") as response:
            assert (response.status, await response.text()) == (200, "Lar is running")
        async with stage.http.head(f"{stage.address}/") as response:
            assert response.status == 200
        async with stage.http.get(f"{stage.address}/api/version") as response:
            assert await response.json() == {"version": "0.0.test"}
        async with stage.http.get(f"{stage.address}/api/tags") as response:
            assert response.status == 401
            assert "API key" in (await response.json())["error"]


async def test_what_would_change_the_store_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        for change in (
            client.push("m"),
            client.create("x", from_="m"),
            client.copy("m", "x"),
            client.delete("m"),
        ):
            with pytest.raises(ResponseError, match=r"lar\.toml") as caught:
                await change
            assert caught.value.status_code == 501
