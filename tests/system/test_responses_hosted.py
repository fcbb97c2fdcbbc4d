"""Tools that Lar carries out in a response: real servers of MCP, a real sandbox, a real collection."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from runtime.backends.sandbox.bubblewrap import find_confining
from tests.kit.responses_oracle import check_types, heard
from tests.kit.server import RunningServer, running_server

MODEL = "scripted"
_SERVER = Path(__file__).parents[1] / "kit" / "sdk_mcp_server.py"
_METADATA = "http://169.254.169.254/mcp"
_SECRETS = ("tok-9f3b-secret", "key-51ac-secret", "path-77de-secret")
_LIMIT_S = 20.0
_ECHO = '[[call: echo {"text": "ahoy"}]]'


@contextmanager
def remote_server() -> Iterator[str]:
    """Run a server of MCP over HTTP; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(_SERVER), "http", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + _LIMIT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, "the server of MCP does not answer"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def remote() -> Iterator[str]:
    with remote_server() as url:
        yield url


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("hosted")
    (home / "policies").mkdir()
    free = '@id("echo-free")\npermit (principal, action == Action::"call_tool", resource)\n'
    (home / "policies" / "free.cedar").write_text(
        free + 'when { resource.name == "echo" && resource.server like "free*" };\n'
    )
    with running_server(home) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[Any]:
    with server.openai(timeout=60) as sdk:
        yield sdk


def mcp(url: str | None, label: str = "free", **more: Any) -> Any:
    named = {} if url is None else {"server_url": url}
    return {"type": "mcp", "server_label": label, **named, **more}


def kinds(response: Any) -> list[str]:
    return [each.type for each in response.output]


def test_a_server_is_listed_and_its_tool_called(client: Any, remote: str) -> None:
    made = client.responses.create(
        model=MODEL, input=_ECHO, tools=[mcp(remote, require_approval="never", allowed_tools=["echo"])]
    )
    again = client.responses.create(
        model=MODEL,
        previous_response_id=made.id,
        input=_ECHO,
        tools=[mcp(remote, require_approval="never", allowed_tools=["echo"])],
    )

    assert kinds(made) == ["mcp_list_tools", "mcp_call", "message"]
    assert [each.name for each in made.output[0].tools] == ["echo"]
    assert (made.output[1].output, made.output[1].error) == ("ahoy", None)
    assert made.output[1].server_label == "free"
    assert "ahoy" in made.output_text
    assert kinds(again) == ["mcp_call", "message"], "the list is in the conversation already"


def test_an_approval_takes_two_steps(client: Any, remote: str) -> None:
    tools = [mcp(remote, "careful", allowed_tools=["echo"])]
    asked = client.responses.create(model=MODEL, input=_ECHO, tools=tools)
    [_, wanted] = asked.output
    assert (asked.status, wanted.type, json.loads(wanted.arguments)) == (
        "completed",
        "mcp_approval_request",
        {"text": "ahoy"},
    )

    def answer(*, approve: bool) -> Any:
        return client.responses.create(
            model=MODEL,
            previous_response_id=asked.id,
            tools=tools,
            input=[{"type": "mcp_approval_response", "approval_request_id": wanted.id, "approve": approve}],
        )

    yes, no = answer(approve=True), answer(approve=False)

    assert kinds(yes) == ["mcp_call", "message"]
    assert (yes.output[0].output, yes.output[0].approval_request_id) == ("ahoy", wanted.id)
    assert kinds(no) == ["message"]


def test_the_gate_asks_by_the_same_two_steps_where_the_asker_would_not(client: Any, remote: str) -> None:
    tools = [mcp(remote, "gated", allowed_tools=["echo"], require_approval="never")]
    asked = client.responses.create(model=MODEL, input=_ECHO, tools=tools)
    wanted = asked.output[-1]
    assert kinds(asked) == ["mcp_list_tools", "mcp_call", "mcp_approval_request"]
    yes = client.responses.create(
        model=MODEL,
        previous_response_id=asked.id,
        tools=tools,
        input=[{"type": "mcp_approval_response", "approval_request_id": wanted.id, "approve": True}],
    )

    assert yes.output[0].output == "ahoy"


def test_every_event_of_a_stream_adds_up(server: RunningServer, remote: str) -> None:
    body = {
        "model": MODEL,
        "stream": True,
        "input": _ECHO,
        "tools": [mcp(remote, require_approval="never", allowed_tools=["echo"])],
    }
    with httpx2.stream("POST", f"{server.address}/v1/responses", timeout=30, json=body) as answer:
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines[:-1]]

    check_types(events)
    assert [each.type for each in heard(events).output] == ["mcp_list_tools", "mcp_call", "message"]
    told = [each["type"] for each in events]
    assert "response.mcp_list_tools.completed" in told
    assert "response.mcp_call.completed" in told


def test_a_server_of_lars_own_is_named_by_its_label(client: Any) -> None:
    tool = mcp(None, "time", require_approval="never", allowed_tools={"read_only": True})
    listed = client.responses.create(model=MODEL, input="hello", tools=[tool]).output[0]
    name = "now"
    made = client.responses.create(model=MODEL, input=f"[[call: {name} {{}}]]", tools=[tool])

    assert name in [each.name for each in listed.tools]
    assert (made.output[1].type, made.output[1].server_label, made.output[1].error) == (
        "mcp_call",
        "time",
        None,
    )


def test_a_server_that_cannot_be_reached_is_told_and_the_run_goes_on(client: Any) -> None:
    tool = mcp("http://127.0.0.1:9/mcp", "gone")
    made = client.responses.create(model=MODEL, input="hello", tools=[tool])

    assert kinds(made) == ["mcp_list_tools", "message"]
    assert "gone" in made.output[0].error
    with pytest.raises(openai.APIStatusError) as refused:
        client.responses.create(model=MODEL, input="hello", tools=[tool], tool_choice="required")
    assert refused.value.status_code == 424


