"""Chat completions through the official client, over a real port and the real runs."""

from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import openai
import pytest

from runtime.core.errors import Fault
from runtime.core.events import RunCancelled, RunFinished, RunRequested
from runtime.core.ids import ModelId
from runtime.core.messages import (
    Began,
    Broke,
    ChosenLogprob,
    Delta,
    Ended,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from runtime.core.settings import AdmissionSettings, ServerSettings
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import Hold, Step, saying
from tests.kit.http_stage import Stage, open_stage

QUESTION: list[Any] = [{"role": "user", "content": "Hi"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL: list[Step] = [
    Began(prompt_tokens=9),
    Delta(tool_calls=(ToolCallDelta(index=0, id="call_1", name="get_weather", arguments=""),)),
    Delta(tool_calls=(ToolCallDelta(index=0, arguments='{"city":'),)),
    Delta(tool_calls=(ToolCallDelta(index=0, arguments='"Lisboa"}'),)),
    Delta(tool_calls=(ToolCallDelta(index=1, id="call_2", name="get_weather", arguments="{}"),)),
    Ended(reason="tool_calls", usage=Usage(prompt_tokens=9, completion_tokens=4)),
]


async def _wait_for(stage: Stage, kind: Any) -> Any:
    """Return the first fact of a kind, once there is one."""
    with anyio.fail_after(5), stage.bus.subscribe("test", 100) as facts:
        while not stage.facts(kind):
            await anext(facts)
    return stage.facts(kind)[0]


async def test_a_whole_answer_reaches_the_official_client(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        answer = await client.chat.completions.create(
            model="m", messages=QUESTION, service_tier="auto", metadata={"a": "b"}, user="me"
        )

        assert answer.choices[0].message.content == "Hello there"
        assert answer.choices[0].message.role == "assistant"
        assert answer.choices[0].message.tool_calls is None
        assert answer.choices[0].finish_reason == "stop"
        assert answer.choices[0].logprobs is None
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
            5,
            2,
            7,
        )
        assert answer.usage.prompt_tokens_details is not None
        assert answer.model == "m"
        assert answer.object == "chat.completion"
        assert answer.created == int(stage.clock.now())
        assert answer.system_fingerprint == "lar-0.0.test-scripted"
        assert answer.service_tier == "default"
        assert answer.id.startswith("chatcmpl-")


async def test_a_stream_has_role_deltas_finish_and_done(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        body = {"model": "m", "messages": QUESTION, "stream": True}
        async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
            text = await response.text()

        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        run_id = response.headers["x-lar-run-id"]
        events = text.removesuffix("\n\n").split("\n\n")
        assert events[-1] == "data: [DONE]"
        chunks = [msgspec.json.decode(each.removeprefix("data: ")) for each in events[:-1]]
        assert [each["choices"][0]["delta"] for each in chunks] == [
            {"role": "assistant", "content": "", "refusal": None},
            {"content": "Hello"},
            {"content": " there"},
            {},
        ]
        assert [each["choices"][0]["finish_reason"] for each in chunks] == [None, None, None, "stop"]
        assert {each["id"] for each in chunks} == {f"chatcmpl-{run_id.removeprefix('run_')}"}
        assert all("usage" not in each for each in chunks)


async def test_a_stream_tells_its_usage_when_asked(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stream = await client.chat.completions.create(
            model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]

        assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks[:-1])
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 7


async def test_stream_and_whole_answer_say_the_same(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.play(CALL)
        whole = await client.chat.completions.create(model="m", messages=QUESTION, tools=[WEATHER])
        async with client.chat.completions.stream(model="m", messages=QUESTION, tools=[WEATHER]) as stream:
            streamed = await stream.get_final_completion()

        calls = whole.choices[0].message.tool_calls
        again = streamed.choices[0].message.tool_calls
        assert calls is not None
        assert again is not None
        assert [(each.id, each.type) for each in calls] == [("call_1", "function"), ("call_2", "function")]
        assert calls[0].type == "function"
        assert calls[0].function.arguments == '{"city":"Lisboa"}'
        assert [each.function.arguments for each in again] == ['{"city":"Lisboa"}', "{}"]
        assert whole.choices[0].message.content is None
        assert whole.choices[0].finish_reason == streamed.choices[0].finish_reason == "tool_calls"
        assert stage.pool.chats[0].tools[0].name == "get_weather"


async def test_a_tool_result_goes_back_to_the_model(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.play(CALL)
        first = await client.chat.completions.create(model="m", messages=QUESTION, tools=[WEATHER])
        message = first.choices[0].message
        assert message.tool_calls is not None
        results: list[Any] = [
            {"role": "tool", "tool_call_id": each.id, "content": "18 degrees"} for each in message.tool_calls
        ]
        stage.pool.play(saying("It is mild."))
        conversation: list[Any] = [*QUESTION, message, *results]
        second = await client.chat.completions.create(model="m", messages=conversation, tools=[WEATHER])

        assert second.choices[0].message.content == "It is mild."
        asked = stage.pool.chats[-1].messages
        assert [each.role for each in asked] == ["user", "assistant", "tool", "tool"]
        assert asked[1].tool_calls[0].function.arguments == '{"city":"Lisboa"}'
        assert asked[2].tool_call_id == "call_1"


async def test_reasoning_travels_beside_the_content(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        usage = Usage(prompt_tokens=1, completion_tokens=2, reasoning_tokens=1)
        stage.pool.play(
            [
                Began(prompt_tokens=1),
                Delta(reasoning="hm"),
                Delta(text="yes"),
                Ended(reason="stop", usage=usage),
            ]
        )
        whole = await client.chat.completions.create(model="m", messages=QUESTION, reasoning_effort="low")
        stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
        deltas = [chunk.choices[0].delta.to_dict() async for chunk in stream]

        message = whole.choices[0].message
        assert message.content == "yes"
        assert message.model_extra is not None
        assert message.model_extra["reasoning_content"] == "hm"
        assert deltas[1:3] == [{"reasoning_content": "hm"}, {"content": "yes"}]
        assert whole.usage is not None
        assert whole.usage.completion_tokens_details is not None
        assert whole.usage.completion_tokens_details.reasoning_tokens == 1


async def test_log_probabilities_are_told(tmp_path: Path) -> None:
    token = ChosenLogprob(
        token="é",
        logprob=-0.5,
        bytes=(195, 169),
        top_logprobs=(TokenLogprob(token="é", logprob=-0.5, bytes=(195, 169)),),
    )
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.play(
            [
                Began(prompt_tokens=1),
                Delta(text="é", logprobs=(token,)),
                Ended(reason="length", usage=Usage(prompt_tokens=1, completion_tokens=1)),
            ]
        )
        whole = await client.chat.completions.create(
            model="m", messages=QUESTION, logprobs=True, top_logprobs=1, max_completion_tokens=1
        )
        stream = await client.chat.completions.create(
            model="m", messages=QUESTION, logprobs=True, stream=True
        )
        chunks = [chunk async for chunk in stream]

        found = whole.choices[0].logprobs
        assert found is not None
        assert found.content is not None
        assert found.content[0].bytes == [195, 169]
        assert found.content[0].top_logprobs[0].logprob == -0.5
        assert whole.choices[0].finish_reason == "length"
        assert chunks[1].choices[0].logprobs is not None
        assert stage.pool.chats[0].sampling.logprobs == 1
        assert stage.pool.chats[1].sampling.logprobs == 0


async def test_several_choices_are_kept_apart_and_share_their_prompt(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.play(lambda request, index: saying(f"answer {index}"))
        whole = await client.chat.completions.create(model="m", messages=QUESTION, n=3)
        stream = await client.chat.completions.create(model="m", messages=QUESTION, n=3, stream=True)
        texts = {0: "", 1: "", 2: ""}
        finished = []
        async for chunk in stream:
            choice = chunk.choices[0]
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                finished.append(choice.index)

        assert [each.message.content for each in whole.choices] == ["answer 0", "answer 1", "answer 2"]
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (5, 3)
        assert texts == {0: "answer 0", 1: "answer 1", 2: "answer 2"}
        assert sorted(finished) == [0, 1, 2]


async def test_a_json_schema_reaches_the_model(tmp_path: Path) -> None:
    schema: Any = {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True},
    }
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        await client.chat.completions.create(model="m", messages=QUESTION, response_format=schema)

        asked = stage.pool.chats[0].response_format
        assert (asked.type, asked.name, asked.schema, asked.strict) == (
            "json_schema",
            "city",
            {"type": "object"},
            True,
        )


async def test_an_unknown_model_is_404_and_makes_no_run(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="nope", messages=QUESTION)

        assert caught.value.code == "model_not_found"
        assert caught.value.param == "model"
        assert stage.facts(RunRequested) == []


async def test_a_known_model_is_installed_on_first_use_and_says_how_far_it_is(tmp_path: Path) -> None:
    async with (
        open_stage(tmp_path, models=[known_model("m", "available")]) as stage,
        stage.openai() as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="m", messages=QUESTION, stream=True)

        assert caught.value.status_code == 503
        assert caught.value.code == "model_installing"
        assert "building llama.cpp 34 %, about 3 min left" in caught.value.message
        assert caught.value.response.headers["retry-after"] == "60"
        assert caught.value.response.headers["x-should-retry"] == "true"
        assert stage.models.installs == ["m"]
        assert stage.facts(RunRequested) == []


async def test_a_key_that_may_not_install_does_not_install(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[known_model("m", "available")]) as stage:
        key = await anyio.to_thread.run_sync(stage.keys.create, "friend", "user")
        async with stage.openai(key) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model="m", messages=QUESTION)

        assert caught.value.code == "backend_missing"
        assert stage.models.installs == []


async def test_a_feature_that_the_engine_lacks_is_refused_by_name(tmp_path: Path) -> None:
    plain = known_model("m", features=frozenset({"chat"}))
    async with open_stage(tmp_path, models=[plain]) as stage, stage.openai() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="m", messages=QUESTION, seed=1)

        assert caught.value.code == "unsupported_parameter"
        assert caught.value.param == "seed"
        await client.chat.completions.create(model="m", messages=QUESTION, reasoning_effort="high")


async def test_a_fault_before_the_first_output_is_a_plain_http_error(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.play([Broke(fault=Fault(code="context_length_exceeded", message="too long"))])
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="m", messages=QUESTION, stream=True)

        assert caught.value.code == "context_length_exceeded"
        assert caught.value.response.headers["content-type"] == "application/json"
        assert caught.value.response.headers["x-lar-run-id"].startswith("run_")


async def test_a_model_that_does_not_load_is_a_plain_http_error(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.fault = Fault(code="insufficient_memory", message="no room", detail="malloc failed")
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="m", messages=QUESTION)

        assert caught.value.status_code == 503
        assert caught.value.code == "insufficient_memory"
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["detail"] == "malloc failed"


async def test_a_fault_in_mid_stream_is_an_error_event_without_done(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        broken = Broke(fault=Fault(code="worker_died", message="The worker died."))
        stage.pool.play([Began(prompt_tokens=1), Delta(text="Hel"), broken])
        stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError, match="The worker died") as caught:
            assert [chunk async for chunk in stream] == []
        assert caught.value.code == "worker_died"

        body = {"model": "m", "messages": QUESTION, "stream": True}
        async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
            text = await response.text()
        assert "[DONE]" not in text
        assert msgspec.json.decode(text.split("data: ")[-1])["error"]["code"] == "worker_died"


async def test_the_connection_of_a_broken_stream_is_closed(tmp_path: Path) -> None:
    body = msgspec.json.encode({"model": "m", "messages": QUESTION, "stream": True})
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with open_stage(tmp_path) as stage:
        stage.pool.play([Began(prompt_tokens=1), Broke(fault=Fault(code="worker_died", message="x"))])
        port = int(stage.address.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as client:
            await client.send(head.encode() + body)
            with anyio.fail_after(5):
                received = b"".join([part async for part in client])  # ends when the server closes

    assert b"worker_died" in received


async def test_a_fault_in_a_whole_answer_is_an_http_error(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        broken = Broke(fault=Fault(code="worker_died", message="The worker died."))
        stage.pool.play([Began(prompt_tokens=1), Delta(text="Hel"), broken])
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="m", messages=QUESTION)

        assert caught.value.status_code == 502
        assert caught.value.response.headers["x-should-retry"] == "true"


async def test_a_full_queue_is_429_with_retry_after(tmp_path: Path) -> None:
    hold = Hold()
    async with (
        open_stage(tmp_path, places=1, admission=AdmissionSettings(queue_limit=0)) as stage,
        stage.openai() as client,
        anyio.create_task_group() as tasks,
    ):
        stage.pool.play([Began(prompt_tokens=1), hold, Ended(reason="stop", usage=Usage())])

        async def ask() -> None:
            await client.chat.completions.create(model="m", messages=QUESTION)

        tasks.start_soon(ask)
        with anyio.fail_after(5):
            await hold.is_reached.wait()
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="m", messages=QUESTION)
        hold.release()

    assert caught.value.code == "queue_full"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert int(caught.value.response.headers["retry-after-ms"]) >= 1000


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_cancels_its_run(tmp_path: Path, is_stream: bool) -> None:
    hold = Hold()
    async with open_stage(tmp_path) as stage:
        stage.pool.play([Began(prompt_tokens=1), Delta(text="a"), hold, Ended(reason="stop", usage=Usage())])
        body = {"model": "m", "messages": QUESTION, "stream": is_stream}

        async def ask() -> None:
            async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
                await response.text()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await hold.is_reached.wait()
                tasks.cancel_scope.cancel()
            cancelled = await _wait_for(stage, RunCancelled)

        assert cancelled.reason == "client left"
        assert stage.pool.generations[0].is_cancelled


async def test_a_run_that_somebody_else_cancels_is_an_error_for_its_reader(tmp_path: Path) -> None:
    hold = Hold()
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.play([Began(prompt_tokens=1), hold, Ended(reason="stop", usage=Usage())])

        async def stop() -> None:
            await hold.is_reached.wait()
            await stage.runs.stop(0.0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            with anyio.fail_after(5), pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model="m", messages=QUESTION)

        assert caught.value.code == "run_cancelled"


async def test_a_finished_run_is_not_cancelled_afterwards(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        await client.chat.completions.create(model="m", messages=QUESTION)
        await _wait_for(stage, RunFinished)

        assert stage.facts(RunCancelled) == []


async def test_a_reader_that_does_not_read_holds_back_its_own_generation(tmp_path: Path) -> None:
    steps = 2000
    long = Delta(text="x" * 64_000)
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        stage.pool.play([Began(prompt_tokens=1), *[long] * steps, Ended(reason="stop", usage=Usage())])
        body = {"model": "m", "messages": QUESTION, "stream": True}
        async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
            seen, rounds = -1, 0
            with anyio.fail_after(20):
                while rounds < 50:
                    await anyio.lowlevel.checkpoint()
                    await anyio.wait_all_tasks_blocked()
                    yielded = stage.pool.generations[0].yielded
                    rounds = rounds + 1 if yielded == seen else 0
                    seen = yielded
            stage.pool.play(saying("quick"))
            other = await client.chat.completions.create(model="m", messages=QUESTION)

            assert response.status == 200
        assert seen < steps
        assert other.choices[0].message.content == "quick"


async def test_a_reader_that_stops_reading_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.api.sse.WRITE_STALL_S", 0.05)
    async with open_stage(tmp_path) as stage:
        endless: list[Step] = [Began(prompt_tokens=1), *[Delta(text="x" * 64_000)] * 2000]
        stage.pool.play([*endless, Ended(reason="stop", usage=Usage())])
        body = {"model": "m", "messages": QUESTION, "stream": True}
        async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
            cancelled = await _wait_for(stage, RunCancelled)
            with pytest.raises(aiohttp.ClientError):
                await response.text()

    assert cancelled.reason == "client left"


async def test_a_silent_generation_is_filled_with_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.api.sse.KEEP_ALIVE_S", 0.01)
    hold = Hold()
    async with open_stage(tmp_path) as stage, stage.openai() as client:
        end = Ended(reason="stop", usage=Usage())
        stage.pool.play([Began(prompt_tokens=1), Delta(text="a"), hold, Delta(text="b"), end])
        body = {"model": "m", "messages": QUESTION, "stream": True}
        async with stage.http.post(f"{stage.address}/v1/chat/completions", json=body) as response:
            with anyio.fail_after(5):
                while await response.content.readline() != b": keep-alive\n":
                    pass
            stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
            hold.release()
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            rest = await response.text()

    assert text == "ab"
    assert rest.endswith("data: [DONE]\n\n")


async def test_a_body_that_is_too_large_is_413_in_the_same_form(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, max_body_bytes=1000)
    async with open_stage(tmp_path, settings=settings) as stage, stage.openai() as client:
        long: list[Any] = [{"role": "user", "content": "x" * 5000}]
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="m", messages=long)

        assert caught.value.status_code == 413
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["code"] == "request_too_large"


async def test_the_official_client_lists_and_finds_models(tmp_path: Path) -> None:
    models = [known_model("m"), known_model("owner/name", "available")]
    async with open_stage(tmp_path, models=models) as stage, stage.openai() as client:
        listed = [each async for each in client.models.list()]
        found = await client.models.retrieve("owner/name")

        assert [each.id for each in listed] == ["m", "owner/name"]
        assert listed[0].owned_by == "lar"
        assert found.id == "owner/name"
        assert found.model_extra is not None
        assert found.model_extra["lar"]["stage"] == "available"
        broken = Fault(code="model_broken", message="It does not load.", detail="/home/me/secret")
        stage.models.states[ModelId("m")] = msgspec.structs.replace(models[0], stage="broken", fault=broken)
        again = await client.models.retrieve("m")
        assert again.model_extra is not None
        assert again.model_extra["lar"]["fault"]["message"] == "It does not load."
        assert "secret" not in again.to_json()
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("nope")
        assert caught.value.code == "model_not_found"


async def test_keys_and_roles_map_to_the_clients_exceptions(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        key = await anyio.to_thread.run_sync(stage.keys.create, "friend", "user")
        async with stage.openai("lar-wrong-key-that-nobody-made") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.models.list()
        assert caught.value.code == "invalid_api_key"
        assert "nobody-made" not in caught.value.message

        async with stage.openai(key) as client:
            assert (await client.models.list()).data[0].id == "m"
            with pytest.raises(openai.PermissionDeniedError):
                await client.get(f"{stage.address}/api/state", cast_to=object)


async def test_a_model_that_writes_no_text_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    embedder = known_model("e", stage="available", features=frozenset({"embeddings"}))
    async with open_stage(tmp_path, models=[embedder]) as stage, stage.openai() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="e", messages=QUESTION)

        assert caught.value.param == "model"
        assert "does not write text" in caught.value.message
        assert stage.models.installs == []
