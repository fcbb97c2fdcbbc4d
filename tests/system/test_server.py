"""The whole server as a process: what clients get when things go well, and when they do not."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import psutil
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.kit.server import RunningServer, lar, running_server

LONG = "[[slow: 20ms]] [[long: 2000]]"


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def ask(server: RunningServer, text: str) -> str:
    client = server.openai()
    answer = client.chat.completions.create(model="scripted", messages=user(text))
    return answer.choices[0].message.content or ""


def wait_for_event(server: RunningServer, kind: str, limit_s: float = 5.0) -> dict[str, Any]:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = server.events(kind)
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError(f"no {kind} within {limit_s} s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_the_official_sdk_lists_models_and_chats_both_ways(server: RunningServer) -> None:
    client = server.openai()

    names = [model.id for model in client.models.list()]
    whole = client.chat.completions.create(model="scripted", messages=user("[[say: good day]]"))
    stream = client.chat.completions.create(
        model="scripted",
        messages=user("[[say: good day]]"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    assert names == ["smollm2-135m-instruct", "all-minilm-l6-v2", "scripted"]
    assert whole.choices[0].message.content == "good day"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "good day"
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_sixteen_requests_at_once_all_finish(server: RunningServer) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: ask(server, f"[[say: answer {number}]]"), range(16)))

    assert answers == [f"answer {number}" for number in range(16)]


def test_a_killed_worker_is_told_in_the_stream_within_two_seconds_and_the_next_request_works(
    server: RunningServer,
) -> None:
    client = server.openai()
    stream = client.chat.completions.create(model="scripted", messages=user(LONG), stream=True)
    chunks = iter(stream)
    for _ in range(3):
        next(chunks)
    (worker,) = server.children()

    killed_at = time.monotonic()
    worker.kill()
    with pytest.raises(openai.APIError, match="killed by signal 9"):
        for _ in chunks:
            pass

    assert time.monotonic() - killed_at < 2.0
    assert ask(server, "[[say: alive]]") == "alive"


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_last_words_of_a_worker_are_part_of_the_error(server: RunningServer, is_stream: bool) -> None:
    told: Any = None
    try:
        answer: Any = server.openai().chat.completions.create(
            model="scripted", messages=user("[[crash-after: 2]] [[long: 9]]"), stream=is_stream
        )
        list(answer)
    except openai.APIError as problem:
        told = problem.body

    assert told["code"] == "worker_died"
    assert "SIGABRT" in told["message"]
    assert "Fatal Python error: Aborted" in told["detail"]


def test_generation_stops_within_a_step_when_the_client_leaves(server: RunningServer) -> None:
    before = len(server.events("run.cancelled"))
    stream = server.openai().chat.completions.create(model="scripted", messages=user(LONG), stream=True)
    chunks = iter(stream)
    for _ in range(5):
        next(chunks)
    received = 4  # the first chunk carries the role
    stream.response.close()

    deadline = time.monotonic() + 5
    while len(server.events("run.cancelled")) == before and time.monotonic() < deadline:
        time.sleep(0.02)
    cancelled = server.events("run.cancelled")[-1]
    finished = [each for each in server.events("seq.finished") if each["run_id"] == cancelled["run_id"]]

    assert "client" in cancelled["event"]["reason"]
    (ended,) = finished
    assert ended["event"]["reason"] == "cancelled"
    # A step lasts 20 ms; the margin is what the closing of a TCP connection may take on a busy machine.
    assert received <= ended["event"]["usage"]["completion_tokens"] < received + 50


def test_large_and_broken_bodies_are_refused_by_name(server: RunningServer) -> None:
    url = f"{server.address}/v1/chat/completions"
    json = {"Content-Type": "application/json"}

    long = httpx2.post(url, json={"model": "scripted", "messages": user("word " * 40_000)}, timeout=20)
    not_utf8 = httpx2.post(url, content=b'{"model": "scripted\xff"}', headers=json)
    not_json = httpx2.post(url, content=b"{", headers=json)
    too_large = httpx2.post(url, content=b" " * (17 * 1024 * 1024), headers=json, timeout=20)

    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "4096" in long.json()["error"]["message"]
    assert (not_utf8.status_code, not_json.status_code, too_large.status_code) == (400, 400, 413)
    for answer in (not_utf8, not_json, too_large):
        assert answer.json()["error"]["message"]


def test_events_resume_by_number_without_gap_or_repetition(server: RunningServer) -> None:
    ask(server, "[[say: one]]")
    everything = [each["seq"] for each in server.events()]
    middle = everything[len(everything) // 2]

    text = server.get(f"/api/events?follow=false&after={middle}").text
    resumed = [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]

    assert resumed[: len(everything)] == [seq for seq in everything if seq > middle]


def test_probes_and_metrics_answer(server: RunningServer) -> None:
    ask(server, "hello")

    assert server.get("/healthz").status_code == 200
    assert server.get("/readyz").status_code == 200
    assert server.get("/version").json()["name"] == "lar"
    assert "lar_" in server.get("/metrics").text


def test_a_stopped_server_leaves_no_child_and_says_goodbye_in_the_journal(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ask(server, "hello")
        children = server.children()
        assert server.stop() == 0
        assert not [child for child in children if child.is_running()]

    with running_server(tmp_path) as again:
        kinds = [each["event"]["kind"] for each in again.events("server.*")]
    assert kinds == ["server.started", "server.stopped", "server.started"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_stop_the_server_in_order(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running_server(tmp_path) as server:
        ask(server, "hello")
        children = server.children()
        server.process.send_signal(number)
        assert server.process.wait(20) == 0
        _, alive = psutil.wait_procs(children, timeout=5)

    assert children
    assert not alive
    assert "Stopped." in (tmp_path / "serve.txt").read_text()


def test_a_second_signal_ends_a_server_that_still_waits_for_a_run(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        stream = server.openai().chat.completions.create(model="scripted", messages=user(LONG), stream=True)
        next(iter(stream))
        children = server.children()
        server.process.send_signal(signal.SIGINT)
        while server.get("/readyz").status_code == 200:
            time.sleep(0.02)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(5) == 128 + signal.SIGINT
        _, alive = psutil.wait_procs(children, timeout=5)

    assert not alive


def test_a_killed_server_leaves_no_child_and_its_journal_intact(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ask(server, "[[say: remembered]]")
        wait_for_event(server, "run.finished")
        stored = server.events()
        stream = server.openai().chat.completions.create(model="scripted", messages=user(LONG), stream=True)
        next(iter(stream))
        children = server.children()
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        _, alive = psutil.wait_procs(children, timeout=5)

    with running_server(tmp_path) as again:
        after = again.events()

    assert children
    assert not alive
    assert after[: len(stored)] == stored
    seqs = [each["seq"] for each in after]
    assert seqs == sorted(set(seqs))


def test_a_second_server_over_the_same_home_is_told_about_the_first(server: RunningServer) -> None:
    second = lar(server.home, "serve")

    assert second.returncode == 3
    assert "in use by another process" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_taken_port_moves_the_server_to_the_next_one_and_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running_server(tmp_path, ["--scripted", "--port", str(port)]) as server:
            assert not server.address.endswith(f":{port}")
    assert f"Port {port} is taken" in (tmp_path / "serve.txt").read_text()


def test_binding_beyond_loopback_without_a_key_is_refused(tmp_path: Path) -> None:
    refused = lar(tmp_path, "serve", "--host", "0.0.0.0")

    assert refused.returncode == 2
    assert "lar keys create" in refused.stderr


def test_keys_made_beside_a_running_server_count_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert server.get("/v1/models").status_code == 200
        secret = lar(tmp_path, "keys", "create", "laptop").stdout.strip()
        time.sleep(1.2)  # the server looks at the key file once a second

        assert server.get("/v1/models").status_code == 401
        assert [model.id for model in server.openai(secret).models.list()]
        assert "scripted" in lar(tmp_path, "models", "list").stdout, "the owner is not locked out"
        with pytest.raises(openai.AuthenticationError):
            server.openai("lar-wrong").models.list()
        with pytest.raises(openai.PermissionDeniedError):
            server.openai(secret).get("/../api/state", cast_to=object)


def test_a_full_queue_answers_429_with_a_time_to_come_back(tmp_path: Path) -> None:
    tmp_path.joinpath("lar.toml").write_text(
        "[admission]\nqueue_limit = 0\n[model.scripted]\nsequences = 1\n"
    )
    with running_server(tmp_path) as server:
        stream = server.openai().chat.completions.create(model="scripted", messages=user(LONG), stream=True)
        next(iter(stream))
        with pytest.raises(openai.RateLimitError) as caught:
            ask(server, "hello")
        stream.close()

    assert int(caught.value.response.headers["retry-after"]) >= 1
