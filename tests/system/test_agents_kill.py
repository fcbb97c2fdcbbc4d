"""Runs of agents over kill -9 of a real server, with real tools that leave marks: nothing is lost or doubled.

LAR_AGENT_KILLS says how often the server is killed.
"""

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.kit.server import RunningServer, running_server

KILLS = int(os.environ.get("LAR_AGENT_KILLS", "3"))
RUNS_AT_ONCE = 4
WITNESS = str(Path(__file__).parents[1] / "kit" / "witness_mcp_server.py")
ENDS = {"completed", "failed", "incomplete", "cancelled"}
AGENT = """
name: marker
model: scripted
tools: [witness]
"""
POLICY = """
@id("marks")
permit (principal, action == Action::"call_tool", resource == Tool::"mcp__witness__mark");
"""
END_LIMIT_S = 60.0


def settings(marks: Path) -> str:
    return f"""
[mcp.servers.witness]
command = {sys.executable!r}
args = [{WITNESS!r}, {str(marks)!r}]
trust = true

[mcp.servers.witness.sandbox]
enabled = false
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "policies").mkdir(parents=True)
    (home / "agents").mkdir()
    (home / "lar.toml").write_text(settings(tmp_path / "marks.txt"))
    (home / "policies" / "own.cedar").write_text(POLICY)
    (home / "agents" / "marker.yaml").write_text(AGENT)
    return home


def marks_of(home: Path) -> Counter[str]:
    path = home.parent / "marks.txt"
    return Counter(path.read_text().split() if path.exists() else [])


@contextmanager
def client(server: RunningServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.address, timeout=20) as http:
        yield http


def start_run(http: httpx2.Client, words: list[list[str]], slow: str = "1ms") -> str:
    """Start a run that makes these marks, round by round; return its id."""
    rounds = [
        "".join(f'[[call: mcp__witness__mark {{"word": "{word}"}}]]' for word in each) for each in words
    ]
    text = " [[then]] ".join(rounds) + f" [[slow: {slow}]] [[say: All is marked now.]]"
    told = http.post("/api/agents/marker/runs", json={"input": text})
    assert told.status_code == 202, told.text
    run: str = told.json()["id"]
    return run


def kill(server: RunningServer) -> None:
    """Kill the server as a power cut would, and wait until nothing of it is left."""
    family = server.children()
    server.process.kill()
    server.process.wait(10)
    for each in psutil.wait_procs(family, timeout=10)[1]:
        raise AssertionError(f"left behind: {each}")


def answer_as_somebody_who_looks(http: httpx2.Client, home: Path) -> int:
    """Say yes to a call that was not made, no to one that was; return how many questions there were."""
    waiting = http.get("/api/approvals?status=pending").json()["approvals"]
    for each in waiting:
        was_made = marks_of(home)[each["arguments"]["word"]] > 0
        body = {"is_approved": not was_made, "scope": "call"}
        told = http.post(f"/api/approvals/{each['id']}/answer", json=body)
        assert told.status_code == 200, told.text
    return len(waiting)


def until_all_ended(http: httpx2.Client, home: Path, runs: list[str]) -> tuple[dict[str, Any], int]:
    deadline, left, records, questions = time.monotonic() + END_LIMIT_S, list(runs), {}, 0
    while left:
        questions += answer_as_somebody_who_looks(http, home)
        for run in list(left):
            record = http.get(f"/api/runs/{run}").json()
            if record["status"] in ENDS:
                records[run] = record
                left.remove(run)
        assert time.monotonic() < deadline, {run: http.get(f"/api/runs/{run}").json() for run in left}
        time.sleep(0.05)
    return records, questions


def happenings(http: httpx2.Client, run: str) -> list[tuple[int, str]]:
    lines = http.get(f"/api/runs/{run}/stream").text.splitlines()
    numbers = [int(each[4:]) for each in lines if each.startswith("id: ")]
    kinds = [each[7:] for each in lines if each.startswith("event: ")]
    return list(zip(numbers, kinds, strict=True))


def test_runs_survive_kills_at_any_moment(home: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown where the test fails
    chance = random.Random(seed)
    words: dict[str, list[str]] = {}
    questions = 0
    for cycle in range(KILLS):
        with running_server(home) as server, client(server) as http:
            for number in range(RUNS_AT_ONCE):
                mine = [f"w{cycle}-{number}-{each}" for each in range(4)]
                run = start_run(http, [mine[:2], mine[2:3], mine[3:]])
                words[run] = mine
            until = time.monotonic() + chance.uniform(0.0, 1.2)
            while time.monotonic() < until:
                questions += answer_as_somebody_who_looks(http, home) if cycle else 0
                time.sleep(0.02)
            kill(server)

    with running_server(home) as server, client(server) as http:
        records, more = until_all_ended(http, home, list(words))
        print(f"{KILLS} kills, {len(words)} runs, {questions + more} questions")  # noqa: T201 - the figures
        marks = marks_of(home)
        for run, mine in words.items():
            assert records[run]["status"] == "completed", http.get(f"/api/runs/{run}/steps").text
            assert [marks[each] for each in mine] == [1, 1, 1, 1]
            steps = http.get(f"/api/runs/{run}/steps").json()["steps"]
            ended = [place for place, each in enumerate(steps) if each["step"] == "run.ended"]
            assert ended == [len(steps) - 1]
            told = happenings(http, run)
            assert [number for number, _ in told] == list(range(len(told)))
            assert [kind for _, kind in told].count("over") == 1
            assert told[-1][1] == "over"
            replayed = http.post(f"/api/runs/{run}/replay").json()
            assert replayed["is_same"], replayed


def test_a_hundred_runs_at_once_all_end_with_their_marks(home: Path) -> None:
    with running_server(home) as server, client(server) as http:
        before = psutil.Process(server.process.pid).memory_info().rss
        began = time.monotonic()
        words = {start_run(http, [[f"h{number}"]]): f"h{number}" for number in range(100)}
        most = before
        deadline = time.monotonic() + END_LIMIT_S
        left = set(words)
        while left:
            most = max(most, psutil.Process(server.process.pid).memory_info().rss)
            listed = http.get("/api/runs?status=completed&limit=500").json()["runs"]
            left -= {each["id"] for each in listed}
            assert time.monotonic() < deadline, f"{len(left)} runs have not ended"
            time.sleep(0.05)
        took = time.monotonic() - began
        print(f"100 runs in {took:.1f} s, {(most - before) / 2**20:.0f} MiB more at most")  # noqa: T201 - figures
        assert marks_of(home) == Counter(words.values())
        assert most - before < 300 * 2**20
