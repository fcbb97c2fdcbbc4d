"""Chat beyond text: custom tools in answers, pictures, adapters, and who goes first."""

import base64
from pathlib import Path
from typing import Any, get_args

import msgspec
import openai
import pytest

from runtime.core.messages import (
    Began,
    ChosenLogprob,
    Delta,
    Ended,
    ImagePart,
    TextPart,
    ToolCallDelta,
    Usage,
)
from runtime.core.states import Feature
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import Step, saying
from tests.kit.http_stage import Stage, open_stage

EVERYTHING: frozenset[Feature] = frozenset(get_args(Feature))
ABLE = known_model("m", features=EVERYTHING)
QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]
SUM: Any = {"type": "custom", "custom": {"name": "calc", "format": {"type": "text"}}}
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03"
PICTURE: Any = {
    "type": "image_url",
    "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
}
MIXED: list[Step] = [
    Began(prompt_tokens=9),
    Delta(tool_calls=(ToolCallDelta(index=0, id="call_1", name="calc", type="custom"),)),
    Delta(tool_calls=(ToolCallDelta(index=0, arguments="1 +", type="custom"),)),
    # A piece that forgets to repeat what it belongs to is still of its call's kind.
    Delta(tool_calls=(ToolCallDelta(index=0, arguments=" 1"),)),
    Delta(tool_calls=(ToolCallDelta(index=1, id="call_2", name="f", arguments="{}"),)),
    Ended(reason="tool_calls", usage=Usage(prompt_tokens=9, completion_tokens=4)),
]


async def stream_of(stage: Stage, **more: Any) -> list[Any]:
    """Return the chunks of a stream as plain JSON; it must end as it should."""
    body = {"model": "m", "messages": QUESTION, "stream": True} | more
    async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
        text = await response.text()
    events = text.removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]", text
    return [msgspec.json.decode(each.removeprefix("data: ")) for each in events[:-1]]


