"""The Responses API of a real server, as the official SDK sees it: streams, tools, sockets, restarts."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.kit.responses_oracle import check_types, heard
from tests.kit.server import RunningServer, running_server

MODEL = "scripted"
_WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
_WAIT_LIMIT_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("responses")
    (home / "agents").mkdir()
    (home / "agents" / "clerk.yaml").write_text("name: clerk\nmodel: scripted\ninstructions: Sort.\n")
    with running_server(home) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[OpenAI]:
    with server.openai() as sdk:
        yield sdk


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def _events(server: RunningServer, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
    """Return the events of a stream, and check that it ends as it should."""
    with httpx2.stream(method, f"{server.address}/v1/responses{path}", timeout=30, **options) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_response_is_made_found_and_deleted(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="Good morning!", metadata={"kind": "greeting"})
    found = client.responses.retrieve(made.id)
    client.responses.delete(made.id)

    assert made.output_text == "You said: Good morning!"
    assert found.to_dict() == made.to_dict()
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


async def test_the_async_client_streams_and_adds_up(server: RunningServer) -> None:
    async with AsyncOpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as sdk:
        async with sdk.responses.stream(model=MODEL, input="One two three") as stream:
            texts = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            final = await stream.get_final_response()
        found = await sdk.responses.retrieve(final.id)

    assert "".join(texts) == final.output_text == found.output_text == "You said: One two three"


def test_every_event_of_a_stream_has_its_type_and_adds_up(server: RunningServer) -> None:
    body = {
        "model": MODEL,
        "stream": True,
        "input": '[[reason: Let me see.]] [[say: I look.]] [[call: get_weather {"city": "Porto"}]]',
        "tools": [_WEATHER],
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
    }

    events = _events(server, "POST", "", json=body)

    check_types(events)
    final = heard(events)
    assert [each.type for each in final.output] == ["reasoning", "message", "function_call"]
    assert final.output[1].content[0].logprobs[0].top_logprobs
    assert [each["sequence_number"] for each in events] == list(range(len(events)))


def test_a_tool_is_called_by_the_client_and_its_result_answered(client: OpenAI) -> None:
    first = client.responses.create(
        model=MODEL, input='[[call: get_weather {"city": "Lisbon"}]]', tools=[_WEATHER]
    )
    [call] = first.output
    assert call.type == "function_call"
    second = client.responses.create(
        model=MODEL,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}],
        tools=[_WEATHER],
    )

    assert json.loads(call.arguments) == {"city": "Lisbon"}
    assert second.output_text == "get_weather returned: 18 degrees"
    assert second.previous_response_id == first.id


def test_a_conversation_can_be_sent_whole_instead(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": '[[call: get_weather {"city": "Porto"}]]'}]
    first = client.responses.create(model=MODEL, input=asked, tools=[_WEATHER], store=False)
    call = first.output[0]
    assert call.type == "function_call"
    asked += first.output
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})

    second = client.responses.create(model=MODEL, input=asked, tools=[_WEATHER], store=False)

    assert second.output_text == "get_weather returned: rain"


def test_output_is_parsed_into_a_model(client: OpenAI) -> None:
    class Person(BaseModel):
        name: str
        age: int

    parsed = client.responses.parse(
        model=MODEL, input='[[say: {"name": "Ada", "age": 36}]]', text_format=Person
    )
    with client.responses.stream(
        model=MODEL, input='[[say: {"name": "Ada", "age": 36}]]', text_format=Person
    ) as stream:
        streamed = stream.get_final_response()

    assert parsed.output_parsed == streamed.output_parsed == Person(name="Ada", age=36)


def test_a_conversation_holds_what_was_asked_and_answered(client: OpenAI) -> None:
    conversation = client.conversations.create(items=[{"role": "user", "content": "My name is Ada."}])
    made = client.responses.create(model=MODEL, input="Hello", conversation=conversation.id)
    stream = client.responses.create(
        model=MODEL, input="Again", conversation={"id": conversation.id}, stream=True
    )
    list(stream)

    items = [each.to_dict() for each in client.conversations.items.list(conversation.id, order="asc")]

    assert made.conversation is not None
    assert made.conversation.id == conversation.id
    texts = [part["text"] for item in items for part in item["content"]]  # type: ignore[attr-defined]  # messages
    assert texts == ["My name is Ada.", "Hello", "You said: Hello", "Again", "You said: Again"]
    assert items[2]["id"] == made.output[0].id


def test_an_agent_answers_where_a_model_would(server: RunningServer, client: OpenAI) -> None:
    made = client.responses.create(model="clerk", input="Sort this", instructions="Briefly.")
    events = _events(server, "POST", "", json={"model": "clerk", "input": "And this", "stream": True})
    again = client.responses.create(model="clerk", input="More", previous_response_id=made.id)

    assert (made.model, made.output_text) == ("clerk", "You said: Sort this")
    assert heard(events).output_text == "You said: And this"
    assert again.usage is not None
    assert made.usage is not None
    assert again.usage.input_tokens > made.usage.input_tokens


def test_a_response_that_is_deleted_while_it_is_made_is_gone(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="[[slow: 100ms]] [[long: 500]]", background=True)
    _until(lambda: client.responses.retrieve(made.id).status == "in_progress")
    client.responses.delete(made.id)

    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_stored_responses_are_listed_the_newest_first(server: RunningServer, client: OpenAI) -> None:
    made = [client.responses.create(model=MODEL, input=text).id for text in ("one", "two", "three")]

    first = server.get("/v1/responses?limit=2").json()
    second = server.get(f"/v1/responses?limit=1&after={first['last_id']}").json()

    assert [each["id"] for each in first["data"] + second["data"]] == made[::-1]
    assert first["has_more"] is True


def test_an_item_may_be_named_instead_of_sent(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="My name is Ada.")
    named: Any = {"type": "item_reference", "id": made.output[0].id}

    again = client.responses.create(model=MODEL, input=[named, {"role": "user", "content": "Go on."}])

    assert again.output_text == "You said: Go on."
    first = next(iter(client.responses.input_items.list(again.id, order="asc")))
    assert first.to_dict()["id"] == made.output[0].id


def test_input_items_are_listed(client: OpenAI) -> None:
    items: Any = [{"role": "user", "content": text} for text in ("one", "two", "three")]
    made = client.responses.create(model=MODEL, input=items)

    listed: list[Any] = [each.to_dict() for each in client.responses.input_items.list(made.id, limit=2)]
    newest = [each["content"][0]["text"] for each in listed]

    assert newest == ["three", "two", "one"]
    rest = client.responses.input_items.list(made.id, after=listed[-1]["id"], order="asc")
    assert [each.to_dict()["id"] for each in rest.data] == [listed[1]["id"], listed[0]["id"]]


def test_input_tokens_are_counted(client: OpenAI) -> None:
    short = client.responses.input_tokens.count(model=MODEL, input="Hi")
    long = client.responses.input_tokens.count(model=MODEL, input="Hi " * 50)

    assert 0 < short.input_tokens < long.input_tokens


def test_a_conversation_is_compacted_and_goes_on(client: OpenAI) -> None:
    first = client.responses.create(model=MODEL, input="My name is Ada.")
    compacted = client.responses.compact(model=MODEL, previous_response_id=first.id)
    kept: Any = [each.to_dict(warnings=False) for each in compacted.output]
    went_on = client.responses.create(model=MODEL, input=[*kept, {"role": "user", "content": "And now?"}])

    assert [each["type"] for each in kept] == ["message", "compaction"]
    assert compacted.usage.output_tokens > 0
    assert went_on.output_text == "You said: And now?"
    changed: Any = {**kept[-1], "encrypted_content": kept[-1]["encrypted_content"][:-4] + "AAAA"}
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input=[changed])
    assert refused.value.code == "invalid_encrypted_content"


def test_a_response_in_the_background_is_polled_until_it_is_done(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="[[slow: 20ms]] Take your time", background=True)
    assert made.status == "queued"
    _until(lambda: client.responses.retrieve(made.id).status == "completed")

    assert client.responses.retrieve(made.id).output_text == "You said: Take your time"


def test_a_background_stream_goes_on_without_its_reader_and_is_resumed_without_a_gap(
    server: RunningServer, client: OpenAI
) -> None:
    stream = client.responses.create(
        model=MODEL, input="[[slow: 30ms]] [[long: 20]]", background=True, stream=True
    )
    first = [next(stream) for _ in range(6)]
    stream.response.close()
    response = first[0].response.id  # type: ignore[union-attr]  # it is response.created

    rest = list(client.responses.retrieve(response, stream=True, starting_after=first[-1].sequence_number))

    numbers = [each.sequence_number for each in (*first, *rest)]
    assert numbers == list(range(len(numbers)))
    assert rest[-1].type == "response.completed"
    whole = _events(server, "GET", f"/{response}?stream=true")
    assert [each["type"] for each in whole] == [each.type for each in (*first, *rest)]
    assert heard(whole).output_text == client.responses.retrieve(response).output_text


def test_a_response_in_the_background_is_cancelled(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="[[slow: 100ms]] [[long: 500]]", background=True)
    _until(lambda: client.responses.retrieve(made.id).status == "in_progress")

    cancelled = client.responses.cancel(made.id)

    assert cancelled.status == client.responses.cancel(made.id).status == "cancelled"
    assert client.responses.retrieve(made.id).status == "cancelled"


def test_a_synchronous_response_cannot_be_cancelled(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="Hi")

    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(made.id)


def test_a_foreground_stream_whose_reader_leaves_is_cancelled(client: OpenAI) -> None:
    stream = client.responses.create(model=MODEL, input="[[slow: 100ms]] [[long: 500]]", stream=True)
    response = next(stream).response.id  # type: ignore[union-attr]  # it is response.created
    stream.response.close()

    _until(lambda: client.responses.retrieve(response).status == "cancelled")


def test_an_answer_that_is_cut_is_incomplete_and_says_why(server: RunningServer, client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="[[long: 500]]", max_output_tokens=20)
    body = {"model": MODEL, "input": "[[long: 500]]", "max_output_tokens": 20, "stream": True}

    events = _events(server, "POST", "", json=body)

    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"
    assert made.output[-1].to_dict()["status"] == "incomplete"
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["usage"]["output_tokens"] == 20


def test_a_failure_in_mid_stream_is_an_error_and_response_failed(
    server: RunningServer, client: OpenAI
) -> None:
    body = {"model": MODEL, "input": "[[long: 10]] [[fail-after: 3]]", "stream": True}

    events = _events(server, "POST", "", json=body)

    assert [each["type"] for each in events[-2:]] == ["error", "response.failed"]
    assert (
        events[-2]["error"]["message"] == events[-2]["message"] == events[-1]["response"]["error"]["message"]
    )
    with pytest.raises(openai.APIError):
        list(client.responses.create(model=MODEL, input="[[long: 10]] [[fail-after: 3]]", stream=True))


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": "gone", "input": "Hi"}, 404, "model_not_found", "model"),
        ({"input": "Hi"}, 400, "missing_required_parameter", "model"),
        ({"model": MODEL}, 400, "missing_required_parameter", "input"),
        (
            {"model": MODEL, "input": "Hi", "previous_response_id": "resp_none"},
            400,
            "previous_response_not_found",
            "previous_response_id",
        ),
        (
            {"model": MODEL, "input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]},
            400,
            "invalid_value",
            "input",
        ),
        ({"model": MODEL, "input": "word " * 100_000}, 400, "context_length_exceeded", "input"),
        ({"model": MODEL, "input": "[[fail: out of luck]]"}, 500, "engine_failed", None),
        ({"model": MODEL, "input": "Hi", "temperature": 3}, 400, "invalid_value", "temperature"),
        (
            {
                "model": MODEL,
                "input": "Hi",
                "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "nonsense"}}},
            },
            400,
            "invalid_json_schema",
            "text.format.schema",
        ),
        ({"model": MODEL, "input": "Hi", "conversation": "conv_none"}, 404, "not_found", "conversation"),
        ({"model": MODEL, "input": "Hi", "prompt": {"id": "pmpt_none"}}, (400, 404), None, None),
    ],
)
def test_each_error_has_its_status_code_and_param(
    server: RunningServer, body: Any, status: Any, code: str | None, param: str | None, is_stream: bool
) -> None:
    answer = httpx2.post(f"{server.address}/v1/responses", json={**body, "stream": is_stream}, timeout=30)

    error = answer.json()["error"]
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), error
    assert set(error) >= {"message", "type", "param", "code"}
    if code is not None:
        assert (error["code"], error["param"]) == (code, param)


def test_many_responses_over_one_socket(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=MODEL, input="One", store=False)
        first = _completed(connection)
        connection.response.create(
            model=MODEL, input="Two", store=False, previous_response_id=first.id, stream_id="lane"
        )
        second = _completed(connection)
        connection.response.create(model=MODEL, input="Three", generate=False)
        warmed = _completed(connection)
        connection.response.create(model="gone", input="Four")
        refused = connection.recv()

    assert (first.output_text, second.output_text) == ("You said: One", "You said: Two")
    assert second.usage.input_tokens > first.usage.input_tokens
    assert (warmed.output, warmed.usage.input_tokens > 0) == ([], True)
    assert (refused.type, refused.status) == ("error", 404)  # type: ignore[union-attr]  # it is an error
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=MODEL, input="Five", previous_response_id=second.id)


def _completed(connection: Any) -> Any:
    for event in connection:
        if event.type == "response.completed":
            return event.response
        assert event.type != "error", event
    raise AssertionError("the connection ended")


def test_a_socket_that_is_closed_ends_its_response(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=MODEL, input="[[slow: 100ms]] [[long: 500]]")
        response = connection.recv().response.id  # type: ignore[union-attr]  # it is response.created

    _until(lambda: client.responses.retrieve(response).status == "cancelled")


def test_a_response_in_the_background_survives_a_kill_and_is_followed_without_a_gap(tmp_path: Path) -> None:
    with running_server(tmp_path) as first, first.openai() as sdk:
        stream = sdk.responses.create(
            model=MODEL, input="[[slow: 50ms]] [[long: 12]]", background=True, stream=True
        )
        seen = [next(stream) for _ in range(7)]
        response = seen[0].response.id  # type: ignore[union-attr]  # it is response.created
        stream.response.close()
        family = first.children()
        first.process.kill()
        first.process.wait(10)
        psutil.wait_procs(family, timeout=10)

    with running_server(tmp_path) as second, second.openai() as sdk:
        again = _events(second, "GET", f"/{response}?stream=true")
        found = sdk.responses.retrieve(response)

    assert [each["type"] for each in again[: len(seen)]] == [each.type for each in seen]
    assert [each["sequence_number"] for each in again] == list(range(len(again)))
    assert again[-1]["type"] == "response.completed"
    assert heard(again).output_text == found.output_text