def test_a_server_inside_is_not_reached_and_what_would_allow_it_is_told(client: Any) -> None:
    made = client.responses.create(model=MODEL, input="hello", tools=[mcp(_METADATA, "clouds")])

    [listed, message] = made.output
    assert message.type == "message"
    assert listed.server_label == "clouds"
    assert "169.254.169.254 is not a public address" in listed.error
    assert "recall.private_addresses" in listed.error


def test_an_error_of_a_tool_is_an_object(client: Any, remote: str) -> None:
    made = client.responses.create(
        model=MODEL,
        input='[[call: echo {"txt": 1}]]',
        tools=[mcp(remote, require_approval="never", allowed_tools=["echo"])],
    )
    call: Any = made.output[1]
    error = call.error

    assert call.status == "failed"
    assert (error.type, error.code) == ("mcp_protocol_error", -32602)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"connector_id": "connector_gmail"}, "tools[0].connector_id"),
        ({"tunnel_id": "t"}, "tools[0].tunnel_id"),
        ({}, "tools[0].server_url"),
        ({"server_url": "ftp://a/b"}, "tools[0].server_url"),
        ({"server_url": "https://a.test/", "headers": {"x": "${HOME}"}}, "tools[0]"),
    ],
)
def test_what_is_no_server_is_refused_by_its_field(client: Any, tool: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="hi", tools=[mcp(None, "odd", **tool)])

    assert refused.value.param == param


def test_secrets_are_nowhere(server: RunningServer, client: Any, remote: str) -> None:
    token, key, path = _SECRETS
    tool = mcp(
        f"{remote}?k={path}",
        require_approval="never",
        authorization=token,
        headers={"X-Key": key},
    )
    made = client.responses.create(model=MODEL, input=_ECHO, tools=[tool])
    gone = {**tool, "server_url": f"http://127.0.0.1:9/{path}", "server_label": "gone"}
    other = client.responses.create(model=MODEL, input="hello", tools=[gone], background=True)
    deadline = time.monotonic() + _LIMIT_S
    while client.responses.retrieve(other.id).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    assert "mcp_call" in kinds(made)
    shown = made.to_json() + client.responses.retrieve(other.id).to_json()
    kept = [each for each in server.home.rglob("*") if each.is_file()]
    assert any(each.suffix == ".duckdb" for each in kept)
    for secret in _SECRETS:
        assert secret not in shown
        holders = [each.name for each in kept if secret.encode() in each.read_bytes()]
        assert holders == []


def test_lent_servers_are_gone_once_the_run_is_over(server: RunningServer, client: Any, remote: str) -> None:
    client.responses.create(
        model=MODEL, input=_ECHO, tools=[mcp(remote, "passing", require_approval="never")]
    )
    deadline = time.monotonic() + _LIMIT_S
    while "passing" in server.get("/api/mcp/servers").text:
        assert time.monotonic() < deadline, "it is there still"
        time.sleep(0.05)


def test_files_are_searched_and_cited(client: Any) -> None:
    file = client.files.create(
        file=("harbour.txt", b"The harbour of Velm has nine piers."), purpose="assistants"
    )
    store = client.vector_stores.create(name="ports")
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    made = client.responses.create(
        model=MODEL,
        input='[[call: file_search {"query": "piers of Velm"}]]',
        tools=[{"type": "file_search", "vector_store_ids": [store.id], "max_num_results": 3}],
        include=["file_search_call.results"],
    )

    search: Any = made.output[0]
    message: Any = made.output[-1]
    assert (search.type, search.status, search.queries) == (
        "file_search_call",
        "completed",
        ["piers of Velm"],
    )
    assert [each.filename for each in search.results] == ["harbour.txt"]
    [annotation] = message.content[0].annotations
    assert (annotation.type, annotation.file_id, annotation.filename) == (
        "file_citation",
        file.id,
        "harbour.txt",
    )
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(
            model=MODEL, input="hi", tools=[{"type": "file_search", "vector_store_ids": ["vs_none"]}]
        )
    assert missing.value.param == "tools[0].vector_store_ids[0]"


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview", "image_generation"])
def test_what_this_server_has_not_is_refused(client: Any, kind: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input="hi", tools=[{"type": kind}])

    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tools[0].type")
    if kind != "image_generation":
        assert "agents.search_url" in str(refused.value)


@pytest.mark.skipif(find_confining().program is None, reason="this machine has no sandbox")
def test_programs_run_in_a_sandbox_that_keeps_their_variables(client: Any) -> None:
    file = client.files.create(file=("numbers.txt", b"4 5 6"), purpose="assistants")
    tool: Any = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file.id]}}
    adding = "n = sum(map(int, open('numbers.txt').read().split()))\nn"
    first = client.responses.create(
        model=MODEL,
        input=f"[[call: code_interpreter {json.dumps({'code': adding})}]]",
        tools=[tool],
        include=["code_interpreter_call.outputs"],
    )
    [call, _] = first.output
    second = client.responses.create(
        model=MODEL,
        input='[[call: code_interpreter {"code": "print(n + 1)"}]]',
        tools=[{"type": "code_interpreter", "container": call.container_id}],
        include=["code_interpreter_call.outputs"],
    )

    assert (call.type, call.status, call.outputs[0].logs) == ("code_interpreter_call", "completed", "15")
    assert call.container_id.startswith("cntr_")
    assert second.output[0].outputs[0].logs == "16"
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(
            model=MODEL, input="hi", tools=[{"type": "code_interpreter", "container": "cntr_none"}]
        )
    assert missing.value.param == "tools[0].container"