async def test_a_call_of_a_custom_tool_reaches_the_official_client(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        stage.pool.play(MIXED)
        answer = await client.chat.completions.create(model="m", messages=QUESTION, tools=[SUM])

        choice = answer.choices[0]
        calls = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        assert calls is not None
        assert calls[0].type == "custom"
        assert (calls[0].id, calls[0].custom.name, calls[0].custom.input) == ("call_1", "calc", "1 + 1")
        assert calls[1].type == "function"
        assert calls[1].function.arguments == "{}"
        assert "function" not in calls[0].to_dict()

        stage.pool.play(saying("2"))
        again: list[Any] = [
            *QUESTION,
            choice.message,
            *({"role": "tool", "tool_call_id": each.id, "content": "2"} for each in calls),
        ]
        await client.chat.completions.create(model="m", messages=again, tools=[SUM])
        assert stage.pool.chats[-1].messages[1].tool_calls[0].type == "custom"


async def test_a_streamed_call_begins_with_id_type_and_name(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage:
        stage.pool.play(MIXED)
        chunks = await stream_of(stage, tools=[SUM])

    deltas = [each["choices"][0]["delta"] for each in chunks]
    assert deltas[0]["role"] == "assistant"
    assert [each["tool_calls"][0] for each in deltas[1:-1]] == [
        {"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "calc", "input": ""}},
        {"index": 0, "custom": {"input": "1 +"}},
        {"index": 0, "custom": {"input": " 1"}},
        {"index": 1, "id": "call_2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]
    assert [each["choices"][0]["finish_reason"] for each in chunks] == [None] * 5 + ["tool_calls"]


async def test_the_official_client_reads_the_stream_of_a_custom_call(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        stage.pool.play(MIXED)
        stream = await client.chat.completions.create(model="m", messages=QUESTION, tools=[SUM], stream=True)
        text = ""
        async for chunk in stream:
            for call in chunk.choices[0].delta.tool_calls or ():
                text += (call.to_dict().get("custom") or {}).get("input", "")  # type: ignore[attr-defined]  # typed as object

    assert text == "1 + 1"


async def test_log_probabilities_come_with_calls_too(tmp_path: Path) -> None:
    token = ChosenLogprob(token="{}", logprob=-0.25, bytes=(123, 125))
    call = ToolCallDelta(index=0, id="call_1", name="f", arguments="{}")
    script: list[Step] = [
        Began(prompt_tokens=1),
        Delta(tool_calls=(call,), logprobs=(token,)),
        Ended(reason="tool_calls", usage=Usage()),
    ]
    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        stage.pool.play(script)
        whole = await client.chat.completions.create(model="m", messages=QUESTION, logprobs=True)
        chunks = await stream_of(stage, logprobs=True)

    found = whole.choices[0].logprobs
    assert found is not None
    assert found.content is not None
    assert found.content[0].logprob == -0.25
    streamed = chunks[1]["choices"][0]
    assert streamed["logprobs"]["content"][0]["token"] == "{}"
    assert "content" not in streamed["delta"]


async def test_a_picture_reaches_a_model_that_sees(tmp_path: Path) -> None:
    content = [{"type": "text", "text": "What is it?"}, PICTURE]
    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        messages: list[Any] = [{"role": "user", "content": content}]
        await client.chat.completions.create(model="m", messages=messages)

    assert stage.pool.chats[0].messages[0].content == (TextPart(text="What is it?"), ImagePart(data=PNG))


@pytest.mark.parametrize(
    ("feature", "param", "more"),
    [
        ("images", "messages[1].content[1]", {}),
        ("custom_tools", "tools[0]", {"tools": [SUM]}),
        ("adapters", "adapter", {"adapter": "formal"}),
        ("typical_p", "typical_p", {"typical_p": 0.5}),
    ],
)
async def test_what_a_model_cannot_do_is_refused_by_its_place(
    tmp_path: Path, feature: Feature, param: str, more: dict[str, Any]
) -> None:
    unable = known_model("m", "available", EVERYTHING - {feature})
    content = [{"type": "text", "text": "What is it?"}, PICTURE]
    async with open_stage(tmp_path, models=[unable]) as stage, stage.openai() as client:
        messages: list[Any] = [*QUESTION, {"role": "user", "content": content}]
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="m", messages=messages, extra_body=more)

        assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")
        assert stage.models.installs == []


async def test_tools_that_may_not_be_called_need_no_ability(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[known_model("m", features=frozenset({"chat"}))]) as stage:
        chunks = await stream_of(stage, tools=[SUM], tool_choice="none")

    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_an_adapter_is_a_field_or_part_of_the_models_name(tmp_path: Path) -> None:
    owner = known_model("owner/m:q4", features=EVERYTHING)
    async with open_stage(tmp_path, models=[ABLE, owner]) as stage, stage.openai() as client:
        for name, more in (
            ("m", {"adapter": "formal"}),
            ("m:formal", {}),
            ("m:formal", {"adapter": "formal"}),
            ("owner/m:q4", {}),
            ("owner/m:q4:formal", {}),
        ):
            answer = await client.chat.completions.create(model=name, messages=QUESTION, extra_body=more)
            assert answer.model == name

    asked = [(each.model, each.adapter) for each in stage.pool.chats]
    assert asked == [
        ("m", "formal"),
        ("m", "formal"),
        ("m", "formal"),
        ("owner/m:q4", None),
        ("owner/m:q4", "formal"),
    ]


@pytest.mark.parametrize("name", ["plain:formal", "nope:formal", "m:", ":formal", "nope"])
async def test_a_name_that_leads_to_no_adapter_is_an_unknown_model(tmp_path: Path, name: str) -> None:
    plain = known_model("plain", features=EVERYTHING - {"adapters"})
    async with open_stage(tmp_path, models=[ABLE, plain]) as stage, stage.openai() as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model=name, messages=QUESTION)

    assert caught.value.code == "model_not_found"
    assert name in caught.value.message


async def test_two_adapters_in_one_request_are_refused(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model="m:formal", messages=QUESTION, extra_body={"adapter": "casual"}
            )

    assert caught.value.param == "adapter"


async def test_priority_and_deadline_reach_the_run(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        answer = await client.chat.completions.create(
            model="m",
            messages=QUESTION,
            service_tier="flex",
            extra_body={"deadline_s": 1.5, "typical_p": 0.9},
        )

    asked = stage.pool.chats[0]
    assert (asked.priority, asked.deadline_s, asked.sampling.typical_p) == ("batch", 1.5, 0.9)
    assert answer.service_tier == "flex"


async def test_what_was_cached_for_every_choice_is_what_counts_as_cached(tmp_path: Path) -> None:
    def script(request: Any, index: int) -> list[Step]:
        usage = Usage(prompt_tokens=10, completion_tokens=1, cached_tokens=9 if index else 2)
        return [Began(prompt_tokens=10), Delta(text="a"), Ended(reason="stop", usage=usage)]

    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        stage.pool.play(script)
        answer = await client.chat.completions.create(model="m", messages=QUESTION, n=3)

    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 3)


@pytest.mark.parametrize(
    ("arguments", "told"), [('{"a": 1', ["first"]), ('{"a": 1}', ["first", "last"]), ("", ["first"])]
)
async def test_a_call_that_the_limit_cut_is_no_call(tmp_path: Path, arguments: str, told: list[str]) -> None:
    async with open_stage(tmp_path, models=[ABLE]) as stage, stage.openai() as client:
        stage.pool.play(
            [
                Began(prompt_tokens=9),
                Delta(tool_calls=(ToolCallDelta(index=0, id="call_1", name="first", arguments="{}"),)),
                Delta(tool_calls=(ToolCallDelta(index=1, id="call_2", name="last", arguments=arguments),)),
                Ended(reason="length", usage=Usage(prompt_tokens=9, completion_tokens=4)),
            ]
        )
        answer = await client.chat.completions.create(model="m", messages=QUESTION, tools=[SUM])

    choice = answer.choices[0]
    assert choice.finish_reason == "length"
    assert [call.function.name for call in choice.message.tool_calls or [] if call.type == "function"] == told
