"""A real server and the official Ollama client: chats, tools, vectors, and what is in memory."""

from collections.abc import Iterator
from typing import Any

import pytest
from ollama import Client, ResponseError

from tests.kit.server import RunningServer, running_server

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(host=server.address, trust_env=False, timeout=30) as connected:
        yield connected


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_stream_and_whole_answer_say_the_same(client: Client) -> None:
    whole = client.chat(model="scripted", messages=ask("[[say: good day]]"))
    parts = list(client.chat(model="scripted", messages=ask("[[say: good day]]"), stream=True))

    assert whole.message.content == "good day"
    assert "".join(each.message.content or "" for each in parts) == "good day"
    last = parts[-1]
    assert (last.done, last.done_reason) == (True, "stop")
    assert (last.eval_count, last.prompt_eval_count) == (whole.eval_count, whole.prompt_eval_count)
    assert last.total_duration
    assert last.load_duration is not None
    assert last.prompt_eval_duration is not None
    assert last.eval_duration is not None
    assert last.total_duration >= last.load_duration + last.prompt_eval_duration + last.eval_duration - 3


def test_a_tool_is_called_and_its_result_goes_back(client: Client) -> None:
    asked = ask('The weather? [[call: get_weather {"city": "Lisboa"}]]')
    first = client.chat(model="scripted", messages=asked, tools=[WEATHER])
    result = {"role": "tool", "tool_name": "get_weather", "content": "18 degrees"}
    second = client.chat(model="scripted", messages=[*asked, first.message, result], tools=[WEATHER])

    assert first.message.tool_calls is not None
    assert first.message.tool_calls[0].function.name == "get_weather"
    assert first.message.tool_calls[0].function.arguments == {"city": "Lisboa"}
    assert second.message.content == "get_weather returned: 18 degrees"


def test_a_generation_follows_a_schema(client: Client) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

    assert client.generate(model="scripted", prompt="Hi", format=schema).response == '{"a": 0}'


def test_a_model_comes_into_memory_and_leaves_it(client: Client) -> None:
    client.chat(model="scripted", messages=ask("Hi"), keep_alive=0)
    assert list(client.ps().models) == []

    assert client.generate(model="scripted").done_reason == "load"
    loaded = client.ps().models
    assert [each.model for each in loaded] == ["scripted:latest"]
    assert loaded[0].expires_at is not None
    assert loaded[0].context_length == 4096

    assert client.generate(model="scripted", keep_alive=0).done_reason == "unload"
    assert list(client.ps().models) == []


def test_models_that_are_here_are_listed_and_pulled_at_once(client: Client) -> None:
    assert [each.model for each in client.list().models] == ["scripted:latest"]
    assert client.pull("scripted").status == "success"
    assert {"completion", "tools", "thinking"} <= set(client.show("scripted").capabilities or ())


def test_a_failure_in_mid_sentence_is_an_error_of_the_client(client: Client) -> None:
    with pytest.raises(ResponseError):
        list(client.chat(model="scripted", messages=ask("[[long: 10]] [[fail-after: 3]]"), stream=True))


def test_texts_become_vectors_and_long_ones_are_cut(client: Client) -> None:
    long = "house " * 5000
    found = client.embed(model="scripted", input=["house", long])
    beginning = client.embed(model="scripted", input="house " * 4500)
    with pytest.raises(ResponseError) as caught:
        client.embed(model="scripted", input=long, truncate=False)

    assert len(found.embeddings) == 2
    assert found.embeddings[1] == beginning.embeddings[0]
    assert found.prompt_eval_count
    assert found.prompt_eval_count > 4000
    assert caught.value.status_code == 400
