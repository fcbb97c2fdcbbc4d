"""Servers of MCP that come with a request: beside an agent's own tools, and over a restart of the server."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.kit.server import RunningServer, running_server
from tests.system.test_responses_hosted import remote_server

MODEL = "scripted"
SECRET = "tok-77ab-over-a-restart"
_LIMIT_S = 60.0
_ECHO = '[[call: echo {"text": "ahoy"}]]'
_AGENT = """
name: clerk
model: scripted
instructions: You are the clerk.
planning: true
tools: [time]
labels: {team: harbour}
"""
_POLICY = """
@id("echo-free")
permit (principal, action == Action::"call_tool", resource)
when { resource.name == "echo" };
"""


@pytest.fixture(scope="module")
def remote() -> Iterator[str]:
    with remote_server() as url:
        yield url


def prepare(home: Path) -> Path:
    (home / "policies").mkdir(parents=True)
    (home / "agents").mkdir()
    (home / "policies" / "own.cedar").write_text(_POLICY)
    (home / "agents" / "clerk.yaml").write_text(_AGENT)
    return home


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(prepare(tmp_path_factory.mktemp("agents-servers") / "home")) as running:
        yield running


def mcp(url: str, label: str, **more: Any) -> Any:
    return {"type": "mcp", "server_label": label, "server_url": url, "allowed_tools": ["echo"], **more}


def kinds(response: Any) -> list[str]:
    return [each.type for each in response.output]


def until(what: Callable[[], Any], told: str) -> Any:
    deadline = time.monotonic() + _LIMIT_S
    while not (found := what()):
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    return found


def kill(server: RunningServer) -> None:
    family = server.children()
    server.process.kill()
    server.process.wait(10)
    psutil.wait_procs(family, timeout=10)


def test_an_agent_calls_what_a_requests_server_offers_and_keeps_its_own_tools(
    server: RunningServer, remote: str
) -> None:
    tools = [mcp(remote, "free", require_approval="never")]
    with server.openai(timeout=60) as client:
        made = client.responses.create(model="clerk", input=_ECHO, tools=tools)
        again = client.responses.create(model="clerk", input=_ECHO, tools=tools, previous_response_id=made.id)
        own = client.responses.create(model="clerk", input='[[call: todo_write {"items": []}]]', tools=tools)
    steps = server.get(f"/api/runs/{made.id.replace('resp_', 'run_')}/steps").json()["steps"]
    names = [each["name"] for each in steps[0]["plan"]["tools"]]

    assert kinds(made) == ["mcp_list_tools", "mcp_call", "message"]
    call: Any = made.output[1]
    assert (call.output, call.error) == ("ahoy", None)
    assert kinds(again) == ["mcp_call", "message"], "the list is in the conversation already"
    assert own.status == "completed"
    assert names[-1] == "echo"
    assert "todo_write" in names[:-1]
    assert steps[0]["plan"]["agent"] == "clerk"
    until(lambda: "free" not in server.get("/api/mcp/servers").text, "the server is there still")


def test_an_agents_request_takes_two_steps_where_the_asker_wants_to_agree(
    server: RunningServer, remote: str
) -> None:
    tools = [mcp(remote, "careful")]
    with server.openai(timeout=60) as client:
        asked = client.responses.create(model="clerk", input=_ECHO, tools=tools)
        wanted: Any = asked.output[-1]
        assert kinds(asked) == ["mcp_list_tools", "mcp_approval_request"]
        assert json.loads(wanted.arguments) == {"text": "ahoy"}
        answer: Any = {
            "type": "mcp_approval_response",
            "approval_request_id": wanted.id,
            "approve": True,
        }
        yes = client.responses.create(
            model="clerk", previous_response_id=asked.id, tools=tools, input=[answer]
        )

    assert kinds(yes) == ["mcp_call", "message"]
    call: Any = yes.output[0]
    assert (call.output, call.approval_request_id) == ("ahoy", wanted.id)


@pytest.mark.parametrize("model", [MODEL, "clerk"])
def test_a_background_run_has_its_servers_after_a_kill(tmp_path: Path, remote: str, model: str) -> None:
    home = prepare(tmp_path / "home")
    with running_server(home) as server, server.openai(timeout=60) as client:
        made = begin_slowly(client, remote, model)
        kill(server)
    for each in home.rglob("*"):
        assert not each.is_file() or SECRET.encode() not in each.read_bytes(), each.name

    with running_server(home) as server, server.openai(timeout=60) as client:
        until(lambda: client.responses.retrieve(made.id).status == "completed", "it does not end")
        shown = client.responses.retrieve(made.id)
        until(lambda: "slow" not in server.get("/api/mcp/servers").text, "the server is there still")
    calls = [each for each in shown.output if each.type == "mcp_call"]
    assert [(each.output, each.error) for each in calls] == [("ahoy", None), ("again", None)]


def test_a_background_run_whose_logins_are_lost_fails_and_names_the_server(
    tmp_path: Path, remote: str
) -> None:
    home = prepare(tmp_path / "home")
    with running_server(home) as server, server.openai(timeout=60) as client:
        made = begin_slowly(client, remote, MODEL)
        kill(server)
    (home / "responses.key").unlink()

    with running_server(home) as server, server.openai(timeout=60) as client:
        until(lambda: client.responses.retrieve(made.id).status == "failed", "it does not fail")
        error = client.responses.retrieve(made.id).error
    assert error is not None
    assert "'slow'" in error.message
    assert "Send the request again" in error.message


def begin_slowly(client: Any, remote: str, model: str) -> Any:
    """Begin a run that calls twice, slowly; return after the first call.

    A kill within a call would have a person asked whether it was made.
    """
    again = '[[call: echo {"text": "again"}]]'
    made = client.responses.create(
        model=model,
        input=f"[[slow: 100ms]] {_ECHO} [[then]] {again} [[then]] [[say: done]]",
        background=True,
        tools=[mcp(remote, "slow", require_approval="never", headers={"X-Key": SECRET})],
    )
    until(
        lambda: any(
            each.type == "mcp_call" and each.output for each in client.responses.retrieve(made.id).output
        ),
        "it calls nothing",
    )
    return made
