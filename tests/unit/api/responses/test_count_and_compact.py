"""What a request would take, and a conversation made short."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from runtime.api.responses.compact import pieces_of
from runtime.api.responses.sealing import Sealer
from runtime.core.agents.items import Answered, AnyItem, Called, Said, Text
from runtime.core.agents.trimming import estimate_tokens
from runtime.core.ids import LOCAL_TENANT
from runtime.core.messages import Ended, TokenizeRequest, Tokens, Usage
from tests.kit.fake_models import ALL_FEATURES, known_model
from tests.kit.fake_pool import Step, saying
from tests.kit.response_stage import answering, response_stage

_ABLE = known_model("m", features=ALL_FEATURES | {"tokenize"})
_TOKENS: list[Step] = [Tokens(tokens=(1, 2, 3)), Ended(reason="stop", usage=Usage())]


async def test_the_tokens_of_a_request_are_counted_with_all_that_stands_before_it(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("Four."), models=[_ABLE]) as stage:
        stage.http.pool.play(_TOKENS)
        first = await stage.client.responses.create(model="m", input="Two and two?")
        counted = await stage.client.responses.input_tokens.count(
            model="m", input="Why?", previous_response_id=first.id, instructions="Be brief."
        )
        [asked] = [each for each in stage.http.pool.requests if isinstance(each, TokenizeRequest)]

    assert (counted.object, counted.input_tokens) == ("response.input_tokens", 3)
    assert asked.chat is not None
    assert [each.content for each in asked.chat.messages] == ["Be brief.", "Two and two?", "Four.", "Why?"]
    assert len(stage.runs.runs) == 1


async def test_the_tokens_of_an_unknown_model_cannot_be_counted(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        with pytest.raises(openai.NotFoundError):
            await stage.client.responses.input_tokens.count(model="gone", input="Hi")


async def test_a_conversation_becomes_what_users_said_and_a_sealed_summary(tmp_path: Path) -> None:
    given: Any = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"role": "user", "content": "Count to three."},
    ]
    async with response_stage(tmp_path, answering("Ada.")) as stage:
        stage.http.pool.play(saying("Ada ", "counts.", prompt_tokens=20))
        compacted = await stage.client.responses.compact(model="m", input=given)
        again: Any = [each.to_dict(warnings=False) for each in compacted.output]
        await stage.client.responses.create(
            model="m", input=[*again, {"role": "user", "content": "My name?"}]
        )

    kinds = [each.type for each in compacted.output]
    assert kinds == ["message", "message", "compaction"]
    assert compacted.object == "response.compaction"
    assert compacted.usage.input_tokens == 20
    summary = again[-1]["encrypted_content"]
    assert Sealer(bytes(64)).open("compaction", LOCAL_TENANT, summary, "x") == "Ada counts."
    assert "Ada" not in summary
    prompt = stage.http.pool.chats[-1].messages[-1].content
    assert isinstance(prompt, str)
    assert "Hello Ada." in prompt
    heard = [type(each).__name__ for each in stage.runs.last.new.input]
    assert heard == ["Said", "Said", "Compacted", "Said"]


async def test_what_a_previous_response_led_to_can_be_compacted(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("Four.")) as stage:
        stage.http.pool.play(saying("It was four."))
        first = await stage.client.responses.create(model="m", input="Two and two?")
        compacted = await stage.client.responses.compact(model="m", previous_response_id=first.id)

    assert [each.type for each in compacted.output] == ["message", "compaction"]


async def test_nothing_cannot_be_compacted(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        with pytest.raises(openai.BadRequestError, match="input"):
            await stage.client.responses.compact(model="m")
        async with stage.http.http.post(f"{stage.url}/compact", json={"input": "Hi"}) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (400, "model")


async def test_a_summary_that_fails_is_a_plain_error(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        stage.http.pool.play([])
        with pytest.raises(openai.APIStatusError):
            await stage.client.responses.compact(model="m", input="Hi")


async def test_a_cache_is_warmed_without_output(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        stage.http.pool.play(saying("x", prompt_tokens=9))
        response = await stage.client.responses.create(
            model="m", input="The long beginning.", prompt_cache_options={"prewarm": True}
        )

    assert (response.status, response.output) == ("completed", [])
    assert stage.runs.runs == {}
    assert stage.http.pool.chats[0].sampling.max_tokens == 1


def _talk(turns: int) -> list[AnyItem]:
    items: list[AnyItem] = []
    for number in range(turns):
        items += [
            Said(id=f"u{number}", role="user", parts=(Text(text="word " * 50),)),
            Called(id=f"f{number}", call_id=f"c{number}", name="look", arguments=json.dumps({"a": "b" * 50})),
            Answered(id=f"a{number}", call_id=f"c{number}", parts=(Text(text="found " * 50),)),
            Said(id=f"m{number}", role="assistant", parts=(Text(text="well " * 50),)),
        ]
    return items


@pytest.mark.parametrize("tokens", [1, 200, 600, 100_000])
def test_pieces_hold_everything_once_and_never_part_a_call_from_its_result(tokens: int) -> None:
    items = _talk(6)

    pieces = list(pieces_of(items, tokens))

    assert [each for piece in pieces for each in piece] == items
    for piece in pieces:
        called = {each.call_id for each in piece if isinstance(each, Called)}
        assert called == {each.call_id for each in piece if isinstance(each, Answered)}
    if tokens >= 600:
        assert all(estimate_tokens(piece) <= tokens for piece in pieces)
