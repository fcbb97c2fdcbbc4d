"""Anthropic's API through its official client, over a real port and the real runs."""

import json
from pathlib import Path
from typing import Any

import anthropic
import anyio
import anyio.to_thread
import msgspec
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message as Answer
from pydantic import BaseModel

from runtime.core.errors import Fault
from runtime.core.events import RunCancelled, RunRequested
from runtime.core.messages import (
    Began,
    Broke,
    ChatRequest,
    Delta,
    Ended,
    FinishReason,
    TokenizeRequest,
    Tokens,
    ToolCallDelta,
    Usage,
)
from runtime.core.settings import AdmissionSettings, ServerSettings
from tests.kit.fake_models import ALL_FEATURES, known_model
from tests.kit.fake_pool import Hold, Step, saying
from tests.kit.http_stage import Stage, open_stage

QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a place",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
USAGE = Usage(prompt_tokens=9, completion_tokens=7, cached_tokens=4, reasoning_tokens=2)


def thinking_then_calling(reason: FinishReason = "tool_calls") -> list[Step]:
    return [
        Began(prompt_tokens=9),
        Delta(reasoning="Two "),
        Delta(reasoning="places."),
        Delta(text="Let me "),
        Delta(text="look."),
        Delta(tool_calls=(ToolCallDelta(index=0, id="call_1", name="get_weather", arguments=""),)),
        Delta(tool_calls=(ToolCallDelta(index=0, arguments='{"city":'),)),
        Delta(tool_calls=(ToolCallDelta(index=0, arguments='"Lisboa"}'),)),
        Delta(tool_calls=(ToolCallDelta(index=1, id="call_2", name="get_weather", arguments=""),)),
        Ended(reason=reason, usage=USAGE),
    ]


def client_of(stage: Stage, key: str = "no-key") -> AsyncAnthropic:
    """Return the official client; it does not retry, so that tests see each answer."""
    return AsyncAnthropic(base_url=stage.address, api_key=key, max_retries=0)


async def ask(client: AsyncAnthropic, **more: Any) -> Answer:
    asked: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": QUESTION} | more
    answer = await client.messages.create(**asked)
    assert isinstance(answer, Answer)
    return answer


async def ask_streaming(client: AsyncAnthropic, **more: Any) -> Answer:
    asked: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": QUESTION} | more
    async with client.messages.stream(**asked) as stream:
        return await stream.get_final_message()


