"""Batches, webhooks, conversations, prompts and LocalAGI's routes on a real server, over kills."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent, ResponseCompletedWebhookEvent

from tests.kit.server import RunningServer, lar, running_server

MODEL = "scripted"
LIMIT_S = 30.0


class Receiver:
    """Takes webhooks in, and keeps them."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, dict[str, str]]] = []
        self.address = ""


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.taken.append((body, dict(self.headers.items())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    receiver.address = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"it took too long: {what}"
        time.sleep(0.05)


def lines(count: int) -> bytes:
    return b"\n".join(
        json.dumps(
            {
                "custom_id": f"line-{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": MODEL, "messages": [{"role": "user", "content": f"Number {number}"}]},
            }
        ).encode()
        for number in range(count)
    )


def response_lines(count: int) -> bytes:
    return b"\n".join(
        json.dumps(
            {
                "custom_id": f"line-{number}",
                "method": "POST",
                "url": "/v1/responses",
                "body": {"model": MODEL, "input": f"Number {number}"},
            }
        ).encode()
        for number in range(count)
    )


def give(client: OpenAI, content: bytes, endpoint: Any = "/v1/chat/completions") -> str:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    return made.id


def test_a_batch_of_responses_makes_each_once_over_kills(tmp_path: Path) -> None:
    count, over = 60, None
    with running_server(tmp_path) as server:
        batch = give(server.openai(), response_lines(count), "/v1/responses")
        until(lambda: _completed(server.openai(), batch) >= 5, "five lines")
        server.process.kill()
        server.process.wait(10)
    with running_server(tmp_path) as server:
        before = _completed(server.openai(), batch)
        until(lambda: _completed(server.openai(), batch) >= before + 5, "five more")
        server.process.kill()
        server.process.wait(10)
    with running_server(tmp_path) as server:
        client = server.openai()
        until(lambda: client.batches.retrieve(batch).status == "completed", "the batch")
        over = client.batches.retrieve(batch)
        assert over.request_counts is not None
        assert over.request_counts.completed == count
        text = client.files.content(over.output_file_id or "").text
        answers = [json.loads(each)["response"]["body"] for each in text.splitlines()]
        assert len({each["id"] for each in answers}) == count
        runs = server.get("/api/runs?limit=500").json()["runs"]
        assert {each["id"] for each in runs} == {each["id"].replace("resp_", "run_") for each in answers}


def test_a_batch_goes_on_after_a_kill_and_its_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "lar.toml").write_text('[recall]\nprivate_addresses = ["127.0.0.0/8"]\n')
    count = 200
    with receiving() as receiver:
        with running_server(tmp_path) as server:
            client = server.openai()
            endpoint = client.webhooks.create(
                name="mine", url=receiver.address, event_types=["batch.completed"]
            )
            batch = give(client, lines(count))
            until(lambda: _completed(client, batch) >= 10, "ten lines")
            server.process.kill()
            server.process.wait(10)
        with running_server(tmp_path) as server:
            client = server.openai()
            until(lambda: client.batches.retrieve(batch).status == "completed", "the batch")
            over = client.batches.retrieve(batch)
            assert over.request_counts is not None
            assert (over.request_counts.completed, over.request_counts.failed) == (count, 0)
            text = client.files.content(over.output_file_id or "").text
            answers = [json.loads(each) for each in text.splitlines()]
            assert [each["custom_id"] for each in answers] == [f"line-{number}" for number in range(count)]
            assert {each["response"]["status_code"] for each in answers} == {200}
            until(lambda: bool(receiver.taken), "the webhook")

    body, headers = receiver.taken[0]
    reader = OpenAI(api_key="none", webhook_secret=endpoint.signing_secret)
    event = reader.webhooks.unwrap(body, headers)
    assert isinstance(event, BatchCompletedWebhookEvent)
    assert event.data.id == batch


def test_conversations_prompts_and_stored_chats_outlive_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        client = server.openai()
        item: Any = {"type": "message", "role": "user", "content": "Remember 7."}
        conversation = client.conversations.create(items=[item], metadata={"k": "v"})
        kept = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hi"}], store=True
        )
        post(server, "/api/prompts", {"id": "greet", "text": "Greet {{who}}."})
        server.process.kill()
        server.process.wait(10)
    with running_server(tmp_path) as server:
        client = server.openai()
        assert client.conversations.retrieve(conversation.id).metadata == {"k": "v"}
        assert client.chat.completions.retrieve(kept.id).choices == kept.choices
        prompt: Any = {"id": "greet", "variables": {"who": "Ada"}}
        response = client.responses.create(
            model=MODEL, prompt=prompt, input="Now.", conversation=conversation.id
        )
        assert response.instructions == "Greet Ada."
        items = list(client.conversations.items.list(conversation.id, order="asc"))
        texts = [getattr(part, "text", "") for each in items for part in getattr(each, "content", ())]
        assert texts[:2] == ["Remember 7.", "Now."]
        assert items[-1].id == response.output[-1].id


