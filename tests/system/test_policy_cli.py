"""`lar policy`, `lar approvals` and the gate as people meet them, against a real server process."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import openai
import pytest
from mcp import Client
from mcp.types import CallToolResult

from tests.kit.server import RunningServer, lar, running_server

ASKING = """@id("models-asked")
@outcome("ask")
@reason("Models are asked for here.")
permit (principal, action == Action::"generate", resource);
"""
FORBIDDING = '@id("no-models") forbid (principal, action == Action::"generate", resource);\n'
CASES = """
[[case]]
name = "an agent asks before it writes"
action = "call_tool"
resource = "mcp__files__write"
agent = "coder"
at = 2026-11-22T12:00:00
outcome = "ask"
policy = "tools-asking"

[[case]]
name = "nothing is deleted at night"
action = "call_tool"
resource = "mcp__files__delete"
at = 2026-11-22T03:00:00
outcome = "deny"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "home") as running:
        yield running


def _chat(server: RunningServer) -> str:
    answer = server.openai().chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": "[[say: yes]]"}]
    )
    return answer.choices[0].message.content or ""


def _denied(server: RunningServer) -> str:
    with pytest.raises(openai.PermissionDeniedError) as denied:
        _chat(server)
    assert denied.value.code == "denied"
    return denied.value.message


def _write(server: RunningServer, text: str, name: str = "own.cedar") -> None:
    """Write an own policy and wait until the server decides by it, without asking it to read it."""
    (server.home / "policies" / name).write_text(text)
    expected = {each.split('"')[1] for each in text.split("@id(")[1:]}
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        rules = {each["id"] for each in server.get("/api/policies").json()["rules"]}
        if expected <= rules:
            return
        time.sleep(0.05)
    raise AssertionError("the server did not read its policies")


def _decided(server: RunningServer, count: int) -> list[dict[str, Any]]:
    """Return what the gate has decided, once so much is in the journal."""
    deadline = time.monotonic() + 10
    while len(server.events("gate.decided")) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return [each["event"] for each in server.events("gate.decided")]


def test_a_model_can_be_asked_for_allowed_once_and_for_ever(server: RunningServer) -> None:
    assert _chat(server)
    _write(server, ASKING)

    assert "Models are asked for here." in _denied(server)
    (waiting,) = json.loads(lar(server.home, "approvals", "list", "--json").stdout)
    assert waiting["id"] in lar(server.home, "approvals", "list").stdout
    assert lar(server.home, "approvals", "approve", waiting["id"]).returncode == 0
    assert _chat(server)

    assert "Models are asked for here." in _denied(server)
    (again,) = json.loads(lar(server.home, "approvals", "list", "--json").stdout)
    shown = lar(server.home, "approvals", "show", again["id"]).stdout
    assert again["policy_line"].strip() in shown
    assert lar(server.home, "approvals", "approve", again["id"], "--scope", "forever").returncode == 0
    assert _chat(server)
    assert again["policy_line"] in (server.home / "policies" / "approved.cedar").read_text()
    assert "Nothing waits" in lar(server.home, "approvals", "list").stderr


def test_answers_survive_the_server_and_are_given_once(server: RunningServer) -> None:
    _write(server, ASKING)
    _denied(server)
    (waiting,) = json.loads(lar(server.home, "approvals", "list", "--json").stdout)
    server.process.kill()
    server.process.wait(10)

    with running_server(server.home) as again:
        denied = lar(again.home, "approvals", "deny", waiting["id"], "--note", "not today")
        assert denied.returncode == 0
        assert lar(again.home, "approvals", "deny", waiting["id"]).returncode == 0
        other = lar(again.home, "approvals", "approve", waiting["id"])
        assert (other.returncode, "stays as it is" in other.stderr) == (1, True)
        assert "not today" in _denied(again)


def test_a_broken_file_leaves_the_last_good_policies_and_names_the_line(server: RunningServer) -> None:
    _write(server, FORBIDDING)
    assert "no-models" in _denied(server)

    (server.home / "policies" / "own.cedar").write_text(FORBIDDING + "permit (all, action, resource);")
    state = httpx2.post(f"{server.address}/api/policies/reload", timeout=10).json()

    assert [(each["line"], each["message"]) for each in state["faults"]] == [
        (2, "found an invalid variable in the policy scope: all")
    ]
    assert "no-models" in _denied(server)
    checked = lar(server.home, "policy", "check")
    assert (checked.returncode, "own.cedar:2: found an invalid variable" in checked.stdout) == (1, True)
    assert server.stop() == 0
    refused = lar(server.home, "serve")
    assert (refused.returncode, "own.cedar:2:" in refused.stderr) == (2, True)


