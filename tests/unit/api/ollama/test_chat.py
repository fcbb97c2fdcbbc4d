"""Ollama's chats through its official client, over a real port and the real runs."""

import random
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest
from ollama import ResponseError

from runtime.core.errors import Fault
from runtime.core.events import RunCancelled, RunRequested
from runtime.core.messages import (
    Began,
    Broke,
    ChosenLogprob,
    Delta,
    Ended,
    ImagePart,
    TextPart,
    TokenizeRequest,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from tests.kit.fake_models import known_model
from tests.kit.fake_pool import Hold, Step, saying
from tests.kit.http_stage import Stage, open_stage
from tests.unit.api.ollama.client import CALL, PNG, QUESTION, WEATHER, able_model, ollama


async def lines_of(stage: Stage, path: str, body: dict[str, Any]) -> list[Any]:
    """Send a body, return the lines of the answer."""
    async with stage.http.post(f"{stage.address}{path}", json=body) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/x-ndjson"
        text = await response.text()
    assert text.endswith("\n")
    return [msgspec.json.decode(each) for each in text.splitlines()]


async def wait_for(stage: Stage, kind: Any) -> Any:
    """Return the first fact of a kind, once there is one."""
    with anyio.fail_after(5), stage.bus.subscribe("test", 100) as facts:
        while not stage.facts(kind):
            await anext(facts)
    return stage.facts(kind)[0]


async def test_a_whole_chat_reaches_the_official_client(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        answer = await client.chat(model="m", messages=QUESTION, stream=False)

    assert answer.message.content == "Hello there"
    assert answer.message.role == "assistant"
    assert answer.message.tool_calls is None
    assert answer.message.thinking is None
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (5, 2)
    assert answer.model == "m"
    assert answer.created_at == "2023-11-14T22:13:20.000000000Z"


async def test_a_stream_joins_to_the_whole(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        parts = [each async for each in await client.chat(model="m", messages=QUESTION, stream=True)]

    assert [each.message.content for each in parts] == ["Hello", " there", ""]
    assert [each.done for each in parts] == [False, False, True]
    assert parts[-1].done_reason == "stop"
    assert parts[-1].eval_count == 2
    assert parts[0].total_duration is None


async def test_a_chat_streams_unless_told_otherwise(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        lines = await lines_of(stage, "/api/chat", {"model": "m", "messages": QUESTION})

    assert lines[0] == {
        "model": "m",
        "created_at": "2023-11-14T22:13:20.000000000Z",
        "done": False,
        "message": {"role": "assistant", "content": "Hello"},
    }
    assert lines[-1]["done"] is True
    assert stage.facts(RunRequested)[0].is_stream is True  # type: ignore[union-attr]  # of this kind only


async def test_curl_needs_no_header(tmp_path: Path) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":false}'
    async with open_stage(tmp_path) as stage:
        for headers in ({"Content-Type": "application/x-www-form-urlencoded"}, {}):
            skipped = ["Content-Type"]
            async with stage.http.post(
                f"{stage.address}/api/chat", data=body, headers=headers, skip_auto_headers=skipped
            ) as response:
                assert response.status == 200
        headers = {"Content-Type": "text/plain"}
        async with stage.http.post(f"{stage.address}/api/chat", data=body, headers=headers) as response:
            assert response.status == 415
            assert "application/json" in (await response.json())["error"]


async def test_the_durations_are_measured_from_the_request_on(tmp_path: Path) -> None:
    hold = Hold()
    async with open_stage(tmp_path) as stage:

        def script(request: Any, index: int) -> Any:
            stage.clock.advance(2.0)
            yield Began(prompt_tokens=5)
            yield hold
            yield Delta(text="a")
            yield Delta(text="b")
            yield Ended(reason="stop", usage=Usage(prompt_tokens=5, completion_tokens=2, cached_tokens=3))

        async def go_on() -> None:
            await hold.is_reached.wait()
            await anyio.wait_all_tasks_blocked()  # the edge has taken note of the beginning
            stage.clock.advance(0.5)
            hold.release()

        stage.pool.play(script)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(go_on)
                body = {"model": "m", "messages": QUESTION, "stream": False}
                async with stage.http.post(f"{stage.address}/api/chat", json=body) as response:
                    answer = await response.json()

    assert answer["load_duration"] == 2_000_000_000
    assert answer["prompt_eval_duration"] == 500_000_000
    assert answer["eval_duration"] == 0
    assert answer["total_duration"] == 2_500_000_000
    assert (answer["prompt_eval_count"], answer["prompt_cached_count"]) == (5, 3)


async def test_tool_calls_come_whole(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        stage.pool.play(CALL)
        whole = await client.chat(model="m", messages=QUESTION, tools=[WEATHER])
        parts = [
            each
            async for each in await client.chat(model="m", messages=QUESTION, tools=[WEATHER], stream=True)
        ]
        asked = stage.pool.chats[0]

    calls = whole.message.tool_calls
    assert calls is not None
    assert [(each.function.name, each.function.arguments) for each in calls] == [
        ("get_weather", {"city": "Lisboa"}),
        ("get_weather", {}),
    ]
    assert whole.message.content == "Let me see."
    assert whole.done_reason == "stop"
    told = [[call.function.arguments for call in each.message.tool_calls or ()] for each in parts]
    assert told == [[], [{"city": "Lisboa"}], [{}], []]
    assert asked.tools[0].name == "get_weather"
    parameters = asked.tools[0].parameters  # type: ignore[union-attr]  # a function tool
    assert parameters is not None
    assert parameters["required"] == ["city"]


async def test_a_call_that_is_cut_short_is_no_call(tmp_path: Path) -> None:
    cut: list[Step] = [*CALL[:4], Ended(reason="length", usage=Usage(prompt_tokens=9, completion_tokens=2))]
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        stage.pool.play(cut)
        answer = await client.chat(model="m", messages=QUESTION, tools=[WEATHER])

    assert answer.message.tool_calls is None
    assert answer.done_reason == "length"


async def test_a_broken_call_is_an_error_and_not_a_call(tmp_path: Path) -> None:
    broken: list[Step] = [*CALL[:4], Ended(reason="tool_calls", usage=Usage())]
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        stage.pool.play(broken)
        with pytest.raises(ResponseError, match="no JSON object") as whole:
            await client.chat(model="m", messages=QUESTION, tools=[WEATHER])
        stream = await client.chat(model="m", messages=QUESTION, tools=[WEATHER], stream=True)
        with pytest.raises(ResponseError, match="no JSON object"):
            assert [each async for each in stream] == []

    assert whole.value.status_code == 500


async def test_a_tool_result_finds_its_call(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        stage.pool.play(CALL)
        first = await client.chat(model="m", messages=QUESTION, tools=[WEATHER])
        stage.pool.play(saying("It is mild."))
        results: list[Any] = [
            {"role": "tool", "content": "18 degrees", "tool_name": "get_weather"},
            {"role": "tool", "content": "unknown", "tool_name": "get_weather"},
        ]
        second = await client.chat(model="m", messages=[*QUESTION, first.message, *results])
        asked = stage.pool.chats[-1].messages

    assert second.message.content == "It is mild."
    assert [each.role for each in asked] == ["user", "assistant", "tool", "tool"]
    assert [each.id for each in asked[1].tool_calls] == [each.tool_call_id for each in asked[2:]]
    assert asked[1].tool_calls[0].function.arguments == '{"city":"Lisboa"}'
    assert asked[2].name == "get_weather"


async def test_thinking_travels_beside_the_content(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        usage = Usage(prompt_tokens=1, completion_tokens=2, reasoning_tokens=1)
        thought: list[Step] = [
            Began(prompt_tokens=1),
            Delta(reasoning="hm"),
            Delta(text="yes"),
            Ended(reason="stop", usage=usage),
        ]
        stage.pool.play(thought)
        whole = await client.chat(model="m", messages=QUESTION, think=True)
        stream = await client.chat(model="m", messages=QUESTION, think="low", stream=True)
        parts = [each.message async for each in stream]
        await client.chat(model="m", messages=[*QUESTION, whole.message, *QUESTION], think=False)
        efforts = [each.reasoning_effort for each in stage.pool.chats]
        sent_back = stage.pool.chats[-1].messages[1]

    assert (whole.message.thinking, whole.message.content) == ("hm", "yes")
    assert [(each.thinking, each.content) for each in parts] == [("hm", ""), (None, "yes"), (None, "")]
    assert efforts == ["medium", "low", "none"]
    assert sent_back.reasoning_content == "hm"


async def test_log_probabilities_are_told(tmp_path: Path) -> None:
    other = TokenLogprob(token="a", logprob=-1.0, bytes=(97,))
    token = ChosenLogprob(token="é", logprob=-0.5, bytes=(195, 169), top_logprobs=(other,))
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        end = Ended(reason="length", usage=Usage(prompt_tokens=1, completion_tokens=1))
        stage.pool.play([Began(prompt_tokens=1), Delta(text="é", logprobs=(token,)), end])
        whole = await client.chat(model="m", messages=QUESTION, logprobs=True, top_logprobs=1)
        stream = await client.chat(model="m", messages=QUESTION, logprobs=True, stream=True)
        parts = [each async for each in stream]
        asked = [each.sampling.logprobs for each in stage.pool.chats]
        with pytest.raises(ResponseError, match="only allowed when 'logprobs'"):
            await client.chat(model="m", messages=QUESTION, top_logprobs=1)

    assert whole.logprobs is not None
    assert (whole.logprobs[0].token, whole.logprobs[0].logprob) == ("é", -0.5)
    assert whole.logprobs[0].top_logprobs is not None
    assert whole.logprobs[0].top_logprobs[0].token == "a"
    assert parts[0].logprobs is not None
    assert asked == [1, 0]
    assert whole.done_reason == "length"


async def test_a_format_reaches_the_model(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        await client.chat(model="m", messages=QUESTION, format="json")
        await client.chat(model="m", messages=QUESTION, format={"type": "object"})
        await client.chat(model="m", messages=QUESTION, format="")
        formats = [each.response_format for each in stage.pool.chats]

    assert [each.type for each in formats] == ["json_object", "json_schema", "text"]
    assert formats[1].schema == {"type": "object"}


async def test_pictures_stand_before_their_text(tmp_path: Path) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is it?", "images": [PNG]}]
    async with (
        open_stage(tmp_path, models=[able_model(), known_model("blind")]) as stage,
        ollama(stage) as client,
    ):
        await client.chat(model="m", messages=asked)
        content = stage.pool.chats[0].messages[0].content
        with pytest.raises(ResponseError, match=r"'messages\[0\].images\[0\]' is not supported"):
            await client.chat(model="blind", messages=asked)

    assert content == (ImagePart(data=PNG), TextPart(text="What is it?"))


async def test_a_tag_latest_means_the_model_and_is_given_back(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        answer = await client.chat(model="m:latest", messages=QUESTION)
        with pytest.raises(ResponseError, match="does not exist") as caught:
            await client.chat(model="nope:latest", messages=QUESTION)

    assert answer.model == "m:latest"
    assert stage.pool.chats[0].model == "m"
    assert caught.value.status_code == 404


async def test_without_messages_the_model_is_loaded(tmp_path: Path) -> None:
    async with open_stage(tmp_path, models=[able_model("m", "installed")]) as stage, ollama(stage) as client:
        stage.pool.play([Began(prompt_tokens=0), Ended(reason="stop", usage=Usage())])
        answer = await client.chat(model="m", messages=[])
        asked = stage.pool.requests
        again = await client.chat(model="m", messages=[], keep_alive=0)

    assert (answer.done, answer.done_reason, answer.message.content) == (True, "load", "")
    assert asked == [TokenizeRequest(model=asked[0].model, principal="owner", text="")]
    assert again.done_reason == "unload"


async def test_to_load_what_is_loaded_asks_nothing_of_it(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        answer = await client.chat(model="m", messages=[])

    assert answer.done_reason == "load"
    assert stage.pool.requests == []


@pytest.mark.parametrize("keep_alive", [0, "0", "0s", 0.0])
@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_model_leaves_after_the_answer_when_asked(
    tmp_path: Path, keep_alive: float | str, is_stream: bool
) -> None:
    async with open_stage(tmp_path) as stage:
        body = {"model": "m", "messages": QUESTION, "keep_alive": keep_alive, "stream": is_stream}
        async with stage.http.post(f"{stage.address}/api/chat", json=body) as response:
            assert b'"done":true' in await response.read()
        assert stage.models.unloads == ["m"]


@pytest.mark.parametrize("keep_alive", [5, "5m", "1h30m", "-1", -1, "1.5h", "", "300ms"])
async def test_other_durations_leave_the_model_where_it_is(tmp_path: Path, keep_alive: float | str) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        await client.chat(model="m", messages=QUESTION, keep_alive=keep_alive)
        assert stage.models.unloads == []


@pytest.mark.parametrize("keep_alive", ["soon", "5 minutes", "--1", "+", "m", "1h30", "9" * 41])
async def test_what_is_no_duration_is_refused(tmp_path: Path, keep_alive: str) -> None:
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        with pytest.raises(ResponseError, match="keep_alive") as caught:
            await client.chat(model="m", messages=QUESTION, keep_alive=keep_alive)

    assert caught.value.status_code == 400


async def test_a_users_key_frees_no_model(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        key = await anyio.to_thread.run_sync(stage.keys.create, "friend", "user")
        async with ollama(stage, key) as client:
            answer = await client.chat(model="m", messages=QUESTION, keep_alive=0)
            with pytest.raises(ResponseError, match="may not free") as caught:
                await client.chat(model="m", messages=[], keep_alive=0)
        assert stage.models.unloads == []

    assert answer.done_reason == "stop"
    assert caught.value.status_code == 403


async def test_a_model_that_others_use_stays(tmp_path: Path) -> None:
    busy = msgspec.structs.replace(able_model(), running=1)
    async with open_stage(tmp_path, models=[busy]) as stage, ollama(stage) as client:
        await client.chat(model="m", messages=QUESTION, keep_alive=0)
        assert stage.models.unloads == []


async def test_a_fault_before_the_first_output_is_a_plain_http_error(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        stage.pool.play([Broke(fault=Fault(code="context_length_exceeded", message="too long"))])
        body = {"model": "m", "messages": QUESTION}
        async with stage.http.post(f"{stage.address}/api/chat", json=body) as response:
            assert response.status == 400
            assert await response.json() == {"error": "too long"}


async def test_a_fault_in_mid_stream_is_a_line_and_the_last(tmp_path: Path) -> None:
    broken = Broke(fault=Fault(code="worker_died", message="The worker died."))
    script: list[Step] = [Began(prompt_tokens=1), Delta(text="Hel"), broken]
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        stage.pool.play(script)
        lines = await lines_of(stage, "/api/chat", {"model": "m", "messages": QUESTION})
        with pytest.raises(ResponseError, match="The worker died"):
            async for _ in await client.chat(model="m", messages=QUESTION, stream=True):
                pass

    assert [each.get("done") for each in lines] == [False, None]
    assert lines[-1] == {"error": "The worker died."}


async def test_the_connection_of_a_broken_stream_is_closed(tmp_path: Path) -> None:
    body = msgspec.json.encode({"model": "m", "messages": QUESTION})
    head = (
        "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with open_stage(tmp_path) as stage:
        stage.pool.play([Began(prompt_tokens=1), Broke(fault=Fault(code="worker_died", message="x"))])
        port = int(stage.address.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as client:
            await client.send(head.encode() + body)
            with anyio.fail_after(5):
                received = b"".join([part async for part in client])  # ends when the server closes

    assert b'{"error":"x"}' in received


@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_client_that_leaves_cancels_its_run(tmp_path: Path, is_stream: bool) -> None:
    hold = Hold()
    async with open_stage(tmp_path) as stage:
        stage.pool.play([Began(prompt_tokens=1), Delta(text="a"), hold, Ended(reason="stop", usage=Usage())])
        body = {"model": "m", "messages": QUESTION, "stream": is_stream}

        async def ask() -> None:
            async with stage.http.post(f"{stage.address}/api/chat", json=body) as response:
                await response.text()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await hold.is_reached.wait()
                tasks.cancel_scope.cancel()
            cancelled = await wait_for(stage, RunCancelled)

        assert cancelled.reason == "client left"
        assert stage.pool.generations[0].is_cancelled


async def test_a_reader_that_stops_reading_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.api.ollama.ndjson.WRITE_STALL_S", 0.05)
    async with open_stage(tmp_path) as stage:
        endless: list[Step] = [Began(prompt_tokens=1), *[Delta(text="x" * 64_000)] * 2000]
        stage.pool.play([*endless, Ended(reason="stop", usage=Usage())])
        body = {"model": "m", "messages": QUESTION}
        async with stage.http.post(f"{stage.address}/api/chat", json=body) as response:
            cancelled = await wait_for(stage, RunCancelled)
            with pytest.raises(aiohttp.ClientError):
                await response.text()

    assert cancelled.reason == "client left"


async def test_a_silent_generation_is_filled_with_lines_that_add_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.api.ollama.ndjson.IDLE_S", 0.01)
    hold = Hold()
    async with open_stage(tmp_path) as stage:
        end = Ended(reason="stop", usage=Usage())
        stage.pool.play([Began(prompt_tokens=1), Delta(text="a"), hold, Delta(text="b"), end])
        body = {"model": "m", "messages": QUESTION}
        async with stage.http.post(f"{stage.address}/api/chat", json=body) as response:
            with anyio.fail_after(5):
                texts = [msgspec.json.decode(await response.content.readline()) for _ in range(3)]
                hold.release()
                texts += [msgspec.json.decode(each) for each in (await response.read()).splitlines()]

    assert texts[1]["message"]["content"] == ""
    assert texts[1]["done"] is False
    assert "".join(each["message"]["content"] for each in texts) == "ab"


async def test_a_feature_that_the_model_lacks_is_refused_by_ollamas_name(tmp_path: Path) -> None:
    plain = known_model("m", features=frozenset({"chat"}))
    async with open_stage(tmp_path, models=[plain]) as stage, ollama(stage) as client:
        for asked, name in (
            ({"options": {"seed": 1}}, "options.seed"),
            ({"options": {"repeat_penalty": 1.1}}, "options.repeat_penalty"),
            ({"format": "json"}, "format"),
            ({"tools": [WEATHER]}, "tools"),
            ({"logprobs": True}, "logprobs"),
        ):
            with pytest.raises(ResponseError, match=f"'{name}' is not supported by the model 'm'"):
                await client.chat(model="m", messages=QUESTION, **asked)
        await client.chat(model="m", messages=QUESTION, think=True, tools=[])


async def test_a_call_without_name_or_arguments_is_still_told_whole(tmp_path: Path) -> None:
    piece = ToolCallDelta(index=0, id=None, name="now")
    async with open_stage(tmp_path) as stage, ollama(stage) as client:
        end = Ended(reason="tool_calls", usage=Usage())
        stage.pool.play([Began(prompt_tokens=1), Delta(tool_calls=(piece,)), end])
        answer = await client.chat(model="m", messages=QUESTION, tools=[WEATHER])

    assert answer.message.tool_calls is not None
    assert answer.message.tool_calls[0].function.arguments == {}


def random_script(chance: random.Random) -> list[Step]:
    """Return a generation of thoughts, text and calls, in pieces of all kinds."""
    script: list[Step] = [Began(prompt_tokens=3)]
    letters = 'aé\n🙂"\\'
    for _ in range(chance.randrange(6)):
        text = "".join(chance.choices(letters, k=chance.randrange(4)))
        reasoning = chance.choice(["", "hm", "\n"])
        script.append(Delta(text=text, reasoning=reasoning))
    for index in range(chance.randrange(3)):
        script.append(Delta(tool_calls=(ToolCallDelta(index=index, id=f"c{index}", name="f"),)))
        pieces = ["{", '"a"', ":", chance.choice(["1", '"\\n"', "[]"]), "}"]
        script += [Delta(tool_calls=(ToolCallDelta(index=index, arguments=each),)) for each in pieces]
    return [*script, Ended(reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=len(script)))]


async def test_whatever_is_generated_stream_and_whole_say_the_same(tmp_path: Path) -> None:
    chance = random.Random(7)
    body: dict[str, Any] = {"model": "m", "messages": QUESTION, "tools": [WEATHER]}
    async with open_stage(tmp_path) as stage:
        for _ in range(40):
            stage.pool.play(random_script(chance))
            async with stage.http.post(
                f"{stage.address}/api/chat", json={**body, "stream": False}
            ) as response:
                whole = await response.json()
            lines = await lines_of(stage, "/api/chat", body)
            messages = [each["message"] for each in lines]

            joined: dict[str, Any] = {"role": "assistant"}
            joined["content"] = "".join(each["content"] for each in messages)
            thinking = "".join(each.get("thinking", "") for each in messages)
            calls = [call for each in messages for call in each.get("tool_calls", ())]
            joined |= {"thinking": thinking} if thinking else {}
            joined |= {"tool_calls": calls} if calls else {}
            assert joined == whole.pop("message")
            del lines[-1]["message"]
            assert lines[-1] == whole
            assert [each["done"] for each in lines] == [False] * (len(lines) - 1) + [True]