def test_the_end_of_a_background_response_is_told(tmp_path: Path) -> None:
    (tmp_path / "lar.toml").write_text('[recall]\nprivate_addresses = ["127.0.0.0/8"]\n')
    with receiving() as receiver, running_server(tmp_path) as server:
        client = server.openai()
        endpoint = client.webhooks.create(
            name="mine", url=receiver.address, event_types=["response.completed"]
        )
        response = client.responses.create(model=MODEL, input="Hi", background=True)
        until(lambda: bool(receiver.taken), "the webhook")
        body, headers = receiver.taken[0]
        event = OpenAI(api_key="none", webhook_secret=endpoint.signing_secret).webhooks.unwrap(body, headers)
        assert isinstance(event, ResponseCompletedWebhookEvent)
        assert event.data.id == response.id
        assert client.webhooks.test(endpoint.id, event_type="response.failed").status_code == 204


def test_webhooks_stay_within_the_perimeter(tmp_path: Path) -> None:
    with receiving() as receiver, running_server(tmp_path) as server:
        body = {"name": "x", "url": receiver.address, "event_types": ["batch.failed"]}
        refused = post(server, "/v1/webhook_endpoints", body)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "url"


def test_localagis_client_talks_with_an_agent(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        config = {"name": "helper", "model": MODEL, "system_prompt": "You help."}
        assert post(server, "/api/agent/create", config).json() == {"status": "ok"}
        heard: list[tuple[str, Any]] = []
        with httpx2.stream("GET", f"{server.address}/sse/helper", timeout=LIMIT_S) as stream:
            said = post(server, "/api/chat/helper", {"message": "Hello"})
            assert said.status_code == 202
            name = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    heard.append((name, json.loads(line.removeprefix("data: "))))
                    if name == "json_message_status" and heard[-1][1]["status"] == "completed":
                        break
        assert [name for name, _ in heard] == [
            "json_message",
            "json_message_status",
            "json_message",
            "json_message_status",
        ]
        assert heard[0][1]["content"] == "Hello"
        assert heard[2][1]["sender"] == "agent"
        assert heard[2][1]["content"]
        assert {"recall", "files"} <= set(server.get("/api/actions").json())
        told = server.get("/api/agent/helper/observables").json()
        assert told["History"][0]["completion"]["conversation"][0]["content"] == heard[2][1]["content"]


def test_a_webhook_secret_that_is_missing_stops_the_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "lar.toml").write_text('[[webhooks]]\nurl = "https://example.org"\nsecret = "NO_SUCH"\n')
    with pytest.raises(AssertionError, match="NO_SUCH"), running_server(tmp_path):
        pass


def post(server: RunningServer, path: str, body: object) -> httpx2.Response:
    return httpx2.post(f"{server.address}{path}", json=body, timeout=LIMIT_S)


def _completed(client: OpenAI, batch: str) -> int:
    counts = client.batches.retrieve(batch).request_counts
    return 0 if counts is None else counts.completed


def test_a_batch_goes_on_for_nobody_once_its_key_is_revoked(tmp_path: Path) -> None:
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "[[slow: 40ms]] [[long: 20]]"}]}
    body = b"\n".join(
        json.dumps(
            {"custom_id": f"l{n}", "method": "POST", "url": "/v1/chat/completions", "body": asked}
        ).encode()
        for n in range(60)
    )
    with running_server(tmp_path) as server:
        secret, owner = (
            json.loads(lar(tmp_path, "keys", "create", each, "--role", "operator", "--json").stdout)["secret"]
            for each in ("laptop", "desk")
        )
        client = server.openai(secret)
        batch = give(client, body)
        until(lambda: _completed(client, batch) > 0, "the first line")
        assert lar(tmp_path, "keys", "revoke", "laptop").returncode == 0

        other = server.openai(owner)
        until(lambda: other.batches.retrieve(batch).status == "completed", "the end")
        over = other.batches.retrieve(batch)
        counts = over.request_counts
        assert counts is not None
        assert 0 < counts.completed < counts.total == counts.completed + counts.failed
        assert over.error_file_id is not None
        assert "has been revoked" in other.files.content(over.error_file_id).text
