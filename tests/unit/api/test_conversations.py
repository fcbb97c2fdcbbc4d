"""Conversations through the official client, unmodified, over a real port."""

from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.conversations import Conversation, Message
from pydantic import BaseModel

from runtime.api.openai.conversations import ITEMS_LIMIT
from runtime.core.agents.items import Answered, Called, Said, Text
from runtime.core.ids import LOCAL_TENANT
from tests.kit.response_stage import answering, response_stage


def check_fields(thing: BaseModel) -> None:
    """Check that every field which the client's type demands is there, and of its type."""
    type(thing).model_validate(thing.model_dump(), strict=True)


def said(text: str, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


async def test_a_conversation_is_made_shown_labelled_anew_and_forgotten(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        conversations = stage.client.conversations
        made = await conversations.create(metadata={"topic": "cats"})
        check_fields(made)
        assert made.id.startswith("conv_")
        assert (made.object, made.metadata) == ("conversation", {"topic": "cats"})
        assert await conversations.retrieve(made.id) == made
        changed = await conversations.update(made.id, metadata={"topic": "dogs"})
        assert changed.metadata == {"topic": "dogs"}
        gone = await conversations.delete(made.id)
        check_fields(gone)
        assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
        with pytest.raises(openai.NotFoundError, match=made.id):
            await conversations.retrieve(made.id)


async def test_items_keep_their_ids_and_come_newest_first_in_pages(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        conversations = stage.client.conversations
        made: Conversation = await conversations.create(items=[said("one"), said("two")])  # type: ignore[list-item]  # plain dicts
        added = await conversations.items.create(made.id, items=[said("three"), said("four")])  # type: ignore[list-item]  # the same
        assert (added.object, added.has_more, len(added.data)) == ("list", False, 2)
        assert (added.first_id, added.last_id) == (added.data[0].id, added.data[1].id)

        newest = [each async for each in conversations.items.list(made.id, limit=3)]
        assert [_text(each) for each in newest] == ["four", "three", "two", "one"]
        oldest = [each async for each in conversations.items.list(made.id, limit=1, order="asc")]
        assert [each.id for each in oldest] == [each.id for each in newest[::-1]]
        for each in newest:
            check_fields(each)
            assert await conversations.items.retrieve(each.id or "", conversation_id=made.id) == each

        left = await conversations.items.delete(newest[0].id or "", conversation_id=made.id)
        assert left.id == made.id
        with pytest.raises(openai.NotFoundError, match="not found in conversation"):
            await conversations.items.retrieve(newest[0].id or "", conversation_id=made.id)


async def test_a_response_goes_on_in_a_conversation(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        made = await stage.client.conversations.create(items=[said("Remember: 7")])  # type: ignore[list-item]  # plain dicts
        response = await stage.client.responses.create(model="m", input="Which?", conversation=made.id)
        assert response.conversation is not None
        assert response.conversation.id == made.id
        assert stage.runs.last.new.session == made.id


async def test_a_call_that_lar_carried_out_is_one_item_with_its_result(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        made = await stage.client.conversations.create()
        call = Called(
            id="mcp_1", call_id="call_1", name="look", arguments="{}", form="mcp", by_client=False, server="s"
        )
        result = Answered(id="res_1", call_id="call_1", parts=(Text(text="seen"),), form="mcp")
        after = Said(id="msg_9", role="assistant", parts=(Text(text="It is there."),))
        await stage.home.sessions.add(LOCAL_TENANT, made.id, [call, result, after])

        shown = [each async for each in stage.client.conversations.items.list(made.id, limit=1)]
        assert [each.id for each in shown] == ["msg_9", "mcp_1"]
        assert shown[1].type == "mcp_call"
        assert shown[1].output == "seen"
        await stage.client.conversations.items.delete("mcp_1", conversation_id=made.id)
        left = await stage.home.sessions.items(LOCAL_TENANT, made.id)
        assert [each.item.id for each in left] == ["msg_9"]


async def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        items = stage.client.conversations.items
        made = await stage.client.conversations.create()
        with pytest.raises(openai.BadRequestError) as many:
            await items.create(made.id, items=[said("x")] * (ITEMS_LIMIT + 1))  # type: ignore[list-item]  # plain dicts
        assert many.value.param == "items"
        with pytest.raises(openai.BadRequestError) as wrong:
            await items.create(made.id, items=[said("x", role="cat")])  # type: ignore[list-item]  # wrong on purpose
        assert (wrong.value.param or "").startswith("items[0]")
        with pytest.raises(openai.NotFoundError, match="conv_none"):
            await items.create("conv_none", items=[said("x")])  # type: ignore[list-item]  # plain dicts
        with pytest.raises(openai.BadRequestError) as cursor:
            await items.list(made.id, after="msg_none")
        assert cursor.value.param == "after"
        with pytest.raises(openai.BadRequestError) as labels:
            await stage.client.conversations.create(metadata={"k": "v" * 513})
        assert (labels.value.param or "").startswith("metadata")


def _text(item: object) -> str:
    assert isinstance(item, Message)
    return str(getattr(item.content[0], "text", ""))
