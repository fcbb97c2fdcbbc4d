"""Ollama's generations through its official client: prompts as chats, raw prompts, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from ollama import ResponseError

from runtime.core.messages import Began, Delta, Ended, ImagePart, RawPrompt, TextPart, Usage
from tests.kit.fake_models import known_model
from tests.kit.http_stage import open_stage
from tests.unit.api.ollama.client import PNG, able_model, ollama


async def test_a_prompt_is_a_chat_with_its_system_message(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        answer = await client.generate(model="m", prompt="Hi", system="Be brief.", stream=False)
        asked = stage.pool.chats[0]

    assert answer.response == "Hello there"
    assert (answer.done, answer.done_reason, answer.thinking, answer.context) == (True, "stop", None, None)
    assert (answer.prompt_eval_count, answer.eval_count) == (5, 2)
    assert [(each.role, each.content) for each in asked.messages] == [("system", "Be brief."), ("user", "Hi")]
    assert asked.prompt is None


async def test_a_stream_joins_to_the_whole(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        end = Ended(reason="length", usage=Usage(prompt_tokens=1, completion_tokens=2))
        stage.pool.play(
            [Began(prompt_tokens=1), Delta(reasoning="hm"), Delta(text="a"), Delta(text="b"), end]
        )
        whole = await client.generate(model="m", prompt="Hi", think=True)
        parts = [each async for each in await client.generate(model="m", prompt="Hi", stream=True)]

    assert (whole.thinking, whole.response, whole.done_reason) == ("hm", "ab", "length")
    assert "".join(each.response or "" for each in parts) == whole.response
    assert "".join(each.thinking or "" for each in parts) == whole.thinking
    assert [each.done for each in parts] == [False, False, False, True]


async def test_a_raw_prompt_is_touched_by_no_template(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able_model()]) as stage, ollama(stage) as client:
        await client.generate(model="m", prompt="[INST] Hi", raw=True)
        await client.generate(model="m", prompt="def f():", suffix="    return x")
        prompts = [each.prompt for each in stage.pool.chats]

    assert prompts == [RawPrompt(text="[INST] Hi"), RawPrompt(text="def f():", suffix="    return x")]
    assert stage.pool.chats[0].messages == ()


async def test_what_the_model_cannot_go_on_with_is_refused_by_name(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        with pytest.raises(ResponseError, match="'raw' is not supported by the model"):
            await client.generate(model="m", prompt="a", raw=True)
        with pytest.raises(ResponseError, match="'suffix' is not supported by the model"):
            await client.generate(model="m", prompt="a", suffix="b")
        with pytest.raises(ResponseError, match=r"'images\[0\]' is not supported by the model"):
            await client.generate(model="m", prompt="a", system="b", images=[PNG])


async def test_pictures_come_with_the_prompt(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able_model()]) as stage, ollama(stage) as client:
        await client.generate(model="m", prompt="What is it?", images=[PNG])
        await client.generate(model="m", images=[PNG])
        contents = [each.messages[0].content for each in stage.pool.chats]

    assert contents == [(ImagePart(data=PNG), TextPart(text="What is it?")), (ImagePart(data=PNG),)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"template": "{{ .Prompt }}"}, "'template' is not supported"),
        ({"context": [1, 2]}, "'context' is not supported"),
        ({"width": 512}, "'width' is not supported"),
        ({"raw": True, "system": "x"}, "'system' has no place"),
        ({"suffix": "y", "images": [PNG]}, "'images' has no place"),
        ({"options": {"tfs_z": 0.5}}, r"'options\.tfs_z' is not supported"),
    ],
)
async def test_what_would_change_the_answer_is_refused_by_name(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    async with open_stage(tmp_path, models=[able_model()]) as stage, ollama(stage) as client:
        with pytest.raises(ResponseError, match=words) as caught:
            await client.generate(model="m", prompt="Hi", **more)

    assert caught.value.status_code == 400
    assert stage.pool.requests == []


async def test_the_prompt_is_never_rendered_for_debugging(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        body = {"model": "m", "prompt": "Hi", "_debug_render_only": True}
        async with stage.http.post(f"{stage.address}/api/generate", json=body) as response:
            assert response.status == 400
            assert "_debug_render_only" in (await response.json())["error"]


async def test_without_a_prompt_the_model_is_loaded(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[known_model("m", "installed")]) as stage, ollama(stage) as client:
        answer = await client.generate(model="m")
        asked = stage.pool.chats[0]

    assert (answer.response, answer.done_reason) == ("", "load")
    assert answer.total_duration == 0  # of a clock that stands still
    assert asked.sampling.max_tokens == 1


async def test_a_model_that_is_only_known_is_installed_on_first_use(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able_model("m", "available")]) as stage, ollama(stage) as client:
        with pytest.raises(ResponseError, match=r"building llama\.cpp 34 %") as caught:
            await client.generate(model="m")

    assert caught.value.status_code == 503
    assert stage.models.installs == ["m"]


async def test_an_unknown_field_is_named(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        for body, words in (
            ({"model": "m", "prompt": "x", "tempature": 1}, "tempature"),
            ({"model": "m", "prompt": "x", "options": {"temperatur": 1}}, "options.temperature"),
            ({"model": "m", "prompt": 5}, "'prompt' must be a string"),
            ({"prompt": "x"}, "'model'"),
        ):
            async with stage.http.post(f"{stage.address}/api/generate", json=body) as response:
                assert response.status == 400
                assert words in (await response.json())["error"]
