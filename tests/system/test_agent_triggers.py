"""Triggers on a real server: each event starts its agent once, also where the server is killed in between."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.kit.server import RunningServer, running_server

LIMIT_S = 30.0
LETTERS = {"name": "letters", "embedding_model": "scripted"}
QUIET_S = 8.0
"""Longer than changes are gathered: what comes later than so comes not at all."""


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = httpx2.request(method, f"{server.address}{path}", json=body, timeout=30)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


def texts(server: RunningServer, agent: str = "scribe") -> list[str]:
    """Return what the agent was told in each of its runs, the oldest first."""
    runs = ask(server, "GET", f"/api/runs?agent={agent}")["runs"]
    told = []
    for each in sorted(runs, key=lambda run: str(run["id"])):
        first = ask(server, "GET", f"/api/runs/{each['id']}/steps")["steps"][0]
        told.append(str(first["input"][0]["parts"][0]["text"]))
    return told


def wait_for(server: RunningServer, is_so: Callable[[list[str]], bool], agent: str = "scribe") -> list[str]:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        found = texts(server, agent)
        if is_so(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"the agent was told {texts(server, agent)}")


def stays(server: RunningServer, expected: list[str], agent: str = "scribe") -> None:
    """Check that no run comes while whatever was gathered would come."""
    time.sleep(QUIET_S)
    assert texts(server, agent) == expected


def make(server: RunningServer, name: str, **trigger: str) -> None:
    given = {**trigger, "message": "{{ event }}"}
    ask(server, "POST", "/api/agents", {"name": name, "model": "scripted", "triggers": [given]})


def wait_for_look(home: Path, times: int = 1) -> None:
    """Wait until the trigger has noted what is there; changes count from then on."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        told = "".join(each.read_text() for each in (home / "logs").iterdir())
        if told.count("looks for changes from here on") >= times:
            return
        time.sleep(0.05)
    raise AssertionError("the trigger does not look")


def kill(server: RunningServer) -> None:
    server.process.kill()
    server.process.wait(10)


def test_a_file_and_a_burst_of_files_start_one_run_each(tmp_path: Path) -> None:
    home, inbox = tmp_path / "home", tmp_path / "inbox"
    (inbox / "letters").mkdir(parents=True)
    (inbox / "old.txt").write_text("It was there before.")
    with running_server(home) as server:
        make(server, "scribe", files=str(inbox))
        wait_for_look(home)
        (inbox / "letters" / "one.txt").write_text("Dear all,")
        wait_for(server, lambda told: told == ["+letters/one.txt"])

        for number in range(40):
            (inbox / f"{number:02}.txt").write_text("Me, too.")
        (inbox / "old.txt").unlink()
        told = wait_for(server, lambda told: len(told) == 2)
        stays(server, told)

    assert told[1].startswith("+00.txt, +01.txt, ")
    assert told[1].endswith("+19.txt, and 21 more")


def test_files_that_a_killed_server_did_not_tell_of_are_told_once_by_the_next(tmp_path: Path) -> None:
    home, inbox = tmp_path / "home", tmp_path / "inbox"
    inbox.mkdir()
    with running_server(home) as server:
        make(server, "scribe", files=str(inbox))
        wait_for_look(home)
        (inbox / "seen.txt").write_text("The watch tells of it, and it is gathered.")
        time.sleep(2.5)  # the watch has told by now, and it is not quiet for long enough yet
        kill(server)
    (inbox / "unseen.txt").write_text("No server runs.")

    with running_server(home) as server:
        told = wait_for(server, lambda told: bool(told))
        kill(server)
    with running_server(home) as server:
        stays(server, told)

    assert told == ["+seen.txt, +unseen.txt"]


def add(server: RunningServer, collection: str, name: str) -> None:
    """Give a document and wait until it is taken in."""
    body = {"documents": [{"name": name, "text": f"This is {name}."}]}
    path = f"/api/recall/collections/{collection}/documents"
    document = ask(server, "POST", path, body)["documents"][0]["id"]
    deadline = time.monotonic() + LIMIT_S
    while ask(server, "GET", f"/api/recall/documents/{document}")["status"] != "completed":
        assert time.monotonic() < deadline, "it was not taken in"
        time.sleep(0.05)


def test_a_document_starts_a_run_and_one_that_a_killed_server_took_in_does_so_later(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_server(home) as server:
        collection = str(ask(server, "POST", "/api/recall/collections", LETTERS)["id"])
        make(server, "scribe", collection="letters")
        wait_for_look(home)
        add(server, collection, "first.txt")
        wait_for(server, lambda told: told == ["+first.txt"])
        add(server, collection, "second.txt")
        kill(server)  # it was gathered, and is not told yet

    with running_server(home) as server:
        told = wait_for(server, lambda told: len(told) == 2)
        kill(server)
    with running_server(home) as server:
        stays(server, told)

    assert told == ["+first.txt", "+second.txt"]


def test_the_end_of_a_run_starts_the_next_agent_also_after_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_server(home) as server:
        ask(server, "POST", "/api/agents", {"name": "writer", "model": "scripted"})
        make(server, "scribe", after="writer")
        first = ask(server, "POST", "/api/agents/writer/runs", {"input": "One.", "wait_s": 20})
        wait_for(server, lambda told: len(told) == 1)
        second = ask(server, "POST", "/api/agents/writer/runs", {"input": "Two.", "wait_s": 20})
        kill(server)  # it has ended; whether the other was started by then is a matter of moments

    with running_server(home) as server:
        told = wait_for(server, lambda told: len(told) == 2)
        kill(server)
    with running_server(home) as server:
        stays(server, told)

    assert [each.split()[1] for each in told] == [f"({first['id']})", f"({second['id']})"]
