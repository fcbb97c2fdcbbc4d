"""What an agent learnt in one run is remembered in the background, and stands in the prompt of the next."""

import time
from pathlib import Path
from typing import Any

import httpx2

from tests.kit.server import RunningServer, running_server

FACT = "Rui takes his coffee with milk."
TOLD = f'[[say: {{"facts": [{{"text": "{FACT}", "kind": "preference"}}]}}]]'
KEEPER = {
    "name": "keeper",
    "model": "scripted",
    "memory": {"enabled": True, "consolidate": True, "recall": 5, "tools": False},
}


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = httpx2.request(method, f"{server.address}{path}", json=body, timeout=30)
    assert answer.status_code < 300, answer.text
    return answer.json()


def run(server: RunningServer, text: str) -> list[Any]:
    """Give the task, wait for its end, and return its steps."""
    record = ask(server, "POST", "/api/agents/keeper/runs", {"input": text, "wait_s": 20})
    assert record["status"] == "completed"
    steps: list[Any] = ask(server, "GET", f"/api/runs/{record['id']}/steps")["steps"]
    return steps


def wait_for_memories(server: RunningServer) -> list[Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found: list[Any] = ask(server, "GET", "/api/recall/memories")["items"]
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("nothing was remembered")


def test_facts_of_a_run_reach_the_next_one_with_where_they_come_from(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ask(server, "POST", "/api/agents", KEEPER)

        first = run(server, TOLD)
        (item,) = wait_for_memories(server)
        second = run(server, "How does Rui take his coffee?")

    assert (item["text"], item["kind"]) == (FACT, "preference")
    assert item["provenance"]["by"] == "agent:keeper"
    assert item["provenance"]["run"].startswith("run_")
    assert "context" not in first[0]
    (told,) = second[0]["context"]
    assert (told["author"], told["role"]) == ("recall", "developer")
    assert FACT in told["parts"][0]["text"]