async def read_events(stage: Stage, **more: Any) -> list[tuple[str, Any]]:
    """Return the name and the data of each event as they go over the wire."""
    body = {"model": "m", "max_tokens": 64, "messages": QUESTION, "stream": True} | more
    async with stage.http.post(f"{stage.address}/v1/messages", json=body) as response:
        assert response.status == 200
        text = await response.text()
    events = []
    for event in text.removesuffix("\n\n").split("\n\n"):
        name, _, data = event.partition("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


# ---- answers


async def test_a_whole_message_reaches_the_official_client(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        answer = await ask(client, metadata={"user_id": "me"}, service_tier="auto")

        assert answer.id.startswith("msg_")
        assert (answer.type, answer.role, answer.model) == ("message", "assistant", "m")
        assert [(each.type, each.text) for each in answer.content if each.type == "text"] == [
            ("text", "Hello there")
        ]
        assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 2)
        assert answer._request_id is not None
        requested = stage.facts(RunRequested)[0]
        assert isinstance(requested, RunRequested)
        assert requested.route == "/v1/messages"


async def test_cached_tokens_are_counted_apart_from_the_input(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(thinking_then_calling())
        for answer in (await ask(client), await ask_streaming(client)):
            usage = answer.usage
            assert (usage.input_tokens, usage.cache_read_input_tokens) == (5, 4)
            assert usage.cache_creation_input_tokens == 0
            assert usage.output_tokens == 7
            assert usage.output_tokens_details is not None
            assert usage.output_tokens_details.thinking_tokens == 2


async def test_a_stream_opens_one_block_after_the_other(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        stage.pool.play(thinking_then_calling())
        events = await read_events(stage, tools=[WEATHER])

    assert all(name == data["type"] for name, data in events)
    told = [(name, data.get("index"), data.get("delta", {}).get("type")) for name, data in events]
    assert told == [
        ("message_start", None, None),
        ("ping", None, None),
        ("content_block_start", 0, None),
        ("content_block_delta", 0, "thinking_delta"),
        ("content_block_delta", 0, "thinking_delta"),
        ("content_block_delta", 0, "signature_delta"),
        ("content_block_stop", 0, None),
        ("content_block_start", 1, None),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_stop", 1, None),
        ("content_block_start", 2, None),
        ("content_block_delta", 2, "input_json_delta"),
        ("content_block_delta", 2, "input_json_delta"),
        ("content_block_stop", 2, None),
        ("content_block_start", 3, None),
        ("content_block_stop", 3, None),
        ("message_delta", None, None),
        ("message_stop", None, None),
    ]
    begun = events[0][1]["message"]
    assert (begun["content"], begun["stop_reason"], begun["usage"]["input_tokens"]) == ([], None, 9)
    assert events[11][1]["content_block"] == {
        "type": "tool_use",
        "id": "call_1",
        "name": "get_weather",
        "input": {},
    }


async def test_the_clients_own_accumulation_equals_the_whole_message(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(thinking_then_calling())
        whole = await ask(client, tools=[WEATHER])
        streamed = await ask_streaming(client, tools=[WEATHER])

        assert [each.to_dict() for each in whole.content] == [
            {"type": "thinking", "thinking": "Two places.", "signature": "lar"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Lisboa"}},
            {"type": "tool_use", "id": "call_2", "name": "get_weather", "input": {}},
        ]
        assert streamed.to_dict() | {"id": ""} == whole.to_dict() | {"id": ""}
        assert whole.stop_reason == "tool_use"


async def test_the_streams_text_helper_yields_only_text(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(thinking_then_calling())
        async with client.messages.stream(model="m", max_tokens=64, messages=QUESTION) as stream:
            texts = [text async for text in stream.text_stream]

    assert texts == ["Let me ", "look."]


@pytest.mark.parametrize(
    ("reason", "stop", "told"),
    [
        ("stop", None, "end_turn"),
        ("stop", "STOP", "stop_sequence"),
        ("length", None, "max_tokens"),
    ],
)
async def test_the_stop_reason_says_why(
    tmp_path: Path, reason: FinishReason, stop: str | None, told: str
) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(
            [Began(prompt_tokens=1), Delta(text="a"), Ended(reason=reason, usage=Usage(), stop=stop)]
        )
        for answer in (
            await ask(client, stop_sequences=["STOP", "END", "STOP"]),
            await ask_streaming(client, stop_sequences=["STOP"]),
        ):
            assert (answer.stop_reason, answer.stop_sequence) == (told, stop)
        assert stage.pool.chats[0].sampling.stop == ("STOP", "END")


async def test_thoughts_can_be_left_out_of_the_answer(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(thinking_then_calling())
        hidden: dict[str, Any] = {"thinking": {"type": "adaptive", "display": "omitted"}}
        for answer in (await ask(client, **hidden), await ask_streaming(client, **hidden)):
            assert answer.content[0].to_dict() == {"type": "thinking", "thinking": "", "signature": "lar"}


async def test_a_call_that_was_cut_off_is_no_call(tmp_path: Path) -> None:
    cut = Delta(tool_calls=(ToolCallDelta(index=0, id="call_1", name="get_weather", arguments='{"ci'),))
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play([Began(prompt_tokens=1), Delta(text="So:"), cut, Ended(reason="length", usage=USAGE)])
        answer = await ask(client, tools=[WEATHER])

        assert [each.type for each in answer.content] == ["text"]
        assert answer.stop_reason == "max_tokens"


async def test_a_call_without_an_object_is_the_engines_failure(tmp_path: Path) -> None:
    wrong = Delta(tool_calls=(ToolCallDelta(index=0, id="call_1", name="get_weather", arguments="[1]"),))
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play([Began(prompt_tokens=1), wrong, Ended(reason="tool_calls", usage=USAGE)])
        with pytest.raises(anthropic.InternalServerError, match="no JSON object") as caught:
            await ask(client, tools=[WEATHER])

        assert caught.value.type == "api_error"
        assert caught.value.error_code == "engine_failed"


async def test_tools_results_and_thoughts_go_back_to_the_model(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(thinking_then_calling())
        first = await ask(client, tools=[WEATHER], tool_choice={"type": "any"})
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "18 degrees"},
            {"type": "tool_result", "tool_use_id": "call_2", "is_error": True, "content": "no such place"},
            {"type": "text", "text": "Go on."},
        ]
        stage.pool.play(saying("It is mild."))
        second = await ask(
            client,
            system="Be brief.",
            tools=[WEATHER],
            messages=[*QUESTION, first.to_param(), {"role": "user", "content": results}],
        )

        assert second.content[0].to_dict() == {"type": "text", "text": "It is mild."}
        asked = stage.pool.chats[-1].messages
        assert [each.role for each in asked] == ["system", "user", "assistant", "tool", "tool", "user"]
        assert (asked[2].content, asked[2].reasoning_content) == ("Let me look.", "Two places.")
        assert [each.function.arguments for each in asked[2].tool_calls] == ['{"city":"Lisboa"}', "{}"]
        assert [(each.tool_call_id, each.content) for each in asked[3:5]] == [
            ("call_1", "18 degrees"),
            ("call_2", "The tool failed:\nno such place"),
        ]
        assert asked[5].content == "Go on."
        assert stage.pool.chats[0].tools[0].name == "get_weather"
        assert stage.pool.chats[0].tool_choice.mode == "required"


async def test_the_tool_runner_of_the_client_comes_to_an_end(tmp_path: Path) -> None:
    @anthropic.beta_async_tool
    async def get_weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: Where.
        """
        return f"{city}: 18 degrees"

    def script(request: ChatRequest, index: int) -> list[Step]:
        if request.messages[-1].role == "tool":
            return saying(f"It is {request.messages[-1].content}.")
        call = ToolCallDelta(index=0, id="call_1", name="get_weather", arguments='{"city":"Lisboa"}')
        return [Began(prompt_tokens=1), Delta(tool_calls=(call,)), Ended(reason="tool_calls", usage=USAGE)]

    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(script)
        runner = client.beta.messages.tool_runner(
            model="m", max_tokens=64, messages=QUESTION, tools=[get_weather]
        )
        with anyio.fail_after(5):
            last = await runner.until_done()

        assert last.content[0].to_dict() == {"type": "text", "text": "It is Lisboa: 18 degrees."}


async def test_structured_output_is_parsed_by_the_client(tmp_path: Path) -> None:
    class Place(BaseModel):
        city: str

    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play(saying('{"city": "Lisboa"}'))
        answer = await client.messages.parse(
            model="m", max_tokens=64, messages=QUESTION, output_format=Place, output_config={"effort": "low"}
        )

        assert answer.parsed_output == Place(city="Lisboa")
        asked = stage.pool.chats[0]
        assert asked.response_format.type == "json_schema"
        assert asked.response_format.schema is not None
        assert asked.response_format.schema["required"] == ["city"]
        assert asked.reasoning_effort == "low"


# ---- counting


async def test_tokens_of_a_prompt_are_counted_without_generating(tmp_path: Path) -> None:
    model = known_model("m", features=ALL_FEATURES | {"tokenize"})
    async with open_stage(tmp_path, models=[model]) as stage, client_of(stage) as client:
        stage.pool.play(
            [
                Began(prompt_tokens=3),
                Tokens(tokens=(1, 2, 3)),
                Ended(reason="stop", usage=Usage(prompt_tokens=3)),
            ]
        )
        count = await client.messages.count_tokens(
            model="m", messages=QUESTION, system="Be brief.", tools=[WEATHER]
        )

        assert count.input_tokens == 3
        asked = stage.pool.requests[0]
        assert isinstance(asked, TokenizeRequest)
        assert asked.chat is not None
        assert [each.role for each in asked.chat.messages] == ["system", "user"]
        assert asked.chat.tools[0].name == "get_weather"


async def test_a_model_that_counts_no_tokens_says_so(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        with pytest.raises(anthropic.BadRequestError, match="cannot count tokens"):
            await client.messages.count_tokens(model="m", messages=QUESTION)

        with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
            await client.messages.count_tokens(model="m", messages=QUESTION, extra_body={"max_tokens": 1})


# ---- errors


async def test_an_unknown_model_is_not_found(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        with pytest.raises(anthropic.NotFoundError) as caught:
            await ask(client, model="claude-that-nobody-has")

        assert caught.value.type == "not_found_error"
        assert caught.value.error_code == "model_not_found"
        assert caught.value.request_id is not None
        assert caught.value.body == {
            "type": "error",
            "error": {
                "type": "not_found_error",
                "message": caught.value.api_message,
                "details": {"error_code": "model_not_found", "param": "model"},
            },
            "request_id": caught.value.request_id,
        }


async def test_keys_come_as_x_api_key_or_as_bearer(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        secret = await anyio.to_thread.run_sync(stage.keys.create, "me", "user")
        async with client_of(stage, secret) as client:
            assert (await ask(client)).stop_reason == "end_turn"

        async with AsyncAnthropic(base_url=stage.address, auth_token=secret, max_retries=0) as client:
            assert (await ask(client)).stop_reason == "end_turn"

        async with client_of(stage, "sk-ant-wrong-wrong-wrong") as client:
            with pytest.raises(anthropic.AuthenticationError, match="Incorrect API key") as caught:
                await ask(client)

            assert caught.value.type == "authentication_error"

        headers = {"x-api-key": secret}
        async with stage.http.get(f"{stage.address}/v1/models", headers=headers) as response:
            assert response.status == 200


async def test_refusals_before_the_route_are_anthropics_too(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        await anyio.to_thread.run_sync(stage.keys.create, "me", "user")
        url = f"{stage.address}/v1/messages"
        cases: tuple[tuple[str, str, dict[str, str], int, str], ...] = (
            ("POST", url, {}, 401, "authentication_error"),
            ("POST", url, {"Host": "evil.example"}, 403, "permission_error"),
            ("POST", url, {"Origin": "https://evil.example"}, 403, "permission_error"),
            ("GET", url, {}, 405, "invalid_request_error"),
            ("POST", f"{url}/batches", {}, 404, "not_found_error"),
        )
        for method, address, headers, status, kind in cases:
            async with stage.http.request(method, address, headers=headers) as response:
                body = await response.json()
                assert response.status == status
                assert (body["type"], body["error"]["type"]) == ("error", kind)
                assert body["request_id"] == response.headers["request-id"]


async def test_a_body_that_is_too_large_is_refused_by_its_name(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, max_body_bytes=1000)
    async with open_stage(tmp_path, settings=settings) as stage, client_of(stage) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await ask(client, messages=[{"role": "user", "content": "x" * 2000}])

        assert (caught.value.status_code, caught.value.type) == (413, "request_too_large")


async def test_a_full_queue_is_a_rate_limit_with_the_time_to_come_back(tmp_path: Path) -> None:
    hold = Hold()
    async with open_stage(tmp_path, places=1, admission=AdmissionSettings(queue_limit=0)) as stage:
        stage.pool.play([Began(prompt_tokens=1), hold, Ended(reason="stop", usage=Usage())])
        async with client_of(stage) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(ask, client)
            with anyio.fail_after(5):
                await hold.is_reached.wait()
            with pytest.raises(anthropic.RateLimitError) as caught:
                await ask(client)
            hold.release()

        assert caught.value.type == "rate_limit_error"


async def test_a_model_on_its_way_is_overloaded_for_now(tmp_path: Path) -> None:
    async with (
        open_stage(tmp_path, models=[known_model("m", "installing")]) as stage,
        client_of(stage) as client,
    ):
        with pytest.raises(anthropic.ServiceUnavailableError) as caught:
            await ask(client)

        assert caught.value.type == "overloaded_error"
        assert caught.value.response.headers["retry-after"]


async def test_a_failure_in_mid_stream_is_an_error_event(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        fault = Fault(code="worker_died", message="The worker died.", detail="segfault")
        stage.pool.play([Began(prompt_tokens=1), Delta(text="He"), Broke(fault=fault)])
        events = await read_events(stage)
        name, data = events[-1]
        assert (name, data["type"]) == ("error", "error")
        assert data["error"]["message"] == "The worker died."
        assert data["error"]["details"]["error_code"] == "worker_died"
        assert [name for name, _ in events][-2] == "content_block_delta"

        with pytest.raises(anthropic.APIStatusError, match="The worker died"):
            await ask_streaming(client)


async def test_a_failure_before_the_first_output_is_a_plain_error(tmp_path: Path) -> None:
    fault = Fault(
        code="invalid_json_schema",
        message="Bad schema at tools[0].function.parameters: no.",
        param="tools[0].function.parameters",
    )
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play([Broke(fault=fault)])
        for asking in (ask, ask_streaming):
            with pytest.raises(anthropic.BadRequestError) as caught:
                await asking(client, tools=[WEATHER])

            assert caught.value.type == "invalid_request_error"
            assert caught.value.api_message == "Bad schema at tools[0].input_schema: no."
            assert isinstance(caught.value.body, dict)
            assert caught.value.body["error"]["details"]["param"] == "tools[0].input_schema"


async def test_a_client_that_leaves_stops_the_run(tmp_path: Path) -> None:
    hold = Hold()
    async with open_stage(tmp_path) as stage, client_of(stage) as client:
        stage.pool.play([Began(prompt_tokens=1), Delta(text="a"), hold, Ended(reason="stop", usage=Usage())])
        stream = await client.messages.create(model="m", max_tokens=9, messages=QUESTION, stream=True)
        with anyio.fail_after(5), stage.bus.subscribe("test", 100) as facts:
            await hold.is_reached.wait()
            await stream.close()
            while not stage.facts(RunCancelled):
                await anext(facts)


async def test_a_feature_that_the_model_lacks_is_named_as_the_client_named_it(tmp_path: Path) -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}
    asked: dict[str, Any] = {"messages": [*QUESTION, {"role": "user", "content": [picture]}], "system": "s"}
    async with open_stage(tmp_path, models=[known_model("m", features=frozenset({"chat"}))]) as stage:
        for more, param in (
            (asked, "messages[1].content[0]"),
            ({"tools": [WEATHER]}, "tools"),
            ({"top_k": 3}, "top_k"),
            (
                {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
                "output_config.format",
            ),
        ):
            body = {"model": "m", "max_tokens": 9, "messages": QUESTION} | more
            async with stage.http.post(f"{stage.address}/v1/messages", json=body) as response:
                told = msgspec.json.decode(await response.read())
            assert response.status == 400
            assert told["error"]["details"]["param"] == param
            assert f"'{param}'" in told["error"]["message"]
