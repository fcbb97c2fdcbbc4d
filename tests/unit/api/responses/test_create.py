"""Responses over HTTP, as the official SDK sees them: whole, streamed, in the background, and refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from runtime.api import sse
from runtime.core.agents.happenings import StatusChanged, TurnClosed
from runtime.core.agents.items import Answered, Called, Said
from runtime.core.agents.plans import CANCELLED_BY_CLIENT
from runtime.core.agents.ports import NewRun, Session
from runtime.core.agents.steps import RunEnded
from runtime.core.errors import Conflict, Fault, FaultCode
from runtime.core.ids import LOCAL_TENANT
from runtime.core.messages import Usage
from tests.kit.fake_agent_runs import FakeRun
from tests.kit.response_stage import (
    Scene,
    answering,
    begun,
    called,
    calling,
    closed,
    response_stage,
    said,
)
from tests.kit.responses_oracle import check_types

_TOOL: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


def _failing(code: FaultCode, *before: Scene, retry_after_s: float | None = None) -> Any:
    fault = Fault(code=code, message="It broke.", retry_after_s=retry_after_s)

    def script(new: NewRun) -> Sequence[Scene]:
        return (
            StatusChanged(status="in_progress"),
            *(before or (TurnClosed(turn=0, usage=Usage()),)),
            RunEnded(at=3.0, status="failed", fault=fault),
        )

    return script


def _frames(text: str) -> list[tuple[str, Any]]:
    """Return the frames of a stream: event and data."""
    frames = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        data = lines["data"]
        frames.append((lines.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return frames


async def test_a_response_comes_whole(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("Hello there")) as stage:
        response = await stage.client.responses.create(
            model="m", input="Hi", instructions="Be kind.", metadata={"a": "b"}
        )

    assert response.output_text == "Hello there"
    assert response.status == "completed"
    assert response.metadata == {"a": "b"}
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 2)
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert stage.runs.last.new.plan.instructions == "Be kind."
    assert isinstance(stage.runs.last.new.input[0], Said)
    assert stage.runs.last.new.input[0].text == "Hi"


async def test_the_sdk_streams_a_response_and_adds_it_up(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("Hello there")) as stage:
        async with stage.client.responses.stream(model="m", input="Hi") as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            final = await stream.get_final_response()
        found = await stage.client.responses.retrieve(final.id)

    assert deltas == ["Hello ", "there"]
    assert final.output_text == "Hello there"
    assert (
        found.output[0].to_dict()
        == {key: value for key, value in final.output[0].to_dict().items() if key != "parsed"}
        or found.output_text == final.output_text
    )


async def test_a_stream_is_a_frame_for_each_event_and_done_at_last(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        body = {"model": "m", "input": "Hi", "stream": True}
        async with stage.http.http.post(stage.url, json=body) as answer:
            frames = _frames(await answer.text())
            headers = answer.headers

    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["x-lar-run-id"] == stage.runs.last.id
    assert frames[-1] == ("", "[DONE]")
    events = [data for _, data in frames[:-1]]
    assert [name for name, _ in frames[:-1]] == [each["type"] for each in events]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    check_types(events)
    assert events[0]["response"]["id"] == f"resp_{stage.runs.last.id.removeprefix('run_')}"


_REFUSALS = [
    ("context_length_exceeded", 400, "context_length_exceeded"),
    ("invalid_request", 400, "invalid_value"),
    ("model_not_found", 404, "model_not_found"),
    ("denied", 403, "denied"),
    ("queue_full", 429, "queue_full"),
    ("queue_timeout", 503, "queue_timeout"),
    ("engine_failed", 500, "engine_failed"),
]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(("code", "status", "told"), _REFUSALS)
async def test_what_fails_before_the_first_output_is_a_plain_http_error(
    tmp_path: Path, code: FaultCode, status: int, told: str, is_stream: bool
) -> None:
    async with response_stage(tmp_path, _failing(code)) as stage:
        answered, body = await stage.post(input="Hi", stream=is_stream)

    assert answered == status
    assert body["error"]["code"] == told
    assert body["error"]["message"] == "It broke."


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_full_queue_says_when_to_come_back(tmp_path: Path, is_stream: bool) -> None:
    async with response_stage(tmp_path, _failing("queue_full", retry_after_s=2.0)) as stage:
        body = {"model": "m", "input": "Hi", "stream": is_stream}
        async with stage.http.http.post(stage.url, json=body) as answer:
            assert (answer.status, answer.headers["retry-after-ms"]) == (429, "2000")


async def test_what_fails_later_is_an_error_event_and_response_failed(tmp_path: Path) -> None:
    async with response_stage(tmp_path, _failing("engine_failed", *begun(), *said("Hel"))) as stage:
        body = {"model": "m", "input": "Hi", "stream": True}
        async with stage.http.http.post(stage.url, json=body) as answer:
            assert answer.status == 200
            frames = _frames(await answer.text())
        with pytest.raises(openai.APIError, match="It broke"):
            async with stage.client.responses.stream(model="m", input="Hi") as stream:
                await stream.until_done()

    assert [name for name, _ in frames[-3:]] == ["error", "response.failed", ""]
    failed = frames[-2][1]["response"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert failed["output"][0]["content"][0]["text"] == "Hel"


async def test_a_whole_response_that_fails_after_some_output_shows_what_there_is(tmp_path: Path) -> None:
    async with response_stage(tmp_path, _failing("engine_failed", *begun(), *said("Hel"))) as stage:
        response = await stage.client.responses.create(model="m", input="Hi")

    assert response.status == "failed"
    assert response.error is not None
    assert response.output_text == "Hel"


async def test_an_unknown_model_is_a_404_before_anything_is_begun(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        for is_stream in (False, True):
            status, body = await stage.post(model="gone", input="Hi", stream=is_stream)
            assert (status, body["error"]["code"]) == (404, "model_not_found")

    assert stage.runs.runs == {}


async def test_a_run_that_cannot_be_begun_is_refused(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        stage.runs.refusal = Conflict(Fault(code="conflict", message="The conversation is busy."))
        status, body = await stage.post(input="Hi")

    assert (status, body["error"]["message"]) == (409, "The conversation is busy.")


async def test_a_foreground_stream_whose_reader_leaves_is_cancelled(tmp_path: Path) -> None:
    async with response_stage(tmp_path, lambda new: begun()) as stage:
        body = {"model": "m", "input": "Hi", "stream": True}
        async with stage.http.http.post(stage.url, json=body) as answer:
            await answer.content.readuntil(b"\n\n")
        with anyio.fail_after(5):
            await stage.runs.last.over.wait()

    ended = stage.runs.last.ended
    assert ended is not None
    assert (ended.status, ended.reason) == ("cancelled", CANCELLED_BY_CLIENT)


async def test_a_stream_that_waits_shows_that_it_lives_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.02)
    async with response_stage(tmp_path, lambda new: begun()) as stage:
        body = {"model": "m", "input": "Hi", "stream": True}
        async with stage.http.http.post(stage.url, json=body) as answer:
            with anyio.fail_after(5):
                waited = [await answer.content.readuntil(b"\n\n") for _ in range(5)]
                _play(stage.runs.last, stage.runs, *said("Late."), *closed())
                rest = (await answer.content.read()).replace(b": keep-alive\n\n", b"")

    assert waited[2:] == [b": keep-alive\n\n"] * 3
    events = [each for _, each in _frames(rest.decode())]
    assert events[-2]["type"] == "response.completed"
    assert events[0]["sequence_number"] == 2


async def test_a_request_in_the_foreground_whose_asker_leaves_is_cancelled(tmp_path: Path) -> None:
    async with response_stage(tmp_path, lambda new: begun()) as stage:

        async def ask() -> None:
            await stage.post(input="Hi")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            with anyio.fail_after(5):
                await stage.runs.started.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await stage.runs.last.over.wait()

    ended = stage.runs.last.ended
    assert ended is not None
    assert ended.status == "cancelled"


async def test_a_response_in_the_background_is_queued_and_found_when_it_is_done(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        client = stage.client
        response = await client.responses.create(model="m", input="Hi", background=True)
        assert (response.status, response.output) == ("queued", [])
        _play(stage.runs.last, stage.runs, *begun(), *said("Done now."), *closed())
        found = await client.responses.retrieve(response.id)

    assert (found.status, found.output_text, found.background) == ("completed", "Done now.", True)


def _play(fake: FakeRun, runs: Any, *scenes: Scene) -> None:
    for each in scenes:
        if isinstance(each, RunEnded):
            runs.end(fake, each.status, each.reason, each.fault)
        else:
            runs.tell(fake, each)


async def test_a_background_stream_whose_reader_leaves_goes_on_and_is_resumed_without_a_gap(
    tmp_path: Path,
) -> None:
    async with response_stage(tmp_path) as stage:
        client = stage.client
        stream = await client.responses.create(model="m", input="Hi", background=True, stream=True)
        first = [await anext(stream) for _ in range(2)]
        await stream.response.aclose()

        fake = stage.runs.last
        _play(fake, stage.runs, *begun(), *said("Hello there"))
        assert fake.ended is None
        response = first[0].response.id  # type: ignore[union-attr]  # it is response.created
        seen = first[-1].sequence_number
        again = await client.responses.retrieve(response, stream=True, starting_after=seen)
        rest = [await anext(again) for _ in range(3)]
        _play(fake, stage.runs, *closed())
        with anyio.fail_after(5):
            rest += [event async for event in again]

    numbers = [each.sequence_number for each in (*first, *rest)]
    assert numbers == list(range(len(numbers)))
    assert [each.type for each in first] == ["response.created", "response.queued"]
    assert rest[-1].type == "response.completed"


@pytest.mark.parametrize("after", [0, 3, 8, 100])
async def test_a_stream_that_is_over_is_told_again_from_any_event_on(tmp_path: Path, after: int) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        response = await stage.client.responses.create(model="m", input="Hi", background=True)
        url = f"{stage.url}/{response.id}?stream=true"
        async with stage.http.http.get(url) as answer:
            whole = _frames(await answer.text())
        async with stage.http.http.get(f"{url}&starting_after={after}") as answer:
            rest = _frames(await answer.text())

    assert rest == [each for each in whole if each[1] == "[DONE]" or each[1]["sequence_number"] > after]


async def test_the_sdk_follows_a_background_response_from_its_beginning(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("Hello there")) as stage:
        client = stage.client
        response = await client.responses.create(model="m", input="Hi", background=True)
        async with client.responses.stream(response_id=response.id, starting_after=5) as stream:
            numbers = [event.sequence_number async for event in stream]
            final = await stream.get_final_response()

    assert min(numbers) == 6
    assert final.output_text == "Hello there"


async def test_only_what_was_in_the_background_can_be_followed_afterwards(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        response = await stage.client.responses.create(model="m", input="Hi")
        async with stage.http.http.get(f"{stage.url}/{response.id}?stream=true") as answer:
            status, body = answer.status, await answer.json()

    assert (status, body["error"]["param"]) == (400, "stream")


async def test_a_tool_round_trip_goes_on_with_the_previous_response(tmp_path: Path) -> None:
    async with response_stage(tmp_path, calling("look", '{"at": "door"}')) as stage:
        client = stage.client
        first = await client.responses.create(model="m", input="Is it there?", tools=[_TOOL])
        call = first.output[0]
        assert call.type == "function_call"
        second = await client.responses.create(
            model="m",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "yes"}],
            tools=[_TOOL],
        )

    assert (call.name, call.arguments) == ("look", '{"at": "door"}')
    assert second.output_text == "It is there."
    new = stage.runs.last.new
    assert [type(each).__name__ for each in new.context] == ["Said", "Called"]
    assert isinstance(new.input[0], Answered)
    assert second.previous_response_id == first.id


async def test_a_call_without_its_result_is_refused(tmp_path: Path) -> None:
    async with response_stage(tmp_path, calling()) as stage:
        first = await stage.client.responses.create(model="m", input="Hi", tools=[_TOOL])
        status, body = await stage.post(previous_response_id=first.id, input="And?")

    assert status == 400
    assert body["error"]["message"] == "No tool output found for function call call_1."


async def test_an_unknown_previous_response_is_refused_with_its_code(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        for response in ("resp_none", "nonsense"):
            status, body = await stage.post(previous_response_id=response, input="Hi")
            assert (status, body["error"]["code"]) == (400, "previous_response_not_found")
            assert body["error"]["param"] == "previous_response_id"


async def test_a_previous_response_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        first = await stage.client.responses.create(model="m", input="Hi", background=True)
        status, body = await stage.post(previous_response_id=first.id, input="And?")

    assert (status, body["error"]["param"]) == (400, "previous_response_id")


async def test_a_response_that_is_not_stored_is_not_found_afterwards(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering()) as stage:
        client = stage.client
        response = await client.responses.create(model="m", input="Hi", store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)

    assert response.output_text == "Hello there"


async def test_a_background_that_is_not_stored_is_refused(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        status, body = await stage.post(input="Hi", background=True, store=False)

    assert (status, body["error"]["param"]) == (400, "background")


async def test_a_conversation_and_a_previous_response_exclude_each_other(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        status, _ = await stage.post(input="Hi", conversation="conv_1", previous_response_id="resp_1")
        unknown, body = await stage.post(input="Hi", conversation="conv_1")

    assert status == 400
    assert (unknown, body["error"]["param"]) == (404, "conversation")


async def test_a_conversation_stands_before_what_is_asked(tmp_path: Path) -> None:
    call = Called(id="fc_1", call_id="call_9", name="look", arguments="{}")
    async with response_stage(tmp_path, answering()) as stage:
        session = Session(id="conv_1", tenant=LOCAL_TENANT, created_at=1.0)
        await stage.home.sessions.create(session, [call])
        missing, _ = await stage.post(input="Hi", conversation="conv_1")
        result: Any = {"type": "function_call_output", "call_id": "call_9", "output": "yes"}
        response = await stage.client.responses.create(model="m", input=[result], conversation="conv_1")

    assert missing == 400  # the conversation waits for a result
    assert response.conversation is not None
    assert response.conversation.id == "conv_1"
    new = stage.runs.last.new
    assert (new.session, new.context) == ("conv_1", ())  # the run reads its conversation itself


async def test_an_item_may_be_named_instead_of_sent(tmp_path: Path) -> None:
    async with response_stage(tmp_path, answering("Four.")) as stage:
        client = stage.client
        first = await client.responses.create(model="m", input="Two and two?")
        named: Any = {"type": "item_reference", "id": first.output[0].id}
        await client.responses.create(model="m", input=[named, {"role": "user", "content": "Why?"}])
        status, body = await stage.post(input=[{"type": "item_reference", "id": "msg_none"}])

    assert [each.text for each in stage.runs.last.new.input if isinstance(each, Said)] == ["Four.", "Why?"]
    assert (status, body["error"]["param"]) == (404, "input")


async def test_tools_that_nobody_carries_out_are_refused(tmp_path: Path) -> None:
    async with response_stage(tmp_path) as stage:
        status, body = await stage.post(input="Hi", tools=[{"type": "web_search"}])

    assert (status, body["error"]["param"]) == (400, "tools[0].type")


async def test_an_agent_answers_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.yaml").write_text("name: clerk\nmodel: small\ninstructions: Sort.\n")
    async with response_stage(tmp_path, answering("Sorted.")) as stage:
        response = await stage.client.responses.create(
            model="clerk", input="Sort this.", instructions="Briefly.", tools=[_TOOL]
        )

    plan = stage.runs.last.new.plan
    assert (response.model, response.output_text) == ("clerk", "Sorted.")
    assert (plan.agent, plan.models, plan.door) == ("clerk", ("small",), "responses")
    assert plan.instructions.endswith("Briefly.")
    assert "look" in [each.name for each in plan.tools]


async def test_a_call_of_the_askers_tool_is_streamed_under_its_name(tmp_path: Path) -> None:
    def script(new: NewRun) -> Sequence[Scene]:
        return (*begun(), *called("look", "{}"), *closed())

    async with (
        response_stage(tmp_path, script) as stage,
        stage.client.responses.stream(model="m", input="Hi", tools=[_TOOL]) as stream,
    ):
        final = await stream.get_final_response()

    assert final.output[0].type == "function_call"
