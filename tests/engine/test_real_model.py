"""The job of Lar on real weights: the official SDK, many at once, deaths and damage."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from runtime.core.settings import DEFAULT_MODEL
from tests.kit.server import RunningServer, background_server, lar, running_server

pytestmark = pytest.mark.engine

SLOW_S = 120.0
QUESTION = "What is the capital of France? Answer in one short sentence."


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def ask(server: RunningServer, text: str, **more: int) -> str:
    answer = server.openai(timeout=SLOW_S).chat.completions.create(
        model=DEFAULT_MODEL, messages=user(text), temperature=0, max_tokens=more.get("max_tokens", 24)
    )
    return answer.choices[0].message.content or ""


@pytest.fixture(scope="module")
def server(engine_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    for folder in ("backends", "models"):
        (home / folder).symlink_to(engine_home / folder)
    with running_server(home, []) as running:
        yield running


def test_the_official_sdk_lists_the_model_and_chats_both_ways(server: RunningServer) -> None:
    client = server.openai(timeout=SLOW_S)
    question = user(QUESTION)

    names = [model.id for model in client.models.list()]
    whole = client.chat.completions.create(model=DEFAULT_MODEL, messages=question, temperature=0)
    chunks = list(
        client.chat.completions.create(
            model=DEFAULT_MODEL,
            messages=question,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert names[0] == DEFAULT_MODEL
    assert "Paris" in (whole.choices[0].message.content or "")
    assert "Paris" in streamed
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.prompt_tokens > 10
    assert chunks[-1].usage is not None


def test_sixteen_requests_at_once_all_finish(server: RunningServer) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: ask(server, f"Count up from {number}."), range(16)))

    assert all(answer.strip() for answer in answers)


def test_a_killed_worker_is_told_within_two_seconds_and_the_next_request_works(server: RunningServer) -> None:
    stream = server.openai(timeout=SLOW_S).chat.completions.create(
        model=DEFAULT_MODEL, messages=user("Tell a long story."), stream=True
    )
    chunks = iter(stream)
    for _ in range(4):
        next(chunks)
    (worker,) = server.children()

    killed_at = time.monotonic()
    worker.kill()
    with pytest.raises(openai.APIError, match="killed by signal 9"):
        for _ in chunks:
            pass

    assert time.monotonic() - killed_at < 2.0
    assert ask(server, "Say hello.")


def test_a_client_that_leaves_stops_the_generation(server: RunningServer) -> None:
    before = len(server.events("run.cancelled"))
    stream = server.openai(timeout=SLOW_S).chat.completions.create(
        model=DEFAULT_MODEL, messages=user("Tell a very long story about the sea."), stream=True
    )
    chunks = iter(stream)
    received = sum(1 for _ in zip(range(6), chunks, strict=False))
    stream.response.close()

    deadline = time.monotonic() + 10
    while len(server.events("run.cancelled")) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    run = server.events("run.cancelled")[-1]["run_id"]
    (ended,) = [each for each in server.events("seq.finished") if each["run_id"] == run]

    assert ended["event"]["reason"] == "cancelled"
    assert ended["event"]["usage"]["completion_tokens"] < received + 60


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(server: RunningServer) -> None:
    with pytest.raises(openai.BadRequestError, match="8192") as caught:
        ask(server, "word " * 40_000)

    assert caught.value.code == "context_length_exceeded"


def test_the_official_sdk_gets_a_call_and_the_answer_to_its_result(server: RunningServer) -> None:
    client = server.openai(timeout=SLOW_S)
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}]
    messages: list[Any] = user("What is the weather in Paris?")
    asked = client.chat.completions.create(
        model=DEFAULT_MODEL,
        messages=messages,
        tools=tools,
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=100,
    )
    choice = asked.choices[0]
    (call,) = choice.message.tool_calls or []
    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees, sunny"},
    ]
    told = client.chat.completions.create(
        model=DEFAULT_MODEL, messages=messages, tools=tools, temperature=0, max_tokens=60
    )

    assert choice.finish_reason == "tool_calls"
    assert call.type == "function"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    assert told.choices[0].message.content or told.choices[0].message.tool_calls
    assert told.usage is not None
    assert told.usage.prompt_tokens_details is not None
    assert (told.usage.prompt_tokens_details.cached_tokens or 0) > 50


def test_damaged_weights_are_a_clear_error_and_other_models_go_on(
    real_home: Path, smollm2_path: Path
) -> None:
    whole = smollm2_path.read_bytes()
    (real_home / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    (real_home / "text.gguf").write_text("these are no weights")
    real_home.joinpath("lar.toml").write_text(
        "[model.cut]\npath = 'cut.gguf'\n[model.text]\npath = 'text.gguf'\n[model.gone]\npath = 'gone.gguf'\n"
    )
    with running_server(real_home, []) as server:
        client = server.openai(timeout=SLOW_S)
        for name in ("cut", "text", "gone"):
            with pytest.raises(openai.APIStatusError, match=f"{name}.gguf") as caught:
                client.chat.completions.create(model=name, messages=user("hi"))
            assert caught.value.code == "model_broken"
        assert ask(server, "Say hello.")


def test_the_command_asks_the_real_model(real_home: Path) -> None:
    with background_server(real_home):
        answer = lar(real_home, "chat", QUESTION, "--temperature", "0")
        piped = lar(real_home, "chat", "--max-tokens", "8", stdin="Say hello.")
        stopped = lar(real_home, "stop")

    assert answer.returncode == 0
    assert "Paris" in answer.stdout
    assert piped.returncode == 0
    assert piped.stdout.strip()
    assert stopped.returncode == 0
