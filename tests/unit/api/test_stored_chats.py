"""Chat completions that are kept, through the official client, unmodified, over a real port."""

from pathlib import Path
from typing import Any

import openai
import pytest

from runtime.api.openai.record_upkeep import KEPT_S, RecordUpkeep
from runtime.core.events import RunRequested
from tests.kit.clock import FakeClock
from tests.kit.http_stage import open_stage
from tests.kit.response_stage import ResponseStage, response_stage

ASKED: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}]},
]


async def keep(stage: ResponseStage, **more: Any) -> str:
    made = await stage.client.chat.completions.create(model="m", messages=ASKED, store=True, **more)
    return str(made.id)


async def test_a_completion_is_kept_only_where_that_is_asked_for(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        await stage.client.chat.completions.create(model="m", messages=ASKED)
        assert [each async for each in stage.client.chat.completions.list()] == []

        kept = await keep(stage, metadata={"k": "v"})
        found = await stage.client.chat.completions.retrieve(kept)
        assert found.choices[0].message.content == "Hello there"
        assert found.to_dict()["metadata"] == {"k": "v"}
        changed = await stage.client.chat.completions.update(kept, metadata={"k": "w"})
        assert changed.to_dict()["metadata"] == {"k": "w"}
        gone = await stage.client.chat.completions.delete(kept)
        assert (gone.id, gone.object, gone.deleted) == (kept, "chat.completion.deleted", True)
        with pytest.raises(openai.NotFoundError, match=kept):
            await stage.client.chat.completions.retrieve(kept)


async def test_a_streamed_completion_is_kept_whole(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        stream = await stage.client.chat.completions.create(
            model="m", messages=ASKED, store=True, stream=True
        )
        chunks = [each async for each in stream]
        found = await stage.client.chat.completions.retrieve(chunks[0].id)
        assert found.choices[0].message.content == "Hello there"
        assert found.usage is not None


async def test_completions_are_listed_in_order_and_by_model_and_label(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        made = [await keep(stage, metadata={"n": str(number % 2)}) for number in range(5)]
        completions = stage.client.chat.completions
        assert [each.id async for each in completions.list(limit=2)] == made
        assert [each.id async for each in completions.list(order="desc")] == made[::-1]
        assert [each.id async for each in completions.list(metadata={"n": "1"}, limit=1)] == made[1::2]
        assert [each.id async for each in completions.list(model="other")] == []


async def test_messages_show_what_was_asked(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        kept = await keep(stage)
        messages = [each async for each in stage.client.chat.completions.messages.list(kept, limit=1)]
        assert [each.content for each in messages] == ["Be brief.", "Hi you"]
        assert [each.content_parts is None for each in messages] == [True, False]
        assert len({each.id for each in messages}) == 2


async def test_old_completions_go_by_themselves(tmp_path: Path) -> None:
    clock = FakeClock()
    async with response_stage(tmp_path, clock=clock) as stage:
        old = await keep(stage)
        clock.advance(KEPT_S / 2)
        young = await keep(stage)
        clock.advance(KEPT_S / 2 + 2)
        upkeep = RecordUpkeep(stage.home.records, clock)
        assert await upkeep.forget_old() == 1
        assert [each.id async for each in stage.client.chat.completions.list()] == [young]
        assert old != young


async def test_a_completion_that_was_not_kept_is_a_404_in_the_usual_form(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        completions = stage.client.chat.completions
        for ask in (completions.retrieve, completions.delete, completions.messages.list):
            with pytest.raises(openai.NotFoundError, match="'store': true"):
                await ask("chatcmpl-1")
        with pytest.raises(openai.NotFoundError):
            await completions.update("chatcmpl-1", metadata={})
        assert stage.http.facts(RunRequested) == []


async def test_without_its_store_a_server_refuses_to_keep_and_asks_no_model(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        with pytest.raises(openai.InternalServerError) as refused:
            await client.chat.completions.create(model="m", messages=ASKED, store=True)
        assert (refused.value.code, refused.value.param) == ("agents_off", "store")
        assert stage.pool.requests == []