def test_every_decision_is_in_the_journal_and_can_be_replayed(server: RunningServer, tmp_path: Path) -> None:
    for _ in range(3):
        _chat(server)
    facts = _decided(server, 3)
    assert [(each["outcome"], each["policies"]) for each in facts] == [("allow", ["models-here"])] * 3

    new = tmp_path / "new.cedar"
    new.write_text(FORBIDDING)
    replayed = lar(server.home, "policy", "replay", str(new))
    assert replayed.stdout.count("allow → deny by no-models") == 3
    assert "3 decisions: 3 would be different, 0 the same" in replayed.stderr
    same = lar(server.home, "policy", "replay", "--json")
    assert json.loads(same.stdout)["same"] == 3

    new.write_text(
        '@id("a") forbid (principal, action == Action::"generate", resource) '
        'when { context.arguments.names.contains("tools") };'
    )
    assert "3 cannot be told" in lar(server.home, "policy", "replay", str(new)).stderr


def test_a_server_explains_what_it_would_decide(server: RunningServer) -> None:
    _write(server, FORBIDDING)

    explained = lar(server.home, "policy", "explain", "generate", "scripted")
    assert explained.stdout.startswith("deny by no-models\n")
    assert '✔ action == Action::"generate"' in explained.stdout
    listed = lar(server.home, "policy", "list").stdout
    assert "no-models" in listed
    unknown = httpx2.post(
        f"{server.address}/api/policies/explain", json={"action": "generate", "resuorce": "a"}, timeout=10
    )
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "resuorce")


def test_cases_are_met_or_told_and_need_no_server(tmp_path: Path) -> None:
    cases = tmp_path / "cases.toml"
    cases.write_text(CASES)
    missed = lar(tmp_path, "policy", "test", str(cases))

    assert missed.returncode == 1
    assert "✔ an agent asks before it writes: ask by tools-asking" in missed.stdout
    assert "✖ nothing is deleted at night: ask by tools-asking, but expected deny" in missed.stdout

    night = tmp_path / "night.cedar"
    night.write_text('@id("night") forbid (principal, action, resource) when { context.time.hour < 6 };')
    met = lar(tmp_path, "policy", "test", str(cases), "--policies", str(night))
    assert (met.returncode, "2 of 2 cases met" in met.stderr) == (0, True)

    cases.write_text(CASES + 'outcom = "deny"\n')
    wrong = lar(tmp_path, "policy", "test", str(cases))
    assert (wrong.returncode, "Case 2 ('nothing is deleted at night')" in wrong.stderr) == (2, True)
    assert "outcom" in wrong.stderr


async def test_a_tool_that_writes_waits_for_a_person_and_runs_after_the_yes(server: RunningServer) -> None:
    results: list[CallToolResult] = []

    async def run(*arguments: str) -> str:
        done = await anyio.to_thread.run_sync(lar, server.home, *arguments)
        assert done.returncode == 0
        return done.stdout

    async def write() -> None:
        async with Client(f"{server.address}/mcp") as client:
            results.append(await client.call_tool("files_write", {"path": "plan.md", "text": "hush-hush"}))

    async def approve() -> str:
        while True:
            for each in json.loads(await run("approvals", "list", "--json")):
                await run("approvals", "approve", each["id"], "--scope", "tool")
                return str(each["principal"])

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            who = await approve()
        await write()

    assert who == 'Client::"owner" in Person::"owner"'
    codes = [(each.meta or {}).get("lar/code", "") for each in results]
    assert codes[0] == ""  # it waited, and then it ran
    assert codes[1] not in ("asked", "denied")
    facts = await anyio.to_thread.run_sync(_decided, server, 2)
    assert [(each["outcome"], each["policies"]) for each in facts] == [("allow", ["tools-asking"])] * 2
    assert "hush-hush" not in json.dumps(facts)
    explained = await run("policy", "explain", "call_tool", "mcp__time__now")
    assert explained.startswith("allow by tools-reading")


def test_without_a_server_files_explain_themselves(tmp_path: Path) -> None:
    explained = lar(
        tmp_path, "policy", "explain", "call_tool", "mcp__files__read", "--attribute", "is_internal=true",
        "--attribute", "is_read_only=true", "--attribute", "is_open_world=false", "--json",
    )  # fmt: skip

    assert json.loads(explained.stdout)["policies"] == ["tools-reading"]
    assert lar(tmp_path, "approvals", "list").returncode == 3
    assert lar(tmp_path, "policy", "check", str(tmp_path / "none.cedar")).returncode == 2
